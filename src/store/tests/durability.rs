//! No space, failing commits, failing marks, databases that were put back.

use std::sync::atomic::Ordering;

use crate::domain::ids::Digest;
use crate::domain::log::high_water::Mark;

use super::scratch::{Scratch, rules, step, verify_note};
use super::{Result, append, block_on, hold, read};
use crate::store::{Opening, Reader, Store, StoreError, check_log};

fn large(store: &Store) -> Result<u64> {
    store.write_blocking(|unit| {
        let document = unit.put_evidence("rules", &vec![7; 30_000], None)?;
        unit.append(rules(document))
    })
}

#[test]
fn without_space_nothing_changes_and_with_space_it_goes_on() {
    let scratch = Scratch::new();
    scratch.create().close();
    let limited = || Store::open(Opening { max_size: Some(640 * 1024), ..scratch.opening() }).unwrap();
    let store = limited();
    let error = (0..100).find_map(|_| large(&store).err()).unwrap();
    assert!(matches!(error, StoreError::NoSpace), "{error:?}");
    let size = read(&store, |reader| reader.size());
    assert!((2..20).contains(&size), "{size}");

    // In a group too; a unit that needs no room before it may have been given up with it, and is told so.
    let (go, held) = hold(&store);
    let small = store.write(|unit| Ok::<_, StoreError>(unit.now()));
    let big = store.write(|unit| unit.put_evidence("rules", &vec![7; 60_000], None));
    go.send(()).unwrap();
    block_on(async {
        held.await.unwrap();
        assert!(matches!(big.await, Err(StoreError::NoSpace)));
        assert!(matches!(small.await, Ok(_) | Err(StoreError::NoSpace)));
    });
    assert_eq!(read(&store, |reader| reader.size()), size);
    drop(store);
    drop(limited());

    let store = scratch.open().unwrap();
    assert_eq!(large(&store).unwrap(), size);
    read(&store, |reader| {
        let report = check_log(reader, &verify_note, &|| false)?;
        assert_eq!((report.entries, report.fault), (size + 1, None));
        Ok(())
    });
    assert!(scratch.fatal.lock().unwrap().is_empty());
}

#[test]
fn a_failing_key_refuses_the_group_and_the_store_goes_on() {
    let scratch = Scratch::new();
    let store = scratch.create();
    scratch.seal_fails.store(true, Ordering::SeqCst);
    let refused = store.write_blocking(|unit| unit.append(step(1)));
    assert!(matches!(refused, Err(StoreError::Aborted(why)) if why.contains("the key is gone")));
    scratch.seal_fails.store(false, Ordering::SeqCst);
    assert_eq!(append(&store, step(2)), 1);
}

#[test]
fn a_mark_that_cannot_be_written_ends_the_process() {
    let scratch = Scratch::new();
    let store = scratch.create();
    scratch.mark.broken.store(true, Ordering::SeqCst);
    store.write_blocking(|unit| unit.put_evidence("rules", b"no entry, no mark", None)).unwrap();
    let unanswered = store.write_blocking(|unit| unit.append(step(1)));
    assert!(matches!(unanswered, Err(StoreError::Aborted(_))));
    store.close();
    assert_eq!(scratch.fatal.lock().unwrap().len(), 1);

    // The entry was committed before the mark failed: it stands, and the mark catches up.
    scratch.mark.broken.store(false, Ordering::SeqCst);
    let store = scratch.open().unwrap();
    assert_eq!(read(&store, |reader| reader.size()), 2);
    assert_eq!(scratch.mark.kept.lock().unwrap().unwrap().size, 2);
}

#[test]
fn what_was_recorded_is_given_out_before_its_mark_and_answered_only_after_it() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let write = |n| block_on(store.write_unmarked(move |unit| unit.append(step(n))));
    let marked = write(1).unwrap();
    assert_eq!(*marked.recorded(), 1);
    assert_eq!(block_on(marked.marked()).unwrap(), 1);
    assert_eq!(scratch.mark.kept.lock().unwrap().unwrap().size, 2);
    // A unit that fails, or writes nothing, is answered as by `write`.
    let failed = block_on(store.write_unmarked(|_| Err::<(), _>(StoreError::Busy)));
    assert!(matches!(failed, Err(StoreError::Busy)));
    let silent = block_on(store.write_unmarked(|unit| Ok::<_, StoreError>(unit.now()))).unwrap();
    block_on(silent.marked()).unwrap();

    scratch.mark.broken.store(true, Ordering::SeqCst);
    let committed = write(2).unwrap();
    assert_eq!(*committed.recorded(), 2, "it is committed, and may be signed");
    assert!(matches!(block_on(committed.marked()), Err(StoreError::Stopped)), "and nobody is answered");
    store.close();
    assert_eq!(scratch.fatal.lock().unwrap().len(), 1);
}

