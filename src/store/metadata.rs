//! The newest metadata that was in force.
//! In: number and digest of a blob. Out: the same.
//! Implements DESIGN §7 (`metadata`); FIDO Metadata Service 3 §3.2 (a number never falls).
//! Never goes back to a lower number.

use rusqlite::params;

use crate::domain::ids::Digest;

use super::columns::{as_i64, digest, first, index};
use super::{Reader, StoreError, Unit};

impl Reader<'_> {
    /// Number and SHA-256 of the newest blob that was ever in force.
    pub fn metadata_in_force(&self) -> Result<Option<(u64, Digest)>, StoreError> {
        let sql = "SELECT number, sha256 FROM metadata_in_force WHERE id = 1";
        first(&mut self.conn().prepare_cached(sql)?, [], |row| Ok((index(row, "number")?, digest(row, "sha256")?)))
    }

    /// The log entry that put that blob in force.
    pub fn metadata_entry(&self) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT entry FROM metadata_in_force WHERE id = 1";
        first(&mut self.conn().prepare_cached(sql)?, [], |row| index(row, "entry"))
    }
}

impl Unit<'_> {
    /// Puts a blob in force.
    pub fn put_metadata_in_force(&mut self, number: u64, sha256: &Digest, entry: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO metadata_in_force (id, number, sha256, entry) VALUES (1, ?1, ?2, ?3)
                   ON CONFLICT (id) DO UPDATE SET number = ?1, sha256 = ?2, entry = ?3 WHERE number <= ?1";
        let values = params![as_i64(number)?, sha256.as_bytes(), as_i64(entry)?];
        let changed = self.conn().prepare_cached(sql)?.execute(values)?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Invalid("newer metadata was in force".to_owned())) }
    }
}
