//! Home's view: one card a request, grouped by pipeline; the last decisions; what an admin must know.
//! In: requests, decisions, findings. Out: `HomeView`, a template with its list as a block.
//! Implements the screen of `/`.
//! Never decides who may see what.

use askama::Template;

use crate::app::keep_pushes::OwnPush;
use crate::app::show_waiting::WaitingRequest;
use crate::app::use_session::SignedIn;
use crate::domain::time::Timestamp;
use crate::http::approval::view::JobDisplay;
use crate::http::me::signed_view::SignedItem;
use crate::http::page::{Moment, Visible, left, visible};

/// Characters of a commit that a card shows.
const SHORT_SHA: usize = 7;

/// What the page is made from.
pub struct HomeInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// What waits.
    pub cards: Vec<Card>,
    /// What they decided last.
    pub decisions: Vec<SignedItem>,
    /// They have one passkey that works.
    pub only_one: bool,
    /// Passkeys that may be in other hands; for admins.
    pub doubts: Vec<Doubt>,
    /// How many changes want signatures; for admins.
    pub changes: usize,
    /// The key that browsers subscribe with, where people may be told on their devices.
    pub push_key: Option<&'a str>,
    /// The devices on which they are told.
    pub devices: Vec<Device>,
}

/// A device on which somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    number: i64,
    digest: String,
    name: Visible,
    since: Moment,
}

impl Device {
    /// As its owner sees it.
    #[must_use]
    pub fn new(own: &OwnPush, now: Timestamp) -> Self {
        let OwnPush { row, digest } = own;
        let (name, since) = (visible(&row.device), Moment::new(row.created, now));
        Self { number: row.id, digest: digest.to_string(), name, since }
    }
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    id: String,
    project: Visible,
    pipeline: String,
    environment: Option<Visible>,
    commit: String,
    by: Option<Visible>,
    signed: u32,
    needed: u32,
    decide_by: String,
    left: String,
}

/// The cards of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    project: Visible,
    pipeline: String,
    cards: Vec<Card>,
}

/// A passkey that may be in other hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    person: Visible,
    passkey: Visible,
    copied: bool,
    at: Option<Moment>,
}

impl Doubt {
    /// As admins are told.
    #[must_use]
    pub fn new(person: &str, passkey: &str, copied: bool, at: Option<Timestamp>, now: Timestamp) -> Self {
        let at = at.map(|at| Moment::new(at, now));
        Self { person: visible(person), passkey: visible(passkey), copied, at }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "home/page.html", blocks = ["list"])]
pub struct HomeView {
    host: String,
    now: String,
    here: &'static str,
    sees_admin: bool,
    name: Visible,
    groups: Vec<Group>,
    decisions: Vec<SignedItem>,
    only_one: bool,
    doubts: Vec<Doubt>,
    changes: usize,
    push_key: Option<String>,
    devices: Vec<Device>,
}

impl HomeView {
    /// How many requests wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.groups.iter().map(|group| group.cards.len()).sum()
    }
}

/// A request as a card.
#[must_use]
pub fn waiting_card(one: &WaitingRequest, display: &JobDisplay, now: Timestamp) -> Card {
    let request = &one.row.request;
    let claim = |name: &str| request.job_claim(name).filter(|value| !value.is_empty());
    let commit: String = claim("sha").unwrap_or_default().chars().take(SHORT_SHA).collect();
    Card {
        id: request.id.as_str().to_owned(),
        project: visible(display.project(request)),
        pipeline: visible(claim("pipeline_id").unwrap_or_default()).text,
        environment: claim("environment").map(visible),
        commit: visible(&commit).text,
        by: display.user_login.as_deref().map(visible),
        signed: one.signed,
        needed: one.needed,
        decide_by: request.decide_by.to_string(),
        left: left(request.decide_by, now),
    }
}

/// Cards of one pipeline stand together, where the first of them stands.
fn grouped(cards: Vec<Card>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for card in cards {
        let same = |group: &&mut Group| group.pipeline == card.pipeline && group.project == card.project;
        if let Some(group) = groups.iter_mut().find(same) {
            group.cards.push(card);
        } else {
            groups.push(Group { project: card.project.clone(), pipeline: card.pipeline.clone(), cards: vec![card] });
        }
    }
    groups
}

/// The view of Home.
#[must_use]
pub fn home_view(input: HomeInput<'_>) -> HomeView {
    let HomeInput { host, me, cards, decisions, only_one, doubts, changes, push_key, devices } = input;
    HomeView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "home",
        sees_admin: me.sees_administration(),
        name: visible(&me.person.name),
        groups: grouped(cards),
        decisions,
        only_one,
        doubts,
        changes,
        push_key: push_key.map(str::to_owned),
        devices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(project: &str, pipeline: &str, id: &str) -> Card {
        Card {
            id: id.to_owned(),
            project: visible(project),
            pipeline: pipeline.to_owned(),
            environment: None,
            commit: "1f3c9ab".to_owned(),
            by: None,
            signed: 0,
            needed: 1,
            decide_by: String::new(),
            left: "1:00".to_owned(),
        }
    }

    #[test]
    fn the_cards_of_a_pipeline_stand_together_where_its_first_one_stands() {
        let groups = grouped(vec![card("a", "1", "x"), card("b", "1", "y"), card("a", "1", "z"), card("a", "2", "w")]);
        let ids: Vec<Vec<&str>> =
            groups.iter().map(|group| group.cards.iter().map(|card| card.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["x", "z"], vec!["y"], vec!["w"]]);
    }
}
