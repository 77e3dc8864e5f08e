//! Attacks 80, 81 and 83, the log in the hands of somebody who has its files: what `log check`, `verify` and `serve` say.

use countersign::crypto::log_key::LogKey;
use countersign::domain::log::merkle::leaf_hash;
use countersign::domain::log::note::SignedNote;
use rusqlite::params;
use serde_json::Value;

use crate::log::{exchange, index, job_token_of, with_gitlab};
use crate::support::{MARK, Place};

/// A place with some entries, each under a checkpoint of its own.
fn with_entries() -> Place {
    let place = Place::initialised();
    for name in ["Ada", "Ben", "Cem"] {
        place.run(&["people", "invite", name]).expect(0, "works once");
    }
    place
}

/// What `log check` finds, at which entry.
fn found(place: &Place) -> (Option<u64>, String) {
    let report = place.run(&["--json", "log", "check", "--anchor", "anchor"]).expect(1, "");
    let report: Value = serde_json::from_str(&report.out).unwrap();
    let fault = if report["fault"].is_null() { &report["misfits"][0] } else { &report["fault"] };
    (fault["entry"].as_u64(), fault["what"].as_str().unwrap().to_owned())
}

#[test]
fn attack_080_what_was_changed_in_the_database_is_named_by_its_first_entry() {
    let place = with_entries();
    place.keep_checkpoint("anchor");
    place.run(&["log", "check", "--anchor", "anchor"]).expect(0, "goes back to anchor");
    let [whole, _] = place.snapshot();
    for (damage, at, says) in [
        (
            "UPDATE log_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'added', 'addee') AS BLOB) WHERE idx = 3",
            Some(3),
            "entry 3 does not have its stored hash",
        ),
        ("DELETE FROM log_entry WHERE idx = 4", Some(4), "entry 4 is missing"),
        ("INSERT INTO log_entry SELECT -1, leaf_hash, entry FROM log_entry WHERE idx = 0", Some(0), "before the first"),
        (
            "UPDATE log_entry SET idx = -6 WHERE idx = 4; UPDATE log_entry SET idx = 4 WHERE idx = 5;
             UPDATE log_entry SET idx = 5 WHERE idx = -6",
            Some(4),
            "says that it is entry 5",
        ),
        ("UPDATE log_hash SET hash = zeroblob(32) WHERE level = 1 AND leaf = 5", Some(5), "entries 4 to 5 is not what"),
        (
            "UPDATE evidence SET bytes = CAST('{}' AS BLOB) WHERE kind = 'person' AND digest =
             (SELECT unhex(json_extract(CAST(entry AS TEXT), '$.evidence.person')) FROM log_entry WHERE idx = 3)",
            Some(3),
            "entry 3 names `person`",
        ),
        (
            "UPDATE evidence SET salt = zeroblob(32) WHERE digest =
             (SELECT unhex(json_extract(CAST(entry AS TEXT), '$.evidence.jwk')) FROM log_entry WHERE idx = 1)",
            Some(1),
            "entry 1 names `jwk`",
        ),
        (
            "UPDATE evidence SET salt = NULL, bytes = NULL WHERE digest =
             (SELECT unhex(json_extract(CAST(entry AS TEXT), '$.evidence.jwk')) FROM log_entry WHERE idx = 1)",
            Some(1),
            "was erased, and no entry says so",
        ),
    ] {
        let database = place.tamper();
        database.execute_batch(damage).unwrap();
        assert!(database.total_changes() > 0, "{damage}");
        drop(database);
        let (index, what) = found(&place);
        assert_eq!((index, what.contains(says)), (at, true), "{damage}: {what}");
        let human = place.run(&["log", "check"]).expect(1, says);
        assert!(human.out.contains(&format!("entry {}: ", at.unwrap())), "{}", human.out);
        place.put_back(&whole, None);
    }
    // The entry together with its hash: the pair above it no longer fits.
    let database = place.tamper();
    let sql = "SELECT CAST(replace(CAST(entry AS TEXT), 'added', 'addee') AS BLOB) FROM log_entry WHERE idx = 3";
    let forged: Vec<u8> = database.query_row(sql, [], |row| row.get(0)).unwrap();
    let hash = leaf_hash(&forged);
    let update = "UPDATE log_entry SET entry = ?1, leaf_hash = ?2 WHERE idx = 3";
    assert_eq!(database.execute(update, params![forged, hash.as_bytes()]).unwrap(), 1);
    drop(database);
    let (index, what) = found(&place);
    assert_eq!((index, what.contains("entries 2 to 3")), (Some(2), true), "{what}");
    place.run(&["serve"]).expect(2, "entry 3");
    place.put_back(&whole, None);
    assert_eq!(place.serve().stop(), 0, "the copy is as it was");
}

/// Cuts the newest entries off, and everything that names them.
fn truncate(place: &Place, left: u64) {
    let cut = format!(
        "DELETE FROM log_entry WHERE idx >= {left}; DELETE FROM log_checkpoint WHERE size > {left};
         DELETE FROM log_hash WHERE leaf >= {left}"
    );
    place.tamper().execute_batch(&cut).unwrap();
}

