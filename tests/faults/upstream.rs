//! GitLab, that is an issuer over HTTPS: gone at the start, slow, lying, flapping.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use countersign::cli::demo::calls::Calls;
use countersign::cli::demo::gitlab::SimulatedJob;
use countersign::clock::Clock;
use countersign::crypto::signing::SigningKey;
use countersign::domain::rules::TokenAlg;
use serde_json::{Value, json};

use crate::built::World;
use crate::load::{FREE, Job, Outcome, Server, until};
use crate::table::Row;
use crate::test_server::{Reply, TestServer};
use crate::ward::Ward;

const MINUTE: i64 = 60_000;
/// Longer than the pause after a failed fetch.
const PAUSE: i64 = 16_000;
const RULE: &str = r#"
[[rule]]
name = "read for the other"
match = { issuer = "flapping", job_namespace_id = "310" }
audience = ["https://artefacts.example"]
require = "none"
token = { sub = "gitlab:{job_project_id}:read" }
"#;
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A GitLab that can be taken off its port and put back.
struct Gitlab {
    server: TestServer,
    port: u16,
    key: SigningKey,
    line: Option<Line>,
    connections: Arc<AtomicUsize>,
}

/// The way to it, while it is up.
struct Line {
    up: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Gitlab {
    /// It has a name and a port, and does not listen there yet.
    fn down() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let key = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
        let gitlab = Self { server: TestServer::start(), port, key, line: None, connections: Arc::default() };
        gitlab.honest();
        gitlab
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn document(&self, issuer: &str) -> Reply {
        Reply::json(json!({ "issuer": issuer, "jwks_uri": format!("{}/jwks", self.url()) }).to_string())
    }

    fn honest(&self) {
        self.server.answer(DISCOVERY, self.document(&self.url()));
        self.publish(&self.key);
    }

    fn publish(&self, key: &SigningKey) {
        self.server.answer("/jwks", Reply::json(json!({ "keys": [key.public_jwk()] }).to_string()));
    }

    /// Listens.
    fn up(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let (up, count, to) = (Arc::new(AtomicBool::new(true)), Arc::clone(&self.connections), self.server.port);
        let still = Arc::clone(&up);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !still.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                relay(stream, TcpStream::connect(("127.0.0.1", to)).unwrap());
            }
        });
        self.line = Some(Line { up, accepting });
    }

    /// Listens no more: whoever calls is refused at once.
    fn stop(&mut self) {
        let Some(line) = self.line.take() else { return };
        line.up.store(false, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        line.accepting.join().unwrap();
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A job of this GitLab at the server's time.
    fn job(&self, world: &World, number: u64, passed: i64) -> Job {
        let now = Clock::system().now() + std::time::Duration::from_millis(passed.unsigned_abs());
        let job = SimulatedJob::deploy(&self.url(), &world.url, 5_000_000 + number, now);
        Job::new(self.key.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap(), FREE)
    }

    fn configure(&self, world: &World) {
        let path = world.folder.join("countersign.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let more = format!(
            "[[issuer]]\nname = \"flapping\"\nurl = \"{}\"\nca_file = \"{}\"\nallow_private = true\n",
            self.url(),
            self.server.ca_file.display()
        );
        std::fs::write(path, text + &more).unwrap();
        let rules = world.folder.join("rules/rules.toml");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(rules, text + RULE).unwrap();
    }
}

impl Drop for Gitlab {
    fn drop(&mut self) {
        self.stop();
    }
}

fn relay(one: TcpStream, other: TcpStream) {
    for (mut from, mut to) in [(one.try_clone().unwrap(), other.try_clone().unwrap()), (other, one)] {
        std::thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}

fn unavailable(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::NotNow(code) if code == "issuer_unavailable"), "{outcome:?}");
}

fn token(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Token(_)), "{outcome:?}");
}

/// `/readyz` names the issuer and what of it fails.
fn until_it_names(server: &Server, what: &str) {
    until(what, || {
        server
            .calls
            .get("/readyz")
            .is_ok_and(|ready| ready.status == 503 && ready.text.contains("flapping") && ready.text.contains(what))
    });
}

/// Time passes; connections that were idle are over by then.
fn pass(ward: &Ward, server: &mut Server, passed: &mut i64, span: i64) {
    ward.faults.pass(span);
    server.calls = Calls::new(&ward.world.url);
    until("awake again", || server.status("/healthz") == 200);
    *passed += span;
}

