//! Fetches FIDO's metadata: the newest blob, judged as one from a file is, kept in that file, and put in force.
//! In: where from, what is in force. Out: a newer blob in the file, in the log and in force; or nothing changed, and why.
//! Implements FIDO Metadata Service 3 §3.2 (the number grows); DESIGN §7 (`metadata`).
//! Never replaces anything before the new blob has verified, and never believes the connection in place of the signature.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::crypto::files;
use crate::domain::assurance::models::{MAX_BLOB, Metadata};
use crate::domain::ids::Digest;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;
use crate::passkeys::metadata;
use crate::upstream::fetch::{Fetcher, Roots};

use super::console::ConsoleAnswer;
use super::load_metadata::{MetadataError, due};
use super::settings::MetadataSource;
use super::{AppError, Countersign};

/// Time for a whole fetch, from the name to the last byte.
pub const BLOB_WITHIN: Duration = Duration::from_mins(1);
/// How long fetching may fail before `doctor` and `/readyz` warn of it; once the blob is overdue they do at once.
pub const FETCH_FAILS_FOR: Duration = Duration::from_hours(7 * 24);
/// Others may read the file: it is public.
const MODE: u32 = 0o644;

/// What became of fetching so far, and whom it trusts.
#[derive(Debug, Default)]
pub struct Fetching {
    root: Mutex<Option<Vec<u8>>>,
    failure: Mutex<Option<Failure>>,
    under_way: tokio::sync::Mutex<()>,
}

/// Fetching fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    since: Timestamp,
    last: Timestamp,
    why: String,
}

impl Failure {
    /// It has failed for so long that somebody must look.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.since) >= FETCH_FAILS_FOR
    }

    /// For everybody: neither where from nor where to.
    pub(super) fn sentence(&self) -> String {
        format!("fetching has failed since {}, at {} last", self.since, self.last)
    }

    /// For those who look after the server.
    pub(super) fn whole(&self) -> String {
        format!("{}: {}", self.sentence(), self.why)
    }
}

impl Fetching {
    /// Another root was put in place.
    pub(super) fn trust(&self, root: &[u8]) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root.to_vec());
    }

    /// Waits until nobody else fetches or reads.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.under_way.lock().await
    }

    fn root(&self, source: &MetadataSource) -> Vec<u8> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| source.root.clone())
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, at: Timestamp, why: Option<String>) {
        let mut kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let since = kept.as_ref().map_or(at, |failure| failure.since);
        *kept = why.map(|why| Failure { since, last: at, why });
    }
}

/// The metadata in force, as the console shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataLine {
    /// Its serial number.
    pub number: u64,
    /// Models that it lists.
    pub models: usize,
    /// Entries that could not be read.
    pub skipped: usize,
    /// The last day on which it is the newest.
    pub next_due: String,
    /// The next one is due, so it vouches for no new key.
    pub overdue: bool,
    /// SHA-256 of the newest blob that was ever in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// The log entry that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
}

impl Countersign {
    /// Whether metadata is fetched here, and the one in force is missing or overdue.
    pub fn metadata_is_wanted(&self) -> bool {
        let overdue = |metadata: &Metadata| metadata.is_stale(self.clock.now());
        self.fetches_metadata() && self.trusted().metadata.as_ref().is_none_or(overdue)
    }

    /// Whether metadata is fetched here.
    pub const fn fetches_metadata(&self) -> bool {
        self.settings.devices.metadata_source.is_some()
    }

    /// Fetches the newest blob; its number, and whether it is new here.
    ///
    /// # Errors
    /// Why the one before stays in force; `doctor` and `/readyz` know of it from here on.
    pub async fn fetch_metadata(&self) -> Result<(u64, bool), AppError> {
        let Some(source) = &self.settings.devices.metadata_source else {
            let refused = AppError::refused(ErrorCode::MetadataRefused, "the configuration does not say to fetch it");
            return Err(refused.with_hint("set `fetch = true` in [metadata] (docs/amr.md), then restart"));
        };
        // One at a time: the second finds what the first one brought.
        let _turn = self.fetching.turn().await;
        let now = self.steady_now()?;
        let done = self.fetch_from(source, now).await;
        self.fetching.note(now, done.as_ref().err().map(ToString::to_string));
        done.map_err(told)
    }

