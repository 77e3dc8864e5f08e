//! Measures what whoever watches the server wants to know as numbers.
//! In: the running application. Out: `Measured`.
//! Implements DESIGN §12.
//! Never names a person, a project or a job, and never waits for an issuer.

use std::sync::atomic::Ordering;

use crate::domain::ids::IssuerName;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

use super::{AppError, Countersign};

/// The server in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// It can issue.
    pub ready: bool,
    /// How many things want an operator and keep it from nothing.
    pub warnings: usize,
    /// Entries of the log.
    pub entries: u64,
    /// When the newest one was made.
    pub newest: Timestamp,
    /// Requests that a call is held for.
    pub waiting: usize,
    /// Job tokens refused before they could be logged, since the start.
    pub unverified_refusals: u64,
    /// Claims that the inventory does not know, since the start.
    pub unknown_claims: u64,
    /// Each issuer: whether its tokens can be verified, and when its keys were fetched.
    pub issuers: Vec<(IssuerName, bool, Option<Timestamp>)>,
    /// The key of each algorithm that signs, and since when.
    pub signing: Vec<(TokenAlg, Timestamp)>,
    /// FIDO's metadata, where some is in force.
    pub metadata: Option<MeasuredMetadata>,
    /// The present.
    pub now: Timestamp,
}

/// FIDO's metadata in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredMetadata {
    /// Its serial number.
    pub number: u64,
    /// Models that it lists.
    pub models: usize,
    /// When it has the next one due.
    pub next_update: Timestamp,
}

impl Countersign {
    /// Measures.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn measure(&self) -> Result<Measured, AppError> {
        let (entries, newest) = self
            .store
            .read(|reader| -> Result<_, AppError> { Ok((reader.size()?, reader.last_time()?.unwrap_or_default())) })?;
        let trusted = self.trusted();
        let metadata = trusted.metadata.as_ref().map(|metadata| MeasuredMetadata {
            number: metadata.number,
            models: metadata.entries.len(),
            next_update: metadata.next_update,
        });
        Ok(Measured {
            ready: self.readiness().is_empty(),
            warnings: self.warnings().len(),
            entries,
            newest,
            waiting: self.waiting().count(),
            unverified_refusals: self.counters.unverified_refusals.load(Ordering::Relaxed),
            unknown_claims: self.counters.unknown_claims.load(Ordering::Relaxed),
            issuers: self.issuer_lines().into_iter().map(|line| (line.name, line.usable, line.fetched)).collect(),
            signing: self.signing_since()?,
            metadata,
            now: self.clock.now(),
        })
    }
}
