//! The clock: the wall's time, the monotonic time, and whether the two have parted.
//! In: the system's clocks, or a hand that steers. Out: `Timestamp`, `Duration`, a step in milliseconds.
//! Implements DESIGN §7's watch over a wall clock that steps.
//! Never decides what a step means: the caller stops issuing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::{CLOCK_STEP, Timestamp};

/// A clock; its clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    base: Arc<Mutex<Reading>>,
}

/// Both clocks, read at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    monotonic: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    System { start: Instant },
    Steered(Arc<Mutex<Reading>>),
}

/// What an `accept` replaced.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Accepted(Reading);

/// Steers a clock in a test, through the library and never through the network.
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<Mutex<Reading>>);

impl Clock {
    /// The system's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one caller of the system's clock")]
    pub fn system() -> Self {
        Self::new(Source::System { start: Instant::now() })
    }

    /// A clock that stands still until its hand moves it.
    #[must_use]
    pub fn steerable(start: Timestamp) -> (Self, ClockHand) {
        let reading = Arc::new(Mutex::new(Reading { wall: start, monotonic: Duration::ZERO }));
        (Self::new(Source::Steered(Arc::clone(&reading))), ClockHand(reading))
    }

    /// The wall's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.source.read().wall
    }

    /// The time since the clock was made; it never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.source.read().monotonic
    }

    /// By how many milliseconds the wall clock has left the monotonic one since the start, or since the last
    /// `accept`, where that is more than `CLOCK_STEP`. Positive is forward.
    #[must_use]
    pub fn step(&self) -> Option<i64> {
        let base = *lock(&self.base);
        let now = self.source.read();
        let wall = now.wall.millis().saturating_sub(base.wall.millis());
        let step = wall.saturating_sub(millis(now.monotonic.saturating_sub(base.monotonic)));
        (step.unsigned_abs() > u64::try_from(millis(CLOCK_STEP)).unwrap_or(0)).then_some(step)
    }

    /// Takes the wall clock as it is from here on; `unaccept` undoes it.
    pub fn accept(&self) -> Accepted {
        Accepted(std::mem::replace(&mut *lock(&self.base), self.source.read()))
    }

    /// Measures again from where it measured before an `accept`.
    pub fn unaccept(&self, before: Accepted) {
        *lock(&self.base) = before.0;
    }

    /// Says what time it has been at least: a wall clock that is behind it has stepped back while nobody watched.
    pub fn expect(&self, at_least: Timestamp) {
        let mut base = lock(&self.base);
        let behind = at_least.millis().saturating_sub(base.wall.millis());
        if behind > millis(CLOCK_STEP) {
            base.wall = at_least;
        }
    }

    fn new(source: Source) -> Self {
        let base = Arc::new(Mutex::new(source.read()));
        Self { source, base }
    }
}

impl Source {
    #[expect(clippy::disallowed_methods, reason = "the one caller of the system's clock")]
    fn read(&self) -> Reading {
        match self {
            Self::System { start } => Reading { wall: timestamp(SystemTime::now()), monotonic: start.elapsed() },
            Self::Steered(reading) => *lock(reading),
        }
    }
}

impl ClockHand {
    /// Lets time pass: both clocks.
    pub fn advance(&self, span: Duration) {
        let mut reading = lock(&self.0);
        reading.wall = reading.wall + span;
        reading.monotonic = reading.monotonic.saturating_add(span);
    }

    /// Sets the wall clock alone, as somebody with a bad time server does.
    pub fn set(&self, wall: Timestamp) {
        lock(&self.0).wall = wall;
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::from_millis(millis(since)),
        Err(before) => Timestamp::from_millis(millis(before.duration()).saturating_neg()),
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A reading is whole even where a thread died beside it.
fn lock(reading: &Mutex<Reading>) -> MutexGuard<'_, Reading> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn time_that_passes_is_no_step() {
        let (clock, hand) = Clock::steerable(Timestamp::from_seconds(1_795_430_400));
        hand.advance(Duration::from_hours(400 * 24));
        assert_eq!(clock.step(), None);
        assert_eq!(clock.monotonic(), Duration::from_hours(400 * 24));
        assert_eq!(clock.now(), Timestamp::from_seconds(1_795_430_400) + clock.monotonic());
    }

    #[test]
    fn a_wall_clock_that_steps_is_noticed_until_it_is_back_or_accepted() {
        let start = Timestamp::from_seconds(1_795_430_400);
        let (clock, hand) = Clock::steerable(start);
        let other = clock.clone();
        hand.set(start + MINUTE);
        assert_eq!(clock.step(), None, "a minute is not more than a minute");
        hand.set(start + MINUTE + Duration::from_millis(1));
        assert_eq!(clock.step(), Some(60_001));
        hand.advance(MINUTE);
        assert_eq!(clock.step(), Some(60_001), "it does not heal by waiting");
        hand.set(start + MINUTE);
        assert_eq!(clock.step(), None, "it is back");
        hand.set(start - MINUTE);
        assert_eq!(clock.step(), Some(-120_000));
        let before = other.accept();
        assert_eq!(clock.step(), None, "clones are one clock");
        clock.unaccept(before);
        assert_eq!(clock.step(), Some(-120_000));
        let _ = clock.accept();
        assert_eq!(clock.step(), None);
        hand.set(start);
        assert_eq!(clock.step(), None);
        hand.set(start + MINUTE);
        assert_eq!(clock.step(), Some(120_000));
    }

    #[test]
    fn a_clock_behind_what_is_known_has_stepped_back() {
        let start = Timestamp::from_seconds(1_795_430_400);
        let (clock, hand) = Clock::steerable(start);
        clock.expect(start - MINUTE);
        clock.expect(start + MINUTE);
        assert_eq!(clock.step(), None, "within what is tolerated");
        clock.expect(start + Duration::from_hours(1));
        assert_eq!(clock.step(), Some(-3_600_000));
        hand.set(start + Duration::from_hours(1));
        assert_eq!(clock.step(), None, "it was set right");
    }

    #[test]
    fn the_systems_clock_goes_forward_and_agrees_with_itself() {
        let clock = Clock::system();
        let first = clock.monotonic();
        assert!(clock.now() > Timestamp::from_seconds(1_700_000_000));
        assert!(clock.monotonic() >= first);
        assert_eq!(clock.step(), None);
    }
}
