//! The server is ended at every named step and at random points, by `kill -9` and by power cuts.

use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::cli::demo::authenticator::SoftAuthenticator;

use crate::audit::{Audit, Window};
use crate::built::{World, payload};
use crate::load::{Job, PATIENCE, RULES, Server, TICK, approver, now, since, until_dead};
use crate::shim::{End, Faults, Place, STEPS, Step};
use crate::table::{Chance, Row, number};

/// Random points: of each end as many.
const POINTS: u64 = 12;
const POINTS_FULL: u64 = 1_000;
/// A server comes to this many steps in a second or so.
const STEPS_A_LIFE: u64 = 1_500;
/// After this many lives the whole log is derived again.
const WHOLE_EVERY: u64 = 50;

/// One world through many deaths.
struct Lives {
    world: World,
    faults: Faults,
    audit: Audit,
    approver: Arc<Mutex<SoftAuthenticator>>,
    /// Of the life before: answered, and not.
    jobs: Vec<Job>,
    next: u64,
}

impl Lives {
    fn new() -> Self {
        let world = World::new(RULES);
        let faults = Faults::none(&world.folder);
        let audit = Audit::new(&world);
        let mut server = Server::start(&world, None);
        let approver = approver(&world, &server);
        server.kill();
        Self { world, faults, audit, approver, jobs: Vec::new(), next: 0 }
    }

    /// Starts the server again and settles what the last life left: how long it took, and what was asked again.
    fn rise(&mut self) -> (Server, Row) {
        let server = Server::start(&self.world, Some(&self.faults));
        let mut row = Row { ready: vec![server.ready], ..Row::default() };
        self.audit.read(&self.world);
        for mut job in std::mem::take(&mut self.jobs) {
            // Whoever got no answer asks again with the same collector, and gets a token, once.
            let known = job.answer.clone();
            if known.is_none() {
                assert!(job.get(&server.calls, &self.approver, &mut row), "it fell silent without a fault");
                let first = payload(job.answer.as_ref().unwrap());
                assert!(job.get(&server.calls, &self.approver, &mut row));
                let again = payload(job.answer.as_ref().unwrap());
                assert_eq!(again, first, "a lost answer was doubled");
                self.audit.read(&self.world);
            }
            self.audit.answered(job.answer.as_ref().unwrap());
        }
        (server, row)
    }

    /// One life: what was asked again, then load until it ends.
    fn live(&mut self, ends: impl FnOnce(&Faults), kill_after: Option<Duration>) -> Row {
        let (mut server, mut row) = self.rise();
        ends(&self.faults);
        let (world, audit) = (&self.world, &mut self.audit);
        let (jobs, counts) = until_dead(world, &mut server, &self.approver, self.next, |server| {
            let window = Window::open(world);
            let (_never, time) = mpsc::channel::<()>();
            if let Some(after) = kill_after {
                let _ = time.recv_timeout(after);
                audit.watch(&window);
                server.kill();
            }
            let begun = now();
            while server.is_alive() {
                if since(begun) > PATIENCE {
                    // Its clients end with it, and the test with them.
                    server.kill();
                    panic!("it did not die");
                }
                audit.watch(&window);
                std::thread::park_timeout(TICK);
            }
        });
        self.faults.heal();
        self.next += 1_000_000;
        self.jobs = jobs;
        row.add(counts);
        row
    }

    /// Settles the last life and looks at everything.
    fn end(&mut self) -> (Row, String) {
        let (mut server, row) = self.rise();
        let whole = self.audit.whole(&self.world);
        server.kill();
        (row, whole)
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.world.folder);
        }
    }
}

