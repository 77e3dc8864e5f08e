//! Checks health: what `/readyz` and `doctor` say.
//! In: the running application. Out: findings, each with its cure.
//! Implements DESIGN §12.
//! Never changes anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::rules::{Effect, Require};
use crate::domain::time::{LEEWAY, RECOVERY_TOLD, Timestamp, humane};
use crate::store::passkeys::SuspendedWhy;

use super::known::approval_terms;
use super::list_rules::Signers;
use super::{AppError, Countersign};

/// A clock that is off by more than this is worth a warning.
pub const CLOCK_WARNING: Duration = Duration::from_secs(5);

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, for now.
    Warn,
    /// It does not work.
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at.
    pub subject: String,
    /// What was found.
    pub text: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, subject: subject.to_owned(), text: text.into(), cure: None }
    }

    /// It works, for now.
    pub fn warn(subject: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, subject: subject.to_owned(), text: text.into(), cure: Some(cure.into()) }
    }

    /// It does not work.
    pub fn fail(subject: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { severity: Severity::Fail, subject: subject.to_owned(), text: text.into(), cure: Some(cure.into()) }
    }
}

/// What an operator must look after while it goes on with what it had: told by those who tried.
#[derive(Debug, Default)]
pub struct Upkeep(Mutex<(BTreeMap<&'static str, String>, Option<Timestamp>)>);

impl Upkeep {
    /// What became of the last try to exchange something; `None` where it went well.
    pub fn tell(&self, subject: &'static str, problem: Option<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => drop(kept.0.insert(subject, problem)),
            None => drop(kept.0.remove(subject)),
        }
    }

    /// Until when the certificate that this server shows is good.
    pub fn certificate_until(&self, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(until);
    }

    fn warnings(&self, now: Timestamp) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut warnings: Vec<_> = kept.0.iter().map(|(subject, problem)| format!("{subject}: {problem}")).collect();
        if let Some(until) = kept.1.filter(|until| now > *until) {
            warnings.push(format!("certificate: it expired at {until}, and clients refuse it"));
        }
        warnings
    }
}

