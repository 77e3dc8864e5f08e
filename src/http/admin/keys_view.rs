//! The view of our own keys, with the line of the log key that verifiers pin.
//! In: keys. Out: `KeysView`, a template.
//! Implements the screen of `/admin/keys`.
//! Never shows anything secret: where it is kept, at most.

use askama::Template;

use crate::app::list_keys::{KeyState, KeysSeen, SigningKeyLine};
use crate::app::use_session::SignedIn;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, by_four, grouped, visible};

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRow {
    kid: String,
    spoken: String,
    alg: &'static str,
    signs: bool,
    state: &'static str,
    since: Moment,
    until: Option<Moment>,
    number: String,
}

impl KeyRow {
    fn new(line: &SigningKeyLine, now: Timestamp) -> Self {
        Self {
            kid: line.kid.to_string(),
            spoken: by_four(line.kid.as_str()),
            alg: line.alg.as_str(),
            signs: line.state == KeyState::Signs,
            state: line.state.words(),
            since: Moment::new(line.since, now),
            until: line.until.map(|at| Moment::new(at, now)),
            number: grouped(line.entry),
        }
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
        log_key: seen.log_key.clone(),
        marked: seen.mark_words(),
        mark: visible(&seen.mark),
        master_key: visible(&seen.master_key),
    }
}
