//! When a rule was in force, in which wording, and which tokens were issued by it: who weakens a rule, uses it and puts it back
//! is seen.
//! In: a rule's name. Out: its windows, oldest first.
//! Implements ATTACKS 100, DESIGN §12 (`log show --rule`).
//! Never looks at the files of today: the log's entries and their documents say it all.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Digest, RuleName};
use crate::domain::log::entry::{Entry, Event, EvidenceDigests};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;
use crate::store::{Reader, StoreError};

use super::{AppError, Countersign};

/// How long a rule was in force in one wording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleWindow {
    /// SHA-256 of the compiled rule: another one is another wording.
    pub sha256: Digest,
    /// Index of the entry from which on it was in force.
    pub entry: u64,
    /// When that was.
    pub from: Timestamp,
    /// The entry of the change for which admins signed; absent where the files alone said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<u64>,
    /// The entry that ended it, and when; absent where it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<(u64, Timestamp)>,
    /// The entries of tokens that were issued by it.
    pub tokens: Vec<u64>,
}

/// A rule of a set, as the set's document lists it.
#[derive(Deserialize)]
struct Listed {
    name: RuleName,
    sha256: Digest,
}

impl Countersign {
    /// The windows of a rule.
    ///
    /// # Errors
    /// No rule of this name was ever in force.
    pub fn show_rule(&self, name: &str) -> Result<Vec<RuleWindow>, AppError> {
        let never = || {
            AppError::refused(ErrorCode::NotFound, format!("no rule \"{name}\" was ever in force"))
                .with_hint("those of today: countersign rule check")
        };
        let name = RuleName::parse(name).map_err(|_| never())?;
        let windows = self.store.read(|reader| -> Result<_, AppError> {
            let mut windows = Vec::new();
            let (mut next, size) = (0, reader.size()?);
            while next < size {
                for (index, bytes) in reader.entries(next..size)? {
                    next = index + 1;
                    let entry = Entry::from_bytes(&bytes).map_err(AppError::internal)?;
                    read(reader, &mut windows, &name, entry)?;
                }
            }
            Ok(windows)
        })?;
        if windows.is_empty() { Err(never()) } else { Ok(windows) }
    }
}

/// What one entry says of the rule.
fn read(reader: &Reader<'_>, windows: &mut Vec<RuleWindow>, name: &RuleName, entry: Entry) -> Result<(), AppError> {
    match entry.event {
        Event::Rules { evidence, change, .. } => {
            let now = listed(reader, entry.seq, &evidence)?.into_iter().find(|one| one.name == *name);
            let open = windows.last_mut().filter(|window| window.until.is_none());
            let stays = open.as_ref().map(|window| window.sha256) == now.as_ref().map(|one| one.sha256);
            if let Some(window) = open.filter(|_| !stays) {
                window.until = Some((entry.seq, entry.time));
            }
            if let Some(Listed { sha256, .. }) = now.filter(|_| !stays) {
                windows.push(RuleWindow {
                    sha256,
                    entry: entry.seq,
                    from: entry.time,
                    change,
                    until: None,
                    tokens: Vec::new(),
                });
            }
        }
        // A token that was asked for before a change is issued under the wording that people signed.
        Event::Token { rule, .. } => {
            if let Some(window) = windows.iter_mut().rev().find(|window| window.sha256 == rule) {
                window.tokens.push(entry.seq);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The rules of a set.
fn listed(reader: &Reader<'_>, entry: u64, evidence: &EvidenceDigests) -> Result<Vec<Listed>, AppError> {
    let mut rules = Vec::new();
    for digest in evidence.values() {
        let row = reader.evidence(entry, digest)?;
        let bytes = row
            .and_then(|row| row.bytes)
            .ok_or_else(|| AppError::from(StoreError::Corrupt(format!("a document of entry {entry} is missing"))))?;
        rules.extend(serde_json::from_slice::<Vec<Listed>>(&bytes).map_err(AppError::internal)?);
    }
    Ok(rules)
}
