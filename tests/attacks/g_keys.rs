//! Our own signing keys: changed in their time, changed by somebody in a hurry, stolen.

use std::time::Duration;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::keys::{PUBLISH_BEFORE, RETIRED_STAYS};
use countersign::domain::log::note::VerifierKey;
use countersign::domain::rules::TokenAlg;
use data_encoding::BASE64URL_NOPAD;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use crate::support::diagnostics::heard;
use crate::support::rotation::{Issued, outcomes, pass_and_turn, published};
use crate::support::rules::AWS;
use crate::support::{Logged, Person, Server, Snapshot, collector, refused};

fn emergency(alg: Option<TokenAlg>) -> ConsoleCommand {
    ConsoleCommand::RotateKeys { alg, emergency: true }
}

/// What the database still holds of the private half of a key.
fn wrapped(server: &Server, kid: &str) -> String {
    let path = server.directory.join("countersign.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    database.query_row("SELECT wrapped FROM signing_key WHERE kid = ?1", [kid], |row| row.get(0)).unwrap()
}

#[test]
fn attack_099_a_key_id_is_the_thumbprint_of_its_key() {
    let server = Server::start();
    server.console(ConsoleCommand::RotateKeys { alg: None, emergency: false });
    let set = server.get("/jwks").expect(200).json();
    assert_eq!(set["keys"].as_array().unwrap().len(), 4);
    for key in set["keys"].as_array().unwrap() {
        let text = |name: &str| key[name].as_str().unwrap();
        // RFC 7638 §3.2: the required members alone, in the order of their names.
        let members = match text("kty") {
            "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text("e"), text("n")),
            _ => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text("x"), text("y")),
        };
        assert_eq!(text("kid"), BASE64URL_NOPAD.encode(&Sha256::digest(members.as_bytes())));
    }
}

#[test]
fn attack_099_a_key_is_never_used_before_its_time_nor_dropped_before_its_last_token_is_over() {
    let server = Server::start();
    let [first] = published(&server, "RSA").try_into().unwrap();
    server.console(ConsoleCommand::RotateKeys { alg: Some(TokenAlg::Rs256), emergency: false });
    // Whoever is in a hurry asks again and again: nothing comes of it.
    for alg in [None, Some(TokenAlg::Rs256)] {
        assert_eq!(server.console_refuses(ConsoleCommand::RotateKeys { alg, emergency: false }), "already_decided");
    }
    for _ in 0..23 {
        assert_eq!(pass_and_turn(&server, Duration::from_hours(1)), 0);
        assert_eq!(Issued::of(&server).kid(), first);
    }
    server.hand.advance(Duration::from_hours(1) - Duration::from_secs(1));
    let last = Issued::of(&server);
    assert_eq!(last.kid(), first);
    assert_eq!(pass_and_turn(&server, Duration::from_secs(1)), 1);
    let claims = crate::support::gitlab::claims_of(&last.token);
    // As long as somebody may believe it, whoever fetches the keys can.
    let step = Duration::from_mins(5);
    while server.now() <= claims["exp"].as_i64().unwrap() + 30 {
        assert!(last.verifies(&server), "it lives until {}", claims["exp"]);
        pass_and_turn(&server, step);
    }
    pass_and_turn(&server, RETIRED_STAYS);
    assert!(!last.verifies(&server));
    assert!(PUBLISH_BEFORE > Duration::from_hours(1), "longer than whoever obeys Cache-Control keeps the old set");
}

