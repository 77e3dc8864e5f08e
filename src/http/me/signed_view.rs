//! The view of what a person signed: one row a decision.
//! In: decisions, newest first. Out: `SignedView`, a template.
//! Implements the screen of `/me/signed`.
//! Never shows what hides.

use askama::Template;

use crate::app::show_signed::SignedDecision;
use crate::app::use_session::SignedIn;
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;
use crate::http::approval::view::JobDisplay;
use crate::http::page::{Moment, Visible, grouped, visible};

/// What the page is made from.
pub struct SignedInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// The decisions.
    pub items: Vec<SignedItem>,
    /// There are older ones.
    pub more: bool,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedItem {
    /// Yes or no.
    pub approved: bool,
    /// Where.
    pub project: Visible,
    /// For what.
    pub environment: Option<Visible>,
    /// When.
    pub at: Moment,
    /// Our number of the passkey.
    pub passkey: i64,
    /// Its name.
    pub device: Visible,
    /// It signs nothing any more.
    pub ended: bool,
    /// The log entry.
    pub entry: u64,
    /// The same, as people read it.
    pub number: String,
    /// The link of the request.
    pub request: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "me/signed.html")]
pub struct SignedView {
    host: String,
    now: String,
    here: &'static str,
    sees_admin: bool,
    name: Visible,
    items: Vec<SignedItem>,
    more: Option<u64>,
}

/// One decision, as pages show it.
#[must_use]
pub fn signed_item(one: &SignedDecision, display: &JobDisplay, now: Timestamp) -> SignedItem {
    let request = &one.request.request;
    SignedItem {
        approved: one.decision.choice == Choice::Approve,
        project: visible(display.project(request)),
        environment: request.job_claim("environment").filter(|name| !name.is_empty()).map(visible),
        at: Moment::new(one.decision.at, now),
        passkey: one.passkey.id,
        device: visible(&one.passkey.name),
        ended: one.passkey.suspended.is_some(),
        entry: one.decision.entry,
        number: grouped(one.decision.entry),
        request: request.id.as_str().to_owned(),
    }
}

/// The view of a person's decisions.
#[must_use]
pub fn signed_view(input: SignedInput<'_>) -> SignedView {
    let SignedInput { host, me, items, more } = input;
    SignedView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "signed",
        sees_admin: me.sees_administration(),
        name: visible(&me.person.name),
        more: items.last().map(|item| item.entry).filter(|_| more),
        items,
    }
}
