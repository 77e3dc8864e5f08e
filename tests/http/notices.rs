//! Notices: who is told what, and that nothing waits for it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::gather::TOLD_ONE_BY_ONE;
use countersign::app::propose_change::Wish;
use countersign::domain::ids::GroupName;
use countersign::domain::rules::TokenAlg;
use countersign::domain::time::Timestamp;
use countersign::outbound::secret::Secret;
use countersign::outbound::{Outbound, Sending};
use serde_json::Value;

use crate::support::diagnostics::heard;
use crate::support::person::{in_session, page};
use crate::support::{NOW, Person, Server, URL, collector};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn outbound(address: &str) -> Outbound {
    let sending = Sending {
        webhooks: vec![format!("http://{address}/hooks/secret-path").parse().unwrap()],
        secret: Secret::parse(SECRET).unwrap(),
        now: Arc::new(|| Timestamp::from_seconds(NOW)),
        first_pause: Duration::ZERO,
    };
    Outbound::start(sending).unwrap()
}

/// A chat that takes every notice, and what it was sent.
fn chat() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let body = loop {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).unwrap();
                bytes.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let whole = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if let Some(body) = whole {
                    break body;
                }
                assert!(read > 0, "{text}");
            };
            stream.write_all(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn people_are_told_that_something_waits_with_a_link_that_does_nothing() {
    let server = Server::start();
    let (address, told) = chat();
    server.app.send_through(outbound(&address));
    let next = |kind: &str| {
        let body = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(body["type"], kind, "{body}");
        body
    };
    let (mut ada, _mara) = (Person::first_admin(&server), Person::manager(&server, "Mara"));
    let tom = Person::enrol(&server, "Tom <!channel>", &[]);
    for name in ["Ada Admin", "Mara", "Tom &lt;!channel&gt;"] {
        let body = next("passkey.added");
        assert!(body["text"].as_str().unwrap().starts_with(&format!("{name} made a passkey")), "{body}");
    }
    let answer = {
        let (token, key) = (server.job().sign(), collector());
        server.exchange(&token, &["sts.amazonaws.com"]).collector(&key).send().pending()
    };
    let body = next("request.waits");
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("release-managers") && text.contains(&answer.member("approval_uri")), "{text}");
    assert!(!body.to_string().contains(&answer.member("approval_code")), "the code is for the job's log alone");

    let group = GroupName::parse("release-managers").unwrap();
    let (change, _) = server.propose(Wish::Join { person: tom.id.clone(), group });
    let body = next("change.waits");
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("add Tom &lt;!channel&gt; to release-managers"), "{text}");
    assert_eq!(body["data"]["uri"], format!("{URL}/changes/{change}"));
    ada.sign_change(&server, &change, "approve").expect(200);
    assert!(next("change.delayed")["data"]["effective"].is_string());
    let (_, secret) = server.propose(Wish::Recover { person: tom.id.clone() });
    let body = next("change.waits");
    assert!(!body.to_string().contains(&secret.unwrap()), "a notice holds no secret: {body}");
    let wish = Wish::Recover { person: tom.id.clone() };
    server.console(ConsoleCommand::Change { wish, propose: false });
    next("recovery.console");
}

#[test]
fn an_emergency_among_our_keys_is_told() {
    let server = Server::start();
    let (address, told) = chat();
    server.app.send_through(outbound(&address));
    let before = server.get("/jwks").expect(200).json();
    let console = |emergency| ConsoleCommand::RotateKeys { alg: Some(TokenAlg::Es256), emergency };
    server.console(console(false));
    let ConsoleAnswer::Rotated { keys, revoked } = server.console(console(true)) else { panic!() };
    // The first rotation was nothing to be told of.
    let body = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((body["type"].as_str(), revoked.len()), (Some("keys.revoked"), 2), "{body}");
    let old = before["keys"][1]["kid"].as_str().unwrap();
    assert!(body["data"]["revoked"].as_array().unwrap().iter().any(|kid| kid == old), "{body}");
    assert_eq!(body["data"]["log"][0], keys[0].entry);
    let text = body["text"].as_str().unwrap();
    assert!(text.contains(old) && text.contains(&format!("{URL}/jwks")), "{text}");
}