#[test]
fn a_commit_that_fails_ends_the_process() {
    let scratch = Scratch::new();
    let store = scratch.create();
    store
        .write_blocking(|unit| {
            let tables = "CREATE TABLE a (id INTEGER PRIMARY KEY);
                          CREATE TABLE b (a INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)";
            Ok::<_, StoreError>(unit.conn().execute_batch(tables)?)
        })
        .unwrap();
    let lost = store.write_blocking(|unit| {
        unit.conn().execute("INSERT INTO b VALUES (1)", [])?;
        unit.append(step(1))
    });
    assert!(matches!(lost, Err(StoreError::Aborted(_))));
    assert!(matches!(store.write_blocking(|unit| unit.append(step(2))), Err(StoreError::Stopped)));
    store.close();
    assert_eq!(scratch.fatal.lock().unwrap().len(), 1);
    assert_eq!(read(&scratch.open().unwrap(), |reader| reader.size()), 1);
}

#[test]
fn a_database_put_back_alone_is_refused() {
    let scratch = Scratch::new();
    let store = scratch.create();
    append(&store, step(1));
    store.close();
    let copy = std::fs::read(scratch.database()).unwrap();
    let store = scratch.open().unwrap();
    append(&store, step(2));
    store.close();
    std::fs::write(scratch.database(), &copy).unwrap();
    let refused = scratch.open();
    assert!(matches!(refused, Err(StoreError::RolledBack { size: 2, mark: Mark { size: 3, .. } })));
}

#[test]
fn another_history_of_the_same_size_is_refused() {
    let scratch = Scratch::new();
    let store = scratch.create();
    append(&store, step(1));
    store.close();
    scratch.mark.kept.lock().unwrap().as_mut().unwrap().root = Digest::of(b"other");
    assert!(matches!(scratch.open(), Err(StoreError::RolledBack { size: 2, .. })));
}

#[test]
fn attack_081_a_truncated_log_is_refused_at_start() {
    let scratch = Scratch::new();
    let store = scratch.create();
    (1..10).for_each(|n| _ = append(&store, step(n)));
    store.close();
    let cut = "DELETE FROM log_entry WHERE idx >= 6; DELETE FROM log_checkpoint WHERE size > 6;
               DELETE FROM log_hash WHERE leaf >= 6;";
    let conn = scratch.tamper();
    conn.execute_batch(cut).unwrap();
    let report = check_log(&Reader::new(&conn), &verify_note, &|| false).unwrap();
    assert_eq!(report.fault, None, "in itself it is whole: only the mark, or somebody outside, can tell");
    drop(conn);
    assert!(matches!(scratch.open(), Err(StoreError::RolledBack { size: 6, mark: Mark { size: 10, .. } })));
}

#[test]
fn damage_to_the_newest_entries_is_seen_at_start() {
    for damage in [
        "UPDATE log_entry SET entry = CAST(replace(entry, '\"step\":7', '\"step\":8') AS BLOB) WHERE idx = 7",
        "UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 9",
        "UPDATE log_entry SET idx = 99 WHERE idx = 9",
        "UPDATE log_hash SET hash = zeroblob(32) WHERE level = 3",
        "DELETE FROM log_hash WHERE level = 1 AND leaf = 5",
        "DELETE FROM log_checkpoint WHERE size = 10",
        "UPDATE log_checkpoint SET note = replace(note, 'log', 'lag')",
    ] {
        let scratch = Scratch::new();
        let store = scratch.create();
        (1..10).for_each(|n| _ = append(&store, step(n)));
        store.close();
        let changed = scratch.tamper().execute(damage, []).unwrap();
        assert!(changed > 0, "{damage}");
        let opened = scratch.open();
        assert!(matches!(opened, Err(StoreError::Corrupt(_) | StoreError::ForeignLog { .. })), "{damage}");
    }
}
