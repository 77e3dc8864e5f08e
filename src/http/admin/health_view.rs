//! The view of the server's health: the first run until it is over, then what was found, worst first.
//! In: `Health`. Out: `HealthView`, a template.
//! Implements the screen of `/admin`.
//! Never says anything by colour alone: a sign and a word stand beside it.

use askama::Template;

use crate::app::check_first_run::{FirstStep, Step};
use crate::app::check_health::{Finding, Severity};
use crate::app::show_health::{Health, LogHealth, MetadataHealth};
use crate::app::use_session::SignedIn;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Piece, Visible, grouped, pieces, visible};

/// A step of the first run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StepRow {
    done: bool,
    title: &'static str,
    text: Vec<Piece>,
    next: Option<Vec<Piece>>,
    page: Option<(&'static str, &'static str)>,
    docs: String,
}

impl StepRow {
    fn new(step: &FirstStep) -> Self {
        let page = match step.step {
            Step::Gitlab => Some(("/admin/issuers", "Issuers")),
            Step::SecondAdmin => Some(("/admin/people", "People")),
            Step::FirstToken => Some(("/admin/rules", "Refused tokens")),
            Step::Server | Step::FirstRule | Step::CloudTrust => None,
        };
        Self {
            done: step.done,
            title: step.step.title(),
            text: pieces(&step.text),
            next: step.next.as_deref().map(pieces),
            page: page.filter(|_| !step.done),
            docs: step.docs.clone(),
        }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FindingRow {
    class: &'static str,
    word: &'static str,
    subject: Visible,
    text: Vec<Piece>,
    cure: Option<Vec<Piece>>,
}

impl FindingRow {
    fn new(finding: &Finding) -> Self {
        let (class, word) = match finding.severity {
            Severity::Fail => ("stop", "✕ Fault"),
            Severity::Warn => ("warn", "! Warning"),
            Severity::Ok => ("good", "✓ Good"),
        };
        Self {
            class,
            word,
            subject: visible(&finding.subject),
            text: pieces(&finding.text),
            cure: finding.cure.as_deref().map(pieces),
        }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogRow {
    origin: String,
    entries: String,
    newest: Moment,
    checkpoint: String,
    note: String,
}

impl LogRow {
    fn new(log: &LogHealth, now: Timestamp) -> Self {
        Self {
            origin: log.origin.clone(),
            entries: grouped(log.entries),
            newest: Moment::new(log.newest, now),
            checkpoint: grouped(log.checkpoint),
            note: log.note.clone(),
        }
    }
}

/// The metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MetadataRow {
    number: u64,
    models: usize,
    since: Option<Moment>,
    next_update: Moment,
}

impl MetadataRow {
    fn new(metadata: &MetadataHealth, now: Timestamp) -> Self {
        Self {
            number: metadata.number,
            models: metadata.models,
            since: metadata.since.map(|at| Moment::new(at, now)),
            next_update: Moment::new(metadata.next_update, now),
        }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/health.html")]
pub struct HealthView {
    host: String,
    now: String,
    here: &'static str,
    steps: Vec<StepRow>,
    short: String,
    findings: Vec<FindingRow>,
    version: String,
    uptime: String,
    started: Moment,
    log: LogRow,
    metadata: Option<MetadataRow>,
    unknown_claims: u64,
    unverified_refusals: u64,
}

/// The view of the server's health.
#[must_use]
pub fn health_view(host: &str, me: &SignedIn, health: &Health) -> HealthView {
    let steps = if health.first_run.over { &[][..] } else { &health.first_run.steps };
    HealthView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "health",
        steps: steps.iter().map(StepRow::new).collect(),
        short: health.in_short(),
        findings: health.findings.iter().map(FindingRow::new).collect(),
        version: health.version.clone(),
        uptime: health.uptime(me.now),
        started: Moment::new(health.started, me.now),
        log: LogRow::new(&health.log, me.now),
        metadata: health.metadata.as_ref().map(|metadata| MetadataRow::new(metadata, me.now)),
        unknown_claims: health.unknown_claims,
        unverified_refusals: health.unverified_refusals,
    }
}
