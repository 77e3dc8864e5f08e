//! Who vouches for passkeys just now, as the writer's units must see it: when they run, not when they were queued.
//! In: what was loaded. Out: what is in force, or that the log knows newer metadata than memory.
//! Implements DESIGN §5.3 (decided on what holds inside the unit), §7 (`metadata`).
//! Never lets a model count that the log knew to be broken before the unit ran.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::assurance::models::Trusted;
use crate::domain::ids::Digest;
use crate::domain::oauth::error_code::ErrorCode;
use crate::store::{Reader, StoreError};

use super::AppError;

/// What vouches, and the digest of its metadata blob.
type InForce = (Arc<Trusted>, Option<Digest>);

/// Who vouches for passkeys just now; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Vouching(Arc<RwLock<InForce>>);

impl Vouching {
    /// What was loaded, with the digest of the metadata blob.
    pub fn new(trusted: Trusted, blob: Option<Digest>) -> Self {
        Self(Arc::new(RwLock::new((Arc::new(trusted), blob))))
    }

    fn read(&self) -> InForce {
        // A panic while the pointer was swapped leaves a whole pointer behind.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is in force.
    pub fn get(&self) -> Arc<Trusted> {
        self.read().0
    }

    /// Puts something else in force; without a new blob the one before goes on.
    pub(super) fn put(&self, trusted: Trusted, blob: Option<Digest>) {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let blob = blob.or(slot.1);
        *slot = (Arc::new(trusted), blob);
    }

    /// What is in force inside a unit; `None` where the log has newer metadata, which memory gets a moment later.
    pub(super) fn in_unit(&self, reader: &Reader<'_>) -> Result<Option<Arc<Trusted>>, StoreError> {
        let (trusted, blob) = self.read();
        let stale = match (&blob, reader.metadata_in_force()?) {
            (Some(blob), Some((_, logged))) => *blob != logged,
            // Metadata that was configured once and is not any more vouches for nothing.
            (None, _) | (_, None) => false,
        };
        Ok((!stale).then_some(trusted))
    }

    /// The same, where the call is to come again.
    pub(super) fn in_unit_or_busy(&self, reader: &Reader<'_>) -> Result<Arc<Trusted>, AppError> {
        self.in_unit(reader)?.ok_or_else(|| AppError::Fault {
            code: ErrorCode::QueueFull,
            detail: "newer metadata is in the log and not yet in force".to_owned(),
        })
    }
}
