pub(in crate::store) mod scratch;

mod ceremonies;
mod durability;
mod provider;
mod resume;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::{Entry, MAX_ENTRY};
use crate::domain::log::evidence::MAX_EVIDENCE;
use crate::domain::log::merkle::{verify_consistency, verify_inclusion};

use super::*;
use scratch::{ORIGIN, Scratch, genesis, rules, step, verify_note};

type Result<T> = std::result::Result<T, StoreError>;

fn append(store: &Store, event: crate::domain::log::entry::Event) -> u64 {
    store.write_blocking(move |unit| unit.append(event)).unwrap()
}

fn read<T>(store: &Store, act: impl FnOnce(&Reader<'_>) -> Result<T>) -> T {
    store.read(act).unwrap()
}

/// Holds the writer inside a unit until the sender speaks.
fn hold(store: &Store) -> (mpsc::Sender<()>, impl Future<Output = Result<()>> + use<>) {
    let (go, wait) = mpsc::channel();
    let (started, running) = mpsc::channel();
    let held = store.write(move |_| {
        started.send(()).unwrap();
        wait.recv().unwrap();
        Ok(())
    });
    running.recv().unwrap();
    (go, held)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_log_survives_closing_and_proves_its_entries() {
    let scratch = Scratch::new();
    let store = scratch.create();
    for n in 1..300 {
        let index = append(&store, step(n));
        assert_eq!(index, u64::try_from(n).unwrap());
        let mark = scratch.mark.kept.lock().unwrap().unwrap();
        assert_eq!(mark.size, index + 1, "whoever was answered is below the mark");
    }
    drop(store);

    let store = scratch.open().unwrap();
    assert_eq!(append(&store, step(300)), 300);
    read(&store, |reader| {
        assert_eq!(reader.size()?, 301);
        let head = verify_note(&reader.checkpoint()?.unwrap()).unwrap();
        assert_eq!((head.size, head.root), (301, reader.root(301)?));
        for index in [0, 1, 255, 256, 300] {
            let leaf = reader.leaf_hash(index)?.unwrap();
            let proof = reader.inclusion(index, 301)?;
            assert_eq!(verify_inclusion(&leaf, index, 301, &proof, &head.root), Ok(()));
            assert_eq!(Entry::from_bytes(&reader.entry(index)?.unwrap()).unwrap().seq, index);
        }
        let older = verify_note(&reader.checkpoint_at(200)?.unwrap()).unwrap();
        let proof = reader.consistency(200, 301)?;
        assert_eq!(verify_consistency(200, 301, &proof, &older.root, &head.root), Ok(()));
        assert_eq!(
            reader.entries(10..20)?.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            (10..20).collect::<Vec<_>>()
        );
        assert!(reader.inclusion(301, 301).is_err() && reader.inclusion(0, 302).is_err());
        assert_eq!(reader.entry(301)?, None);
        Ok(())
    });
}

#[test]
fn the_state_is_for_its_owner_alone() {
    let scratch = Scratch::new();
    let _store = scratch.create();
    for file in [DATABASE, "countersign.db-wal", "countersign.db-shm", LOCK] {
        let mode = std::fs::metadata(scratch.directory.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(std::fs::metadata(&scratch.directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn there_is_one_store_in_a_directory_and_one_process_in_it() {
    let scratch = Scratch::new();
    assert!(matches!(scratch.open(), Err(StoreError::Missing)));
    let store = scratch.create();
    assert!(matches!(scratch.open(), Err(StoreError::Locked)));
    assert!(matches!(Store::create(scratch.opening(), genesis(ORIGIN)), Err(StoreError::Locked)));
    let clone = store.clone();
    store.close();
    assert!(matches!(clone.write_blocking(|unit| unit.append(step(1))), Err(StoreError::Stopped)));
    assert!(matches!(clone.read(|reader| reader.size()), Err(StoreError::Stopped)));
    scratch.open().unwrap().close();
    assert!(matches!(Store::create(scratch.opening(), genesis(ORIGIN)), Err(StoreError::Exists)));
    let kept = scratch.mark.kept.lock().unwrap().take();
    assert!(kept.is_some());
    assert!(matches!(Store::create(scratch.opening(), genesis(ORIGIN)), Err(StoreError::Exists)));
    assert!(matches!(scratch.open(), Err(StoreError::NoMark)));
}

#[test]
fn a_foundation_that_fails_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.seal_fails.store(true, Ordering::SeqCst);
    assert!(Store::create(scratch.opening(), genesis(ORIGIN)).is_err());
    assert!(!scratch.database().exists());
    assert!(matches!(Store::create(scratch.opening(), genesis("other/log")), Err(StoreError::ForeignLog { .. })));
    assert!(matches!(Store::create(scratch.opening(), step(1)), Err(StoreError::Invalid(_))));
    scratch.seal_fails.store(false, Ordering::SeqCst);
    scratch.create();
}

#[test]
fn another_log_and_a_newer_schema_are_refused() {
    let scratch = Scratch::new();
    scratch.create().close();
    let opening = Opening { origin: "other.example.com/log".to_owned(), ..scratch.opening() };
    assert!(matches!(Store::open(opening), Err(StoreError::ForeignLog { found, .. }) if found == ORIGIN));
    scratch.tamper().pragma_update(None, "user_version", 999).unwrap();
    assert!(matches!(scratch.open(), Err(StoreError::NewerSchema { found: 999, .. })));
}

#[test]
fn one_failing_unit_of_a_group_rolls_back_alone_and_leaves_no_gap() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (go, held) = hold(&store);
    let first = store.write(|unit| unit.append(step(1)));
    let refused = store.write(|unit| {
        unit.append(step(2))?;
        unit.append(step(3))?;
        Err::<u64, _>(StoreError::Invalid("no".to_owned()))
    });
    let panics = store.write(|unit| -> Result<u64> {
        unit.append(step(4))?;
        panic!("a mistake");
    });
    let second = store.write(|unit| {
        // What the group did before is seen; what was rolled back is not.
        assert_eq!(unit.reader().size()?, 2);
        unit.append(step(5))
    });
    go.send(()).unwrap();
    block_on(async {
        held.await.unwrap();
        assert_eq!(first.await.unwrap(), 1);
        assert!(matches!(refused.await, Err(StoreError::Invalid(_))));
        assert!(matches!(panics.await, Err(StoreError::Aborted(_))));
        assert_eq!(second.await.unwrap(), 2);
    });
    read(&store, |reader| {
        assert_eq!(reader.size()?, 3);
        assert_eq!(reader.checkpoint_at(2)?, None, "one checkpoint for the group");
        assert!(reader.checkpoint_at(3)?.is_some());
        let report = check_log(reader, &verify_note, &|| false)?;
        assert_eq!((report.entries, report.fault), (3, None));
        Ok(())
    });
}

#[test]
fn a_unit_that_hides_a_failed_append_is_not_kept() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let hidden = store.write_blocking(|unit| {
        unit.conn().execute("INSERT INTO log_hash (level, leaf, hash) VALUES (1, 1, zeroblob(32))", [])?;
        assert!(unit.append(step(1)).is_err(), "the place of its hash is taken");
        Ok(())
    });
    assert!(matches!(hidden, Err(StoreError::Aborted(_))));
    assert_eq!(append(&store, step(2)), 1);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (go, held) = hold(&store);
    let waiting: Vec<_> = (0..QUEUE).map(|_| store.write(|unit| Ok::<_, StoreError>(unit.now()))).collect();
    assert!(matches!(store.write_blocking(|unit| unit.append(step(1))), Err(StoreError::Full)));
    go.send(()).unwrap();
    block_on(async {
        held.await.unwrap();
        for unit in waiting {
            unit.await.unwrap();
        }
    });
    assert_eq!(append(&store, step(1)), 1);
}

#[test]
fn new_work_gives_way_before_the_queue_is_full() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (go, held) = hold(&store);
    let now = |unit: &mut Unit<'_>| Ok::<_, StoreError>(unit.now());
    let mut waiting: Vec<_> = (1..NEW_WORK).map(|_| store.write(now)).collect();
    let last = store.write_new(now);
    waiting.push(store.write(now));
    assert!(matches!(block_on(store.write_new(now)), Err(StoreError::Full)));
    waiting.push(store.write(now));
    go.send(()).unwrap();
    block_on(async {
        held.await.unwrap();
        last.await.unwrap();
        for unit in waiting {
            unit.await.unwrap();
        }
        store.write_new(now).await.unwrap();
    });
}

#[test]
fn what_a_reader_sees_is_settled_once_the_mark_has_it() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let entry = append(&store, step(1));
    block_on(store.settled(entry)).unwrap();
    assert_eq!(store.0.progress.marked(), entry + 1);
    // One that no group has marked yet is waited for.
    block_on(store.settled(entry + 1)).unwrap();
    let reopened = {
        store.close();
        scratch.open().unwrap()
    };
    assert_eq!(reopened.0.progress.marked(), entry + 1, "what was opened is under the mark");
}

#[test]
fn closing_finishes_what_is_queued() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (go, held) = hold(&store);
    let mut queued: Vec<_> = (1..=600).map(|n| store.write(move |unit| unit.append(step(n)))).collect();
    let last = queued.pop().unwrap();
    go.send(()).unwrap();
    store.close();
    block_on(async {
        held.await.unwrap();
        assert_eq!(last.await.unwrap(), 600);
    });
    assert_eq!(read(&scratch.open().unwrap(), |reader| reader.size()), 601);
}

#[test]
fn a_reader_has_one_snapshot_and_cannot_write() {
    let scratch = Scratch::new();
    let store = scratch.create();
    read(&store, |reader| {
        assert_eq!(reader.size()?, 1);
        append(&store, step(1));
        assert_eq!(reader.size()?, 1);
        Ok(())
    });
    read(&store, |reader| {
        assert_eq!(reader.size()?, 2);
        let written = reader.conn().execute("INSERT INTO meta (key, value) VALUES ('a', 'b')", []);
        let code = written.unwrap_err().sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::ReadOnly));
        Ok(())
    });
}