    async fn fetch_from(&self, source: &MetadataSource, now: Timestamp) -> Result<(u64, bool), MetadataError> {
        let (asked, root) = (source.clone(), self.fetching.root(source));
        let (blob, metadata) = aside(move || fetch(&asked, &root, now)).await?;
        let (number, sha256) = (metadata.number, Digest::of(&blob));
        match self.store.read(|reader| reader.metadata_in_force())? {
            Some((known, _)) if number < known => return Err(MetadataError::Older { found: number, known }),
            Some((known, same)) if number == known && sha256 != same => return Err(MetadataError::Twice(number)),
            Some((known, _)) if number == known && self.has_metadata(number) => return Ok((number, false)),
            _ => {}
        }
        // The file first: if the process dies here, the next start reads and logs it.
        let file = source.blob_file.clone();
        aside(move || keep(&file, &blob, number)).await?;
        self.put_metadata(metadata, sha256).await?;
        Ok((number, true))
    }

    fn has_metadata(&self, number: u64) -> bool {
        self.trusted().metadata.as_ref().is_some_and(|metadata| metadata.number == number)
    }

    /// The metadata in force.
    pub(super) fn show_metadata(&self, is_new: Option<bool>) -> Result<ConsoleAnswer, AppError> {
        let trusted = self.trusted();
        let Some(metadata) = &trusted.metadata else {
            let refused = AppError::refused(ErrorCode::NotFound, "no FIDO metadata is in force");
            return Err(refused.with_hint("configure [metadata] (docs/amr.md), or: countersign metadata fetch"));
        };
        let (known, entry) =
            self.store.read(|reader| Ok::<_, AppError>((reader.metadata_in_force()?, reader.metadata_entry()?)))?;
        let line = MetadataLine {
            number: metadata.number,
            models: metadata.entries.len(),
            skipped: metadata.skipped,
            next_due: due(metadata),
            overdue: metadata.is_stale(self.clock.now()),
            sha256: known.map(|(_, sha256)| sha256),
            entry,
        };
        let failure = if self.fetches_metadata() { self.fetching.failure() } else { None };
        Ok(ConsoleAnswer::Metadata { metadata: line, is_new, failure: failure.map(|failure| failure.whole()) })
    }
}

/// Fetches and judges; it blocks.
fn fetch(source: &MetadataSource, root: &[u8], now: Timestamp) -> Result<(Vec<u8>, Metadata), MetadataError> {
    let roots = source.ca_file.clone().map_or(Roots::System, Roots::CaFile);
    let fetcher = Fetcher::with_deadline(&roots, source.allow_private, BLOB_WITHIN);
    let fetched = fetcher.and_then(|fetcher| fetcher.get_signed(&source.url, MAX_BLOB));
    let blob = fetched.map_err(MetadataError::Unreachable)?;
    let metadata = metadata::read(&blob, root, now).map_err(MetadataError::Unreadable)?;
    Ok((blob, metadata))
}

/// Keeps a blob in the file, unless somebody put a newer one there that was not loaded: that one is not ours to lose.
fn keep(file: &Path, blob: &[u8], number: u64) -> Result<(), MetadataError> {
    let there = files::read_if_there(file, MAX_BLOB).map_err(MetadataError::Unkept)?;
    match there.and_then(|there| metadata::claimed_number(&there)) {
        Some(there) if there > number => Err(MetadataError::Unloaded { found: number, file: there }),
        _ => files::write_atomically(file, blob, MODE).map_err(MetadataError::Unkept),
    }
}

/// Runs what blocks where that is allowed.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MetadataError> + Send + 'static,
) -> Result<T, MetadataError> {
    let done = tokio::task::spawn_blocking(work).await;
    // The runtime's error quotes a panic's message.
    done.unwrap_or_else(|_| Err(AppError::internal("fetching the metadata broke off").into()))
}

/// As the console is told: what may pass by itself, and what somebody must look at.
fn told(error: MetadataError) -> AppError {
    let code = match error {
        MetadataError::App(error) => return *error,
        MetadataError::Unreachable(_) => ErrorCode::MetadataUnavailable,
        _ => ErrorCode::MetadataRefused,
    };
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((what, cure)) if code == ErrorCode::MetadataRefused => AppError::refused(code, what).with_hint(cure),
        _ => AppError::refused(code, text),
    }
}
