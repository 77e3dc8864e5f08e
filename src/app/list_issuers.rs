//! Lists the issuers: what is known of each one's keys, and what the last try to fetch them came to.
//! In: nothing. Out: lines that print or serialise.
//! Implements SCREENS' Admin (Issuers), DESIGN §12.
//! Never asks an issuer: it tells what is known.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::IssuerName;
use crate::domain::rules::TokenAlg;
use crate::domain::time::{Timestamp, humane};
use crate::upstream::fetch::FETCH_DEADLINE;

use super::check_first_run::time_of;
use super::check_health::counted;
use super::intake::Issuer;
use super::{AppError, Countersign};

/// An issuer, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerLine {
    /// Its short name.
    pub name: IssuerName,
    /// Its URL.
    pub url: String,
    /// Its keys come from a file, and it is never asked.
    pub pinned: bool,
    /// Tokens of it can be verified now.
    pub usable: bool,
    /// The keys, by id.
    pub keys: Vec<IssuerKeyLine>,
    /// When they were fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// Before when the next token has nobody asked; none where the next one has it asked, or none ever does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// What the last try failed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<IssuerFailure>,
    /// The log entry that holds the keys of the last token that was verified, and when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged: Option<(u64, Timestamp)>,
    /// The only projects that are admitted, by id; none where all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<String>>,
    /// The only namespaces that are admitted, by id; none where all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<BTreeSet<String>>,
    /// By how many seconds its clock was ahead of ours at least when it answered last (behind, where negative); zero
    /// where no difference was to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerKeyLine {
    /// Its id, as the issuer has it.
    pub kid: String,
    /// Its algorithm.
    pub alg: TokenAlg,
}

/// What a try to fetch keys failed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerFailure {
    /// When.
    pub at: Timestamp,
    /// A setting, or a member of the document.
    pub field: String,
    /// What happened.
    pub problem: String,
}

impl IssuerLine {
    /// How it stands, in words.
    pub fn state(&self) -> String {
        let keys = counted(self.keys.len(), "key", "keys");
        match (&self.failure, self.fetched) {
            _ if self.pinned => format!("{keys}, pinned in a file: it is never asked"),
            (Some(failure), Some(_)) if self.usable => {
                format!("{}: {}; its last {keys} still serve", failure.field, failure.problem)
            }
            (Some(failure), _) => format!("{}: {}", failure.field, failure.problem),
            (None, Some(_)) => format!("it answers, {keys}"),
            (None, None) => "not asked yet".to_owned(),
        }
    }

    /// Whose jobs are admitted.
    pub fn admits(&self) -> String {
        let ids = |what: &str, ids: &Option<BTreeSet<String>>| {
            let ids = ids.as_ref()?.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            Some(format!("{what} {ids}"))
        };
        let named: Vec<_> =
            [ids("projects", &self.projects), ids("namespaces", &self.namespaces)].into_iter().flatten().collect();
        if named.is_empty() { "every project that a rule names".to_owned() } else { named.join("; ") }
    }

    /// What to do where it does not answer.
    pub fn cure(&self) -> String {
        cure(&self.name, &self.url)
    }
}

/// What to do where an issuer does not answer.
pub(super) fn cure(name: &IssuerName, url: &str) -> String {
    format!("open port 443 to {url}, or pin keys: jwks_file of issuer \"{name}\"")
}

impl Countersign {
    /// Every issuer, in the order of the configuration, without what the log knows.
    pub(super) fn issuer_lines(&self) -> Vec<IssuerLine> {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        self.issuers.iter().map(|issuer| line(issuer, wall, monotonic)).collect()
    }

    /// Every issuer, in the order of the configuration.
    pub fn list_issuers(&self) -> Result<Vec<IssuerLine>, AppError> {
        let mut lines = self.issuer_lines();
        self.store.read(|reader| -> Result<(), AppError> {
            for line in &mut lines {
                let row = reader.issuer_keys(&line.name)?;
                line.logged = row.map(|row| Ok::<_, AppError>((row.entry, time_of(reader, row.entry)?))).transpose()?;
            }
            Ok(())
        })?;
        Ok(lines)
    }
}

fn line(issuer: &Issuer, wall: Timestamp, monotonic: Duration) -> IssuerLine {
    let (status, known) = (issuer.keys.status(monotonic), issuer.keys.known());
    let terms = &issuer.settings.terms;
    let fetched = status.age.map(|age| wall - age);
    let failure = status.last_error.zip(status.failed).map(|(problem, ago)| IssuerFailure {
        at: wall - ago,
        field: status.field.unwrap_or("keys").to_owned(),
        problem,
    });
    let their_time = known.as_ref().and_then(|known| known.their_time);
    let keys = known.iter().flat_map(|known| known.keys.ids());
    IssuerLine {
        name: terms.name.clone(),
        url: terms.url.clone(),
        pinned: status.pinned,
        usable: status.usable,
        keys: keys.map(|(kid, alg)| IssuerKeyLine { kid: kid.to_owned(), alg }).collect(),
        fetched,
        next: status.next.map(|left| wall + left),
        failure,
        logged: None,
        projects: terms.projects.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect()),
        namespaces: terms.namespaces.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect()),
        clock_ahead: fetched.zip(their_time).map(|(asked, theirs)| ahead(asked, theirs)),
    }
}

/// It answered within the two requests that a fetch has: what lies within that span is no difference.
fn ahead(asked: Timestamp, theirs: Timestamp) -> i64 {
    let latest = asked + FETCH_DEADLINE.saturating_mul(2);
    if theirs > latest {
        theirs.seconds() - latest.seconds()
    } else {
        // `Date` has whole seconds.
        (theirs.seconds() - asked.seconds()).min(0)
    }
}

/// A difference of clocks in words.
pub fn clock_words(ahead: i64) -> String {
    let off = humane(Duration::from_secs(ahead.unsigned_abs()));
    match ahead {
        0 => "no difference seen".to_owned(),
        1.. => format!("at least {off} ahead of this server's"),
        _ => format!("at least {off} behind this server's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_clock_that_is_ahead() {
        let at = Timestamp::from_millis(1_795_430_400_900);
        let theirs = |seconds: i64| ahead(at, Timestamp::from_seconds(1_795_430_400 + seconds));
        assert_eq!([theirs(-40), theirs(0), theirs(9), theirs(10), theirs(50)], [-40, 0, 0, 0, 40]);
        assert_eq!(clock_words(40), "at least 40 s ahead of this server's");
        assert_eq!(clock_words(0), "no difference seen");
    }
}
