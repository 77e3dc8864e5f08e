//! The life of a signing key: published, signing, retired, gone; and what is to be done next with an algorithm's keys.
//! In: keys as they stand, what the operator decided. Out: steps, each with the time from which it is due.
//! Implements DESIGN §9 (rotation), OpenID Connect Core §10.1.1.
//! Never lets a key sign before it was published long enough, unless nothing else could sign; never leaves nobody to sign.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Kid;
use crate::domain::oauth::logout::LOGOUT_TOKEN;
use crate::domain::rules::TokenAlg;
use crate::domain::time::{ACCESS_TOKEN_MOST, ID_TOKEN, LEEWAY, LIFETIME_MOST, Timestamp};

/// Every algorithm that has keys, in the order in which they are listed.
pub const ALGORITHMS: [TokenAlg; 2] = [TokenAlg::Rs256, TokenAlg::Es256];

/// Default of how long a key signs before the next one does.
pub const ROTATE_EVERY: Duration = Duration::from_hours(30 * 24);
/// Least `keys.rotate_every`.
pub const ROTATE_EVERY_LEAST: Duration = Duration::from_hours(2 * 24);
/// Most `keys.rotate_every`.
pub const ROTATE_EVERY_MOST: Duration = Duration::from_hours(90 * 24);
/// Default of how long a key is published before it signs.
pub const PUBLISH_BEFORE: Duration = Duration::from_hours(24);
/// Least `keys.publish_before`: longer than whoever obeys our `Cache-Control` keeps `/jwks`.
pub const PUBLISH_BEFORE_LEAST: Duration = Duration::from_hours(2);
/// Most `keys.publish_before`.
pub const PUBLISH_BEFORE_MOST: Duration = Duration::from_hours(7 * 24);
/// By how much the next key is published earlier than `publish_before` asks for, so that a late round keeps the time all
/// the same.
pub const PUBLISHED_AHEAD: Duration = Duration::from_hours(1);
/// How long a key that signs no more stays published: as long as its last token lives, and what clocks may differ by.
pub const RETIRED_STAYS: Duration = Duration::from_mins(65);
/// The server may have been off for so long without a key's time of publication beginning later.
pub const ABSENCE: Duration = Duration::from_mins(10);

// INVARIANT(retired): whatever our keys sign lives for at most `LIFETIME_MOST`.
const _: () = assert!(LIFETIME_MOST.as_secs() >= ACCESS_TOKEN_MOST.as_secs());
const _: () =
    assert!(LIFETIME_MOST.as_secs() >= ID_TOKEN.as_secs() && LIFETIME_MOST.as_secs() >= LOGOUT_TOKEN.as_secs());
const _: () = assert!(RETIRED_STAYS.as_secs() >= LIFETIME_MOST.as_secs() + 2 * LEEWAY.as_secs());

/// What the operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long it is published before that.
    pub publish_before: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { rotate_every: ROTATE_EVERY, publish_before: PUBLISH_BEFORE }
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It is published, and signs nothing yet.
    Published,
    /// It signs, and is published.
    Signing,
    /// Another one signs; it is published until the last token that it signed has expired.
    Retired,
    /// It is published no more.
    Removed,
    /// It was dropped at once, in an emergency: nothing that it signed is to be believed.
    Revoked,
}

impl KeyState {
    /// As the store spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
        }
    }

    /// Reads what `as_str` gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Published, Self::Signing, Self::Retired, Self::Removed, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// As people read it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Published => "published, signs later",
            Self::Signing => "signs, published",
            Self::Retired => "signs no more, still published",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
        }
    }

    /// Whether `/jwks` has it.
    #[must_use]
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Published | Self::Signing | Self::Retired)
    }
}

/// A key, as far as its steps depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: TokenAlg,
    /// Where it is.
    pub state: KeyState,
    /// Since when; for one that is published, the time from which its publication counts.
    pub since: Timestamp,
}

/// What is done with the keys of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A new key is made and published.
    Publish,
    /// A new key is made and signs at once: there is no other.
    Begin,
    /// This key signs from now on; whichever did is retired.
    Sign(Kid),
    /// This key is published no more.
    Remove(Kid),
}

impl Step {
    /// As people read it, with the verb in the present.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Publish => "a new key is published".to_owned(),
            Self::Begin => "a new key signs at once".to_owned(),
            Self::Sign(kid) => format!("{kid} begins to sign"),
            Self::Remove(kid) => format!("{kid} leaves /jwks"),
        }
    }
}

