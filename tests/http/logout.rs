//! Clients are told that a session ended.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use countersign::app::log_out::LOGOUTS_OF_CLIENT;
use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::oauth::client::Client;
use countersign::domain::oauth::logout::{LOGOUT_ATTEMPTS, LOGOUT_LONGEST_PAUSE};
use serde_json::{Value, json};

use crate::support::clients::{SECRET, basic, client, code, post, redeem, refresh, server_with};
use crate::support::gitlab::claims_of;
use crate::support::server::block_on;
use crate::support::{Person, Server, Snapshot, URL};

/// A client's endpoint: answers each call with the next of these, and hands on the token of each.
pub fn endpoint(answers: &'static [&'static str]) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/out", listener.local_addr().unwrap());
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
            let token = loop {
                let read = stream.read(&mut part).unwrap();
                bytes.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    break String::from_utf8_lossy(&bytes).split_once("logout_token=").unwrap().1.to_owned();
                }
            };
            told.send(token).unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (uri, heard)
}

fn told(uri: &str, id: &str) -> Client {
    Client { backchannel_logout_uri: Some(uri.to_owned()), ..client(id) }
}

/// Has the clients told that are due.
pub fn tell(server: &Server) {
    block_on(server.app.tell_logouts()).unwrap();
}

fn sign_out(server: &Server, session: &str) {
    server.call("POST", "/sign-out").of_our_page(&json!({})).header("cookie", session).send().expect(200);
}

#[test]
fn a_client_is_told_with_a_signed_token_again_until_it_takes_it() {
    let (uri, heard) = endpoint(&["503 Busy", "200 OK", "204 No Content"]);
    let server = server_with(vec![told(&uri, "grafana"), client("argo")]);
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let tokens = redeem(&server, "grafana", &code(&server, &session, "grafana", "openid offline_access")).expect(200);
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    redeem(&server, "argo", &code(&server, &session, "argo", "openid")).expect(200);
    tell(&server);
    assert!(heard.try_recv().is_err(), "the session lives");
    sign_out(&server, &session);
    tell(&server);
    let first = heard.recv().unwrap();
    tell(&server);
    assert!(heard.try_recv().is_err(), "not before its time");
    server.pass(1);
    tell(&server);
    let second = heard.recv().unwrap();
    assert_ne!(claims_of(&first)["jti"], claims_of(&second)["jti"], "each try is a token of its own");

    let keys = KeySet::parse(server.get("/jwks").expect(200).text().as_bytes()).unwrap().0;
    let verified = UnverifiedToken::parse(&second).unwrap().verify(&keys).unwrap();
    let (header, claims) = (verified.get().header.clone(), verified.get().claims.clone());
    assert_eq!(header["typ"], "logout+jwt");
    let id = claims_of(&tokens.member("id_token"));
    let mut names: Vec<_> = claims.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"]);
    assert_eq!(claims["iss"], URL);
    assert_eq!((&claims["aud"], &claims["sub"], &claims["sid"]), (&id["aud"], &id["sub"], &id["sid"]));
    assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));

    server.pass(3600);
    tell(&server);
    assert!(heard.try_recv().is_err(), "it took the token, and was told once for both of its grants");
    // What is meant to outlive the session does.
    refresh(&server, "grafana", &tokens.member("refresh_token")).expect(200);
    // Whoever signs in anew is another session, and its end another call.
    let session = mara.sign_in(&server);
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    sign_out(&server, &session);
    tell(&server);
    assert_ne!(claims_of(&heard.recv().unwrap())["sid"], Value::from(id["sid"].as_str().unwrap()));
}

#[test]
fn a_client_that_never_answers_is_given_up_and_told_of() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = server_with(vec![told(&format!("http://{gone}/"), "grafana")]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    sign_out(&server, &session);
    for _ in 0..LOGOUT_ATTEMPTS {
        assert!(!server.get("/readyz").text().contains("grafana was not told"));
        tell(&server);
        server.pass(LOGOUT_LONGEST_PAUSE.as_secs());
    }
    let ready = server.get("/readyz").expect(200).text();
    assert!(ready.contains("logout: grafana was not told of the end of a session: it cannot be reached"), "{ready}");
    let waiting = server.app.store.read(|reader| reader.logouts_due(server.app.clock.now(), 10, 10)).unwrap();
    assert!(waiting.is_empty());
}

