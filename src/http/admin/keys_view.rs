//! The view of our own keys, with the line of the log key that verifiers pin.
//! In: keys. Out: `KeysView`, a template.
//! Implements the screen of `/admin/keys`.
//! Never shows anything secret: where it is kept, at most.

use askama::Template;

use crate::app::list_keys::{KeysSeen, NextLine, SigningKeyLine};
use crate::app::use_session::SignedIn;
use crate::domain::ids::Kid;
use crate::domain::keys::{KeyState, Step};
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, by_four, grouped, visible};

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRow {
    kid: String,
    spoken: String,
    alg: &'static str,
    tone: &'static str,
    state: &'static str,
    since: Moment,
    signs: Option<Moment>,
    until: Option<Moment>,
    number: String,
}

impl KeyRow {
    fn new(line: &SigningKeyLine, now: Timestamp) -> Self {
        Self {
            kid: line.kid.to_string(),
            spoken: by_four(line.kid.as_str()),
            alg: line.alg.as_str(),
            tone: match line.state {
                KeyState::Signing => "good",
                KeyState::Revoked => "stop",
                KeyState::Published | KeyState::Retired | KeyState::Removed => "quiet",
            },
            state: line.state.words(),
            since: Moment::new(line.since, now),
            // The first of an algorithm signed at once.
            signs: line.signs.filter(|at| *at != line.since).map(|at| Moment::new(at, now)),
            until: line.until.map(|at| Moment::new(at, now)),
            number: grouped(line.entry),
        }
    }
}

/// What is done next with the keys of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NextRow {
    alg: &'static str,
    /// Which key, as it is written and as it is spoken.
    kid: Option<(String, String)>,
    what: &'static str,
    at: Moment,
}

impl NextRow {
    fn new(line: &NextLine, now: Timestamp) -> Self {
        let both = |kid: &Kid| (kid.to_string(), by_four(kid.as_str()));
        let (kid, what) = match &line.due.step {
            Step::Publish => (None, "a new key is published"),
            Step::Begin => (None, "a new key signs at once"),
            Step::Sign(kid) => (Some(both(kid)), "begins to sign"),
            Step::Remove(kid) => (Some(both(kid)), "leaves /jwks"),
        };
        Self { alg: line.alg.as_str(), kid, what, at: Moment::new(line.due.at, now) }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/keys.html")]
pub struct KeysView {
    host: String,
    now: String,
    here: &'static str,
    keys: Vec<KeyRow>,
    next: Vec<NextRow>,
    log_key: String,
    marked: String,
    mark: Visible,
    master_key: Visible,
}

/// The view of our keys.
#[must_use]
pub fn keys_view(host: &str, me: &SignedIn, seen: &KeysSeen) -> KeysView {
    KeysView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "keys",
        keys: seen.signing.iter().map(|line| KeyRow::new(line, me.now)).collect(),
        next: seen.next.iter().map(|line| NextRow::new(line, me.now)).collect(),
        log_key: seen.log_key.clone(),
        marked: seen.mark_words(),
        mark: visible(&seen.mark),
        master_key: visible(&seen.master_key),
    }
}
