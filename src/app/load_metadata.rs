//! Loads what vouches for passkeys: FIDO's metadata, and the roots that the operator names.
//! In: the documents that the configuration names. Out: `Trusted`, in force; a log entry where metadata changed.
//! Implements DESIGN §6 (a chain proven through metadata), §7 (`metadata`); FIDO Metadata Service 3 §3.2.
//! Never goes back to an older blob, and keeps the old one where the new one is not good.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::CryptoError;
use crate::domain::assurance::models::{Metadata, OwnRoot, Trusted};
use crate::domain::ids::Digest;
use crate::domain::log::entry::Event;
use crate::domain::time::Timestamp;
use crate::passkeys::metadata;
use crate::store::{Reader, Store, StoreError};
use crate::upstream::UpstreamError;

use super::check_health::{Finding, counted};
use super::fetch_metadata::Failure;
use super::settings::{DeviceSettings, MetadataDocuments, OwnRootDocuments};
use super::{AppError, Countersign};

/// Why metadata is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The blob is not good.
    #[error("the FIDO metadata: {0}; download it again from https://mds.fidoalliance.org/")]
    Unreadable(String),
    /// A root of the operator's is not good.
    #[error("attestation root \"{name}\": {problem}; name another file")]
    Root {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A newer one was in force.
    #[error("the FIDO metadata is no. {found}, and no. {known} was in force already; download the newest")]
    Older {
        /// Of the file.
        found: u64,
        /// Of the log.
        known: u64,
    },
    /// The one in force has this number, and other contents.
    #[error(
        "the FIDO metadata is no. {0}, which is in force with other contents; compare the two, then put one in place by hand"
    )]
    Twice(u64),
    /// The file has a newer one that was not loaded.
    #[error(
        "the FIDO metadata is no. {found}, and the file has no. {file}, which is not loaded; send the server SIGHUP"
    )]
    Unloaded {
        /// Fetched.
        found: u64,
        /// In the file.
        file: u64,
    },
    /// It could not be fetched.
    #[error("the FIDO metadata cannot be fetched: {0}")]
    Unreachable(UpstreamError),
    /// It could not be kept.
    #[error("the FIDO metadata cannot be kept: {0}")]
    Unkept(CryptoError),
    /// The store or the log failed.
    #[error("the FIDO metadata: {}; countersign doctor", .0)]
    App(Box<AppError>),
}

impl From<AppError> for MetadataError {
    fn from(error: AppError) -> Self {
        Self::App(Box::new(error))
    }
}

impl From<StoreError> for MetadataError {
    fn from(error: StoreError) -> Self {
        AppError::from(error).into()
    }
}

fn read(documents: &MetadataDocuments, now: Timestamp) -> Result<(Metadata, Digest), MetadataError> {
    let metadata = metadata::read(&documents.blob, &documents.root, now).map_err(MetadataError::Unreadable)?;
    Ok((metadata, Digest::of(&documents.blob)))
}

/// What vouches, with the digest of the blob.
pub(super) fn trust(settings: &DeviceSettings, now: Timestamp) -> Result<(Trusted, Option<Digest>), MetadataError> {
    let read = settings.metadata.as_ref().map(|documents| read(documents, now)).transpose()?;
    let (metadata, sha256) = read.unzip();
    let own = settings.own_roots.iter().map(own_root).collect::<Result<_, _>>()?;
    Ok((Trusted { metadata, own, unattested_uv: settings.trust_unattested_uv }, sha256))
}

fn own_root(documents: &OwnRootDocuments) -> Result<OwnRoot, MetadataError> {
    let fault = |problem| MetadataError::Root { name: documents.name.clone(), problem };
    Ok(OwnRoot {
        name: documents.name.clone(),
        format: documents.format.clone(),
        aaguids: documents.aaguids.clone(),
        roots: metadata::roots(&documents.roots).map_err(fault)?,
        revoked: documents.revoked.as_deref().map_or(Ok(BTreeSet::new()), metadata::revoked).map_err(fault)?,
    })
}

/// Refuses a blob that is older than one that was in force; `true` where it is the same.
pub(super) fn is_known(reader: &Reader<'_>, metadata: &Metadata, sha256: Digest) -> Result<bool, MetadataError> {
    match reader.metadata_in_force()? {
        Some((known, _)) if metadata.number < known => Err(MetadataError::Older { found: metadata.number, known }),
        Some((_, known)) => Ok(known == sha256),
        None => Ok(false),
    }
}

