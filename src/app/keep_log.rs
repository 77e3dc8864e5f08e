//! Shows and checks the log.
//! In: indices. Out: entries as they are, and the result of re-deriving the tree from the rows.
//! Implements DESIGN §7, §12 (`log show`, `log check`).
//! Never mends anything.

use crate::crypto::log_key::verify_ed25519;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::high_water::Mark;
use crate::domain::log::note::{VerifierKey, open};
use crate::domain::oauth::error_code::ErrorCode;
use crate::store::{CheckReport, Fault, check_log};

use super::{AppError, Countersign};

/// Most entries that are shown at once.
pub const MAX_SHOWN: u64 = 1000;

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
}