#[test]
fn attack_099_in_an_emergency_a_key_is_gone_at_once_and_nothing_that_it_signed_comes_again() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let before: Vec<_> = ["RSA", "EC"].iter().flat_map(|kty| published(&server, kty)).collect();
    let stolen = Issued::of(&server);
    assert_eq!(stolen.again(&server).expect(200).member("access_token"), stolen.token);
    let (job, key) = (server.job().sign(), collector());
    let request = server.ask(&job, &key);
    mara.approve(&server, &request);
    server.console(ConsoleCommand::RotateKeys { alg: Some(TokenAlg::Rs256), emergency: false });
    let [_, next] = published(&server, "RSA").try_into().unwrap();
    let entries = Snapshot::of(&server).entries.len();
    let ConsoleAnswer::Rotated { keys, revoked } = server.console(emergency(None)) else { panic!() };
    // Gone: who signed, who was to be the next, of both algorithms.
    assert_eq!((keys.len(), revoked.len()), (2, 3));
    let after: Vec<_> = ["RSA", "EC"].iter().flat_map(|kty| published(&server, kty)).collect();
    assert_eq!(after, keys.iter().map(|key| key.kid.to_string()).collect::<Vec<_>>());
    for kid in before.iter().chain([&next]) {
        assert!(!after.contains(kid) && wrapped(&server, kid).is_empty(), "{kid}");
    }
    assert!(!stolen.verifies(&server));
    let said = outcomes(&server, entries, "RS256").into_iter().map(|(outcome, _)| outcome).collect::<Vec<_>>();
    assert_eq!(said, ["revoked", "revoked", "added", "signing"]);
    // Whoever holds the job token and its collector gets no signature of the old key any more, nor a second token.
    let at = Snapshot::of(&server);
    refused(&server, &at, &stolen.again(&server).invalid("key_revoked"), Logged::Yes);
    server.restart();
    let at = Snapshot::of(&server);
    refused(&server, &at, &stolen.again(&server).invalid("key_revoked"), Logged::Yes);
    // Everything else goes on under the new key: new jobs, and what people have signed.
    let new = Issued::of(&server);
    assert_eq!(new.kid(), keys[0].kid.as_str());
    assert!(new.verifies(&server));
    assert_eq!(new.again(&server).expect(200).member("access_token"), new.token);
    server.exchange(&job, &[AWS]).collector(&key).send().expect(200);
    // It stands in the log that the token was issued, and by which key; and it is loud.
    let verifier = VerifierKey::parse(&server.app.log_vkey).unwrap();
    for issued in [&stolen, &new] {
        let bundle = serde_json::to_vec(&server.app.make_bundle(issued.log).unwrap()).unwrap();
        let report = verify_bundle(&bundle, &verifier);
        assert!(report.answer().starts_with("yes"), "{report:#?}");
    }
    let warned = server.get("/readyz").expect(200).json()["warnings"].to_string();
    assert!(warned.contains("in an emergency") && warned.contains(&before[0]), "{warned}");
    assert!(heard().contains("revoked a signing key in an emergency"));
}

#[test]
fn attack_099_no_token_is_recorded_under_a_revoked_key_however_many_calls_are_under_way() {
    let server = Server::start();
    let jobs: Vec<_> = (0..60).map(|_| (server.job().environment("staging").sign(), collector())).collect();
    let calls = &server;
    std::thread::scope(|scope| {
        for share in jobs.chunks(15) {
            scope.spawn(move || {
                for (job, key) in share {
                    let answer = calls.exchange(job, &[AWS]).collector(key).send();
                    // Issued before, and revoked before it was signed: that call gets nothing.
                    if answer.status != 200 {
                        answer.invalid("key_revoked");
                    }
                }
            });
        }
        for _ in 0..3 {
            server.console(emergency(Some(TokenAlg::Rs256)));
        }
    });
    let snapshot = Snapshot::of(&server);
    let mut revoked = std::collections::BTreeSet::new();
    let mut tokens = 0;
    for entry in &snapshot.entries {
        match (entry["kind"].as_str().unwrap(), entry["outcome"].as_str()) {
            ("signing-key", Some("revoked")) => {
                revoked.insert(entry["kid"].to_string());
            }
            ("token", _) => {
                tokens += 1;
                assert!(!revoked.contains(&entry["kid"].to_string()), "{entry} names a key that was revoked before");
            }
            _ => {}
        }
    }
    assert_eq!((tokens, revoked.len()), (60, 3));
    assert_eq!(published(&server, "RSA").len(), 1);
}
