//! What callers can do at the edges of the rules: fill the log, hold the writer, race a reload, swap a token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say where"
)]

#[path = "../support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use countersign::app::load_rules::{adopt_rules, compile};
use countersign::app::refuse::MAX_LOGGED_A_MINUTE;
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::change::standing::Terms;
use countersign::domain::ids::{IssuerName, RuleName};
use countersign::domain::log::note::VerifierKey;
use countersign::domain::time::Timestamp;
use countersign::http::edge::MAX_BODY;
use countersign::http::serve::HEAD_WITHIN;
use countersign::store::StoreError;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use support::rules::{AWS, RULES};
use support::server::block_on;
use support::wire::PATIENCE;
use support::{Answer, NOW, Options, Person, Server, Snapshot, collector};

/// More than the system keeps of one connection, on both sides together.
const MOST_ON_THE_WAY: usize = 48 * 1024 * 1024;

const LACKING: &str = r#"
[[rule]]
name     = "asks, and its sub is too long"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "p*" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"] } }

[[rule]]
name     = "asks nobody, and forwards what is not there"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "staging" }
audience = ["sts.amazonaws.com"]
require  = "none"
token    = { forward = ["environment_action"] }
"#;

#[test]
fn refusals_found_while_issuing_are_capped_like_all_others() {
    let server = Server::with(Options::rules(LACKING));
    let _manager = Person::manager(&server, "Ruth");
    let before = Snapshot::of(&server);
    let long = format!("p{}", "x".repeat(200));
    for at in 0..2 * MAX_LOGGED_A_MINUTE {
        let job = server.job().without("environment_action");
        let job = job.environment(if at % 2 == 0 { &long } else { "staging" });
        let key = collector();
        server.exchange(&job.sign(), &[AWS]).collector(&key).send().invalid("rule_not_evaluable");
    }
    let after = Snapshot::of(&server);
    after.assert_same_state(&before);
    let logged = after.since(&before).len();
    assert!(logged <= MAX_LOGGED_A_MINUTE as usize, "{logged} refusals of one project in a minute");
}

#[test]
fn nothing_is_issued_by_rules_that_the_log_has_replaced() {
    let mut server = Server::start();
    let job = server.job().environment("staging");
    let stricter = RULES.replace(r#"environment = "staging""#, r#"environment = "elsewhere""#);
    let issuers = ["gitlab", "other"].map(|name| IssuerName::parse(name).unwrap());
    let (files, taken) = ([("rules.toml".to_owned(), stricter.clone())], std::collections::BTreeSet::new());
    let compiled = compile(&files, &issuers, &[], &taken, server.app.clock.now()).unwrap();
    // The reload is in the log; whoever loaded it ended before memory had it.
    let name = RuleName::parse("staging deploy").unwrap();
    let logged = compiled.rules.by_name(&name).unwrap().digest();
    let by = (&Terms::default(), server.app.settings.url.as_str());
    block_on(adopt_rules(&server.app.store, compiled, by, &taken)).unwrap();
    let before = Snapshot::of(&server);
    server.exchange(&job.sign(), &[AWS]).send().invalid("no_rule_matches");
    assert_eq!(Snapshot::of(&server).count("token"), before.count("token"));
    assert_eq!(server.app.rules().rules.by_name(&name).unwrap().digest(), logged, "whoever comes next finds it out");
    server.load_rules(RULES);
    server.exchange(&job.sign(), &[AWS]).send().expect(200);
}

#[test]
fn another_token_of_a_job_must_say_what_people_signed() {
    let server = Server::start();
    let mut manager = Person::manager(&server, "Ruth");
    let (job, key) = (server.job(), collector());
    let request = server.ask(&job.sign(), &key);
    manager.approve(&server, &request);
    let before = Snapshot::of(&server);
    for (name, value) in [("sha", "f".repeat(40)), ("pipeline_id", "90211".to_owned()), ("user_id", "89".to_owned())] {
        let other = job.again().with(name, value);
        server.exchange(&other.sign(), &[AWS]).collector(&key).send().invalid("token_spent");
    }
    Snapshot::of(&server).assert_same_state(&before);
    let twin = job.again();
    server.exchange(&twin.sign(), &[AWS]).collector(&key).send().expect(200);
}

#[test]
fn dead_links_never_reach_the_writer() {
    let server = Server::start();
    let store = server.app.store.clone();
    let (held, busy) = std::sync::mpsc::channel();
    let (answered, done) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        store.write_blocking(move |_| -> Result<(), StoreError> {
            held.send(()).unwrap();
            // Held until every stranger is answered; one that waits for the writer gives up before this does.
            let _ = done.recv_timeout(PATIENCE + Duration::from_secs(10));
            Ok(())
        })
    });
    busy.recv().unwrap();
    let finish = json!({ "ceremony": "AAAAAAAAAAAAAAAAAAAAAA", "response": {} });
    server.post_page("/enrol/nobody/decline", &json!({})).expect(410);
    server.post_page("/enrol/nobody/name", &json!({ "name": "Key" })).expect(410);
    server.post_page("/enrol/nobody/passkey", &finish).expect(410);
    server.post_page("/a/AAAAAAAAAAAAAAAAAAAAAA/decision", &finish).expect(404);
    answered.send(()).unwrap();
    writer.join().unwrap().unwrap();
}