/// A step, and from when on it is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// What.
    pub step: Step,
    /// From when on.
    pub at: Timestamp,
}

/// Every step that follows from how the keys of an algorithm stand, the first one first. There is always one.
#[must_use]
pub fn upcoming(keys: &[Key], alg: TokenAlg, terms: &Terms) -> Vec<Due> {
    let in_state = |state: KeyState| keys.iter().filter(move |key| key.alg == alg && key.state == state);
    let signing = in_state(KeyState::Signing).next();
    // Longest published first; where several are equally old, the same one every time.
    let next = in_state(KeyState::Published).min_by(|a, b| (a.since, &a.kid).cmp(&(b.since, &b.kid)));
    let turn = match (signing, next) {
        (Some(_), Some(next)) => Due { step: Step::Sign(next.kid.clone()), at: next.since + terms.publish_before },
        (Some(signing), None) => {
            let at = signing.since + terms.rotate_every - terms.publish_before - PUBLISHED_AHEAD;
            Due { step: Step::Publish, at: at.max(signing.since) }
        }
        // Nothing else can sign: at once.
        (None, Some(next)) => Due { step: Step::Sign(next.kid.clone()), at: next.since },
        (None, None) => Due { step: Step::Begin, at: Timestamp::default() },
    };
    let gone = in_state(KeyState::Retired)
        .map(|key| Due { step: Step::Remove(key.kid.clone()), at: key.since + RETIRED_STAYS });
    let mut steps: Vec<Due> = std::iter::once(turn).chain(gone).collect();
    steps.sort_by_key(|due| due.at);
    steps
}

/// What is to be done now with the keys of an algorithm, if anything is.
#[must_use]
pub fn due(keys: &[Key], alg: TokenAlg, terms: &Terms, now: Timestamp) -> Option<Step> {
    upcoming(keys, alg, terms).into_iter().find(|due| due.at <= now).map(|due| due.step)
}

/// From when on a key's publication counts, where the server that publishes it was off after `last`: what nobody could
/// fetch was not published. `None` where it counts as before.
#[must_use]
pub fn counts_from(key: &Key, last: Timestamp, now: Timestamp, terms: &Terms) -> Option<Timestamp> {
    let seen = last.since(key.since);
    let away = now.since(last.max(key.since));
    let short = key.state == KeyState::Published && seen < terms.publish_before && away > ABSENCE;
    short.then(|| key.since + away)
}