/// Logs a blob where it differs from the one in force.
pub(super) async fn log_metadata(store: &Store, metadata: &Metadata, sha256: Digest) -> Result<(), MetadataError> {
    if store.read(|reader| is_known(reader, metadata, sha256))? {
        return Ok(());
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let event = Event::Metadata {
        number: metadata.number,
        sha256,
        next_update: metadata.next_update,
        models: count(metadata.entries.len()),
        skipped: count(metadata.skipped),
    };
    let number = metadata.number;
    store
        .write(move |unit| -> Result<(), AppError> {
            let entry = unit.append(event)?;
            Ok(unit.put_metadata_in_force(number, &sha256, entry)?)
        })
        .await?;
    Ok(())
}

impl Countersign {
    /// Reads metadata again.
    ///
    /// # Errors
    /// The metadata before stays in force.
    pub async fn load_metadata(&self, documents: &MetadataDocuments) -> Result<u64, MetadataError> {
        self.trust_root(&documents.root)?;
        // Not while one is fetched: the newer of the two stays in force and in the file.
        let _turn = self.fetching.turn().await;
        let (metadata, sha256) = read(documents, self.steady_now()?)?;
        self.put_metadata(metadata, sha256).await
    }

    /// Believes another root from here on where metadata is fetched, whatever becomes of the blob that is there.
    ///
    /// # Errors
    /// It is none.
    pub fn trust_root(&self, root: &[u8]) -> Result<(), MetadataError> {
        metadata::roots(root).map_err(MetadataError::Unreadable)?;
        self.fetching.trust(root);
        Ok(())
    }

    /// Logs metadata and puts it in force: its number.
    pub(super) async fn put_metadata(&self, metadata: Metadata, sha256: Digest) -> Result<u64, MetadataError> {
        log_metadata(&self.store, &metadata, sha256).await?;
        let number = metadata.number;
        self.vouching.put(Trusted { metadata: Some(metadata), ..Trusted::clone(&self.trusted()) }, Some(sha256));
        Ok(number)
    }

    /// Reads the lists of revoked certificates below the operator's roots again, by the roots' names.
    ///
    /// # Errors
    /// The lists before stay in force, all of them.
    pub fn load_revoked(&self, lists: &BTreeMap<String, Vec<u8>>) -> Result<(), MetadataError> {
        let mut trusted = Trusted::clone(&self.trusted());
        for own in &mut trusted.own {
            if let Some(list) = lists.get(&own.name) {
                let fault = |problem| MetadataError::Root { name: own.name.clone(), problem };
                own.revoked = metadata::revoked(list).map_err(fault)?;
            }
        }
        self.vouching.put(trusted, None);
        Ok(())
    }

    /// What is to be said of the metadata in force, with why it cannot be fetched where `whole`: that names addresses and
    /// files. Nothing where none is configured.
    pub(super) fn metadata_finding(&self, whole: bool) -> Option<Finding> {
        let trusted = self.trusted();
        let now = self.clock.now();
        let fetched = self.settings.devices.metadata_source.is_some();
        let failure = if fetched { self.fetching.failure() } else { None };
        let said = |failed: &Failure| if whole { failed.whole() } else { failed.sentence() };
        let last = failure.as_ref().map(|failed| format!("; {}", said(failed))).unwrap_or_default();
        let Some(metadata) = trusted.metadata.as_ref() else {
            let text = format!("no FIDO metadata is here yet, so no key counts as proven{last}");
            return fetched.then(|| Finding::warn("metadata", text, FETCH));
        };
        let skipped = match metadata.skipped {
            0 => String::new(),
            some => format!(", {} skipped", counted(some, "entry", "entries")),
        };
        let models = counted(metadata.entries.len(), "model", "models");
        let text = format!("FIDO metadata no. {}, {models}{skipped}, next due {}", metadata.number, due(metadata));
        let cure = if fetched { FETCH } else { DOWNLOAD };
        let known = self.store.read(|reader| reader.metadata_in_force()).ok().flatten();
        if let Some((known, _)) = known.filter(|(known, _)| metadata.number < *known) {
            let text = format!("{text}: no. {known} was in force already, so it would not be taken");
            return Some(Finding::fail("metadata", text, "download the newest from https://mds.fidoalliance.org/"));
        }
        Some(if metadata.is_stale(now) {
            let text = format!("{text}: overdue, so no new key counts as proven (keys from before go on){last}");
            Finding::warn("metadata", text, cure)
        } else if failure.is_some_and(|failed| failed.is_old(now)) {
            Finding::warn("metadata", format!("{text}{last}"), cure)
        } else {
            Finding::ok("metadata", format!("{text}{last}"))
        })
    }
}

/// What to do about metadata that is fetched.
const FETCH: &str = "countersign metadata fetch, and let the server reach the service (docs/amr.md)";
/// What to do about metadata that is a file.
const DOWNLOAD: &str = "download it again from https://mds.fidoalliance.org/, then SIGHUP";

/// The last day on which it is the newest.
pub(super) fn due(metadata: &Metadata) -> String {
    let day = Timestamp::from_millis(metadata.next_update.millis() - 1);
    day.to_string().chars().take(10).collect()
}