#[test]
fn attack_090_an_issuer_that_is_gone_slow_or_lying_concerns_its_own_jobs_alone() {
    let mut gitlab = Gitlab::down();
    let (mut ward, mut server) = Ward::with(|world| gitlab.configure(world));
    let (mut number, mut passed) = (0, 0);
    let mut next = || {
        number += 1;
        number
    };
    let mut others = Row::default();

    // Gone at the start.
    let mut row = Row::default();
    until_it_names(&server, "url");
    let mut job = gitlab.job(&ward.world, next(), passed);
    unavailable(&job.call(&server.calls, false, &mut row));
    ward.serves(&server, &mut others);
    gitlab.up();
    pass(&ward, &mut server, &mut passed, PAUSE);
    // No job comes to a server that is not ready: it finds out by itself.
    row.ready.push(server.until_ready());
    token(&job.call(&server.calls, false, &mut row));
    row.print("GitLab", "gone at the start, then back");

    // Down, with its keys at hand; then for so long that they are looked at again; then longer than they may be used.
    let mut row = Row::default();
    gitlab.stop();
    token(&gitlab.job(&ward.world, next(), passed).call(&server.calls, false, &mut row));
    pass(&ward, &mut server, &mut passed, 61 * MINUTE);
    token(&gitlab.job(&ward.world, next(), passed).call(&server.calls, false, &mut row));
    until_it_names(&server, "url");
    pass(&ward, &mut server, &mut passed, 24 * 60 * MINUTE);
    let mut job = gitlab.job(&ward.world, next(), passed);
    unavailable(&job.call(&server.calls, false, &mut row));
    gitlab.up();
    pass(&ward, &mut server, &mut passed, PAUSE);
    row.ready.push(server.until_ready());
    token(&job.call(&server.calls, false, &mut row));
    row.print("GitLab", "down for a day");

    // Lying: its document names another issuer; then another's key, under which its jobs are not its own any more.
    let mut row = Row::default();
    let day = 25 * 60 * MINUTE;
    gitlab.server.answer(DISCOVERY, gitlab.document("https://gitlab.example.org"));
    pass(&ward, &mut server, &mut passed, day);
    let mut job = gitlab.job(&ward.world, next(), passed);
    unavailable(&job.call(&server.calls, false, &mut row));
    until_it_names(&server, "issuer");
    for (reply, what) in [
        (Reply::status(500), "500"),
        (Reply::status(302).with("Location", "https://localhost/"), "302"),
        (Reply::typed("text/html", "<html>"), "text/html"),
        (Reply::json("not JSON"), "document"),
        (Reply::json("x".repeat(300 * 1024)), "url"),
    ] {
        gitlab.server.answer(DISCOVERY, reply);
        pass(&ward, &mut server, &mut passed, PAUSE);
        unavailable(&job.call(&server.calls, false, &mut row));
        until_it_names(&server, what);
    }
    let foreign = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
    gitlab.honest();
    gitlab.publish(&foreign);
    pass(&ward, &mut server, &mut passed, PAUSE);
    let outcome = job.call(&server.calls, false, &mut row);
    assert!(matches!(&outcome, Outcome::Refused(code) if code == "unknown_key"), "{outcome:?}");
    gitlab.honest();
    pass(&ward, &mut server, &mut passed, 61 * MINUTE);
    job = gitlab.job(&ward.world, next(), passed);
    token(&job.call(&server.calls, false, &mut row));
    row.ready.push(server.until_ready());
    row.print("GitLab", "lying");

    ward.audit.whole(&ward.world);
}

#[test]
fn attack_090_a_slow_issuer_is_asked_once_and_holds_up_nobody_else() {
    const CALLERS: usize = 100;
    let mut gitlab = Gitlab::down();
    let (mut ward, mut server) = Ward::with(|world| gitlab.configure(world));
    until_it_names(&server, "url");
    let mut row = Row::default();
    let mut passed = 0;
    gitlab.server.answer(DISCOVERY, Reply::HangAfterHeaders);
    gitlab.up();
    pass(&ward, &mut server, &mut passed, PAUSE);
    let asked = &server.calls.clone();
    let mut jobs: Vec<_> = (0..CALLERS).map(|n| gitlab.job(&ward.world, n.try_into().unwrap(), passed)).collect();
    std::thread::scope(|scope| {
        let calls: Vec<_> = jobs
            .iter_mut()
            .map(|job| {
                scope.spawn(move || {
                    let mut row = Row::default();
                    unavailable(&job.call(asked, false, &mut row));
                    row
                })
            })
            .collect();
        until("asked", || gitlab.connections() > 0);
        ward.serves(&server, &mut row);
        for call in calls {
            row.add(call.join().unwrap());
        }
    });
    assert_eq!(gitlab.connections(), 1, "a herd");
    gitlab.server.answer(DISCOVERY, Reply::Drip);
    pass(&ward, &mut server, &mut passed, PAUSE);
    unavailable(&jobs[0].call(&server.calls, false, &mut row));
    gitlab.honest();
    pass(&ward, &mut server, &mut passed, PAUSE);
    row.ready.push(server.until_ready());
    for job in &mut jobs {
        token(&job.call(&server.calls, false, &mut row));
    }
    ward.audit.read(&ward.world);
    for job in &jobs {
        ward.audit.answered(job.answer.as_ref().unwrap());
    }
    ward.audit.whole(&ward.world);
    row.print("GitLab", &format!("slow; {CALLERS} callers at once"));
}
