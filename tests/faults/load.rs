//! Load: jobs that ask until they have their token, and a person who signs.
//! In: a running server. Out: every call with what came back.
//! Implements RFC 8693 §2.1 as a job does: the same token and collector until there is an answer.
//! Never leaves this machine, and never goes on longer than a deadline.

use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::cli::demo::calls::{Calls, Exchange, Reply};
use countersign::clock::Clock;
use countersign::crypto::random;
use serde_json::json;

use crate::built::World;
use crate::shim::Faults;
use crate::table::Row;

/// What needs nobody.
pub const FREE: &str = "https://artefacts.example";
/// What a person signs.
pub const SIGNED: &str = "https://deploy.example";
pub const RULES: &str = r#"
[[rule]]
name = "read"
match = { issuer = "gitlab", job_namespace_id = "310" }
audience = ["https://artefacts.example"]
require = "none"
token = { sub = "gitlab:{job_project_id}:read", alg = "ES256" }

[[rule]]
name = "deploy"
match = { issuer = "gitlab", job_namespace_id = "310" }
audience = ["https://deploy.example"]
require = { approval = { of = ["release-managers"] } }
token = { sub = "gitlab:{job_project_id}:deploy", alg = "ES256", forward = ["job_id"] }
"#;
/// Longest time for anything that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(3);
/// Between two looks at what is waited for.
pub const TICK: Duration = Duration::from_millis(2);
/// How often one server lets one address start a ceremony in a minute is 120; a life stays below it.
const SIGNATURES: u64 = 60;

/// Time since then.
pub fn since(begun: Duration) -> Duration {
    now().saturating_sub(begun)
}

/// Waits for a condition; how long that took.
pub fn until(what: &str, reached: impl Fn() -> bool) -> Duration {
    let begun = now();
    while !reached() {
        assert!(since(begun) < PATIENCE, "never {what}");
        std::thread::park_timeout(TICK);
    }
    since(begun)
}

/// A running server; killed where a test ends without ending it.
pub struct Server {
    child: Child,
    pub calls: Calls,
    /// From the start of the process until it was ready.
    pub ready: Duration,
}

/// Time since the first call: for deadlines, and for what is printed.
pub fn now() -> Duration {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(Clock::system).monotonic()
}

impl Server {
    /// Starts it, with faults or without, and waits until it is ready.
    pub fn start(world: &World, faults: Option<&Faults>) -> Self {
        let mut server = Self::start_unready(world, faults);
        server.ready += server.until_ready();
        server
    }

    /// Starts it and waits until it listens.
    pub fn start_unready(world: &World, faults: Option<&Faults>) -> Self {
        let begun = now();
        let environment = faults.map(Faults::environment);
        let child = world.serve_with(|command| command.envs(environment.into_iter().flatten()));
        let server = Self { child, calls: Calls::new(&world.url), ready: since(begun) };
        if let Some(faults) = faults {
            faults.assert_loaded();
        }
        server
    }

    /// Waits until `/readyz` says yes; how long that took.
    pub fn until_ready(&self) -> Duration {
        until("ready again", || self.status("/readyz") == 200)
    }