#[test]
fn a_body_that_dawdles_is_let_go() {
    let server = Server::start();
    let head = "POST /token HTTP/1.1\r\nhost: sign.shop.example\r\ncontent-length: 1000\r\nconnection: close\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\ngrant_type=";
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let answer = Answer::parse(&bytes);
    assert_eq!((answer.status, answer.code().as_str()), (400, "parameter_invalid"), "{}", answer.text());
}

#[test]
fn attack_079_a_second_head_that_dawdles_is_let_go_like_a_first() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(2 * HEAD_WITHIN)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: sign.shop.example\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    assert_ne!(stream.read(&mut answer).unwrap(), 0, "the first call is answered");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: sign.").unwrap();
    stream.set_read_timeout(Some(HEAD_WITHIN / 2)).unwrap();
    assert!(stream.read(&mut answer).is_err(), "it has its time");
    stream.set_read_timeout(Some(2 * HEAD_WITHIN)).unwrap();
    assert_eq!(stream.read(&mut answer).expect("the connection is held"), 0);
}

#[test]
fn whoever_sends_too_much_reads_why() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // More than lies in buffers on the way: it arrives only if it is read.
    let length = 64 * MAX_BODY;
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: sign.shop.example\r\ncontent-length: {length}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b'a'; length]).expect("it may go on sending");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the answer comes through");
    let answer = Answer::parse(&bytes);
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{}", answer.text());
}

#[test]
fn attack_079_whoever_only_sends_is_not_read_for_ever() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Each is answered with a good half kilobyte, which nobody takes.
    let calls = "PUT / HTTP/1.1\r\nhost: sign.shop.example\r\n\r\n".repeat(1000);
    let mut sent = 0;
    while let Ok(bytes) = stream.write(calls.as_bytes()) {
        sent += bytes;
        assert!(sent < MOST_ON_THE_WAY, "{sent} bytes were taken of somebody who takes nothing");
    }
}

#[test]
fn calls_sent_ahead_are_answered_one_after_another() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let call = "GET /healthz HTTP/1.1\r\nhost: sign.shop.example\r\n\r\n";
    let form = "POST /token HTTP/1.1\r\nhost: sign.shop.example\r\ncontent-length: 3\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\na=b";
    let last = "GET /healthz HTTP/1.1\r\nhost: sign.shop.example\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{}{}{last}", call.repeat(40), form.repeat(3)).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("all are answered");
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!((text.matches("HTTP/1.1 200 ").count(), text.matches("HTTP/1.1 400 ").count()), (41, 3), "{text}");
}

#[test]
fn attack_079_one_network_takes_no_connection_from_another() {
    let server = Server::with(Options { connections_of_network: 2, ..Options::default() });
    block_on(async {
        let served = async |from: [u8; 4]| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            let mut stream = socket.connect(server.address).await.unwrap();
            let call = b"GET /healthz HTTP/1.1\r\nhost: sign.shop.example\r\n\r\n";
            // Where it is closed at once, either the call or its answer does not come through.
            let sent = stream.write_all(call).await.is_ok();
            let answered = sent && stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0;
            answered.then_some(stream)
        };
        let first = served([127, 0, 0, 9]).await.expect("within its share");
        let _second = served([127, 0, 0, 9]).await.expect("within its share");
        assert!(served([127, 0, 0, 9]).await.is_none(), "beyond it");
        assert!(served([127, 0, 0, 8]).await.is_some(), "another network");
        drop(first);
        let again = async { while served([127, 0, 0, 9]).await.is_none() {} };
        timeout(PATIENCE, again).await.expect("whoever leaves makes room");
    });
}

#[test]
fn no_entry_is_made_while_the_clock_is_wrong() {
    let server = Server::start();
    let (_, link) = server.invite("Ruth", &["release-managers"]);
    let mut authenticator = support::person::authenticator();
    let signed = support::person::register(&server, &link, &mut authenticator);
    let before = Snapshot::of(&server);
    // Minutes ahead: an entry now would hold the log's time there for ever.
    server.hand.set(Timestamp::from_seconds(NOW + 200));
    server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(503);
    server.post_page(&format!("/enrol/{link}/decline"), &json!({})).expect(503);
    assert!(block_on(server.app.load_rules(&[("rules.toml".to_owned(), String::new())])).is_err());
    assert!(Snapshot::of(&server).since(&before).is_empty());
    server.hand.set(Timestamp::from_seconds(NOW));
    server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
}

#[test]
fn a_token_collected_with_another_token_of_the_job_is_proven_like_any_other() {
    let server = Server::start();
    let mut manager = Person::manager(&server, "Ruth");
    let (job, key) = (server.job().with("exp", NOW + 400), collector());
    let request = server.ask(&job.sign(), &key);
    manager.approve(&server, &request);
    let other = job.again().with("exp", NOW + 3600);
    let answer = server.exchange(&other.sign(), &[AWS]).collector(&key).send().expect(200);
    assert_eq!(answer.claims()["exp"], NOW + 400, "it ends with the token that people were asked for");
    let bundle = server.app.make_bundle(answer.json()["log"]["index"].as_u64().unwrap()).unwrap();
    let key = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = verify_bundle(&serde_json::to_vec(&bundle).unwrap(), &key);
    assert_eq!(report.answer(), "yes", "{report:#?}");
}