#[test]
fn suspending_a_person_tells_the_clients_too() {
    let (uri, heard) = endpoint(&["200 OK"]);
    let server = server_with(vec![told(&uri, "grafana")]);
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    let wish = countersign::app::propose_change::Wish::Suspend { person: mara.id.clone() };
    server.console(countersign::app::console::ConsoleCommand::Change { wish, propose: false });
    tell(&server);
    assert_eq!(claims_of(&heard.recv().unwrap())["sub"], mara.id);
}

#[test]
fn clients_are_told_whose_grants_ended_before_the_session_did() {
    let (uri, heard) = endpoint(&["200 OK"; 4]);
    let server = server_with(vec![told(&uri, "grafana"), told(&uri, "wiki")]);
    let mut mara = Person::manager(&server, "Mara");
    let sign_in = |mara: &mut Person| {
        let session = mara.sign_in(&server);
        for id in ["grafana", "wiki"] {
            let token = redeem(&server, id, &code(&server, &session, id, "openid")).expect(200).member("refresh_token");
            // The grant is over; what the application remembers of the sign-in is not.
            let call = post(&server, "/revoke", &[("token", &token)]).header("authorization", &basic(id, SECRET));
            call.send().expect(200);
        }
        tell(&server);
        session
    };
    let told = || {
        tell(&server);
        let mut told: Vec<_> =
            heard.try_iter().map(|token| claims_of(&token)["aud"].as_str().unwrap().to_owned()).collect();
        told.sort();
        told
    };
    let session = sign_in(&mut mara);
    assert!(heard.try_recv().is_err(), "the session lives");
    sign_out(&server, &session);
    assert_eq!(told(), ["grafana", "wiki"]);
    // And where the person is shut out.
    sign_in(&mut mara);
    let wish = countersign::app::propose_change::Wish::Suspend { person: mara.id.clone() };
    server.console(countersign::app::console::ConsoleCommand::Change { wish, propose: false });
    assert_eq!(told(), ["grafana", "wiki"]);
}

#[test]
fn whoever_was_let_in_by_a_change_that_is_refused_then_is_out_of_the_tools() {
    let (uri, heard) = endpoint(&["200 OK"]);
    let server = server_with(vec![told(&uri, "grafana")]);
    let mut ada = Person::first_admin(&server);
    let (name, role) = ("Sock".to_owned(), countersign::domain::people::Role::Admin);
    let wish = countersign::app::propose_change::Wish::Invite { name, groups: std::collections::BTreeSet::new(), role };
    let (change, link) = server.propose(wish);
    ada.sign_change(&server, &change, "approve").expect(200);
    let mut sock = Person::by_link(&server, "Sock", link.unwrap());
    let session = sock.sign_in(&server);
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    ada.sign_change(&server, &change, "deny").expect(200);
    tell(&server);
    assert_eq!(claims_of(&heard.try_recv().unwrap())["sub"], sock.id);
    let ended = Snapshot::of(&server);
    assert_eq!(ended.of_kind("grant").last().unwrap()["outcome"], "ended");
}

#[test]
fn so_many_calls_go_to_one_client_at_once() {
    let (uri, heard) = endpoint(&["200 OK"; 5]);
    let server = server_with(vec![told(&uri, "grafana")]);
    let mut mara = Person::manager(&server, "Mara");
    for _ in 0..5 {
        let session = mara.sign_in(&server);
        redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
        sign_out(&server, &session);
    }
    tell(&server);
    assert_eq!(heard.try_iter().count(), usize::try_from(LOGOUTS_OF_CLIENT).unwrap());
    tell(&server);
    assert_eq!(heard.try_iter().count(), 1);
}