    pub fn status(&self, path: &str) -> u16 {
        self.calls.get(path).map_or(0, |reply| reply.status)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since(begun) < PATIENCE, "it does not end");
            std::thread::park_timeout(TICK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A person with a passkey.
pub fn approver(world: &World, server: &Server) -> Arc<Mutex<SoftAuthenticator>> {
    let invited = world.command(&["people", "invite", "Ruth", "--group", "release-managers"]).output().unwrap();
    assert!(invited.status.success(), "{}", String::from_utf8_lossy(&invited.stderr));
    let link = String::from_utf8(invited.stdout).unwrap();
    let chance = Box::new(|bytes: &mut [u8]| random::fill(bytes).unwrap());
    let mut authenticator = SoftAuthenticator::new(&world.url, chance);
    let made = server.calls.enrol(link.trim(), &mut authenticator).unwrap();
    assert_eq!(made.status, 200, "{}", made.text);
    Arc::new(Mutex::new(authenticator))
}

/// A job: what it sends, and the token it got.
#[derive(Clone)]
pub struct Job {
    pub token: String,
    pub collector: String,
    pub audience: &'static str,
    pub answer: Option<String>,
}

/// What came back on a call.
#[derive(Debug)]
pub enum Outcome {
    Token(String),
    /// People are asked: the request.
    Pending(String),
    /// 503, with its code.
    NotNow(String),
    /// No, with its code.
    Refused(String),
    /// The connection broke.
    Silence,
}

impl Job {
    pub fn free(world: &World, number: u64) -> Self {
        Self::new(world.job_token(number), FREE)
    }

    pub fn signed(world: &World, number: u64) -> Self {
        Self::new(world.job_token(number), SIGNED)
    }

    pub fn new(token: String, audience: &'static str) -> Self {
        let collector = data_encoding::HEXLOWER.encode(&random::bytes::<24>().unwrap());
        Self { token, collector, audience, answer: None }
    }

    /// Asks once.
    pub fn call(&mut self, calls: &Calls, wait: bool, row: &mut Row) -> Outcome {
        row.sent += 1;
        let audiences = &[self.audience];
        let exchange = Exchange { token: &self.token, audiences, collector: Some(&self.collector), wait };
        let outcome = match calls.exchange(&exchange) {
            Ok(reply) => read(&reply),
            Err(_) => Outcome::Silence,
        };
        match &outcome {
            Outcome::Token(token) => {
                row.tokens += 1;
                self.answer = Some(token.clone());
            }
            Outcome::Pending(_) | Outcome::NotNow(_) | Outcome::Refused(_) => row.others += 1,
            Outcome::Silence => row.silent += 1,
        }
        outcome
    }

    /// Asks until there is a token, and has a person sign where one is asked; `false` where the server fell silent.
    pub fn get(&mut self, calls: &Calls, approver: &Mutex<SoftAuthenticator>, row: &mut Row) -> bool {
        let mut wait = false;
        for _ in 0..8 {
            match self.call(calls, wait, row) {
                Outcome::Token(_) => return true,
                Outcome::Silence => return false,
                Outcome::NotNow(code) | Outcome::Refused(code) => panic!("{code} without a fault"),
                Outcome::Pending(request) => {
                    let mut approver = approver.lock().unwrap();
                    let Ok(decided) = calls.decide(&request, &json!({ "decision": "approve" }), &mut approver) else {
                        return false;
                    };
                    // A signature whose answer was lost is there already.
                    assert!(matches!(decided.status, 200 | 409), "{}", decided.text);
                    wait = true;
                }
            }
        }
        panic!("a signed request gives no token");
    }
}

fn read(reply: &Reply) -> Outcome {
    match (reply.status, reply.text("error").as_str()) {
        (200, _) => Outcome::Token(reply.text("access_token")),
        (400, "authorization_pending" | "slow_down") => Outcome::Pending(reply.text("approval_id")),
        (503, _) => Outcome::NotNow(reply.text("error_code")),
        (400, _) => Outcome::Refused(reply.text("error_code")),
        _ => panic!("{} {}", reply.status, reply.text),
    }
}

/// Loads the server from four sides until it has died: every job, and the counts.
pub fn until_dead(
    world: &World,
    server: &mut Server,
    approver: &Mutex<SoftAuthenticator>,
    first: u64,
    meanwhile: impl FnOnce(&mut Server),
) -> (Vec<Job>, Row) {
    let calls = server.calls.clone();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4_u64)
            .map(|client| {
                let calls = calls.clone();
                scope.spawn(move || {
                    let (mut jobs, mut row) = (Vec::new(), Row::default());
                    for n in 0.. {
                        let number = first + 4 * n + client;
                        let signs = client == 0 && n < SIGNATURES;
                        let mut job = if signs { Job::signed(world, number) } else { Job::free(world, number) };
                        let answered = job.get(&calls, approver, &mut row);
                        jobs.push(job);
                        if !answered {
                            break;
                        }
                    }
                    (jobs, row)
                })
            })
            .collect();
        meanwhile(server);
        server.ended();
        let (mut jobs, mut row) = (Vec::new(), Row::default());
        for client in clients {
            let (more, counts) = client.join().unwrap();
            jobs.extend(more);
            row.add(counts);
        }
        (jobs, row)
    })
}
