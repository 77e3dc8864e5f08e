//! Attack 94, copies of the database: taken while it is written, cut short, put back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::log::{exchange, exchange_at, job_token_of, with_gitlab};
use crate::support::{DATABASE, MARK, Place};

/// How many entries `log check` finds in a place.
fn entries(place: &Place) -> u64 {
    let report = place.run(&["--json", "log", "check"]).expect(0, "");
    let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    report["entries"].as_u64().unwrap()
}

#[test]
fn attack_094_a_copy_taken_under_load_is_whole_and_its_restore_must_be_told() {
    let (place, key) = with_gitlab();
    let server = place.serve();
    let (done, issued) = (AtomicBool::new(false), AtomicUsize::new(0));
    let old_mark = std::fs::read(place.at(MARK)).unwrap();
    let (mut copies, address) = (Vec::new(), server.address());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for job in 1.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let answer = exchange_at(address, &job_token_of(&key, "reports", job));
                assert!(answer["access_token"].is_string(), "{answer}");
                issued.fetch_add(1, Ordering::SeqCst);
            }
        });
        for number in 0..3 {
            // Something was issued since the copy before.
            let before = issued.load(Ordering::SeqCst);
            while issued.load(Ordering::SeqCst) < before + 5 {
                std::thread::yield_now();
            }
            let copy = place.at(&format!("copy-{number}.db"));
            let database = rusqlite::Connection::open(place.at(DATABASE)).unwrap();
            database.execute("VACUUM INTO ?1", [copy.display().to_string()]).unwrap();
            copies.push(std::fs::read(copy).unwrap());
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(server.stop(), 0);
    let whole = entries(&place);
    let [database, mark] = place.snapshot();
    let mut sizes = Vec::new();
    for copy in &copies {
        // Beside a mark as old as the first of them it is a log like any other, up to its own checkpoint.
        place.put_back(copy, Some(&old_mark));
        sizes.push(entries(&place));
        place.put_back(copy, Some(&mark));
        place.run(&["log", "check"]).expect(1, "the high-water mark names");
        place.run(&["serve"]).expect(2, "another copy was put");
    }
    assert!(sizes.is_sorted() && sizes[0] < sizes[2] && sizes[2] <= whole, "{sizes:?} of {whole}");
    // Told, it goes on, and a job token from before is worth nothing any more.
    place.run(&["log", "resume", "--after-restore"]).expect(0, "records the restore");
    assert_eq!(entries(&place), sizes[2] + 1);
    let server = place.serve();
    let spent = exchange(&server, &job_token_of(&key, "reports", 1));
    assert_eq!(spent["error_code"], "token_too_old", "{spent}");
    assert_eq!(server.stop(), 0);
    place.put_back(&database, Some(&mark));
    assert_eq!(entries(&place), whole);
}

#[test]
fn attack_094_a_copy_without_its_write_ahead_log_is_short_and_seen() {
    let (place, key) = with_gitlab();
    let server = place.serve();
    for job in 1..=5 {
        let answer = exchange(&server, &job_token_of(&key, "reports", job));
        assert!(answer["access_token"].is_string(), "{answer}");
    }
    let plain = std::fs::read(place.at(DATABASE)).unwrap();
    let wal = std::fs::metadata(place.at(&format!("{DATABASE}-wal"))).unwrap().len();
    assert!(wal > 0, "what was issued lies in the write-ahead log");
    server.kill();
    // The whole of it survives the kill.
    let whole = entries(&place);
    assert_eq!(place.serve().stop(), 0);
    place.put_back(&plain, None);
    let short = place.run(&["log", "check"]).expect(1, "the high-water mark names");
    assert!(short.out.contains(&format!("names {whole} entries")), "{}", short.out);
    place.run(&["serve"]).expect(2, "another copy was put");
    place.run(&["people", "invite", "Eve"]).expect(2, "another copy was put");
}
