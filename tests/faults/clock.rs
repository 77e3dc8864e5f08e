//! The wall clock steps, both ways, under a running server and between two starts.

use serde_json::json;

use crate::load::{Job, Outcome, SIGNED, Server};
use crate::shim::Place;
use crate::table::Row;
use crate::ward::Ward;

const HOUR: i64 = 3_600_000;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

/// Opens a request and gives its id.
fn ask(server: &Server, job: &mut Job, row: &mut Row) -> String {
    match job.call(&server.calls, false, row) {
        Outcome::Pending(request) => request,
        outcome => panic!("{outcome:?}"),
    }
}

fn is(outcome: &Outcome, code: &str) {
    assert!(matches!(outcome, Outcome::NotNow(found) | Outcome::Refused(found) if found == code), "{outcome:?}");
}

/// The log knows a later time than the clock: only an operator may say that the clock is right all the same.
fn accept_time(ward: &Ward, server: &Server) {
    assert!(Ward::is_red(server).contains("clock"));
    let accepted = ward.world.command(&["log", "accept-time"]).output().unwrap();
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    let again = ward.world.command(&["log", "accept-time"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "there is nothing left to accept");
    server.until_ready();
}

#[test]
fn attack_084_a_clock_that_steps_under_the_server_stops_issuing_until_it_is_back() {
    let (mut ward, server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    for (step, name) in
        [(-HOUR, "back an hour"), (TEN_YEARS, "ahead ten years"), (61_000, "ahead 61 s"), (-61_000, "back 61 s")]
    {
        let mut row = Row::default();
        let (mut free, mut signed) = (ward.free(), ward.signed());
        let request = ask(&server, &mut signed, &mut row);
        let tokens = ward.audit.logged();
        ward.faults.set(Place::Wall, step);
        is(&free.call(&server.calls, false, &mut row), "clock_stepped");
        is(&signed.call(&server.calls, true, &mut row), "clock_stepped");
        let decided = server
            .calls
            .decide(&request, &json!({ "decision": "approve" }), &mut ward.approver.lock().unwrap())
            .unwrap();
        assert_eq!((decided.status, decided.text("error_code").as_str()), (503, "clock_stepped"), "{}", decided.text);
        assert!(Ward::is_red(&server).contains("clock"));
        ward.issued_nothing_since(tokens);
        ward.faults.heal();
        row.ready.push(server.until_ready());
        ward.gets(&server, &mut free, &mut row);
        ward.gets(&server, &mut signed, &mut row);
        row.print("clock", &format!("steps {name}"));
    }
    // Small steps are an ordinary day, and no entry goes back in time for them; the audit looks at each.
    // A job token may be 30 s ahead of us, not more.
    for step in [59_000, -25_000, 0] {
        ward.faults.set(Place::Wall, step);
        ward.serves(&server, &mut row);
    }
    ward.audit.whole(&ward.world);
}

#[test]
fn attack_084_what_is_over_stays_over_when_the_clock_goes_back_between_two_starts() {
    let (mut ward, mut server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    let mut jobs: Vec<_> = (0..3).map(|_| ward.signed()).collect();
    let requests: Vec<_> = jobs.iter_mut().map(|job| ask(&server, job, &mut row)).collect();
    let approve = |ward: &Ward, server: &Server, request: &str| {
        let mut approver = ward.approver.lock().unwrap();
        server.calls.decide(request, &json!({ "decision": "approve" }), &mut approver).unwrap()
    };
    // The second is signed and not collected.
    assert_eq!(approve(&ward, &server, &requests[1]).status, 200);
    server.kill();

    // Half an hour later: the first two are seen to be over, the third is not looked at.
    ward.faults.pass(HOUR / 2);
    server = Server::start(&ward.world, Some(&ward.faults));
    for job in &mut jobs[..2] {
        is(&job.call(&server.calls, false, &mut row), "request_expired");
    }
    ward.audit.read(&ward.world);
    let mut tokens = ward.audit.logged();
    server.kill();

    // The clock is back, and then some minutes too far: the log's time stands.
    for back in [0, -HOUR / 6] {
        ward.faults.heal();
        ward.faults.set(Place::Wall, back);
        server = Server::start_unready(&ward.world, Some(&ward.faults));
        is(&ward.free().call(&server.calls, false, &mut row), "clock_stepped");
        accept_time(&ward, &server);
        row.ready.push(server.until_ready());
        for (job, request) in jobs.iter_mut().zip(&requests) {
            let decided = approve(&ward, &server, request);
            assert!(matches!(decided.status, 409 | 410), "{}", decided.text);
            let outcome = job.call(&server.calls, false, &mut row);
            assert!(matches!(outcome, Outcome::Refused(_)), "a request revived: {outcome:?}");
        }
        ward.issued_nothing_since(tokens);
        // What is asked now is judged by the log's time, and gets its token.
        let claims = ward.world.job(1_000 + back.unsigned_abs());
        let issued = claims.claims["iat"].as_i64().unwrap() + back / 1_000;
        let claims =
            claims.with("iat", issued.into()).with("nbf", issued.into()).with("exp", (issued + 3 * 3_600).into());
        let mut job = Job::new(ward.world.sign(&claims), SIGNED);
        ward.gets(&server, &mut job, &mut row);
        tokens = ward.audit.logged();
        server.kill();
    }
    // Where no server runs, the entry lets the next start believe the clock.
    ward.faults.heal();
    let accepted = ward.world.command(&["log", "accept-time"]).output().unwrap();
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    server = Server::start(&ward.world, Some(&ward.faults));
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("clock", "goes back between two starts");
}
