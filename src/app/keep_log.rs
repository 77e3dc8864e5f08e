//! Shows and checks the log.
//! In: indices, checkpoints kept outside. Out: entries as they are, the re-derived tree, and what contradicts an anchor.
//! Implements DESIGN §7, §12 (`log show`, `log check`).
//! Never mends anything.

use crate::crypto::log_key::verify_ed25519;
use crate::domain::log::anchor::{Contradiction, Together, contradiction, together};
use crate::domain::log::checkpoint::{Checkpoint, CheckpointError};
use crate::domain::log::high_water::Mark;
use crate::domain::log::note::{VerifierKey, open};
use crate::domain::oauth::error_code::ErrorCode;
use crate::store::{CheckReport, Fault, check_log};

use super::{AppError, Countersign};

/// Most entries that are shown at once.
pub const MAX_SHOWN: u64 = 1000;

/// How a log does not fit an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Why.
    pub what: String,
    /// The first entry that is missing; `None` where that is not what is wrong.
    pub index: Option<u64>,
    /// The log's own checkpoint, where it stands beside the anchor as the other half of a proof.
    pub other: Option<String>,
}

/// What two checkpoints prove under a pinned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// One of them (counted from 1) is not this key's.
    NotSigned(usize, CheckpointError),
    /// Both are, and this is what they say of each other; and of how many entries each is.
    Signed(Together, [u64; 2]),
}

impl Countersign {
    /// One entry, as its leaf spells it.
    pub fn show_entry(&self, index: u64) -> Result<String, AppError> {
        let bytes = self.store.read(|reader| reader.entry(index))?;
        let missing = || {
            AppError::refused(ErrorCode::NotFound, format!("the log has no entry {index}"))
                .with_hint("the newest: countersign log show --last 1")
        };
        let bytes = bytes.ok_or_else(missing)?;
        String::from_utf8(bytes).map_err(AppError::internal)
    }

    /// The newest entries, oldest first.
    pub fn show_last(&self, count: u64) -> Result<Vec<String>, AppError> {
        let found = self.store.read(|reader| {
            let size = reader.size()?;
            reader.entries(size.saturating_sub(count.min(MAX_SHOWN))..size)
        })?;
        found.into_iter().map(|(_, bytes)| String::from_utf8(bytes).map_err(AppError::internal)).collect()
    }

    /// The newest checkpoint, a signed note.
    pub fn checkpoint(&self) -> Result<String, AppError> {
        let note = self.store.read(|reader| reader.checkpoint())?;
        note.ok_or_else(|| AppError::internal("the log has no checkpoint"))
    }

    /// Re-derives the whole log from its rows.
    pub fn check_log(&self) -> Result<CheckReport, AppError> {
        let key = VerifierKey::parse(&self.log_vkey).map_err(AppError::internal)?;
        let verify = |note: &str| -> Result<Checkpoint, String> {
            let text = open(note, &key, &|public, message, signature| verify_ed25519(public, message, signature))
                .map_err(|error| error.to_string())?;
            Checkpoint::parse(&text).map_err(|error| error.to_string())
        };
        Ok(self.store.read(|reader| check_log(reader, &verify, &|| false))?)
    }

    /// As `check_log`, and against a high-water mark that was read before: the log goes back to what it names.
    pub fn check_log_against(&self, mark: Option<&Mark>) -> Result<CheckReport, AppError> {
        let mut report = self.check_log()?;
        if let (None, Some(mark)) = (&report.fault, mark)
            && (report.entries < mark.size || self.store.read(|reader| reader.root(mark.size))? != mark.root)
        {
            let what = format!("the high-water mark names {} entries, and these do not go back to them", mark.size);
            report.fault = Some(Fault { index: Some(report.entries.min(mark.size)), what });
        }
        Ok(report)
    }

    /// Holds the log against a checkpoint that was kept outside; `None` where the log goes back to it.
    pub fn check_anchor(&self, anchor: &str) -> Result<Option<Misfit>, AppError> {
        let key = VerifierKey::parse(&self.log_vkey).map_err(AppError::internal)?;
        let head = match Checkpoint::open(anchor, &key, &verify_ed25519) {
            Ok(head) => head,
            Err(why) => {
                let what = format!("{why}; this log's key is {key}");
                return Ok(Some(Misfit { what, index: None, other: None }));
            }
        };
        self.store.read(|reader| {
            let size = reader.size()?;
            let Some(found) = contradiction(&head, size, |size| reader.root(size))? else { return Ok(None) };
            let (index, other) = match found {
                Contradiction::Short { log, .. } => (Some(log), None),
                // Of one size, the two notes prove it to anybody; else the newest one and the entries do.
                Contradiction::Forked(size) => match reader.checkpoint_at(size)? {
                    None => (None, reader.checkpoint()?),
                    same => (None, same),
                },
            };
            Ok(Some(Misfit { what: found.to_string(), index, other }))
        })
    }
}

/// Compares two checkpoints under a pinned key, without any log.
#[must_use]
pub fn compare_checkpoints(notes: [&str; 2], key: &VerifierKey) -> Compared {
    let mut heads = Vec::new();
    for (at, note) in notes.into_iter().enumerate() {
        match Checkpoint::open(note, key, &verify_ed25519) {
            Ok(head) => heads.push(head),
            Err(why) => return Compared::NotSigned(at + 1, why),
        }
    }
    match heads.as_slice() {
        [one, other] => Compared::Signed(together(one, other), [one.size, other.size]),
        _ => Compared::NotSigned(notes.len(), CheckpointError::Malformed("number")),
    }
}
