//! The built server is killed under load, again and again: no token without its entry, and no answer doubled.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop at once")]

#[path = "support/built.rs"]
mod built;

use std::collections::HashMap;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use countersign::app::Countersign;
use countersign::cli::demo::calls::{Calls, Exchange};
use countersign::crypto::random;
use countersign::domain::canonical;
use countersign::domain::ids::Digest;
use serde_json::Value;

use built::{World, payload};

const AUDIENCE: &str = "https://artefacts.example";
const RULES: &str = r#"
[[rule]]
name = "read"
match = { job_project_id = "4711" }
audience = ["https://artefacts.example"]
require = "none"
token = { sub = "gitlab:{job_project_id}:read", alg = "ES256" }
"#;
/// How often the server is killed; more with `COUNTERSIGN_CRASHES`.
const CRASHES: u32 = 12;
const CLIENTS: u64 = 4;

/// A call and what came back, if anything did.
#[derive(Clone)]
struct Called {
    token: String,
    collector: String,
    answer: Option<String>,
}

fn call(calls: &Calls, called: &Called) -> Option<String> {
    let exchange =
        Exchange { token: &called.token, audiences: &[AUDIENCE], collector: Some(&called.collector), wait: false };
    let reply = calls.exchange(&exchange).ok()?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Some(reply.text("access_token"))
}

/// Loads the server from several threads until it dies under them.
fn load(world: &World, round: u64, child: &mut Child, after: Duration) -> Vec<Called> {
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for client in 0..CLIENTS {
            let send = send.clone();
            scope.spawn(move || {
                let calls = Calls::new(&world.url);
                for n in 0.. {
                    let number = round * 1_000_000 + client * 100_000 + n;
                    let collector = format!("collector-{number:040}");
                    let mut called = Called { token: world.job_token(number), collector, answer: None };
                    called.answer = call(&calls, &called);
                    let died = called.answer.is_none();
                    send.send(called).unwrap();
                    if died {
                        return;
                    }
                }
            });
        }
        drop(send);
        let (_never, wait) = mpsc::channel::<()>();
        let _ = wait.recv_timeout(after);
        child.kill().unwrap();
        child.wait().unwrap();
        receive.iter().collect()
    })
}

#[test]
fn attack_088_a_killed_server_has_logged_whatever_it_answered_and_doubles_nothing() {
    let crashes = std::env::var("COUNTERSIGN_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(CRASHES);
    let world = World::new(RULES);
    let mut all: Vec<Called> = Vec::new();
    let mut lost = 0;
    for round in 0..crashes {
        let mut child = world.serve();
        // Whoever got no answer asks again with the same collector, and gets a token, once.
        let calls = Calls::new(&world.url);
        for called in all.iter_mut().filter(|called| called.answer.is_none()) {
            lost += 1;
            called.answer = call(&calls, called);
            let again = call(&calls, called).unwrap();
            assert_eq!(payload(&again)["jti"], payload(called.answer.as_ref().unwrap())["jti"]);
        }
        let [byte] = random::bytes::<1>().unwrap();
        let after = Duration::from_millis(u64::from(byte) % 200 + 1);
        all.extend(load(&world, u64::from(round), &mut child, after));
    }
    let answered: Vec<_> = all.iter().filter_map(|called| called.answer.as_ref()).collect();
    println!("{crashes} crashes, {} answers, {lost} asked again", answered.len());
    assert!(answered.len() > 10, "the load was too small to show anything");
    check(&world.open(), &answered);
    std::fs::remove_dir_all(&world.folder).unwrap();
}

/// Every answered token has exactly one entry, which holds the digest of its claims; the whole log is whole.
fn check(app: &Countersign, answered: &[&String]) {
    let report = app.check_log().unwrap();
    assert_eq!(report.fault, None);
    let mut entries: HashMap<String, Vec<Value>> = HashMap::new();
    for index in 0..report.entries {
        let entry: Value = serde_json::from_str(&app.show_entry(index).unwrap()).unwrap();
        if entry["kind"] == "token" {
            entries.entry(entry["jti"].as_str().unwrap().to_owned()).or_default().push(entry);
        }
    }
    for token in answered {
        let mut claims = payload(token);
        let log = claims.remove("log").unwrap();
        let found = &entries[claims["jti"].as_str().unwrap()];
        assert_eq!(found.len(), 1, "{} has {} entries", claims["jti"], found.len());
        let entry = found.first().unwrap();
        assert_eq!(entry["seq"], log["index"]);
        let sha256 = Digest::of(&canonical::to_bytes(&claims).unwrap()).to_string();
        assert_eq!(entry["claims_sha256"], sha256);
    }
}

#[test]
fn attack_088_sigterm_finishes_and_exits_0() {
    let world = World::new(RULES);
    let mut child = world.serve();
    let calls = Calls::new(&world.url);
    let called = Called { token: world.job_token(1), collector: "c".repeat(43), answer: None };
    let answer = call(&calls, &called).unwrap();
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    check(&world.open(), &[&answer]);
    let mut child = world.serve();
    assert_eq!(payload(&call(&calls, &called).unwrap())["jti"], payload(&answer)["jti"]);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&world.folder).unwrap();
}