#[test]
fn attack_081_a_log_that_was_cut_off_is_caught_by_the_mark_and_from_outside() {
    let place = with_entries();
    let [_, old_mark] = place.snapshot();
    place.run(&["people", "invite", "Dee"]).expect(0, "works once");
    place.keep_checkpoint("anchor");
    let size: u64 = place.read("anchor").lines().nth(1).unwrap().parse().unwrap();
    let left = size - 2;
    truncate(&place, left);

    place.run(&["log", "check"]).expect(1, "the high-water mark names");
    place.run(&["serve"]).expect(2, "another copy was put");
    place.run(&["people", "invite", "Eve"]).expect(2, "another copy was put");

    // Whoever has the mark's file too leaves nothing inside that could tell.
    std::fs::write(place.at(MARK), old_mark).unwrap();
    place.run(&["log", "check"]).expect(0, &format!("{left} entries"));
    let caught = place.run(&["log", "check", "--anchor", "anchor"]).expect(1, "was cut off");
    let says = format!("entry {left}: the anchor covers {size} entries, the log has {left}");
    assert!(caught.out.contains(&says), "{}", caught.out);
    assert_eq!(found(&place).0, Some(left));
    // Nor does it help to fill the gap.
    place.run(&["people", "invite", "Eve"]).expect(0, "works once");
    place.run(&["log", "check"]).expect(0, "entries");
    place.run(&["log", "check", "--anchor", "anchor"]).expect(1, "signed two histories");
}

#[test]
fn an_anchor_must_be_a_checkpoint_of_this_log() {
    let (place, other) = (with_entries(), Place::initialised());
    place.keep_checkpoint("anchor");
    other.keep_checkpoint("anchor");
    let foreign = other.at("anchor").display().to_string();
    place.run(&["log", "check", "--anchor", &foreign]).expect(1, "is not signed by `localhost/log`");
    place.run(&["log", "check", "--anchor", "absent"]).expect(2, "absent");
    place.write("broken", &place.read("anchor").replace("/log\n", "/lag\n"));
    place.run(&["log", "check", "--anchor", "anchor", "--anchor", "broken"]).expect(1, "broken: ");
    place.write("broken", "");
    place.run(&["log", "check", "--anchor", "broken"]).expect(1, "broken: ");
}

/// Replaces the log key by a fresh one of the same name, and signs every checkpoint anew.
fn replace_log_key(place: &Place, sign_all: bool) {
    std::fs::remove_file(place.at("keys/log-key")).unwrap();
    let key = LogKey::create_file(&place.at("keys/log-key"), "localhost/log").unwrap();
    place.write("keys/log-key.pub", &format!("{}\n", key.vkey()));
    if !sign_all {
        return;
    }
    let database = place.tamper();
    let notes: Vec<(i64, String)> = database
        .prepare("SELECT size, note FROM log_checkpoint")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (size, note) in notes {
        let again = key.sign_note(&SignedNote::parse(&note).unwrap().text).unwrap();
        let update = "UPDATE log_checkpoint SET note = ?2 WHERE size = ?1";
        assert_eq!(database.execute(update, params![size, again]).unwrap(), 1);
    }
}

#[test]
fn attack_083_a_replaced_log_key_is_no_to_everybody_who_pinned_the_old_one() {
    let (place, key) = with_gitlab();
    let server = place.serve();
    let entry = index(&exchange(&server, &job_token_of(&key, "reports", 1)));
    assert_eq!(server.stop(), 0);
    place.keep_checkpoint("anchor");
    std::fs::copy(place.at("keys/log-key.pub"), place.at("pinned.pub")).unwrap();
    place.run(&["log", "bundle", &entry, "--out", "before.json"]).expect(0, "written");
    place.run(&["verify", "--log-key", "pinned.pub", "before.json"]).expect(0, "\nyes");

    // The key alone: the server refuses, and neither adds to the log nor signs anything.
    let [whole, _] = place.snapshot();
    replace_log_key(&place, false);
    for command in [&["serve"][..], &["people", "invite", "Eve"]] {
        place.run(command).expect(2, "is not the key that signed this log");
    }
    place.run(&["log", "check"]).expect(1, "entry 0: the checkpoint over 1 entries does not hold");

    // The key and all history under it: in itself it is whole, and everybody outside says no.
    replace_log_key(&place, true);
    place.run(&["log", "check"]).expect(0, "entries");
    place.run(&["log", "check", "--anchor", "anchor"]).expect(1, "is not signed by");
    place.run(&["log", "bundle", &entry, "--out", "after.json"]).expect(0, "written");
    place.run(&["verify", "--log-key", "keys/log-key.pub", "after.json"]).expect(0, "\nyes");
    place.run(&["verify", "--log-key", "pinned.pub", "after.json"]).expect(1, "no: checkpoint failed");
    place.keep_checkpoint("now");
    place.run(&["verify", "--log-key", "pinned.pub", "anchor", "now"]).expect(1, "no: now: the note is not signed");
    place.put_back(&whole, None);
}

#[test]
fn attack_083_a_restore_does_not_let_another_log_key_in() {
    let place = with_entries();
    let [older, _] = place.snapshot();
    place.run(&["people", "invite", "Dee"]).expect(0, "works once");
    place.put_back(&older, None);
    replace_log_key(&place, false);
    place.run(&["log", "resume", "--after-restore"]).expect(2, "is not the key that signed this log");
    let log = place.run(&["log", "show", "--last", "1000"]).expect(0, "genesis");
    assert!(!log.out.contains("\"kind\":\"restored\""), "nothing was written: {}", log.out);
}
