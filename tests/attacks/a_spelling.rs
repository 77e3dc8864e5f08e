//! One token has one spelling, one size limit and one lifetime.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::gitlab::{encode, gitlab};
use crate::support::rules::{AWS, VAULT};
use crate::support::{JobToken, Logged, Server, Snapshot, refused};

fn junk(server: &Server, token: &str, code: &str) {
    let before = Snapshot::of(server);
    let answer = server.exchange(token, &[AWS]).send().invalid(code);
    refused(server, &before, &answer, Logged::No);
}

/// Signed by GitLab, whatever the bytes of the payload are.
fn signed(job: &JobToken, payload: &[u8]) -> String {
    let input = format!("{}.{}", encode(&job.header), BASE64URL_NOPAD.encode(payload));
    format!("{input}.{}", BASE64URL_NOPAD.encode(&gitlab().sign_raw(input.as_bytes())))
}

#[test]
fn attack_007_what_is_larger_than_the_form_is_refused_at_its_limit() {
    let server = Server::start();
    for size in [70_000, 100_000, 10_000_000] {
        let before = Snapshot::of(&server);
        let answer = server.exchange(&"x".repeat(size), &[AWS]).send();
        let answer = answer.expect_error(413, "invalid_request", "body_too_large");
        refused(&server, &before, &answer, Logged::No);
    }
    let dots = ".".repeat(100_000);
    server.exchange(&dots, &[AWS]).send().expect_error(413, "invalid_request", "body_too_large");
    let job = server.job().environment("staging");
    // Everything below fits the form; the token is over its own limit, or within it and still no token.
    let many: String = (0..3_000).fold(String::new(), |all, n| all + "\"c" + &n.to_string() + "\":1,");
    let claims = serde_json::to_string(&job.claims).unwrap();
    for (payload, code) in [
        (format!("{{{many}{}", &claims[1..]), "parameter_invalid"),
        (format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)), "not_compact_jws"),
        (format!("{{\"exp\":{}}}", "9".repeat(20_000)), "not_compact_jws"),
        (format!("{{\"exp\":1e{}}}", "9".repeat(20_000)), "not_compact_jws"),
    ] {
        junk(&server, &signed(&job, payload.as_bytes()), code);
    }
    server.exchange(&job.sign(), &[AWS]).send().expect(200);
}

