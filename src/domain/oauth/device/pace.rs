//! How often a device may ask whether somebody has allowed it.
//! In: when it asked, by the monotonic clock. Out: whether that was too soon, and how long it must wait from now on.
//! Implements RFC 8628 §3.5 (`interval`, `slow_down` adds 5 seconds for good).
//! Never forgives: whoever asks too soon waits longer, however long they then stayed away.

use std::time::Duration;

use crate::domain::time::POLL_INTERVAL;

/// The pace of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    last: Duration,
    interval: Duration,
}

impl Pace {
    /// It asks for the first time.
    #[must_use]
    pub const fn first(now: Duration) -> Self {
        Self { last: now, interval: POLL_INTERVAL }
    }

    /// It asks again.
    ///
    /// # Errors
    /// Too soon: the interval that holds from now on.
    pub fn again(&mut self, now: Duration) -> Result<(), Duration> {
        let early = now.saturating_sub(self.last) < self.interval;
        self.last = now;
        if !early {
            return Ok(());
        }
        self.interval = self.interval.saturating_add(POLL_INTERVAL);
        Err(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_too_soon_waits_five_seconds_longer_for_good() {
        let at = Duration::from_secs;
        let mut pace = Pace::first(at(0));
        assert_eq!(pace.again(at(5)), Ok(()));
        assert_eq!(pace.again(at(9)), Err(at(10)));
        assert_eq!(pace.again(at(18)), Err(at(15)));
        assert_eq!(pace.again(at(33)), Ok(()));
        assert_eq!(pace.again(at(47)), Err(at(20)));
    }
}
