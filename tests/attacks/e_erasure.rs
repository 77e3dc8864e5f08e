//! What is deleted is gone from the disk, and what is erased breaks nobody else's proof.

use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::log::note::VerifierKey;
use rusqlite::Connection;
use serde_json::json;

use crate::support::person::decide;
use crate::support::rules::AWS;
use crate::support::wire::{PATIENCE, find};
use crate::support::{Person, Server, Snapshot, collector};

fn database(server: &Server) -> Connection {
    let database = Connection::open(server.directory.join("countersign.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    // As the server's own writer has it.
    database.execute_batch("PRAGMA secure_delete = ON").unwrap();
    database
}

/// Whether a text lies anywhere in the state: tables, free pages, write-ahead log.
fn lies_on_the_disk(server: &Server, text: &str) -> bool {
    std::fs::read_dir(&server.directory).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        find(&bytes, text.as_bytes()).is_some()
    })
}

#[test]
fn attack_087_what_is_deleted_leaves_nothing_in_free_pages_or_the_write_ahead_log() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (a, b) = (server.ask(&server.job().sign(), &collector()), server.ask(&server.job().sign(), &collector()));
    let reason = "needle-in-a-statement-that-was-never-accepted";
    // The statement of a ceremony holds the reason; the signature goes to another request, so nothing comes of it.
    let signed = mara.sign_body(&server, &a, &json!({ "decision": "deny", "reason": reason }));
    assert!(lies_on_the_disk(&server, reason), "the search finds nothing at all");
    decide(&server, &b, &signed).invalid("statement_mismatch");
    assert!(Snapshot::of(&server).table("approval_ceremony").is_empty());
    server.restart();
    assert!(!lies_on_the_disk(&server, reason), "what was deleted can still be read");
}

#[test]
fn attack_087_an_erased_person_is_gone_and_everybody_elses_proof_stands() {
    let server = Server::start();
    let (name, mut ben) = ("Needle von Haystack", Person::manager(&server, "Ben"));
    let mut gone = Person::manager(&server, name);
    let mut entries = Vec::new();
    for person in [&mut ben, &mut gone] {
        let (token, key) = (server.job().sign(), collector());
        let id = server.ask(&token, &key);
        person.approve(&server, &id);
        server.pass(6);
        let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
        entries.push(answer.json()["log"]["index"].as_u64().unwrap());
    }
    let key = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let answer = |entry: u64| {
        let bundle = server.app.make_bundle(entry).ok()?;
        Some(verify_bundle(serde_json::to_string(&bundle).unwrap().as_bytes(), &key).answer())
    };
    assert_eq!(entries.iter().map(|entry| answer(*entry)).collect::<Vec<_>>(), vec![Some("yes".to_owned()); 2]);
    assert!(lies_on_the_disk(&server, name));

    // What a command that erases will do: the digests stay, salts and documents go, and so does the name.
    let database = database(&server);
    let kept: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = database
        .prepare("SELECT digest, salt, bytes FROM evidence WHERE person_id = ?1")
        .unwrap()
        .query_map([&gone.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(kept.len() >= 3, "{} documents are this person's", kept.len());
    database.execute("UPDATE evidence SET salt = NULL, bytes = NULL WHERE person_id = ?1", [&gone.id]).unwrap();
    database.execute("UPDATE person SET name = '' WHERE id = ?1", [&gone.id]).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    assert!(!lies_on_the_disk(&server, name), "the name can still be read");
    assert_eq!(answer(entries[0]).as_deref(), Some("yes"), "somebody else's proof");
    // Nothing says yet that it was erased, so what is missing is a no, here and in the log's own check.
    assert_ne!(answer(entries[1]).as_deref(), Some("yes"));
    let fault = server.app.check_log().unwrap().fault.unwrap();
    assert!(fault.what.contains("was erased, and no entry says so"), "{}", fault.what);

    for (digest, salt, bytes) in kept {
        let put_back = "UPDATE evidence SET salt = ?2, bytes = ?3 WHERE digest = ?1";
        database.execute(put_back, rusqlite::params![digest, salt, bytes]).unwrap();
    }
}
