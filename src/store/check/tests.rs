use rusqlite::{Connection, params};

use crate::domain::log::merkle::{Hashes as _, MemoryTree};
use crate::store::tests::scratch::{Scratch, rules, step, verify_note};

use super::*;

/// A log of 20 entries; each odd one names a document. In groups of one, or all in one group.
fn log(grouped: bool) -> (Scratch, Connection) {
    let scratch = Scratch::new();
    let store = scratch.create();
    let write = |numbers: Vec<u8>| {
        let written = store.write_blocking(move |unit| {
            for n in numbers {
                let event = if n % 2 == 1 {
                    rules(unit.put_evidence("rules", format!("rules {n}").as_bytes(), None)?)
                } else {
                    step(n.into())
                };
                unit.append(event)?;
            }
            Ok::<_, StoreError>(())
        });
        written.unwrap();
    };
    if grouped {
        write((1..20).collect());
    } else {
        (1..20).for_each(|n| write(vec![n]));
    }
    store.close();
    let conn = scratch.tamper();
    (scratch, conn)
}

fn check(conn: &Connection) -> CheckReport {
    check_log(&Reader::new(conn), &verify_note, &|| false).unwrap()
}

fn first_fault(tamper: &str) -> (Option<u64>, String) {
    let (_scratch, conn) = log(false);
    assert_eq!(check(&conn).fault, None);
    conn.execute_batch(tamper).unwrap();
    let fault = check(&conn).fault.unwrap_or_else(|| panic!("not found: {tamper}"));
    (fault.index, fault.what)
}

/// Rewrites an entry's bytes; the hash beside it too, if wanted.
fn edit(conn: &Connection, index: u64, with_hash: bool) {
    let bytes: Vec<u8> =
        conn.query_row("SELECT entry FROM log_entry WHERE idx = ?1", [int(index).unwrap()], |row| row.get(0)).unwrap();
    let mut entry = Entry::from_bytes(&bytes).unwrap();
    entry.event = step(1_000);
    put(conn, index, &entry.to_bytes().unwrap(), with_hash);
}

fn put(conn: &Connection, index: u64, bytes: &[u8], with_hash: bool) {
    let index = int(index).unwrap();
    conn.execute("UPDATE log_entry SET entry = ?2 WHERE idx = ?1", params![index, bytes]).unwrap();
    if with_hash {
        let hash = leaf_hash(bytes);
        conn.execute("UPDATE log_entry SET leaf_hash = ?2 WHERE idx = ?1", params![index, hash.as_bytes()]).unwrap();
    }
}

#[test]
fn a_whole_log_is_found_whole() {
    let (_scratch, conn) = log(false);
    let whole = CheckReport { entries: 20, checkpoints: 20, evidence: 10, erased: 0, fault: None };
    assert_eq!(check(&conn), whole);
    let (_scratch, conn) = log(true);
    assert_eq!(check(&conn), CheckReport { checkpoints: 2, ..whole });
    assert!(matches!(check_log(&Reader::new(&conn), &verify_note, &|| true), Err(StoreError::Stopped)));
}

#[test]
fn attack_080_an_edited_entry_is_named() {
    for index in [1, 4, 11, 19] {
        let (_scratch, conn) = log(false);
        edit(&conn, index, false);
        let fault = check(&conn).fault.unwrap();
        assert_eq!(fault.index, Some(index));
        assert!(fault.what.contains("was changed"), "{}", fault.what);
    }
}

#[test]
fn attack_080_an_entry_edited_with_its_hash_is_named() {
    for index in [1, 4, 11, 18, 19] {
        let (_scratch, conn) = log(false);
        edit(&conn, index, true);
        assert_eq!(check(&conn).fault.unwrap().index, Some(index));
    }
    // Where one checkpoint covers many entries, the pair under the first wrong hash is as near as one can come.
    let (_scratch, conn) = log(true);
    edit(&conn, 11, true);
    let fault = check(&conn).fault.unwrap();
    assert_eq!((fault.index, fault.what.contains("entries 10 to 11")), (Some(10), true), "{}", fault.what);
}

#[test]
fn attack_080_an_entry_edited_with_the_whole_tree_is_not_what_was_signed() {
    for (grouped, index) in [(false, 11), (true, 1)] {
        let (_scratch, conn) = log(grouped);
        edit(&conn, 11, true);
        let mut tree = MemoryTree::default();
        let mut select = conn.prepare("SELECT entry FROM log_entry ORDER BY idx").unwrap();
        let entries = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        entries.for_each(|entry| tree.push(leaf_hash(&entry.unwrap())));
        for level in 1..5 {
            for n in 0..20_u64 >> level {
                let hash = tree.hash(level, n).unwrap();
                let update = "UPDATE log_hash SET hash = ?3 WHERE level = ?1 AND leaf = ?2";
                conn.execute(update, params![level, int(last_leaf(level, n)).unwrap(), hash.as_bytes()]).unwrap();
            }
        }
        let fault = check(&conn).fault.unwrap();
        assert_eq!(fault.index, Some(index));
        assert!(fault.what.contains("is not this log"), "{}", fault.what);
    }
}

