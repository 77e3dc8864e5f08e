//! Where a device's request stands: it waits, somebody allowed or denied it, its tokens were fetched.
//! In: a standing, what a person or the device does, the time. Out: the standing after that, or why nothing changes.
//! Implements RFC 8628 §3.3, §3.5.
//! Never lets a decision be taken twice, nor tokens be fetched twice.

use crate::domain::time::{DEVICE_COLLECT, Timestamp};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has decided.
    Waiting,
    /// Somebody allowed it: the grant of that entry began.
    Allowed {
        /// The entry.
        grant: u64,
    },
    /// Somebody denied it.
    Denied,
    /// The device fetched the first tokens of that grant.
    Fetched {
        /// The entry.
        grant: u64,
    },
}

/// A device's request in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub stage: Stage,
    /// The last moment at which somebody may decide.
    pub ends: Timestamp,
}

/// What a device that asks is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollAnswer {
    /// Nobody has decided yet.
    Pending,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time, or it fetched nothing in time.
    Expired,
    /// The tokens of this grant are to be fetched.
    Fetch {
        /// The entry that began it.
        grant: u64,
    },
    /// They were fetched before: somebody has the code who should not.
    Replay {
        /// The entry that began what ends now.
        grant: u64,
    },
}

/// Nobody can decide (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

impl Standing {
    /// A request that nobody has decided.
    #[must_use]
    pub const fn waiting(ends: Timestamp) -> Self {
        Self { stage: Stage::Waiting, ends }
    }

    /// Whether somebody may decide now.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.stage == Stage::Waiting && now <= self.ends
    }

    /// Somebody allows it; the grant of that entry begins.
    ///
    /// # Errors
    /// It was decided, or its time is over.
    pub fn allow(self, grant: u64, now: Timestamp) -> Result<Self, Over> {
        self.decide(Stage::Allowed { grant }, now)
    }

    /// Somebody denies it, for good.
    ///
    /// # Errors
    /// It was decided, or its time is over.
    pub fn deny(self, now: Timestamp) -> Result<Self, Over> {
        self.decide(Stage::Denied, now)
    }

    fn decide(self, stage: Stage, now: Timestamp) -> Result<Self, Over> {
        if self.is_open(now) { Ok(Self { stage, ..self }) } else { Err(Over) }
    }

    /// The device asks.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> PollAnswer {
        match self.stage {
            // Whoever was denied reads that however late they ask.
            Stage::Denied => PollAnswer::Denied,
            Stage::Fetched { grant } => PollAnswer::Replay { grant },
            Stage::Waiting if now <= self.ends => PollAnswer::Pending,
            // What was allowed at the last moment can still be fetched.
            Stage::Allowed { grant } if now <= self.ends + DEVICE_COLLECT => PollAnswer::Fetch { grant },
            Stage::Waiting | Stage::Allowed { .. } => PollAnswer::Expired,
        }
    }

    /// The device has fetched what it was told to fetch.
    #[must_use]
    pub fn fetched(self, now: Timestamp) -> Option<Self> {
        match self.told(now) {
            PollAnswer::Fetch { grant } => Some(Self { stage: Stage::Fetched { grant }, ..self }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_430_400) + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_allowed_is_fetched_once() {
        let waiting = Standing::waiting(at(600));
        assert_eq!(waiting.told(at(600)), PollAnswer::Pending);
        let allowed = waiting.allow(7, at(600)).unwrap();
        assert_eq!(allowed.told(at(660)), PollAnswer::Fetch { grant: 7 });
        assert_eq!(allowed.told(at(661)), PollAnswer::Expired);
        assert_eq!(allowed.fetched(at(661)), None);
        let fetched = allowed.fetched(at(600)).unwrap();
        assert_eq!(fetched.told(at(601)), PollAnswer::Replay { grant: 7 });
        assert_eq!(fetched.fetched(at(601)), None);
        assert_eq!(waiting.fetched(at(1)), None);
    }

    #[test]
    fn attack_077_a_decision_is_final_and_in_time() {
        let waiting = Standing::waiting(at(600));
        assert_eq!(waiting.allow(7, at(601)), Err(Over));
        assert_eq!(waiting.deny(at(601)), Err(Over));
        assert_eq!(waiting.told(at(601)), PollAnswer::Expired);
        let denied = waiting.deny(at(1)).unwrap();
        assert_eq!(denied.allow(7, at(2)), Err(Over));
        for later in [2, 600, 601, 100_000] {
            assert_eq!(denied.told(at(later)), PollAnswer::Denied, "{later}");
        }
        assert_eq!(waiting.allow(7, at(1)).unwrap().deny(at(2)), Err(Over));
    }

    proptest! {
        /// Whatever people and the device do, in whatever order: there is one decision at most, and one fetch at most.
        #[test]
        fn one_decision_and_one_fetch(steps in prop::collection::vec((0_u8..3, 0_u64..200), 1..30)) {
            let (mut standing, mut seconds, mut decided, mut fetched) = (Standing::waiting(at(600)), 0, 0, 0);
            for (step, pause) in steps {
                seconds += pause;
                let next = match step {
                    0 => standing.allow(1, at(seconds)).ok(),
                    1 => standing.deny(at(seconds)).ok(),
                    _ => standing.fetched(at(seconds)),
                };
                if let Some(next) = next {
                    if step == 2 { fetched += 1 } else { decided += 1 }
                    standing = next;
                }
            }
            prop_assert!(decided <= 1 && fetched <= decided);
        }
    }
}
