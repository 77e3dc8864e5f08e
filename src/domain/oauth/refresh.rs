//! Whose turn a refresh token has: the one that may be used, the one whose answer was lost, an old one.
//! In: what is known of its family, the token's digest, the time. Out: one word.
//! Implements RFC 6749 §6, RFC 9700 §4.14 (rotation, reuse detection), DESIGN §10.
//! Never lets a family have two tokens that can both be used.

use crate::domain::ids::Digest;
use crate::domain::time::{REFRESH_GRACE, REFRESH_TOGETHER, Timestamp};

/// What is known of a family of refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The one that may be used.
    pub current: Digest,
    /// The one that was used last, and when it was used for the first time.
    pub before: Option<(Digest, Timestamp)>,
}

/// What a refresh token is when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The one that may be used: a successor takes its place.
    Now,
    /// The one before it, whose answer was lost: another successor takes the place of one that was never used.
    Lost,
    /// The one before it, at the same time: its successor is on its way.
    Together,
    /// An old one, or one that was replaced: somebody has it who should not.
    Replay,
}

impl Family {
    /// A family with its first token.
    #[must_use]
    pub const fn new(first: Digest) -> Self {
        Self { current: first, before: None }
    }

    /// Whose turn a token of this family has.
    #[must_use]
    pub fn turn(&self, token: Digest, now: Timestamp) -> Turn {
        if token == self.current {
            return Turn::Now;
        }
        match self.before.filter(|(before, _)| *before == token).map(|(_, used)| now.since(used)) {
            Some(since) if since < REFRESH_TOGETHER => Turn::Together,
            Some(since) if since <= REFRESH_GRACE => Turn::Lost,
            _ => Turn::Replay,
        }
    }

    /// The family once a token had its turn; a replay ends it, and one that came together changes nothing.
    #[must_use]
    pub const fn after(self, turn: Turn, successor: Digest, now: Timestamp) -> Option<Self> {
        match turn {
            Turn::Now => Some(Self { current: successor, before: Some((self.current, now)) }),
            Turn::Lost => Some(Self { current: successor, before: self.before }),
            Turn::Together => Some(self),
            Turn::Replay => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_430_400) + Duration::from_millis(millis)
    }

    fn token(number: usize) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn a_lost_answer_is_answered_between_one_and_ten_seconds_later() {
        let family = Family::new(token(0)).after(Turn::Now, token(1), at(0)).unwrap();
        for (millis, turn) in [
            (0, Turn::Together),
            (999, Turn::Together),
            (1_000, Turn::Lost),
            (10_000, Turn::Lost),
            (10_001, Turn::Replay),
        ] {
            assert_eq!(family.turn(token(0), at(millis)), turn, "{millis}");
            assert_eq!(family.turn(token(1), at(millis)), Turn::Now);
            assert_eq!(family.turn(token(2), at(millis)), Turn::Replay);
        }
    }

    proptest! {
        /// Whatever comes, in whatever order and however soon: of all tokens that were ever given one can be used; and once
        /// two of one answer are both used, the family ends.
        #[test]
        fn a_family_never_has_two_branches(steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..12_000), 1..40)) {
            let (mut family, mut given, mut millis) = (Some(Family::new(token(0))), 1, 0);
            let mut used = std::collections::BTreeSet::new();
            for (which, pause) in steps {
                millis += pause;
                let Some(known) = family else { break };
                let living = (0..given).filter(|one| known.turn(token(*one), at(millis)) == Turn::Now).count();
                prop_assert_eq!(living, 1);
                let brought = which.index(given);
                let turn = known.turn(token(brought), at(millis));
                prop_assert!(turn != Turn::Now || used.insert(brought), "a token had two turns of its own");
                let next = known.after(turn, token(given), at(millis));
                if matches!(turn, Turn::Now | Turn::Lost) {
                    given += 1;
                }
                family = next;
            }
        }
    }
}