impl Countersign {
    /// Where those who exchange rules or certificates tell what became of it.
    pub const fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// What keeps it from nothing yet, and wants an operator all the same.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.upkeep.warnings(self.clock.now());
        let metadata = self.metadata_finding(false).filter(|finding| finding.severity == Severity::Warn);
        let cured = |finding: Finding| match finding.cure {
            Some(cure) => format!("metadata: {}; cure: {cure}", finding.text),
            None => format!("metadata: {}", finding.text),
        };
        warnings.extend(metadata.map(cured));
        warnings.extend(self.notice_troubles());
        warnings.extend(self.logout_troubles());
        warnings.extend(self.store.overlong().map(|bytes| {
            let size = bytes / 1024 / 1024;
            format!(
                "database: the write-ahead log has grown to {size} MiB: another process keeps the database open; end it"
            )
        }));
        warnings.extend(self.push_troubles());
        match self.recoveries() {
            Ok(found) => warnings.extend(found),
            Err(error) => warnings.push(format!("people: {error}")),
        }
        match self.revocations() {
            Ok(found) => warnings.extend(found.into_iter().map(|text| format!("signing keys: {text}"))),
            Err(error) => warnings.push(format!("signing keys: {error}")),
        }
        warnings
    }

    /// People whom the console let in lately, on nobody's signature.
    fn recoveries(&self) -> Result<Vec<String>, AppError> {
        let since = self.clock.now() - RECOVERY_TOLD;
        self.store.read(|reader| {
            let found = reader.recovered_on_console(since)?.into_iter();
            Ok(found.map(|(person, at)| format!("people: the console let {person} in again at {at}")).collect())
        })
    }

    /// What keeps the server from issuing; empty where nothing does.
    pub fn readiness(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if let Err(error) = self.store.read(|reader| reader.size()) {
            findings.push(format!("log: {error}"));
        }
        if let Some(why) = self.store.hindrance() {
            findings.push(format!("log: {why}"));
        }
        if let Some(step) = self.clock.step() {
            findings.push(format!("clock: stepped by {step} ms"));
        }
        for issuer in &self.issuers {
            let status = issuer.keys.status(self.clock.monotonic());
            if let Some(error) = status.last_error {
                let field = status.field.unwrap_or("keys");
                findings.push(format!("issuer `{}`: {field}: {error}", status.issuer));
            }
        }
        findings
    }

    /// Has issuers asked again that could not be reached, each once a pause; nobody waits for it.
    pub fn ask_again(&self) {
        let now = self.clock.monotonic();
        for issuer in self.issuers.iter().filter(|issuer| issuer.keys.is_due(now)) {
            let asked = std::sync::Arc::clone(issuer);
            tokio::task::spawn_blocking(move || asked.keys.ask_again(now));
        }
    }

    /// People, rules and the log, as `doctor` looks at them.
    pub fn examine(&self) -> Result<Vec<Finding>, AppError> {
        let rules = self.rules();
        let (signers, admins) = self
            .store
            .read(|reader| -> Result<_, AppError> { Ok((Signers::read(reader)?, reader.council()?.len())) })?;
        let mut findings = vec![Finding::ok(
            "config",
            format!(
                "{}, {}, {} can approve",
                counted(rules.rules.iter().len(), "rule", "rules"),
                counted(self.settings.issuers.len(), "issuer", "issuers"),
                counted(signers.able.len(), "person", "people")
            ),
        )];
        findings.extend(self.metadata_finding(true));
        findings.extend(self.key_findings()?);
        if !rules.rules.iter().any(|rule| matches!(rule.effect, Effect::Allow(_))) {
            findings.push(Finding::warn(
                "rules",
                "no rule allows anything yet, so nothing is issued",
                "write one: rules/example.toml shows how",
            ));
        }
        for warning in &self.rule_warnings()? {
            let (text, cure) = warning.split_once("; cure: ").unwrap_or((warning, "countersign rule check"));
            findings.push(Finding::warn("rules", text, cure));
        }
        match admins {
            0 => findings.push(Finding::warn("people", "no admin has a passkey yet", "countersign init --new-link")),
            1 => {
                let text = "there is only one admin: nobody else can sign a change or let them in again";
                findings.push(Finding::warn("people", text, "countersign people invite NAME --admin"));
            }
            _ => {}
        }
        if let Some(wanted) = self.settings.people.rule_signatures.filter(|wanted| admins < *wanted as usize) {
            let text = format!("other rules need {wanted} admins to sign, and {admins} can: no rule can change");
            let cure = "countersign people invite NAME --admin, or lower `people.rule_signatures` and restart";
            findings.push(Finding::warn("rules", text, cure));
        }
        for text in self.recoveries()? {
            let text = text.trim_start_matches("people: ");
            let cure = "ask whoever did it; if nobody did, countersign people suspend PERSON";
            findings.push(Finding::warn("people", text, cure));
        }
        for doubt in self.passkeys_in_doubt()? {
            let why = if doubt.passkey.suspended_why == Some(SuspendedWhy::Copied) {
                "may have been copied (its counter went back)"
            } else {
                "was reported by its owner"
            };
            let text = format!("a passkey of {} {why}; it signs nothing any more", doubt.person.id);
            findings.push(Finding::warn("passkeys", text, "ask the owner what happened, and look at what it signed"));
        }
        for (group, members) in &signers.groups {
            if members.len() == 1 && rules.rules.groups().contains(group) {
                let cure = format!("countersign people invite NAME --group {group}");
                findings.push(Finding::warn("people", format!("{group} has 1 person"), cure));
            }
        }
        for rule in rules.rules.iter() {
            let Some(terms) = approval_terms(rule) else { continue };
            let able = signers.of(terms);
            if able < terms.count {
                findings.push(Finding::fail(
                    "rules",
                    format!("\"{}\" wants {} to sign, and {able} can", rule.name, terms.count),
                    "invite people and have them make their passkeys, or lower `count`",
                ));
            }
            if let Effect::Allow(allow) = &rule.effect
                && matches!(allow.require, Require::Approval(_))
                && allow.acr == Some(crate::domain::assurance::Acr::Phrh)
            {
                let trusted = self.trusted();
                if trusted.metadata.is_none() && trusted.own.is_empty() {
                    let text = format!(
                        "\"{}\" demands `acr` \"phrh\", which no passkey reaches: nothing vouches for any maker",
                        rule.name
                    );
                    findings.push(Finding::fail(
                        "rules",
                        text,
                        "configure [metadata] (docs/amr.md), or demand \"phr\"",
                    ));
                }
            }
        }
        Ok(findings)
    }

    /// Asks each issuer, as the next job would.
    pub async fn examine_issuers(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for issuer in &self.issuers {
            let name = issuer.settings.terms.name.clone();
            let (asked, now) = (std::sync::Arc::clone(issuer), self.clock.monotonic());
            let answer = tokio::task::spawn_blocking(move || asked.keys.key_set(None, now)).await;
            findings.push(match answer {
                Ok(Ok(snapshot)) => {
                    let (url, keys) = (&issuer.settings.terms.url, snapshot.keys.len());
                    let keys = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
                    // A pinned set is read from its file: nobody was asked.
                    let text = if issuer.settings.pinned_jwks.is_some() {
                        format!("{keys} for {url}, pinned: it was not asked")
                    } else {
                        format!("{url} answers, {keys}")
                    };
                    Finding::ok(name.as_str(), text)
                }
                Ok(Err(error)) => Finding::fail(
                    name.as_str(),
                    error.to_string(),
                    super::list_issuers::cure(&name, &issuer.settings.terms.url),
                ),
                // The runtime's error quotes a panic's message.
                Err(_) => Finding::fail(name.as_str(), "its keys were not read to the end", "try again"),
            });
        }
        findings
    }
}

/// `1 rule`, `2 rules`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What a difference of clocks means; `ahead` is the other's clock minus ours, in seconds.
pub fn clock_finding(whose: &str, ahead: i64) -> Finding {
    let off = Duration::from_secs(ahead.unsigned_abs());
    let side = if ahead >= 0 { "ahead" } else { "behind" };
    let text = format!("{whose} is {} {side} (refused beyond {})", humane(off), humane(LEEWAY));
    if off > LEEWAY {
        Finding::fail("clock", text, "timedatectl, on both")
    } else if off > CLOCK_WARNING {
        Finding::warn("clock", text, "timedatectl, on both")
    } else {
        Finding::ok("clock", format!("{whose} agrees with this machine"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_until_it_goes_well() {
        let upkeep = Upkeep::default();
        let at = Timestamp::from_seconds;
        assert!(upkeep.warnings(at(1)).is_empty());
        upkeep.tell("rules", Some("they do not load".to_owned()));
        upkeep.tell("certificate", Some("it cannot be read".to_owned()));
        assert_eq!(upkeep.warnings(at(1)), ["certificate: it cannot be read", "rules: they do not load"]);
        upkeep.tell("certificate", None);
        upkeep.tell("rules", None);
        upkeep.certificate_until(at(9));
        assert!(upkeep.warnings(at(9)).is_empty());
        assert!(upkeep.warnings(at(10)).concat().contains("expired at 1970-01-01T00:00:09"));
    }
}
