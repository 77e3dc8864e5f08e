//! Limits of asking, and forms that play with their parameters.

use serde_json::json;

use countersign::app::course::{CallLimits, MAX_OPEN_OF_JOB};

use crate::support::exchange::exchange_pairs;
use crate::support::rules::{AWS, RULES};
use crate::support::wire::form;
use crate::support::{Logged, Options, Person, Server, Snapshot, collector, diagnostics, refused};

const FORM: &str = "application/x-www-form-urlencoded";

/// The project, or the rule, has had its share: no request was made, and nothing is logged.
fn has_its_share(server: &Server, token: &str, audience: &str) {
    let before = Snapshot::of(server);
    let answer = server.exchange(token, &[audience]).collector(&collector()).send();
    let answer = answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    assert!(answer.header("retry-after").is_some());
    refused(server, &before, &answer, Logged::No);
}

#[test]
fn attack_044_a_rule_and_a_job_have_their_share_of_open_requests() {
    let limits = CallLimits { open_of_rule: 3, ..Options::default().limits };
    let server = Server::with(Options { limits, ..Options::default() });
    let _people = [Person::manager(&server, "Mara"), Person::manager(&server, "Ben")];
    (0..3).for_each(|_| drop(server.ask(&server.job().sign(), &collector())));
    has_its_share(&server, &server.job().sign(), AWS);
    // Another rule has a share of its own.
    server.ask(&server.job().environment("finance").sign(), &collector());

    let audiences: Vec<String> = (0..=MAX_OPEN_OF_JOB).map(|n| format!("https://{n}.shop.example")).collect();
    let listed = format!("audience = {audiences:?}");
    let listing = RULES.replacen(
        "audience = [\"sts.amazonaws.com\", \"https://vault.shop.example\", \"https://iam.googleapis.com/pool\"]",
        &listed,
        1,
    );
    assert!(listing.contains(&listed));
    let server = Server::with(Options::rules(&listing));
    let _mara = Person::manager(&server, "Mara");
    let job = server.job();
    for audience in &audiences[..MAX_OPEN_OF_JOB] {
        server.ask_for(&job.again().sign(), &collector(), &[audience]);
    }
    has_its_share(&server, &job.again().sign(), audiences.last().unwrap());
    server.ask_for(&server.job().sign(), &collector(), &[&audiences[0]]);
}

#[test]
fn attack_044_a_request_is_worth_nothing_without_its_own_job_token() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    server.pass(6);
    // Another job with the collector and the link of the first: it asks for itself.
    let other = server.job().sign();
    let answer = server.exchange(&other, &[AWS]).collector(&key).pair("approval_id", &id).pair("request", &id).send();
    assert_ne!(answer.clone().pending().member("approval_id"), id);
    // A job token whose signature is not GitLab's, of the very same job.
    let mut forged = token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'B' } else { 'A' });
    let before = Snapshot::of(&server);
    let answer = server.exchange(&forged, &[AWS]).collector(&key).send();
    assert_eq!(answer.status, 400);
    refused(&server, &before, &answer, Logged::No);
    // Links that nobody gave.
    for guess in [format!("{}x", &id[..id.len() - 1]), "A".repeat(22), "../readyz".to_owned(), "x".to_owned()] {
        server.get(&format!("/a/{guess}")).expect(404);
        let body = json!({ "decision": "approve" });
        server.post_page(&format!("/a/{guess}/options"), &body).expect(404);
    }
    assert_eq!(id.len(), 22, "128 bits, base64url");
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
}

#[test]
fn attack_046_every_parameter_occurs_once_but_those_that_may_repeat() {
    let server = Server::start();
    let token = server.job().environment("staging").sign();
    let before = Snapshot::of(&server);
    let post = |path: &str, kind: &str, body: &str| server.call("POST", path).body(kind, body).send();
    let whole = form(&exchange_pairs(&token, &[AWS]));
    for name in [
        "grant_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "actor_token",
        "actor_token_type",
        "scope",
        "client_id",
        "client_secret",
        "anything",
    ] {
        for twice in [format!("{whole}&{name}=a&{name}=a"), format!("{name}=&{name}=&{whole}")] {
            refused(&server, &before, &post("/token", FORM, &twice).invalid("parameter_repeated"), Logged::No);
        }
        // A name may be spelled in two ways, and is one name.
        let spelled = format!("{whole}&{name}=a&%{:02X}{}=a", name.as_bytes()[0], &name[1..]);
        refused(&server, &before, &post("/token", FORM, &spelled).invalid("parameter_repeated"), Logged::No);
    }
    let many = |count: usize| (0..count).fold(String::new(), |form, n| form + "&" + &n.to_string());
    let body = format!("{whole}{}", many(10_000));
    assert!(body.len() < 64 * 1024, "it is the count that is too much: {}", body.len());
    refused(&server, &before, &post("/token", FORM, &body).invalid("parameter_invalid"), Logged::No);
    for grant in ["Urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:TOKEN-EXCHANGE"]
    {
        let answer = server.exchange(&token, &[AWS]).set("grant_type", grant).send();
        let answer = answer.expect_error(400, "unsupported_grant_type", "grant_unsupported");
        refused(&server, &before, &answer, Logged::No);
    }
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nx\r\n--x--\r\n";
    refused(&server, &before, &post("/token", "multipart/form-data; boundary=x", multipart).expect(415), Logged::No);
    let as_json = json!({ "grant_type": "x", "subject_token": token }).to_string();
    refused(&server, &before, &post("/token", "application/json", &as_json).expect(415), Logged::No);
    // `audience` and `resource` may repeat, and naming one twice is naming it once.
    let answer = post("/token", FORM, &format!("{whole}&audience={AWS}&resource={AWS}")).expect(200);
    server.note(&answer);
}

#[test]
fn attack_046_a_token_in_the_address_is_ignored_and_never_written_down() {
    let server = Server::start();
    let token = server.job().environment("staging").sign();
    let query = form(&exchange_pairs(&token, &[AWS]));
    let before = Snapshot::of(&server);
    for body in ["", "x=1", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"] {
        let answer = server.call("POST", &format!("/token?{query}")).body(FORM, body).send();
        assert_eq!(answer.code(), "parameter_missing", "{}", answer.text());
        refused(&server, &before, &answer.invalid("parameter_missing"), Logged::No);
    }
    server.call("GET", &format!("/token?{query}")).send().expect(405);
    let signature = token.rsplit_once('.').unwrap().1;
    let heard = diagnostics::heard();
    assert!(!heard.is_empty(), "nobody listened");
    assert!(!heard.contains(signature), "the token is in the diagnostics");
    server.exchange(&token, &[AWS]).send().expect(200);
}
