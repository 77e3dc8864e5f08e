//! The view of one person: passkeys, groups, users of issuers, sessions, and a form for every act.
//! In: a person, as they were seen. Out: `PersonView`, a template.
//! Implements SCREENS (Admin: People).
//! Never offers what cannot be done about somebody as they are, and never a form to whoever may not propose.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;

use crate::app::list_people::ChangeLine;
use crate::app::show_people::{SeenKey, SeenModel, SeenPerson, Whose};
use crate::app::use_session::SignedIn;
use crate::domain::change::Weight;
use crate::domain::ids::{GroupName, IssuerName};
use crate::domain::people::Role;
use crate::domain::time::Timestamp;
use crate::http::changes::view::when;
use crate::http::me::passkeys_view::{because, strength};
use crate::http::page::{Moment, Visible, visible};

use super::items::{ChangeItem, role_choice, role_word};

/// What the page is made from.
pub struct PersonInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// Whom they look at.
    pub person: SeenPerson,
    /// Changes about that person that wait.
    pub changes: Vec<ChangeLine>,
    /// Their living sessions.
    pub sessions: Vec<SignedIn>,
    /// Groups that a form suggests.
    pub groups: BTreeSet<GroupName>,
    /// The configured issuers.
    pub issuers: Vec<IssuerName>,
    /// How long one admin's signature waits for an objection.
    pub delay: Duration,
}

/// One passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyItem {
    digest: String,
    short: String,
    name: Visible,
    strength: String,
    model: Visible,
    last_used: Option<Moment>,
    added: Moment,
    ended: Option<&'static str>,
    rests: Option<Moment>,
    approves_from: Option<Moment>,
    amr: String,
    acr: &'static str,
    missing: Vec<String>,
}

/// A user of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkItem {
    issuer: String,
    user_id: String,
    whose: Whose,
}

/// When each kind of act takes effect, as parts of sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whens {
    light: String,
    heavy: String,
    recovery: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/person.html")]
pub struct PersonView {
    host: String,
    now: String,
    here: &'static str,
    may_propose: bool,
    id: String,
    name: Visible,
    role: &'static str,
    email: Option<Visible>,
    suspended: Option<Moment>,
    changes: Vec<ChangeItem>,
    keys: Vec<KeyItem>,
    working: usize,
    groups: Vec<String>,
    suggestions: Vec<String>,
    links: Vec<LinkItem>,
    issuers: Vec<String>,
    roles: Vec<(&'static str, &'static str)>,
    sessions: usize,
    session_used: Option<Moment>,
    when: Whens,
}

fn model(model: &SeenModel) -> Visible {
    visible(&match model {
        SeenModel::Proven(name) => format!("{name}, proven by its maker"),
        SeenModel::Claimed(name) => format!("Claims to be {name}"),
        SeenModel::Unsaid => "Does not say what it is".to_owned(),
    })
}

fn ended(why: Option<&'static str>) -> &'static str {
    match why {
        Some("copied") => "It may have been copied: its counter went back.",
        Some("reported") => "It was reported.",
        _ => "It was suspended.",
    }
}

fn key(one: &SeenKey, now: Timestamp) -> KeyItem {
    let (row, assurance) = (&one.key.row, &one.key.assurance);
    let living = row.suspended.is_none();
    let missing = assurance.amr_missing.iter().map(|(value, reason)| format!("not {value}: {}", because(reason)));
    KeyItem {
        short: row.public_key_sha256.short(),
        digest: row.public_key_sha256.to_string(),
        name: visible(&row.name),
        strength: strength(assurance),
        model: model(&one.model),
        last_used: row.last_used.map(|at| Moment::new(at, now)),
        added: Moment::new(row.added, now),
        ended: row.suspended.map(|_| ended(row.suspended_why.map(|why| why.as_str()))),
        rests: row.rests_until.filter(|until| living && *until > now).map(|until| Moment::new(until, now)),
        approves_from: (living && row.approves_from() > now).then(|| Moment::new(row.approves_from(), now)),
        amr: assurance.amr.iter().cloned().collect::<Vec<_>>().join(" "),
        acr: assurance.acr.as_str(),
        missing: missing.collect(),
    }
}

/// The view of a person.
#[must_use]
pub fn person_view(input: &PersonInput<'_>) -> PersonView {
    let (now, line) = (input.me.now, &input.person.line);
    let groups: Vec<_> = line.groups.iter().map(ToString::to_string).collect();
    let suggestions = input.groups.iter().map(ToString::to_string).filter(|group| !groups.contains(group)).collect();
    let links = input.person.links.iter().map(|link| LinkItem {
        issuer: link.issuer.to_string(),
        user_id: link.user_id.clone(),
        whose: link.whose,
    });
    let used = input.sessions.iter().map(|one| one.session.times.last_used).max();
    PersonView {
        host: input.host.to_owned(),
        now: now.to_string(),
        here: "people",
        may_propose: input.me.may_propose().is_ok(),
        id: line.person.to_string(),
        name: visible(&line.name),
        role: role_word(line),
        email: line.email.as_ref().map(|email| visible(email.as_str())),
        suspended: line.suspended.map(|at| Moment::new(at, now)),
        changes: input.changes.iter().map(|one| ChangeItem::new(one, now)).collect(),
        keys: input.person.keys.iter().map(|one| key(one, now)).collect(),
        working: input.person.keys.iter().filter(|one| one.key.row.suspended.is_none()).count(),
        groups,
        suggestions,
        links: links.collect(),
        issuers: input.issuers.iter().map(ToString::to_string).collect(),
        roles: Role::ALL.into_iter().filter(|one| *one != line.role).map(role_choice).collect(),
        sessions: input.sessions.len(),
        session_used: used.map(|at| Moment::new(at, now)),
        when: Whens {
            light: when(Weight::Light, Some(input.delay)),
            heavy: when(Weight::Heavy, Some(input.delay)),
            recovery: when(Weight::Recovery, Some(input.delay)),
        },
    }
}
