//! The one showing of an enrolment link that waits for admins: for whom, when it works, and the way to sign.
//! In: the change and the link. Out: `LinkView`, what stands inside `<main>`.
//! Implements SCREENS (Admin), DESIGN §11: whoever proposes hands the link over.
//! Never made twice: the server keeps the link's digest alone.

use askama::Template;

use crate::domain::change::{Act, Concern};
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, visible};

/// What it is made from.
pub struct LinkInput<'a> {
    /// What admins are asked to sign, about whom.
    pub concern: &'a Concern,
    /// Until when they may.
    pub sign_by: Timestamp,
    /// The link for the person.
    pub link: &'a str,
    /// The path of the change's page.
    pub location: &'a str,
    /// The time of this answer.
    pub now: Timestamp,
}

/// What stands inside `<main>`.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/link.html")]
pub struct LinkView {
    name: Visible,
    words: Visible,
    link: String,
    location: String,
    recovery: bool,
    sign_by: Moment,
}

/// The view of a link that is shown once.
#[must_use]
pub fn link_view(input: &LinkInput<'_>) -> LinkView {
    LinkView {
        name: visible(&input.concern.name),
        words: visible(&input.concern.words()),
        link: input.link.to_owned(),
        location: input.location.to_owned(),
        recovery: matches!(input.concern.act, Act::Recover { .. }),
        sign_by: Moment::new(input.sign_by, input.now),
    }
}