#[test]
fn time_does_not_go_back_in_the_log() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let clock = |millis| scratch.clock.store(millis, Ordering::SeqCst);
    let time = |store: &Store, index| {
        let bytes = read(store, |reader| reader.entry(index)).unwrap();
        Entry::from_bytes(&bytes).unwrap().time.millis()
    };
    clock(2_000_000_000_000);
    append(&store, step(1));
    clock(1_900_000_000_000);
    append(&store, step(2));
    drop(store);
    let store = scratch.open().unwrap();
    append(&store, step(3));
    clock(2_000_000_000_001);
    append(&store, step(4));
    let times: Vec<_> = (1..5).map(|index| time(&store, index) - 2_000_000_000_000).collect();
    assert_eq!(times, [0, 0, 0, 1]);
    assert_eq!(store.write_blocking(|unit| Ok::<_, StoreError>(unit.now().millis())).unwrap(), 2_000_000_000_001);
}

#[test]
fn evidence_reads_back_under_its_salted_digest() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let person = PersonId::from_random([3; 10]);
    let whose = person.clone();
    let digest = store
        .write_blocking(move |unit| {
            let digest = unit.put_evidence("rules", b"text", Some(&whose))?;
            assert_ne!(digest, unit.put_evidence("rules", b"text", None)?);
            unit.append(rules(digest))?;
            Ok::<_, StoreError>(digest)
        })
        .unwrap();
    let row = read(&store, |reader| reader.evidence(1, &digest)).unwrap();
    assert_eq!((row.kind.as_str(), row.bytes.as_deref(), row.person), ("rules", Some(&b"text"[..]), Some(person)));
    assert_eq!(crate::domain::log::evidence::evidence_digest(&row.salt.unwrap(), b"text"), digest);
    assert_eq!(read(&store, |reader| reader.evidence(1, &Digest::of(b"other"))), None);
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let document = |size| store.write_blocking(move |unit| unit.put_evidence("rules", &vec![7; size], None));
    assert!(document(MAX_EVIDENCE).is_ok());
    assert!(matches!(document(MAX_EVIDENCE + 1), Err(StoreError::TooLarge { .. })));
    let huge = crate::domain::log::entry::Event::SigningKey {
        outcome: "x".repeat(MAX_ENTRY),
        kid: crate::domain::ids::Kid::parse(&"A".repeat(43)).unwrap(),
        alg: crate::domain::rules::TokenAlg::Rs256,
        evidence: std::collections::BTreeMap::new(),
    };
    let entry = store.write_blocking(move |unit| unit.append(huge));
    assert!(matches!(entry, Err(StoreError::TooLarge { .. })));
    let second = store.write_blocking(|unit| unit.append(genesis(ORIGIN)));
    assert!(matches!(second, Err(StoreError::Invalid(_))));
    assert_eq!(append(&store, step(1)), 1);
}

