//! The disk: full, failing, read-only, slow; the database locked by somebody else.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use countersign::store::{WAL_ALARM, WAL_PAGES};

use crate::built::World;
use crate::load::{FREE, Job, Outcome, Server, now, since};
use crate::shim::{EIO, ENOSPC, EROFS, Place};
use crate::table::Row;
use crate::ward::Ward;

fn refused_as(outcome: &Outcome, code: &str) {
    assert!(matches!(outcome, Outcome::NotNow(found) if found == code), "{outcome:?}");
}

#[test]
fn attack_089_a_full_disk_refuses_and_heals_without_a_restart() {
    let (mut ward, mut server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    let tokens = ward.audit.logged();
    let mut job = ward.free();
    for _ in 0..2 {
        ward.faults.set(Place::WriteError, ENOSPC);
        for _ in 0..5 {
            refused_as(&job.call(&server.calls, false, &mut row), "log_unavailable");
        }
        assert!(Ward::is_red(&server).contains("no space"));
        ward.issued_nothing_since(tokens);
        ward.faults.heal();
        // Nobody asks meanwhile: it finds out by itself.
        row.ready.push(server.until_ready());
    }
    assert!(server.is_alive());
    ward.gets(&server, &mut job, &mut row);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("disk", "full (ENOSPC)");
}

/// A small disk of its own over the state directory, where the system lets one be mounted.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(world: &World) -> Option<Self> {
        let state = world.folder.join("state");
        let aside = world.folder.join("aside");
        let run = |command: &mut Command| command.output().is_ok_and(|done| done.status.success());
        assert!(run(Command::new("cp").arg("-a").arg(&state).arg(&aside)));
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=0700", "none"]).arg(&state));
        if !mounted {
            return None;
        }
        assert!(run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&state)));
        Some(Self(state))
    }

    /// Fills what is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut size = 4096;
        while size > 0 {
            if file.write_all(&vec![1; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn attack_089_a_disk_that_is_truly_full_refuses_and_heals_without_a_restart() {
    let mut disk = None;
    let (mut ward, mut server) = Ward::with(|world| disk = SmallDisk::mount(world));
    let Some(disk) = disk else {
        println!("no disk can be mounted here: the test before this one has the same fault without one");
        return;
    };
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    let ballast = disk.fill();
    // What the write-ahead log has room for already is still used up.
    let mut refused = None;
    for _ in 0..2_000 {
        let mut job = ward.free();
        match job.call(&server.calls, false, &mut row) {
            Outcome::Token(_) => ward.gets(&server, &mut job, &mut Row::default()),
            outcome => {
                refused_as(&outcome, "log_unavailable");
                refused = Some(job);
                break;
            }
        }
    }
    let mut job = refused.unwrap();
    let tokens = ward.audit.logged();
    Ward::is_red(&server);
    refused_as(&job.call(&server.calls, false, &mut row), "log_unavailable");
    ward.issued_nothing_since(tokens);
    std::fs::remove_file(ballast).unwrap();
    row.ready.push(server.until_ready());
    assert!(server.is_alive());
    ward.gets(&server, &mut job, &mut row);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    server.kill();
    let mut server = Server::start(&ward.world, Some(&ward.faults));
    ward.serves(&server, &mut row);
    server.kill();
    row.print("disk", "truly full (a file system of 16 MiB)");
}

#[test]
fn attack_089_a_database_at_its_limit_refuses_until_the_limit_is_raised() {
    let limit = |world: &World, size: &str| {
        let path = world.folder.join("countersign.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("[database]").next().unwrap();
        std::fs::write(path, format!("{text}[database]\nmax_size = \"{size}\"\n")).unwrap();
    };
    let (mut ward, mut server) = Ward::with(|world| limit(world, "16MiB"));
    let mut row = Row::default();
    let groups: Vec<_> = (0..600).map(|group| format!("a/group/with/a/long/name/{group:06}")).collect();
    let mut refused = None;
    for number in 1_000_000..1_002_000 {
        // Large tokens, each kept as evidence.
        let job = ward.world.job(number).with("groups_direct", groups.clone().into());
        let mut job = Job::new(ward.world.sign(&job), FREE);
        match job.call(&server.calls, false, &mut row) {
            Outcome::Token(_) => {}
            outcome => {
                refused_as(&outcome, "log_unavailable");
                refused = Some(job);
                break;
            }
        }
    }
    let mut job = refused.unwrap();
    ward.audit.read(&ward.world);
    let tokens = ward.audit.logged();
    for _ in 0..3 {
        refused_as(&job.call(&server.calls, false, &mut row), "log_unavailable");
        Ward::is_red(&server);
    }
    ward.issued_nothing_since(tokens);
    server.kill();
    limit(&ward.world, "1GiB");
    let server = Server::start(&ward.world, Some(&ward.faults));
    row.ready.push(server.ready);
    ward.gets(&server, &mut job, &mut row);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("disk", "`database.max_size` reached");
}

#[test]
fn attack_089_a_failed_sync_or_write_ends_the_process_and_the_next_start_verifies() {
    let (mut ward, mut server) = Ward::new();
    for (fault, place, error) in [
        ("sync of the commit fails", Place::SyncError, EIO),
        ("write of the commit fails", Place::WriteError, EIO),
        ("write of the mark fails", Place::MarkWriteError, EIO),
        ("sync of the mark fails", Place::MarkSyncError, EIO),
    ] {
        let mut row = Row::default();
        ward.serves(&server, &mut row);
        ward.faults.set(place, error);
        let mut job = ward.free();
        let outcome = job.call(&server.calls, false, &mut row);
        assert!(matches!(outcome, Outcome::NotNow(_) | Outcome::Silence), "{fault}: {outcome:?}");
        assert_eq!(server.ended().code(), Some(4), "{fault}");
        ward.faults.heal();
        server = Server::start(&ward.world, Some(&ward.faults));
        row.ready.push(server.ready);
        ward.gets(&server, &mut job, &mut row);
        ward.serves(&server, &mut row);
        ward.audit.whole(&ward.world);
        row.print("disk", fault);
    }
}

#[test]
fn attack_089_a_read_only_disk_ends_the_process_and_is_refused_until_it_is_writable() {
    let (mut ward, mut server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    ward.audit.read(&ward.world);
    let tokens = ward.audit.logged();
    ward.faults.set(Place::WriteError, EROFS);
    ward.faults.set(Place::MarkWriteError, EROFS);
    ward.faults.set(Place::OpenError, EROFS);
    let mut job = ward.free();
    let outcome = job.call(&server.calls, false, &mut row);
    assert!(matches!(outcome, Outcome::NotNow(_) | Outcome::Silence), "{outcome:?}");
    assert_eq!(server.ended().code(), Some(4));
    // The service manager starts it again, in vain, and is told why.
    let again = ward.world.command(&["serve"]).envs(ward.faults.environment()).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{said}");
    assert!(said.contains("countersign.lock") || said.contains("high-water-mark"), "{said}");
    ward.issued_nothing_since(tokens);
    ward.faults.heal();
    let server = Server::start(&ward.world, Some(&ward.faults));
    row.ready.push(server.ready);
    ward.gets(&server, &mut job, &mut row);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("disk", "read-only (EROFS)");
}

#[test]
fn attack_089_a_slow_disk_makes_groups_and_loses_nothing() {
    const JOBS: usize = 48;
    let (mut ward, server) = Ward::new();
    let mut row = Row::default();
    ward.faults.set(Place::SyncDelay, 250);
    let before = ward.faults.get(Place::Syncs);
    let mut jobs: Vec<_> = (0..JOBS).map(|_| ward.free()).collect();
    let asked = &server.calls;
    std::thread::scope(|scope| {
        let calls: Vec<_> = jobs
            .iter_mut()
            .map(|job| {
                scope.spawn(move || {
                    let mut row = Row::default();
                    let outcome = job.call(asked, false, &mut row);
                    assert!(matches!(outcome, Outcome::Token(_)), "{outcome:?}");
                    row
                })
            })
            .collect();
        // Nobody stands behind the disk who does not need it.
        assert_eq!(server.status("/healthz"), 200);
        for call in calls {
            row.add(call.join().unwrap());
        }
    });
    let syncs = ward.faults.get(Place::Syncs) - before;
    assert!(syncs < JOBS.try_into().unwrap(), "{syncs} syncs for {JOBS} tokens");
    ward.audit.read(&ward.world);
    for job in &jobs {
        ward.audit.answered(job.answer.as_ref().unwrap());
    }
    ward.faults.heal();
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("disk", &format!("slow: 250 ms a sync; {JOBS} at once took {syncs} syncs"));
}

#[test]
fn attack_089_a_locked_database_refuses_after_a_bounded_wait() {
    const CALLERS: usize = 300;
    let (mut ward, server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    let tokens = ward.audit.logged();
    let thief = Connection::open(ward.world.database()).unwrap();
    thief.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut jobs: Vec<_> = (0..CALLERS).map(|_| ward.free()).collect();
    let asked = &server.calls;
    let begun = now();
    let longest = std::thread::scope(|scope| {
        let calls: Vec<_> = jobs
            .iter_mut()
            .map(|job| {
                scope.spawn(move || {
                    let mut row = Row::default();
                    refused_as(&job.call(asked, false, &mut row), "log_unavailable");
                    (row, since(begun))
                })
            })
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .map(|(more, took)| {
                row.add(more);
                took
            })
            .max()
            .unwrap()
    });
    Ward::is_red(&server);
    ward.issued_nothing_since(tokens);
    thief.execute_batch("ROLLBACK").unwrap();
    row.ready.push(server.until_ready());
    ward.gets(&server, &mut jobs[0], &mut row);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("disk", &format!("locked by another process; the longest wait was {} ms", longest.as_millis()));
}

#[test]
fn attack_089_a_long_reader_holds_nobody_up() {
    let (mut ward, server) = Ward::new();
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    let reader = Connection::open(ward.world.database()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM log_entry";
    let before: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    let log = ward.world.folder.join("state/countersign.db-wal");
    // Beyond the size at which the write-ahead log is carried over, which the reader forbids.
    let carried_over = u64::from(WAL_PAGES) * 4096;
    while std::fs::metadata(&log).unwrap().len() < carried_over + carried_over / 8 {
        let mut job = ward.free();
        assert!(job.get(&server.calls, &ward.approver, &mut row));
    }
    assert_eq!(reader.query_row::<i64, _, _>(count, [], |row| row.get(0)).unwrap(), before);
    let warned = || server.calls.get("/readyz").unwrap().text.contains("database: the write-ahead log has grown to");
    assert!(!warned());
    // What is rolled back is in the write-ahead log all the same, where it does not fit into memory.
    let filler = format!(
        "PRAGMA cache_size = 100; BEGIN IMMEDIATE; CREATE TABLE filler (bytes BLOB); INSERT INTO filler VALUES (zeroblob({WAL_ALARM})); ROLLBACK"
    );
    Connection::open(ward.world.database()).unwrap().execute_batch(&filler).unwrap();
    assert!(warned());
    assert_eq!(server.calls.get("/readyz").unwrap().status, 200);
    reader.execute_batch("COMMIT").unwrap();
    // The next commit carries it over, and one of those after it begins it anew and cuts it back.
    let healed = (0..10).any(|_| {
        ward.serves(&server, &mut row);
        !warned()
    });
    assert!(healed);
    ward.audit.whole(&ward.world);
    row.print("disk", "somebody reads one snapshot for long, until an operator is warned");
}
