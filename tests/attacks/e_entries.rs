//! What a job or a person writes never gets into the form of the log: entries and notes are ours alone.

use countersign::domain::canonical;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::note::SignedNote;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::gitlab::{encode, gitlab};
use crate::support::rules::AWS;
use crate::support::server::ORIGIN;
use crate::support::{JobToken, Person, Server, Snapshot, collector};

/// Texts that would begin another line, another signature or another member, where somebody wrote them down raw.
const TEXTS: [&str; 8] = [
    "main\n\u{2014} sign.shop.example/log AAAA",
    "main\r\nkind: token",
    "\u{2014} sign.shop.example/log AAAAAAAAAAAAAAAAAAAAAAAA",
    "main\u{2028}sign.shop.example/log\u{2029}9",
    "\",\"kind\":\"token\",\"x\":\"",
    "</script>\u{0}",
    "\u{7f}\u{85}\u{9b}31m",
    "\\u000a",
];

fn forged(job: &JobToken, claims: &[u8]) -> String {
    let input = format!("{}.{}", encode(&job.header), BASE64URL_NOPAD.encode(claims));
    format!("{input}.{}", BASE64URL_NOPAD.encode(&gitlab().sign_raw(input.as_bytes())))
}

/// Every entry is canonical JSON, and every note three lines of ours, an empty one and one signature.
fn check_form(server: &Server) {
    let database = rusqlite::Connection::open(server.directory.join("countersign.db")).unwrap();
    let entries: Vec<Vec<u8>> = database
        .prepare("SELECT entry FROM log_entry ORDER BY idx")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (at, bytes) in entries.iter().enumerate() {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(&canonical::to_bytes(&value).unwrap(), bytes, "entry {at} has another spelling");
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control()), "entry {at}: {text}");
    }
    let notes: Vec<(i64, String)> = database
        .prepare("SELECT size, note FROM log_checkpoint")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!notes.is_empty());
    for (size, note) in notes {
        let lines: Vec<_> = note.split('\n').collect();
        let [origin, stated, _, "", signature, ""] = lines.as_slice() else { panic!("{size}: {note:?}") };
        assert_eq!((*origin, *stated), (ORIGIN, size.to_string().as_str()));
        assert!(signature.starts_with(&format!("\u{2014} {ORIGIN} ")), "{note}");
        let parsed = SignedNote::parse(&note).unwrap();
        assert_eq!(parsed.signatures.len(), 1);
        assert_eq!(Checkpoint::parse(&parsed.text).unwrap().origin, ORIGIN);
    }
}

#[test]
fn attack_086_claims_never_get_into_the_form_of_the_log() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (mut taken, mut refused) = (0, 0);
    for text in TEXTS {
        for claim in ["ref", "environment", "user_login", "job_project_path", "sha", "pipeline_source", "jti"] {
            server.pass(61);
            let job = server.job().environment("staging").with(claim, text);
            let answer = server.exchange(&job.sign(), &[AWS]).send();
            assert!(matches!(answer.status, 200 | 400), "{claim} {text:?}: {}", answer.text());
            taken += usize::from(answer.status == 200);
            refused += usize::from(answer.status == 400);
        }
        // Where people are asked, it is in what they sign, which lies beside the log.
        let job = server.job().with("user_login", text).with("ref_path", text);
        let answer = server.exchange(&job.sign(), &[AWS]).collector(&collector()).send();
        if answer.code() == "approval_pending" {
            mara.approve(&server, &answer.member("approval_id"));
        } else {
            answer.invalid("bad_claim_type");
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} and {refused}: the texts try nothing");
    // What is no text at all never gets so far.
    for (bytes, at) in [(&b"\xff"[..], "ref"), (b"\xed\xa0\x80", "ref"), (b"\xc0\x8a", "environment")] {
        let job = server.job().environment("staging").with(at, "X");
        let claims = serde_json::to_vec(&job.claims).unwrap();
        let place = crate::support::wire::find(&claims, b"\"X\"").unwrap() + 1;
        let whole = [&claims[..place], bytes, &claims[place + 1..]].concat();
        server.exchange(&forged(&job, &whole), &[AWS]).send().invalid("not_compact_jws");
    }
    check_form(&server);
}

#[test]
fn attack_086_what_is_asked_for_never_gets_into_the_form_of_the_log() {
    let server = Server::start();
    for text in TEXTS {
        let token = server.job().environment("staging").sign();
        let answer = server.exchange(&token, &[text]).send();
        assert_eq!(answer.status, 400, "{text:?}: {}", answer.text());
        let answer = server.exchange(&token, &[AWS]).set("subject_token", text).send();
        assert_eq!(answer.status, 400, "{text:?}: {}", answer.text());
    }
    check_form(&server);
}

#[test]
fn attack_086_names_and_reasons_of_people_stay_beside_the_log() {
    let server = Server::start();
    let before = Snapshot::of(&server);
    let name = "Mara \u{2014} sign.shop.example/log AAAA \"kind\"";
    let mut mara = Person::manager(&server, name);
    let id = server.ask(&server.job().sign(), &collector());
    let reason = "no\u{2028}\u{2014} sign.shop.example/log AAAA";
    let signed = mara.sign_body(&server, &id, &json!({ "decision": "deny", "reason": reason }));
    crate::support::person::decide(&server, &id, &signed).expect(200);
    let after = Snapshot::of(&server);
    let entries = Value::from(after.since(&before).to_vec()).to_string();
    assert!(!entries.contains("Mara") && !entries.contains('\u{2014}') && !entries.contains('\u{2028}'), "{entries}");
    assert!(after.count("person") > before.count("person") && after.count("decision") == 1);
    check_form(&server);
}