#[test]
fn a_store_opened_for_reading_sees_what_is_committed_beside_it_and_writes_nothing() {
    let scratch = Scratch::new();
    assert!(matches!(Store::open_read_only(&scratch.directory, 1), Err(StoreError::Missing)));
    let store = scratch.create();
    let looking = Store::open_read_only(&scratch.directory, 1).unwrap();
    append(&store, step(1));
    assert_eq!(read(&looking, |reader| reader.size()), 2, "no lock stands between them");
    assert!(matches!(looking.write_blocking(|unit| unit.append(step(2))), Err(StoreError::Stopped)));
    assert!(looking.read(|reader| Ok::<_, StoreError>(reader.conn().execute("DELETE FROM evidence", [])?)).is_err());
    let mark = scratch.mark.kept.lock().unwrap().unwrap();
    append(&store, step(2));
    assert_eq!(looking.check_head(ORIGIN, &mark).unwrap(), 3, "grown since the mark was read");
    let ahead = crate::domain::log::high_water::Mark { size: 9, ..mark };
    assert!(matches!(looking.check_head(ORIGIN, &ahead), Err(StoreError::RolledBack { .. })));
    drop(store);
    assert_eq!(read(&looking, |reader| reader.size()), 3, "the writer may stop meanwhile");
    drop(looking);
    let looking = Store::open_read_only(&scratch.directory, 1).unwrap();
    assert_eq!(read(&looking, |reader| reader.size()), 3, "or be stopped before");
    let store = scratch.open().unwrap();
    assert_eq!(append(&store, step(3)), 3, "looking keeps nobody from starting");
}
