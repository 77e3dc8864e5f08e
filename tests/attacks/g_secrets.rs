//! What is secret stays out of diagnostics, answers and the disk.

use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use countersign::crypto::signing::SigningKey;
use countersign::domain::oauth::exchange::{Collector, SubjectToken};
use countersign::domain::rules::TokenAlg;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::support::diagnostics::heard;
use crate::support::person::decide;
use crate::support::rules::{AWS, VAULT};
use crate::support::wire::find;
use crate::support::{Person, Server, collector};

/// The private members of every signing key of the server.
fn private_members(server: &Server) -> Vec<String> {
    let path = server.directory.join("countersign.db");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rows: Vec<(String, String)> = connection
        .prepare("SELECT kid, wrapped FROM signing_key")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let master = MasterKey::load(&MasterKeySource::File(server.directory.join("master.key"))).unwrap();
    let mut members = Vec::new();
    for (kid, wrapped) in rows {
        let secret: Value = serde_json::from_slice(&master.unwrap(&wrapped, &kid).unwrap()).unwrap();
        for name in ["d", "p", "q", "dp", "dq", "qi"] {
            members.extend(secret.get(name).and_then(Value::as_str).map(str::to_owned));
        }
    }
    assert_eq!(members.len(), 7, "six of the RSA key, one of the EC key");
    members
}

/// What may stand on nobody's screen: the secrets of one whole thread, refusals and faults included.
fn a_whole_thread(server: &mut Server) -> Vec<String> {
    let mut secrets = Vec::new();
    let mut mara = Person::manager(server, "Mara");
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    for person in [&mara, &eve] {
        secrets.extend([person.link.clone(), person.cookie.split_once('=').unwrap().1.to_owned()]);
    }
    let (job, key) = (server.job(), collector());
    let token = job.sign();
    let id = server.ask(&token, &key);
    let stranger = collector();
    eve.decide(server, &id, "approve").expect(403);
    let mut wrong = mara.sign(server, &id, "approve");
    wrong.response["response"]["signature"] = "AAAA".into();
    decide(server, &id, &wrong).expect(400);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(400);
    mara.approve(server, &id);
    server.pass(11);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    secrets.push(answer.member("access_token"));
    server.exchange(&token, &[AWS]).collector(&stranger).send().invalid("other_collector");
    server.exchange(&token, &[VAULT]).collector(&key).send().invalid("token_spent");
    let staging = server.job().environment("staging").sign();
    let bare = server.exchange(&staging, &[AWS]).header("accept", "application/jwt");
    secrets.push(bare.send().expect(200).text());
    let forged = [
        server.job().header("alg", "none").sign(),
        server.job().header("kid", "unknown").sign(),
        server.job().with_signature(&[1; 256]),
        server.job().with("iss", "https://evil.example").sign(),
        server.job().with("exp", 1).sign(),
        server.job().with("environment", 7).sign(),
        format!("{}.", server.job().sign()),
    ];
    for token in &forged {
        server.exchange(token, &[AWS]).collector(&stranger).send().expect(400);
    }
    let in_query = server.job().sign();
    server.call("POST", &format!("/token?subject_token={in_query}")).send().expect(415);
    server.call("GET", &format!("/token?subject_token={in_query}")).send().expect(405);
    server.exchange(&in_query, &["two words"]).send().expect(400);
    let malformed = format!("{}!", collector());
    server.exchange(&in_query, &[AWS]).header("idempotency-key", &malformed).send().expect(400);
    server.restart();
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    secrets.extend([token, key, stranger, staging, in_query, malformed]);
    secrets.extend(forged);
    secrets.extend(private_members(server));
    for name in ["master.key", "log.key"] {
        let text = std::fs::read_to_string(server.directory.join(name)).unwrap();
        secrets.extend(text.split_whitespace().filter(|word| word.len() > 30).map(str::to_owned));
    }
    secrets
}

#[test]
fn attack_095_diagnostics_hold_no_secret() {
    let mut server = Server::start();
    let secrets = a_whole_thread(&mut server);
    let said = heard();
    assert!(said.contains("refused") && said.contains("other_collector"), "nothing was listened to");
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "diagnostics hold {secret}");
        // A JWT's signature, a key's first half: parts are as bad.
        let tail = secret.rsplit('.').next().unwrap();
        if tail.len() >= 32 {
            assert!(!said.contains(&tail[..32]), "diagnostics hold a part of {secret}");
        }
    }
    // Three letters alone stand in a random id by chance now and then.
    let part = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    let jwt = said.split(|one| !part(one)).find(|word| word.starts_with("eyJ") && word.contains('.'));
    assert_eq!(jwt, None, "diagnostics hold a JWT");
    for (what, mark) in [("an enrolment link", "/enrol/"), ("a private member", "\"d\":")] {
        if let Some(at) = find(said.as_bytes(), mark.as_bytes()) {
            let around = String::from_utf8_lossy(&said.as_bytes()[at.saturating_sub(200)..(at + 200).min(said.len())]);
            panic!("diagnostics hold {what}: {around}");
        }
    }
}

#[test]
fn attack_095_what_holds_a_secret_shows_none() {
    let key = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
    let secret: Value = serde_json::from_str(&key.to_secret_json().unwrap()).unwrap();
    assert!(!format!("{key:?}").contains(secret["d"].as_str().unwrap()));
    let text = collector();
    let shown = format!("{:?} {:?}", SubjectToken::new(text.clone()), Collector::parse(&text).unwrap());
    assert!(!shown.contains(&text), "{shown}");
}

#[test]
fn attack_095_private_keys_lie_wrapped() {
    let server = Server::start();
    let members = private_members(&server);
    for file in std::fs::read_dir(&server.directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for member in &members {
            assert!(find(&bytes, member.as_bytes()).is_none(), "a private member lies on the disk");
        }
    }
    let jwks = server.get("/jwks").expect(200).text();
    assert!(members.iter().all(|member| !jwks.contains(member.as_str())));
}