#[test]
fn attack_010_other_spellings_of_a_token_are_no_token() {
    let server = Server::start();
    let job = server.job().environment("staging");
    let token = job.sign();
    let parts: Vec<&str> = token.split('.').collect();
    let spelled = |at: usize, part: &str| {
        let mut parts = parts.clone();
        parts[at] = part;
        parts.join(".")
    };
    for (at, part) in parts.iter().enumerate() {
        let (front, back) = part.split_at(part.len() / 2);
        for other in [
            format!("{part}="),
            format!("{front}\n{back}"),
            format!("{front} {back}"),
            format!("{front}%2E{back}"),
            format!("{front}+{}", &back[1..]),
            format!("{front}/{}", &back[1..]),
            format!("\u{feff}{part}"),
        ] {
            junk(&server, &spelled(at, &other), "not_compact_jws");
        }
    }
    for other in [format!("{token}."), format!("{token} "), format!("\u{feff}{token}")] {
        junk(&server, &other, "not_compact_jws");
    }
    // The last letter of the signature holds bits that mean nothing: they must be zero.
    let (front, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let twin = &alphabet[place ^ 1..=(place ^ 1)];
    junk(&server, &format!("{front}{twin}"), "not_compact_jws");
    let claims = serde_json::to_string(&job.claims).unwrap();
    let utf16: Vec<u8> = claims.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let not_utf8 = claims.replace("main", "X").bytes().map(|byte| if byte == b'X' { 0xff } else { byte }).collect();
    for payload in [utf16, [b"\xef\xbb\xbf", claims.as_bytes()].concat(), not_utf8] {
        junk(&server, &signed(&job, &payload), "not_compact_jws");
    }
    server.exchange(&token, &[AWS]).send().expect(200);
}

#[test]
fn attack_010_a_job_token_is_spent_by_its_id_and_by_what_was_signed() {
    let server = Server::start();
    let job = server.job().environment("staging");
    server.exchange(&job.sign(), &[AWS]).send().expect(200);
    // The same id in another token, whatever else it says; and the same token in another order of its header.
    let renewed = job.clone().with("iat", server.now()).with("sha", "f".repeat(40));
    let mut reordered = job.clone();
    let kid = reordered.header.remove("kid").unwrap();
    reordered.header.insert("kid".to_owned(), kid);
    reordered.header.insert("x".to_owned(), json!(1));
    for other in [renewed, reordered] {
        for audience in [AWS, VAULT] {
            let before = Snapshot::of(&server);
            let answer = server.exchange(&other.sign(), &[audience]).send().invalid("token_spent");
            refused(&server, &before, &answer, Logged::Yes);
        }
    }
    // A job of another issuer may have the same id.
    let theirs = job.with("iss", crate::support::other().url).header("kid", crate::support::other().kid);
    let answer = server.exchange(&theirs.sign_by(crate::support::other()), &[AWS]).send();
    assert_eq!(answer.code(), "no_rule_matches");
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_011_times_that_are_no_times() {
    let server = Server::start();
    let now = server.now();
    let job = || server.job().environment("staging");
    // In its last second it is a token and gives nothing: what is issued would be over.
    let before = Snapshot::of(&server);
    let answer = server.exchange(&job().with("exp", now).sign(), &[AWS]).send().invalid("token_expired");
    refused(&server, &before, &answer, Logged::Yes);
    for (name, value) in [
        ("exp", json!(i64::MAX)),
        ("exp", json!(2_u64.pow(63))),
        ("exp", json!(true)),
        ("exp", json!([now + 60])),
        ("iat", json!((now - 5).to_string())),
        ("nbf", json!("now")),
    ] {
        junk(&server, &job().with(name, value).sign(), "bad_claim_type");
    }
    for (name, code) in [("iat", "not_a_job_token"), ("exp", "not_a_job_token")] {
        junk(&server, &job().without(name).sign(), code);
    }
    // Numbers that no double holds.
    let claims = serde_json::to_string(&job().with("exp", "X").claims).unwrap();
    for number in ["1e400", "-1e400", "99999999999999999999999999"] {
        let token = signed(&job(), claims.replace("\"X\"", number).as_bytes());
        let before = Snapshot::of(&server);
        let answer = server.exchange(&token, &[AWS]).send();
        assert!(matches!(answer.code().as_str(), "not_compact_jws" | "bad_claim_type"), "{number}: {}", answer.text());
        refused(&server, &before, &answer, Logged::No);
    }
    let float = claims.replace("\"X\"", &format!("{}.0", now + 60));
    server.exchange(&signed(&job(), float.as_bytes()), &[AWS]).send().expect(200);
    // Each limit is said.
    for (changes, code, says) in [
        (json!({ "exp": now - 31 }), "token_expired", "ago"),
        (json!({ "iat": now + 31 }), "token_from_future", "30 s"),
        (json!({ "iat": now - 3_601, "nbf": now - 3_601 }), "token_too_old", "60 min"),
    ] {
        let answer = server.exchange(&job().with_all(changes).sign(), &[AWS]).send().invalid(code);
        let said = format!("{} {}", answer.text(), answer.member("hint"));
        assert!(said.contains(says), "{code}: {said}");
    }
}

#[test]
fn attack_012_the_type_of_the_subject_token_changes_nothing() {
    let server = Server::start();
    for (aud, code) in [
        (json!(["https://sign.shop.example", "https://evil.example"]), "aud_not_exclusive"),
        (json!("https://sign.shop.example/"), "aud_wrong"),
        (Value::Null, "aud_missing"),
    ] {
        let token = server.job().environment("staging").with("aud", aud).sign();
        let before = Snapshot::of(&server);
        let jwt = "urn:ietf:params:oauth:token-type:jwt";
        let answer = server.exchange(&token, &[AWS]).set("subject_token_type", jwt).send().invalid(code);
        refused(&server, &before, &answer, Logged::No);
    }
    let token = server.job().environment("staging").sign();
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    server.exchange(&token, &[AWS]).set("subject_token_type", jwt).send().expect(200);
}
