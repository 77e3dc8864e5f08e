//! What the drill prints: one line a step or fault, and the numbers that the next run can be given.
//! In: what was sent and answered. Out: lines on stdout, and in the file that `COUNTERSIGN_DRILL_TABLE` names.
//! Implements nothing.
//! Never judges: whatever is lost is a panic before its line is printed.

use std::io::Write as _;
use std::time::Duration;

use countersign::crypto::random;

/// How much is done: the short form with every test run, the full one by `tests/drill`.
pub fn is_full() -> bool {
    std::env::var_os("COUNTERSIGN_DRILL").is_some_and(|form| form == "full")
}

/// A number that the caller may set.
pub fn number(name: &str, short: u64, full: u64) -> u64 {
    let set = std::env::var(name).ok().and_then(|text| text.parse().ok());
    set.unwrap_or(if is_full() { full } else { short })
}

/// Chance that can be had again: splitmix64 (Steele and others, 2014).
pub struct Chance(u64);

impl Chance {
    /// By `COUNTERSIGN_DRILL_SEED`, or anew; says so.
    pub fn new(test: &str) -> Self {
        let fresh = || u64::from_ne_bytes(random::bytes().unwrap()) >> 1;
        let set = std::env::var("COUNTERSIGN_DRILL_SEED").ok().and_then(|text| text.parse().ok());
        let seed = set.unwrap_or_else(fresh);
        println!("{test}: COUNTERSIGN_DRILL_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 1 up to and with `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.next() % most + 1
    }
}

/// What came of one fault.
#[derive(Default, Clone)]
pub struct Row {
    /// Calls for a token.
    pub sent: u64,
    /// Of these, answered with one.
    pub tokens: u64,
    /// Of these, answered with "not now", "no" or "wait".
    pub others: u64,
    /// Of these, never answered; asked again afterwards.
    pub silent: u64,
    /// From the start of the process, or from the end of the fault, until `/readyz` says yes.
    pub ready: Vec<Duration>,
}

impl Row {
    pub fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.tokens += more.tokens;
        self.others += more.others;
        self.silent += more.silent;
        self.ready.extend(more.ready);
    }

    /// Prints the line; whoever prints has found that nothing is lost.
    pub fn print(mut self, group: &str, fault: &str) {
        self.ready.sort();
        let at = |part: usize| self.ready.get((self.ready.len().saturating_sub(1)) * part / 2).map(|d| d.as_millis());
        let ready = match (at(1), at(2)) {
            (Some(_), Some(most)) if self.ready.len() == 1 => format!("{most} ms"),
            (Some(middle), Some(most)) => format!("{middle} ms, at most {most} ms"),
            _ => "at once".to_owned(),
        };
        let Self { sent, tokens, others, silent, .. } = self;
        line(&format!("| {group} | {fault} | {sent} | {tokens} | {others} | {silent} | nothing | {ready} |"));
    }
}

fn line(line: &str) {
    println!("{line}");
    let Some(path) = std::env::var_os("COUNTERSIGN_DRILL_TABLE") else { return };
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
