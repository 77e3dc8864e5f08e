//! Shows how the server is: what it found, worst first; the first run; the log; the metadata.
//! In: the running application. Out: `Health`, for the admin's page and the console.
//! Implements SCREENS' Admin (Health), DESIGN §12.
//! Never waits long for an issuer, and never changes anything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::time::{Timestamp, humane};

use super::check_first_run::{FirstRun, time_of};
use super::check_health::{CLOCK_WARNING, Finding, Severity, clock_finding, counted};
use super::list_issuers::IssuerLine;
use super::{AppError, Countersign};

/// How long the page waits for issuers that were never asked: it is the first to want to know.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Of the program.
    pub version: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// How far a new server has come.
    pub first_run: FirstRun,
    /// The log.
    pub log: LogHealth,
    /// The FIDO metadata in force, where some is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataHealth>,
    /// Claims that the inventory does not know, since the start.
    pub unknown_claims: u64,
    /// Job tokens that were refused before they could be logged, since the start.
    pub unverified_refusals: u64,
}

/// How the log is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHealth {
    /// Its name.
    pub origin: String,
    /// How many entries.
    pub entries: u64,
    /// When the newest was made.
    pub newest: Timestamp,
    /// How many of them the newest checkpoint covers.
    pub checkpoint: u64,
    /// That checkpoint, a signed note: to be kept elsewhere.
    pub note: String,
}

/// How the metadata is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataHealth {
    /// Its number.
    pub number: u64,
    /// How many models it lists.
    pub models: usize,
    /// Since when it is in force here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the next one is due.
    pub next_update: Timestamp,
}

impl Countersign {
    /// How the server is, as far as it knows without asking anybody.
    pub fn health(&self) -> Result<Health, AppError> {
        let log = self.log_health()?;
        let mut findings = self.examine()?;
        findings.push(self.log_finding(&log));
        if let Some(step) = self.clock.step() {
            let text = format!("this machine's clock stepped by {step} ms, so nothing is issued");
            findings.push(Finding::fail(
                "clock",
                text,
                "set it right; or take it as it is: countersign log accept-time",
            ));
        }
        for line in self.issuer_lines() {
            findings.push(issuer_finding(&line));
            findings.extend(line.clock_ahead.and_then(|ahead| ahead_finding(&line, ahead)));
        }
        // What is said of people, metadata and what was revoked is found above already.
        let told = self.warnings();
        let told = told.iter().map(|line| line.split_once(": ").unwrap_or(("server", line)));
        let told = told.filter(|(subject, _)| !matches!(*subject, "people" | "metadata" | "signing keys"));
        findings.extend(told.map(|(subject, text)| Finding::warn(subject, text, "the server's diagnostics say more")));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started(),
            findings,
            first_run: self.first_run(true)?,
            log,
            metadata: self.metadata_health()?,
            unknown_claims: self.counters.unknown_claims.load(Ordering::Relaxed),
            unverified_refusals: self.counters.unverified_refusals.load(Ordering::Relaxed),
        })
    }

    fn log_health(&self) -> Result<LogHealth, AppError> {
        let (entries, newest, note) = self.store.read(|reader| -> Result<_, AppError> {
            Ok((reader.size()?, reader.last_time()?.unwrap_or_default(), reader.checkpoint()?.unwrap_or_default()))
        })?;
        // It is our own, so its text alone is read.
        let text = note.split_once("\n\n").map_or("", |(text, _)| text);
        let checkpoint = Checkpoint::parse(&format!("{text}\n")).map_err(AppError::internal)?.size;
        Ok(LogHealth { origin: self.settings.origin.clone(), entries, newest, checkpoint, note })
    }

    fn log_finding(&self, log: &LogHealth) -> Finding {
        if let Some(why) = self.store.hindrance() {
            let text = format!("it cannot be written, so nothing is issued: {why}");
            return Finding::fail("log", text, "make room on the disk; it goes on by itself");
        }
        let LogHealth { entries, checkpoint, .. } = log;
        Finding::ok("log", format!("{entries} entries, {checkpoint} under the newest checkpoint"))
    }

    fn metadata_health(&self) -> Result<Option<MetadataHealth>, AppError> {
        let trusted = self.trusted();
        let Some(metadata) = &trusted.metadata else { return Ok(None) };
        let since = self.store.read(|reader| -> Result<_, AppError> {
            reader.metadata_entry()?.map(|entry| time_of(reader, entry)).transpose()
        })?;
        let (number, models, next_update) = (metadata.number, metadata.entries.len(), metadata.next_update);
        Ok(Some(MetadataHealth { number, models, since, next_update }))
    }

    /// Has issuers asked that nobody asked before, and waits a little for them.
    pub async fn look_first(&self) {
        let now = self.clock.monotonic();
        let asked: Vec<_> = self.issuers.iter().filter(|issuer| issuer.keys.is_unasked()).collect();
        let asked = asked.into_iter().map(|issuer| {
            let issuer = std::sync::Arc::clone(issuer);
            // What comes of it is in the issuer's state.
            tokio::task::spawn_blocking(move || drop(issuer.keys.key_set(None, now)))
        });
        let asked: Vec<_> = asked.collect();
        let _ = tokio::time::timeout(FIRST_LOOK, async {
            for one in asked {
                let _ = one.await;
            }
        })
        .await;
    }
}

fn issuer_finding(line: &IssuerLine) -> Finding {
    let text = format!("{}: {}", line.url, line.state());
    match (line.usable, &line.failure) {
        // Where nobody has asked it, nobody needed to.
        (_, None) => Finding::ok(line.name.as_str(), text),
        (true, Some(_)) => Finding::warn(line.name.as_str(), text, line.cure()),
        (false, Some(_)) => Finding::fail(line.name.as_str(), text, line.cure()),
    }
}

/// A difference of clocks, where it is worth a word.
fn ahead_finding(line: &IssuerLine, ahead: i64) -> Option<Finding> {
    let off = Duration::from_secs(ahead.unsigned_abs());
    (off > CLOCK_WARNING).then(|| clock_finding(line.name.as_str(), ahead))
}

impl Health {
    /// In one line: `2 faults, 1 warning`; `all is well`.
    pub fn in_short(&self) -> String {
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        match (count(Severity::Fail), count(Severity::Warn)) {
            (0, 0) => "all is well".to_owned(),
            (0, warnings) => counted(warnings, "warning", "warnings"),
            (faults, 0) => counted(faults, "fault", "faults"),
            (faults, warnings) => {
                format!("{}, {}", counted(faults, "fault", "faults"), counted(warnings, "warning", "warnings"))
            }
        }
    }

    /// How long it runs.
    pub fn uptime(&self, now: Timestamp) -> String {
        humane(now.since(self.started))
    }
}