/// Why the key that signs is older than it should be, where it is: steps were not done in their time.
#[must_use]
pub fn is_overdue(signing: &Key, now: Timestamp, terms: &Terms) -> bool {
    now.since(signing.since) > terms.rotate_every
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALG: TokenAlg = TokenAlg::Rs256;

    fn kid(number: usize) -> Kid {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        Kid::parse(&data_encoding::BASE64URL_NOPAD.encode(&bytes)).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_430_400) + Duration::from_secs(seconds)
    }

    /// An algorithm's keys, what each did and when, and a server that does what is due in each of its rounds.
    struct World {
        keys: Vec<Key>,
        /// Since when each key was published and could be fetched, less what nobody could.
        published: Vec<Duration>,
        terms: Terms,
        now: Timestamp,
        signed: Vec<(Kid, Timestamp)>,
    }

    impl World {
        fn new(terms: Terms) -> Self {
            let mut world = Self { keys: Vec::new(), published: Vec::new(), terms, now: at(0), signed: Vec::new() };
            world.round();
            world
        }

        fn add(&mut self, state: KeyState) {
            let kid = kid(self.keys.len());
            self.keys.push(Key { kid, alg: ALG, state, since: self.now });
            self.published.push(Duration::ZERO);
        }

        fn find(&mut self, kid: &Kid) -> usize {
            self.keys.iter().position(|key| key.kid == *kid).unwrap()
        }

        fn move_to(&mut self, kid: &Kid, state: KeyState) {
            let (found, now) = (self.find(kid), self.now);
            self.keys[found] = Key { state, since: now, ..self.keys[found].clone() };
        }

        fn signing(&self) -> Option<Key> {
            let signing: Vec<_> = self.keys.iter().filter(|key| key.state == KeyState::Signing).collect();
            assert!(signing.len() <= 1, "two keys sign");
            signing.first().map(|key| (*key).clone())
        }

        fn do_step(&mut self, step: Step) {
            match step {
                Step::Publish => self.add(KeyState::Published),
                Step::Begin => {
                    assert!(self.signing().is_none());
                    self.add(KeyState::Signing);
                }
                Step::Sign(kid) => {
                    let found = self.find(&kid);
                    if let Some(before) = self.signing() {
                        assert!(self.published[found] >= self.terms.publish_before, "{:?}", self.published[found]);
                        self.move_to(&before.kid, KeyState::Retired);
                    }
                    self.move_to(&kid, KeyState::Signing);
                }
                Step::Remove(kid) => {
                    let last = self.signed.iter().rev().find(|(by, _)| *by == kid);
                    assert!(last.is_none_or(|(_, at)| *at + LIFETIME_MOST + LEEWAY < self.now), "a token lives");
                    self.move_to(&kid, KeyState::Removed);
                }
            }
        }

        /// One round of the task; then a token of the longest life.
        fn round(&mut self) {
            for _ in 0..10 {
                let Some(step) = due(&self.keys, ALG, &self.terms, self.now) else { break };
                self.do_step(step);
            }
            assert_eq!(due(&self.keys, ALG, &self.terms, self.now), None, "it comes to an end");
            let signing = self.signing().expect("somebody signs");
            self.signed.push((signing.kid, self.now));
            assert!(self.keys.iter().filter(|key| key.state.is_published()).count() <= 3);
            for (kid, at) in self.signed.iter().rev().take(8) {
                let key = self.keys.iter().find(|key| key.kid == *kid).unwrap();
                assert!(key.state.is_published() || *at + LIFETIME_MOST < self.now, "a token lost its key");
            }
        }

        fn pass(&mut self, span: Duration) {
            self.now = self.now + span;
            for (key, published) in self.keys.iter().zip(&mut self.published) {
                if key.state == KeyState::Published {
                    *published += span;
                }
            }
        }

        /// The server is off, from its newest entry on.
        fn off(&mut self, span: Duration) {
            let last = self.now;
            self.now = self.now + span;
            let moved: Vec<_> = self.keys.iter().map(|key| counts_from(key, last, self.now, &self.terms)).collect();
            for (key, from) in self.keys.iter_mut().zip(moved) {
                key.since = from.unwrap_or(key.since);
            }
        }
    }

    fn terms() -> impl Strategy<Value = Terms> {
        (2_u64..=168, 0_u64..=1992).prop_map(|(before, more)| {
            let publish_before = Duration::from_hours(before);
            let least = ROTATE_EVERY_LEAST.max(publish_before * 2);
            Terms { rotate_every: (least + Duration::from_hours(more)).min(ROTATE_EVERY_MOST), publish_before }
        })
    }

    #[derive(Debug, Clone)]
    enum Act {
        Pass(u64),
        Off(u64),
        ByHand,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            6 => (1_u64..=30).prop_map(Act::Pass),
            1 => (1_u64..=5_000).prop_map(Act::Off),
            1 => Just(Act::ByHand),
        ];
        proptest::collection::vec(act, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The round's own assertions are the property: one key signs, after it was published long enough and could be
        /// fetched meanwhile, and stays until its last token is over.
        #[test]
        fn attack_099_one_key_signs_and_each_is_published_before_and_after(terms in terms(), acts in acts()) {
            let mut world = World::new(terms);
            for act in acts {
                match act {
                    // Rounds of a running server are close together.
                    Act::Pass(halves) => for _ in 0..halves {
                        world.pass(Duration::from_mins(30));
                        world.round();
                    },
                    Act::Off(hours) => {
                        world.off(Duration::from_hours(hours));
                        world.round();
                    }
                    Act::ByHand => {
                        if world.keys.iter().all(|key| key.state != KeyState::Published) {
                            world.add(KeyState::Published);
                        }
                        world.round();
                    }
                }
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// A server that is never off: no key signs for longer than it should, and never for 90 days.
        #[test]
        fn a_key_that_signs_is_never_older_than_it_should_be(terms in terms(), minutes in 10_u64..=14) {
            let mut world = World::new(terms);
            let end = world.now + terms.rotate_every * 3;
            let mut seen = std::collections::BTreeSet::new();
            while world.now < end {
                world.pass(Duration::from_mins(minutes * 2));
                // Rounds are what is looked at; between them nothing is done.
                let signing = world.signing().unwrap();
                prop_assert!(!is_overdue(&signing, world.now, &terms), "{:?}", world.now.since(signing.since));
                prop_assert!(world.now.since(signing.since) <= ROTATE_EVERY_MOST);
                world.round();
                seen.insert(signing.kid.to_string());
            }
            prop_assert!(seen.len() >= 3);
        }
    }

    #[test]
    fn a_new_key_is_published_in_time_signs_in_its_time_and_the_old_one_goes_in_its_time() {
        let terms = Terms::default();
        let mut world = World::new(terms);
        let first = world.signing().unwrap();
        let published = first.since + ROTATE_EVERY - PUBLISH_BEFORE - PUBLISHED_AHEAD;
        assert_eq!(upcoming(&world.keys, ALG, &terms), [Due { step: Step::Publish, at: published }]);
        assert_eq!(due(&world.keys, ALG, &terms, published - Duration::from_millis(1)), None);
        world.pass(published.since(world.now));
        world.round();
        let signs = published + PUBLISH_BEFORE;
        assert_eq!(upcoming(&world.keys, ALG, &terms), [Due { step: Step::Sign(kid(1)), at: signs }]);
        world.pass(PUBLISH_BEFORE);
        world.round();
        assert_eq!(world.signing().unwrap().kid, kid(1));
        let steps = upcoming(&world.keys, ALG, &terms);
        assert_eq!(steps[0], Due { step: Step::Remove(kid(0)), at: signs + RETIRED_STAYS });
        assert_eq!(steps[1].step, Step::Publish);
        assert_eq!(
            upcoming(&world.keys, TokenAlg::Es256, &terms)[0].step,
            Step::Begin,
            "another algorithm has its own"
        );
    }

    #[test]
    fn a_server_that_was_off_for_long_publishes_first_and_signs_with_what_it_has_meanwhile() {
        let mut world = World::new(Terms::default());
        world.off(Duration::from_hours(400 * 24));
        assert!(is_overdue(&world.signing().unwrap(), world.now, &world.terms));
        world.round();
        assert_eq!(world.signing().unwrap().kid, kid(0), "the old one signs on");
        assert_eq!(world.keys[1].state, KeyState::Published);
        // Off again before anybody could fetch the new one: that time does not count.
        world.pass(Duration::from_hours(3));
        world.off(Duration::from_hours(100));
        world.round();
        assert_eq!(world.signing().unwrap().kid, kid(0));
        world.pass(Duration::from_hours(21));
        world.round();
        assert_eq!(world.signing().unwrap().kid, kid(1), "3 h before and 21 h after are enough");
    }

    #[test]
    fn an_absence_counts_only_for_a_key_that_was_not_published_long_enough() {
        let terms = Terms::default();
        let key = |state| Key { kid: kid(0), alg: ALG, state, since: at(0) };
        let from = |state, last, now| counts_from(&key(state), at(last), at(now), &terms);
        assert_eq!(from(KeyState::Published, 3_600, 7_200), Some(at(3_600)));
        assert_eq!(from(KeyState::Published, 3_600, 3_600 + ABSENCE.as_secs()), None, "a restart");
        assert_eq!(from(KeyState::Published, 86_400, 864_000), None, "it was published long enough");
        assert_eq!(from(KeyState::Signing, 3_600, 864_000), None);
        let before = Timestamp::from_seconds(0);
        assert_eq!(counts_from(&key(KeyState::Published), before, at(7_200), &terms), Some(at(7_200)));
    }

    #[test]
    fn where_nobody_signs_whoever_is_there_does_and_else_a_new_one() {
        let terms = Terms::default();
        assert_eq!(due(&[], ALG, &terms, at(0)), Some(Step::Begin));
        let key = |number, state, since| Key { kid: kid(number), alg: ALG, state, since: at(since) };
        let keys = [key(0, KeyState::Published, 9), key(1, KeyState::Published, 3), key(2, KeyState::Revoked, 1)];
        assert_eq!(due(&keys, ALG, &terms, at(10)), Some(Step::Sign(kid(1))));
        assert_eq!(due(&keys[2..], ALG, &terms, at(10)), Some(Step::Begin));
    }

    #[test]
    fn every_state_reads_back() {
        for state in [KeyState::Published, KeyState::Signing, KeyState::Retired, KeyState::Removed, KeyState::Revoked] {
            assert_eq!(KeyState::parse(state.as_str()), Some(state));
        }
        assert_eq!(KeyState::parse("signs"), None);
    }
}
