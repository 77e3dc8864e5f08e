//! Sets of rules: which one is in force, and the documents of those that may have to be.
//! In: a set's digest and document. Out: the same.
//! Implements DESIGN §4, §7 (`rules`).
//! Never judges a rule, and never keeps a set that nothing waits for.

use rusqlite::params;

use crate::domain::ids::Digest;

use super::columns::{as_i64, digest, first, index};
use super::{Reader, StoreError, Unit};

impl Reader<'_> {
    /// Digest and log entry of the rules as last logged.
    pub fn rules_in_force(&self) -> Result<Option<(Digest, u64)>, StoreError> {
        let sql = "SELECT sha256, entry FROM rules_in_force WHERE id = 1";
        first(&mut self.conn().prepare_cached(sql)?, [], |row| Ok((digest(row, "sha256")?, index(row, "entry")?)))
    }

    /// The document of a set, where it is kept.
    pub fn rule_set(&self, sha256: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT document FROM rule_set WHERE sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![sha256.as_bytes()], |row| Ok(row.get("document")?))
    }
}

impl Unit<'_> {
    /// Replaces the digest of the rules in force.
    pub fn put_rules_in_force(&mut self, sha256: &Digest, entry: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO rules_in_force (id, sha256, entry) VALUES (1, ?1, ?2)
                   ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, entry = excluded.entry";
        self.conn().prepare_cached(sql)?.execute(params![sha256.as_bytes(), as_i64(entry)?])?;
        Ok(())
    }

    /// Keeps the document of a set, in place of one that was damaged.
    pub fn keep_rule_set(&mut self, sha256: &Digest, document: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO rule_set (sha256, document) VALUES (?1, ?2) 
                   ON CONFLICT (sha256) DO UPDATE SET document = excluded.document";
        self.conn().prepare_cached(sql)?.execute(params![sha256.as_bytes(), document])?;
        Ok(())
    }

    /// Forgets every set but the one in force and one that waits.
    pub fn forget_rule_sets(&mut self, waits: Option<&Digest>) -> Result<(), StoreError> {
        let sql = "DELETE FROM rule_set
                   WHERE sha256 NOT IN (SELECT sha256 FROM rules_in_force) AND sha256 IS NOT ?1";
        self.conn().prepare_cached(sql)?.execute(params![waits.map(Digest::as_bytes)])?;
        Ok(())
    }
}
