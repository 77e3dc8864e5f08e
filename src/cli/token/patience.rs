//! How long to wait, and what to say meanwhile.
//! In: moments on the monotonic clock. Out: lines for a terminal or a job log, and the next hold.
//! Implements SCREENS' terminal rules (a line a change, then a line a minute).
//! Never waits by itself, but for `pause`.

use std::sync::mpsc;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// The longest hold that is asked for (`Prefer: wait`, RFC 7240).
pub const HOLD: Duration = Duration::from_secs(50);
/// How often a terminal is redrawn.
pub const TICK: Duration = Duration::from_secs(1);
/// How long a server that does not answer is asked again, while no request lives.
pub const UNREACHABLE: Duration = Duration::from_mins(2);
/// Longest pause between two attempts.
const BACKOFF_MOST: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_mins(1);
/// A difference between the clocks that is worth a line.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// A request that waits for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// When it was first seen waiting.
    pub since: Duration,
    /// When it ends.
    pub ends: Duration,
    /// When a job log last had a line.
    told: Duration,
}

/// A line, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingLine {
    /// One that the next one replaces.
    Drawn(String),
    /// One that stays.
    Line(String),
}

impl Waiting {
    /// A request first seen at `now`.
    pub const fn new(now: Duration, expires_in: Duration) -> Self {
        Self { since: now, ends: now.saturating_add(expires_in), told: now }
    }

    /// The server said again how long it lives.
    pub const fn renewed(&mut self, now: Duration, expires_in: Duration) {
        self.ends = now.saturating_add(expires_in);
    }

    /// What to say now.
    pub fn tell(&mut self, now: Duration, terminal: bool) -> Option<WaitingLine> {
        let left = clock(self.ends.saturating_sub(now));
        if terminal {
            return Some(WaitingLine::Drawn(format!("waiting · {left} left")));
        }
        if now.saturating_sub(self.told) < MINUTE {
            return None;
        }
        self.told = now;
        Some(WaitingLine::Line(format!("still waiting · {left} left")))
    }
}

/// `12:00`, or `1:02:03`.
pub fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The line about clocks that differ.
pub fn clocks_apart(ours: Timestamp, theirs: Timestamp, host: &str) -> Option<String> {
    let (apart, word) = if ours > theirs { (ours.since(theirs), "ahead of") } else { (theirs.since(ours), "behind") };
    (apart > CLOCKS_APART).then(|| format!("this machine's clock is {} s {word} {host}'s", apart.as_secs()))
}

/// How long to pause after so many failures in a row: 1, 2, 4 … 30 s, or what the server asks for if that is longer.
pub fn backoff(failures: u32, retry_after: Option<Duration>) -> Duration {
    let grown =
        Duration::from_secs(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX)).min(BACKOFF_MOST);
    grown.max(retry_after.unwrap_or(Duration::ZERO).min(2 * MINUTE))
}

/// Pauses. Nobody ever sends: what is waited for is the time, between two calls that the server wants apart.
pub fn pause(span: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(span);
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_job_log_has_a_line_a_minute() {
        let mut waiting = Waiting::new(at(10), at(900));
        let lines: Vec<_> =
            (10..=200).filter_map(|second| waiting.tell(at(second), false).map(|told| (second, told))).collect();
        let line = |text: &str| WaitingLine::Line(text.to_owned());
        let expected = [
            (70, line("still waiting · 14:00 left")),
            (130, line("still waiting · 13:00 left")),
            (190, line("still waiting · 12:00 left")),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_terminal_is_redrawn_each_time() {
        let mut waiting = Waiting::new(at(0), at(900));
        assert_eq!(waiting.tell(at(0), true), Some(WaitingLine::Drawn("waiting · 15:00 left".to_owned())));
        waiting.renewed(at(100), at(5));
        assert_eq!(waiting.tell(at(101), true), Some(WaitingLine::Drawn("waiting · 0:04 left".to_owned())));
        assert_eq!(waiting.tell(at(999), true), Some(WaitingLine::Drawn("waiting · 0:00 left".to_owned())));
        assert_eq!(clock(at(3723)), "1:02:03");
    }

    #[test]
    fn clocks_are_compared_beyond_five_seconds() {
        let at = Timestamp::from_seconds;
        assert_eq!(clocks_apart(at(100), at(105), "s.example"), None);
        let line = |ours, theirs| clocks_apart(at(ours), at(theirs), "s.example").unwrap();
        assert_eq!(line(100, 112), "this machine's clock is 12 s behind s.example's");
        assert_eq!(line(112, 100), "this machine's clock is 12 s ahead of s.example's");
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let grown: Vec<_> = (1..8).map(|failures| backoff(failures, None).as_secs()).collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff(1, Some(at(20))), at(20));
        assert_eq!(backoff(1, Some(at(100_000))), at(120), "a server cannot park a job for a day");
        assert_eq!(backoff(u32::MAX, None), at(30));
    }
}