#[test]
fn attack_080_a_deleted_entry_is_named() {
    for index in [0, 7, 19] {
        let (at, what) = first_fault(&format!("DELETE FROM log_entry WHERE idx = {index}"));
        assert_eq!(at, Some(index));
        assert!(what.contains("missing"), "{what}");
    }
    assert_eq!(first_fault("DELETE FROM log_entry").0, Some(0));
    let (at, what) =
        first_fault("DELETE FROM log_entry WHERE idx = 7; UPDATE log_entry SET idx = idx - 1 WHERE idx > 7");
    assert_eq!((at, what.contains("says that it is entry 8")), (Some(7), true), "{what}");
}

#[test]
fn attack_080_an_inserted_entry_is_named() {
    let (_scratch, conn) = log(false);
    let entry = Entry { seq: 20, time: Timestamp::from_seconds(4_000_000_000), event: step(1) }.to_bytes().unwrap();
    let insert = "INSERT INTO log_entry (idx, leaf_hash, entry) VALUES (?1, ?2, ?3)";
    conn.execute(insert, params![20, leaf_hash(&entry).as_bytes(), entry]).unwrap();
    let fault = check(&conn).fault.unwrap();
    assert_eq!((fault.index, fault.what.contains("no checkpoint")), (Some(20), true), "{}", fault.what);
    conn.execute("UPDATE log_entry SET idx = -1 WHERE idx = 20", []).unwrap();
    assert_eq!(check(&conn).fault.unwrap().index, Some(0));
}

#[test]
fn attack_080_swapped_entries_are_named() {
    let swap = "UPDATE log_entry SET idx = -6 WHERE idx = 6; UPDATE log_entry SET idx = 6 WHERE idx = 8;
                UPDATE log_entry SET idx = 8 WHERE idx = -6;";
    let (at, what) = first_fault(swap);
    assert_eq!((at, what.contains("says that it is entry 8")), (Some(6), true), "{what}");
}

#[test]
fn attack_080_an_edited_inner_hash_is_named() {
    let edit = "UPDATE log_hash SET hash = zeroblob(32) WHERE level = 2 AND leaf = 7";
    let (at, what) = first_fault(edit);
    assert_eq!((at, what.contains("entries 4 to 7 is not what")), (Some(7), true), "{what}");
    let (at, what) = first_fault("DELETE FROM log_hash WHERE level = 1 AND leaf = 11");
    assert_eq!((at, what.contains("entries 10 to 11 is missing")), (Some(11), true), "{what}");
    for stray in ["(1, 21, zeroblob(32))", "(9, 511, zeroblob(32))", "(1, 10, zeroblob(32))"] {
        let (at, _) = first_fault(&format!("INSERT INTO log_hash (level, leaf, hash) VALUES {stray}"));
        assert_eq!(at, Some(20));
    }
}

#[test]
fn attack_080_edited_evidence_is_named_by_its_entry() {
    // Row 3 is the document of entry 5.
    for tamper in [
        "UPDATE evidence SET bytes = CAST('rules 6' AS BLOB) WHERE rowid = 3",
        "UPDATE evidence SET salt = zeroblob(32) WHERE rowid = 3",
        "UPDATE evidence SET salt = zeroblob(31) WHERE rowid = 3",
        "UPDATE evidence SET salt = NULL WHERE rowid = 3",
        "UPDATE evidence SET salt = NULL, bytes = NULL WHERE rowid = 3",
        "DELETE FROM evidence WHERE rowid = 3",
        "UPDATE evidence SET digest = zeroblob(32) WHERE rowid = 3",
        "UPDATE evidence SET digest = zeroblob(31) WHERE rowid = 3",
    ] {
        let (at, what) = first_fault(tamper);
        assert_eq!((at, what.contains("entry 5 names `rules`")), (Some(5), true), "{tamper}: {what}");
    }
    let stray = "INSERT INTO evidence (digest, kind, salt, bytes) VALUES (zeroblob(32), 'rules', zeroblob(32), x'00')";
    assert_eq!(first_fault(stray).0, None);
}

#[test]
fn a_checkpoint_that_does_not_hold_is_named() {
    let (at, _) = first_fault("UPDATE log_checkpoint SET note = replace(note, '8', '9') WHERE size = 8");
    assert_eq!(at, Some(7));
    let other = "UPDATE log_checkpoint SET note = (SELECT note FROM log_checkpoint WHERE size = 9) WHERE size = 8";
    let (at, what) = first_fault(other);
    assert_eq!((at, what.contains("says that it covers 9")), (Some(7), true), "{what}");
    assert_eq!(first_fault("DELETE FROM log_checkpoint WHERE size > 15").0, Some(15));
}

#[test]
fn entries_that_are_not_canonical_or_go_back_in_time_are_named() {
    let (_scratch, conn) = log(false);
    put(&conn, 6, br#"{ "kind":"clock","seq":6,"step":6,"time":"2026-11-23T10:40:00.000Z"}"#, true);
    assert_eq!(check(&conn).fault.unwrap().index, Some(6));
    let (_scratch, conn) = log(false);
    put(&conn, 6, br#"{"kind":"clock","seq":6,"step":6,"time":"2025-11-23T10:40:00.000Z"}"#, true);
    let fault = check(&conn).fault.unwrap();
    assert_eq!((fault.index, fault.what.contains("older")), (Some(6), true));
}
