//! Checks how far a new server has come: a list that ticks itself.
//! In: the application. Out: six steps, each done or with what to do next.
//! Implements SCREENS' Admin (first run).
//! Never ticks what was not seen here.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::log::entry::Entry;
use crate::domain::rules::Effect;
use crate::domain::time::{Timestamp, humane};
use crate::store::Reader;

use super::check_health::counted;
use super::{AppError, Countersign};

/// How long after the first token the list still waits for its last tick, which nobody but a cloud gives.
pub const FIRST_RUN: Duration = Duration::from_hours(7 * 24);

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The server runs.
    Server,
    /// Every issuer's keys are there.
    Gitlab,
    /// A rule allows something.
    FirstRule,
    /// Two admins have a passkey.
    SecondAdmin,
    /// A token was issued.
    FirstToken,
    /// Another machine fetched our keys.
    CloudTrust,
}

impl Step {
    /// As people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Gitlab => "GitLab answers",
            Self::FirstRule => "First rule",
            Self::SecondAdmin => "Second admin",
            Self::FirstToken => "First token",
            Self::CloudTrust => "Cloud trust",
        }
    }
}

/// A step and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstStep {
    /// Which.
    pub step: Step,
    /// Whether it is done.
    pub done: bool,
    /// What was found.
    pub text: String,
    /// What to do next, where it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The page of the documentation that tells how.
    pub docs: String,
}

impl FirstStep {
    fn done(step: Step, text: impl Into<String>, docs: &str) -> Self {
        Self { step, done: true, text: text.into(), next: None, docs: docs.to_owned() }
    }

    fn open(step: Step, (text, next): (impl Into<String>, impl Into<String>), docs: &str) -> Self {
        Self { step, done: false, text: text.into(), next: Some(next.into()), docs: docs.to_owned() }
    }
}

/// The whole list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRun {
    /// In the order in which they are done.
    pub steps: Vec<FirstStep>,
    /// Nothing is left, or the server issues tokens for so long that it is no new one any more.
    pub over: bool,
}

/// Who fetched our keys, as far as this process saw; it forgets with it.
#[derive(Debug)]
pub struct KeyFetches {
    since: Timestamp,
    last: Mutex<Option<(IpAddr, Timestamp)>>,
}

impl KeyFetches {
    /// Nobody did yet.
    pub const fn since(now: Timestamp) -> Self {
        Self { since: now, last: Mutex::new(None) }
    }

    /// The last one by another machine.
    fn last(&self) -> Option<(IpAddr, Timestamp)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Countersign {
    /// Somebody fetched our keys: whoever wants to verify our tokens does. This machine itself does not count.
    pub fn note_key_fetch(&self, address: IpAddr) {
        if !address.to_canonical().is_loopback() {
            let mut last = self.key_fetches.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((address, self.clock.now()));
        }
    }

    /// Since when this process runs.
    pub const fn started(&self) -> Timestamp {
        self.key_fetches.since
    }

    /// The list; `serves` says whether this process is the server.
    pub fn first_run(&self, serves: bool) -> Result<FirstRun, AppError> {
        let (admins, first) = self.store.read(|reader| -> Result<_, AppError> {
            let first = reader.first_issued()?.map(|entry| Ok::<_, AppError>((entry, time_of(reader, entry)?)));
            Ok((reader.council()?.len(), first.transpose()?))
        })?;
        let steps = vec![
            self.server_step(serves),
            self.gitlab_step(),
            self.rule_step(),
            admin_step(admins),
            token_step(first),
            self.cloud_step(serves),
        ];
        let but_the_last = steps.iter().all(|one| one.done || one.step == Step::CloudTrust);
        let old = first.is_some_and(|(_, at)| self.clock.now().since(at) > FIRST_RUN);
        let over = steps.iter().all(|one| one.done) || (but_the_last && old);
        Ok(FirstRun { steps, over })
    }

    fn server_step(&self, serves: bool) -> FirstStep {
        let url = &self.settings.url;
        if serves {
            return FirstStep::done(Step::Server, format!("it runs as {url}"), "deploy");
        }
        FirstStep::open(Step::Server, (format!("no server runs as {url}"), "countersign serve"), "deploy")
    }

    fn gitlab_step(&self) -> FirstStep {
        let lines = self.issuer_lines();
        let words: Vec<_> = lines.iter().map(|line| format!("{}: {}", line.name, line.state())).collect();
        match lines.iter().find(|line| !line.usable) {
            None => FirstStep::done(Step::Gitlab, words.join("; "), "gitlab"),
            Some(line) => FirstStep::open(Step::Gitlab, (words.join("; "), line.cure()), "gitlab"),
        }
    }

    fn rule_step(&self) -> FirstStep {
        let rules = self.rules();
        let allowing = rules.rules.iter().filter(|rule| matches!(rule.effect, Effect::Allow(_))).count();
        if allowing > 0 {
            return FirstStep::done(
                Step::FirstRule,
                format!("{} may issue", counted(allowing, "rule", "rules")),
                "rules",
            );
        }
        let next = "write one (rules/example.toml shows how), look at it with `countersign rule check`, then send the server SIGHUP";
        FirstStep::open(Step::FirstRule, ("no rule allows anything, so nothing is issued", next), "rules")
    }

    fn cloud_step(&self, serves: bool) -> FirstStep {
        let keys = format!("{}/jwks", self.settings.url);
        let now = self.clock.now();
        if let Some((address, at)) = self.key_fetches.last().filter(|_| serves) {
            let ago = humane(now.since(at));
            let text = format!(
                "{address} fetched our keys {ago} ago; whether that was your cloud, the first job that uses its token shows"
            );
            return FirstStep::done(Step::CloudTrust, text, "clouds");
        }
        let text = if serves {
            format!(
                "no other machine fetched {keys} in the {} since this server started",
                humane(now.since(self.started()))
            )
        } else {
            format!("only the running server knows whether another machine fetched {keys}")
        };
        let next = "let your cloud trust this issuer, and let a job use its token there; a cloud that was given a copy of the keys never fetches them";
        FirstStep::open(Step::CloudTrust, (text, next), "clouds")
    }
}

fn admin_step(admins: usize) -> FirstStep {
    if admins > 1 {
        return FirstStep::done(Step::SecondAdmin, format!("{admins} admins have a passkey"), "people");
    }
    let text = if admins == 1 { "there is only one admin with a passkey" } else { "no admin has a passkey yet" };
    let next = if admins == 1 { "countersign people invite NAME --admin" } else { "countersign init --new-link" };
    FirstStep::open(Step::SecondAdmin, (text, next), "people")
}

fn token_step(first: Option<(u64, Timestamp)>) -> FirstStep {
    if let Some((entry, at)) = first {
        let text = format!("issued {}, log entry {entry}", at.dated());
        return FirstStep::done(Step::FirstToken, text, "gitlab");
    }
    let next = "put `countersign token --audience AUDIENCE` into a job that a rule allows";
    FirstStep::open(Step::FirstToken, ("no token was issued yet", next), "gitlab")
}

/// When an entry was made.
pub(super) fn time_of(reader: &Reader<'_>, entry: u64) -> Result<Timestamp, AppError> {
    let missing = || AppError::internal(format!("the log has no entry {entry}"));
    Ok(Entry::from_bytes(&reader.entry(entry)?.ok_or_else(missing)?)?.time)
}