#[test]
fn attack_088_at_each_named_step_nothing_is_lost_and_nothing_doubled() {
    let mut chance = Chance::new("named steps");
    let mut lives = Lives::new();
    for end in [End::Kill, End::PowerCut] {
        let group = if end == End::Kill { "kill -9" } else { "power cut" };
        for (step, name) in STEPS {
            // A log is carried over once in some thousand pages.
            let most = if matches!(step, Step::CarryBeforeSync | Step::CarryAfterSync) { 2 } else { 20 };
            let (nth, seed) = (chance.up_to(most), chance.next());
            let mut row = lives.live(|faults| faults.end_at(*step, nth, end, seed), None);
            // What this death left is settled at the next start, and belongs to this line.
            let (mut server, after) = lives.rise();
            server.kill();
            row.ready.clear();
            row.add(after);
            row.print(group, name);
        }
    }
    let (_, whole) = lives.end();
    println!("{whole}; {} tokens held, {} logged", lives.audit.held(), lives.audit.logged());
}

#[test]
fn attack_088_a_killed_server_has_logged_whatever_it_answered_and_doubles_nothing() {
    let mut chance = Chance::new("random points");
    let mut lives = Lives::new();
    let points = number("COUNTERSIGN_DRILL_POINTS", POINTS, POINTS_FULL);
    let mut rows = [
        ("kill -9", "at a random time", Row::default()),
        ("kill -9", "at a random step", Row::default()),
        ("power cut", "at a random step", Row::default()),
    ];
    for point in 0..points {
        let (kind, seed) = (chance.up_to(3) - 1, chance.next());
        // Evenly by magnitude: the first steps are as likely as the late ones.
        let most = chance.up_to(STEPS_A_LIFE);
        let nth = chance.up_to(most);
        let row = match kind {
            0 => lives.live(|_| {}, Some(Duration::from_millis(nth % 200 + 1))),
            1 => lives.live(|faults| faults.end_at(Step::Any, nth, End::Kill, seed), None),
            _ => lives.live(|faults| faults.end_at(Step::Any, nth, End::PowerCut, seed), None),
        };
        rows[usize::try_from(kind).unwrap()].2.add(row);
        if point % WHOLE_EVERY == WHOLE_EVERY - 1 {
            lives.audit.whole(&lives.world);
        }
    }
    let (last, whole) = lives.end();
    rows[0].2.add(last);
    for (group, fault, row) in rows {
        row.print(group, fault);
    }
    println!("{points} points: {whole}; {} tokens held, {} logged", lives.audit.held(), lives.audit.logged());
    assert!(lives.audit.held() > 10, "the load was too small to show anything");
}

#[test]
fn attack_088_an_answer_leaves_after_its_bytes_are_on_the_disk() {
    let mut lives = Lives::new();
    let (mut server, _) = lives.rise();
    let mut row = Row::default();
    // One after another, so that every byte that is not synced would be the answer's own.
    for at in 0..200 {
        let mut job = Job::free(&lives.world, at);
        assert!(job.get(&server.calls, &lives.approver, &mut row));
        lives.jobs.push(job);
    }
    assert_eq!(lives.faults.get(Place::Answers), 200);
    assert!(lives.faults.get(Place::Syncs) >= 200);
    assert_eq!(lives.faults.get(Place::Unsynced), 0, "an answer left before its bytes were synced");
    server.kill();
    lives.end();
}

#[test]
fn attack_088_sigterm_finishes_and_exits_0() {
    let mut lives = Lives::new();
    let (mut server, _) = lives.rise();
    let mut row = Row::default();
    let mut job = Job::free(&lives.world, 1);
    assert!(job.get(&server.calls, &lives.approver, &mut row));
    let stopped = Command::new("kill").args(["-TERM", &server.process().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(server.ended().code(), Some(0));
    let first = payload(job.answer.as_ref().unwrap());
    lives.jobs.push(job.clone());
    let (server, mut row) = lives.rise();
    assert!(job.get(&server.calls, &lives.approver, &mut row));
    assert_eq!(payload(job.answer.as_ref().unwrap()), first);
    row.print("SIGTERM", "one call answered before it");
    lives.audit.whole(&lives.world);
}