#[test]
fn attack_054_admins_are_told_of_a_key_that_may_have_been_copied() {
    let server = Server::start();
    let (address, told) = chat();
    server.app.send_through(outbound(&address));
    let mut mara = Person::manager(&server, "Mara");
    mara.authenticator.behaviour.counter_step = 5;
    let first = server.ask(&server.job().sign(), &collector());
    mara.approve(&server, &first);
    let second = server.ask(&server.job().sign(), &collector());
    mara.authenticator.behaviour.counter_step = -1;
    let answer = mara.decide(&server, &second, "approve").invalid("assertion_invalid");
    let copied = (0..4).map(|_| told.recv_timeout(Duration::from_secs(20)).unwrap());
    let copied: Vec<_> = copied.filter(|body| body["type"] == "passkey.copied").collect();
    assert_eq!(copied.len(), 1, "one notice for the one entry");
    assert_eq!(copied[0]["data"]["log"], answer.json()["log"]["index"]);
    assert_eq!(copied[0]["data"]["person"], mara.id.as_str());
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn a_webhook_that_is_gone_holds_up_nobody_and_is_told() {
    let server = Server::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    server.app.send_through(outbound(&address));
    let _mara = Person::manager(&server, "Mara");
    server.ask(&server.job().sign(), &collector());
    let warned = || server.get("/readyz").expect(200).json()["warnings"].to_string();
    let found = (0..4_000).any(|_| warned().contains("webhook at 127.0.0.1: 2 notices were lost"));
    assert!(found && !warned().contains("secret-path"), "{}", warned());
    assert!(!heard().contains("secret-path"), "a webhook's address is told in the diagnostics");
}

#[test]
fn attack_044_many_requests_of_one_project_are_told_as_one() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let (address, told) = chat();
    server.app.send_through(outbound(&address));
    let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    let ask = |n: usize| server.ask(&server.job().with("job_id", n.to_string()).sign(), &collector());
    let mut requests: Vec<_> = (1..=17).map(ask).collect();
    let singly: Vec<_> = (0..TOLD_ONE_BY_ONE).map(|_| next()).collect();
    assert!(singly.iter().all(|body| body["type"] == "request.waits"), "{singly:?}");
    // A warning goes by.
    let listed = page(&server, &session, "/me/passkeys").expect(200).text();
    let number = listed.split("data-passkey=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    in_session(&server, &session, &format!("/me/passkeys/{number}/report"), &serde_json::json!({})).expect(200);
    assert_eq!(next()["type"], "passkey.reported");
    server.app.tell_gathered().unwrap();
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err(), "the window is not over");
    // What was decided meanwhile does not wait any more.
    let mut ben = Person::manager(&server, "Ben");
    assert_eq!(next()["type"], "passkey.added");
    ben.deny(&server, &requests.pop().unwrap());
    server.pass(60);
    server.app.tell_gathered().unwrap();
    let body = next();
    assert_eq!((&body["type"], &body["data"]["count"]), (&"requests.wait".into(), &11.into()), "{body}");
    assert_eq!(body["text"], format!("11 more requests wait for shop/api: {URL}/"));
    assert_eq!(body["data"]["requests"], serde_json::json!(requests[TOLD_ONE_BY_ONE..]));
    server.app.tell_gathered().unwrap();
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err(), "told once");
}

#[test]
fn a_change_that_takes_effect_by_time_is_told() {
    let server = Server::start();
    let (mut ada, tom) = (Person::first_admin(&server), Person::enrol(&server, "Tom", &[]));
    let _eve = Person::admin(&server, "Eve");
    let (address, told) = chat();
    server.app.send_through(outbound(&address));
    let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    let group = GroupName::parse("release-managers").unwrap();
    let (change, _) = server.propose(Wish::Join { person: tom.id.clone(), group });
    assert_eq!(next()["type"], "change.waits");
    ada.sign_change(&server, &change, "approve").expect(200);
    assert_eq!(next()["type"], "change.delayed");
    server.pass(24 * 60 * 60);
    server.get(&format!("/changes/{change}")).expect(200);
    let body = next();
    assert_eq!((&body["type"], &body["data"]["change"]), (&"change.done".into(), &change.into()), "{body}");
}

#[test]
fn no_answer_waits_for_a_webhook_that_stalls() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let stalls = TcpListener::bind("127.0.0.1:0").unwrap();
    server.app.send_through(outbound(&stalls.local_addr().unwrap().to_string()));
    // Nobody accepts what is sent there before every request was answered.
    let requests: Vec<_> =
        (1..=30).map(|n| server.ask(&server.job().with("job_id", n.to_string()).sign(), &collector())).collect();
    assert_eq!(requests.len(), 30);
    let (mut stream, _) = stalls.accept().unwrap();
    let mut first = [0; 5];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"POST ", "it had begun all the same");
}
