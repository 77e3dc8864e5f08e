//! The view of everybody: who there is, what waits for signatures, and a form to invite.
//! In: people and changes, as they were seen. Out: `ListView`, a template.
//! Implements SCREENS (Admin: People; "! You are the only admin. Invite a second.").
//! Never shows a form to whoever may not propose.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;

use crate::app::list_people::ChangeLine;
use crate::app::show_people::{Everybody, SeenPerson};
use crate::app::use_session::SignedIn;
use crate::domain::change::Weight;
use crate::domain::ids::GroupName;
use crate::domain::people::Role;
use crate::http::changes::view::when;
use crate::http::page::{Visible, visible};

use super::items::{ChangeItem, keys_in_words, role_choice, role_word};

/// What the page is made from.
pub struct ListInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// Who there is.
    pub everybody: Everybody,
    /// What waits.
    pub changes: Vec<ChangeLine>,
    /// Groups that a form suggests.
    pub groups: BTreeSet<GroupName>,
    /// How long one admin's signature waits for an objection.
    pub delay: Duration,
}

/// A person, listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonCard {
    id: String,
    name: Visible,
    role: &'static str,
    suspended: bool,
    groups: String,
    keys: String,
    links: Vec<Visible>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/people.html")]
pub struct ListView {
    host: String,
    now: String,
    here: &'static str,
    may_propose: bool,
    alone: bool,
    people: Vec<PersonCard>,
    next: Option<usize>,
    changes: Vec<ChangeItem>,
    groups: Vec<String>,
    roles: Vec<(&'static str, &'static str)>,
    when: String,
}

fn card(person: &SeenPerson) -> PersonCard {
    let line = &person.line;
    PersonCard {
        id: line.person.to_string(),
        name: visible(&line.name),
        role: role_word(line),
        suspended: line.suspended.is_some(),
        groups: line.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        keys: keys_in_words(&person.keys),
        links: line.links.iter().map(|link| visible(link)).collect(),
    }
}

/// The view of everybody.
#[must_use]
pub fn list_view(input: &ListInput<'_>) -> ListView {
    let now = input.me.now;
    ListView {
        host: input.host.to_owned(),
        now: now.to_string(),
        here: "people",
        may_propose: input.me.may_propose().is_ok(),
        alone: input.everybody.alone,
        people: input.everybody.people.iter().map(card).collect(),
        next: input.everybody.next,
        changes: input.changes.iter().map(|line| ChangeItem::new(line, now)).collect(),
        groups: input.groups.iter().map(ToString::to_string).collect(),
        roles: Role::ALL.into_iter().map(role_choice).collect(),
        when: when(Weight::Heavy, Some(input.delay)),
    }
}
