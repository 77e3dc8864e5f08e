//! The view of the issuers: their keys, what the last fetch came to, whom they admit.
//! In: issuers. Out: `IssuersView`, a template.
//! Implements the screen of `/admin/issuers`.
//! Never shows what hides: key ids are the issuer's words.

use askama::Template;

use crate::app::list_issuers::{IssuerLine, clock_words};
use crate::app::use_session::SignedIn;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, grouped, left, visible};

/// What a fetch failed at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailureRow {
    at: Moment,
    field: Visible,
    problem: Visible,
    cure: Visible,
}

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IssuerRow {
    name: String,
    url: Visible,
    class: &'static str,
    state: &'static str,
    pinned: bool,
    keys: Vec<(Visible, &'static str)>,
    fetched: Option<Moment>,
    next: Option<String>,
    failure: Option<FailureRow>,
    logged: Option<(String, Moment)>,
    admits: Visible,
    clock: Option<String>,
    clock_differs: bool,
}

impl IssuerRow {
    fn new(line: &IssuerLine, now: Timestamp) -> Self {
        let failure = line.failure.as_ref().map(|failure| FailureRow {
            at: Moment::new(failure.at, now),
            field: visible(&failure.field),
            problem: visible(&failure.problem),
            cure: visible(&line.cure()),
        });
        let (class, state) = match (line.usable, &failure) {
            (true, None) if line.pinned => ("good", "✓ pinned"),
            (true, None) => ("good", "✓ answers"),
            (true, Some(_)) => ("warn", "! its last keys still serve"),
            (false, Some(_)) => ("stop", "✕ no keys"),
            (false, None) => ("quiet", "not asked yet"),
        };
        Self {
            name: line.name.to_string(),
            url: visible(&line.url),
            class,
            state,
            pinned: line.pinned,
            keys: line.keys.iter().map(|key| (visible(&key.kid), key.alg.as_str())).collect(),
            fetched: line.fetched.map(|at| Moment::new(at, now)),
            next: line.next.map(|at| left(at, now)),
            failure,
            logged: line.logged.map(|(entry, at)| (grouped(entry), Moment::new(at, now))),
            admits: visible(&line.admits()),
            clock: line.clock_ahead.map(clock_words),
            clock_differs: line.clock_ahead.is_some_and(|ahead| ahead != 0),
        }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/issuers.html")]
pub struct IssuersView {
    host: String,
    now: String,
    here: &'static str,
    issuers: Vec<IssuerRow>,
}

/// The view of the issuers.
#[must_use]
pub fn issuers_view(host: &str, me: &SignedIn, lines: &[IssuerLine]) -> IssuersView {
    IssuersView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "issuers",
        issuers: lines.iter().map(|line| IssuerRow::new(line, me.now)).collect(),
    }
}
