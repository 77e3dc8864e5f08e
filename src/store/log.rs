//! The log as it is stored: entries, tree, checkpoints, evidence.
//! In: indices and digests. Out: rows, roots and proofs.
//! Implements DESIGN §7, C2SP tlog-tiles' tree.
//! Never changes anything: only a unit of work appends.

use std::cell::RefCell;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::evidence::SALT;
use crate::domain::log::merkle::{self, Hashes};
use crate::domain::time::Timestamp;

use super::{Reader, StoreError};

/// Most entries that one call of `entries` gives.
pub const MAX_ENTRIES_AT_ONCE: u64 = 1_000;

/// A document that an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// What it is: `statement`, `assertion`, …
    pub kind: String,
    /// The salt of its digest; `None` once erased.
    pub salt: Option<[u8; SALT]>,
    /// The document; `None` once erased.
    pub bytes: Option<Vec<u8>>,
    /// Whose personal data it is, where it is somebody's.
    pub person: Option<PersonId>,
}

/// What every entry has.
#[derive(serde::Deserialize)]
struct Timed {
    time: Timestamp,
}

impl Reader<'_> {
    /// How many entries the log has.
    pub fn size(&self) -> Result<u64, StoreError> {
        let last: Option<i64> =
            self.conn().prepare_cached("SELECT max(idx) FROM log_entry")?.query_row([], |row| row.get(0))?;
        last.map_or(Ok(0), |last| uint(last).map(|last| last + 1))
    }

    /// The time of the newest entry; `None` before the first.
    pub fn last_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut select = self.conn().prepare_cached("SELECT entry FROM log_entry ORDER BY idx DESC LIMIT 1")?;
        let newest: Option<Vec<u8>> = select.query_row([], |row| row.get(0)).optional()?;
        // Every call asks: of the whole entry, the time is enough.
        let time = newest.map(|bytes| serde_json::from_slice(&bytes).map(|Timed { time }| time)).transpose();
        time.map_err(|error| StoreError::Corrupt(format!("the newest entry has no time: {error}")))
    }

    /// The bytes of an entry.
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut select = self.conn().prepare_cached("SELECT entry FROM log_entry WHERE idx = ?1")?;
        Ok(select.query_row([int(index)?], |row| row.get(0)).optional()?)
    }

    /// The entries of a range with their indices, at most `MAX_ENTRIES_AT_ONCE` of them.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let end = range.end.min(range.start.saturating_add(MAX_ENTRIES_AT_ONCE));
        let sql = "SELECT idx, entry FROM log_entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        let mut select = self.conn().prepare_cached(sql)?;
        let mut rows = select.query([int(range.start)?, int(end)?])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push((uint(row.get(0)?)?, row.get(1)?));
        }
        Ok(entries)
    }

    /// The hash of a leaf.
    pub fn leaf_hash(&self, index: u64) -> Result<Option<Digest>, StoreError> {
        subtree(self.conn(), 0, index)
    }

    /// The newest checkpoint, a signed note.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT note FROM log_checkpoint ORDER BY size DESC LIMIT 1";
        Ok(self.conn().prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }

    /// The checkpoint of that size, where one was made.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<String>, StoreError> {
        let mut select = self.conn().prepare_cached("SELECT note FROM log_checkpoint WHERE size = ?1")?;
        Ok(select.query_row([int(size)?], |row| row.get(0)).optional()?)
    }

    /// The root over the first `size` entries.
    pub fn root(&self, size: u64) -> Result<Digest, StoreError> {
        self.within(size)?;
        self.tree(|stored| merkle::root(size, stored))
    }

    /// The proof that an entry is in the tree of that size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
        self.within(size)?;
        if index >= size {
            return Err(StoreError::Invalid(format!("entry {index} is not in a tree of {size} entries")));
        }
        self.tree(|stored| merkle::inclusion_proof(index, size, stored))
    }

    /// The proof that the tree of size `new` begins with the tree of size `old`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, StoreError> {
        self.within(new)?;
        if old > new {
            return Err(StoreError::Invalid(format!("a tree of {new} entries does not begin with one of {old}")));
        }
        self.tree(|stored| merkle::consistency_proof(old, new, stored))
    }

    /// A document that an entry names, by its digest.
    pub fn evidence(&self, entry: u64, digest: &Digest) -> Result<Option<EvidenceRow>, StoreError> {
        // One that this entry alone names, or one that is found by its digest.
        let sql = "SELECT kind, salt, bytes, person_id FROM evidence WHERE entry = ?1 AND digest = ?2
                   UNION ALL
                   SELECT kind, salt, bytes, person_id FROM evidence WHERE entry IS NULL AND digest = ?2
                   LIMIT 1";
        let mut select = self.conn().prepare_cached(sql)?;
        let mut rows = select.query(params![int(entry)?, digest.as_bytes()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let person: Option<String> = row.get(3)?;
        let person = person.map(|person| PersonId::parse(&person)).transpose();
        Ok(Some(EvidenceRow {
            kind: row.get(0)?,
            salt: row.get(1)?,
            bytes: row.get(2)?,
            person: person.map_err(|error| StoreError::Corrupt(error.to_string()))?,
        }))
    }

    /// Whether a document that an entry names was erased; `None` where it is missing.
    pub(super) fn is_erased(&self, entry: u64, digest: &Digest) -> Result<Option<bool>, StoreError> {
        let sql = "SELECT bytes IS NULL FROM evidence WHERE entry = ?1 AND digest = ?2
                   UNION ALL SELECT bytes IS NULL FROM evidence WHERE entry IS NULL AND digest = ?2 LIMIT 1";
        let mut select = self.conn().prepare_cached(sql)?;
        Ok(select.query_row(params![int(entry)?, digest.as_bytes()], |row| row.get(0)).optional()?)
    }

    /// Computes over the stored tree.
    pub(super) fn tree<T>(&self, compute: impl FnOnce(&StoredTree<'_>) -> Option<T>) -> Result<T, StoreError> {
        let stored = StoredTree { conn: self.conn(), failure: RefCell::new(None) };
        compute(&stored).ok_or_else(|| {
            let missing = || StoreError::Corrupt("a hash of the tree is missing".to_owned());
            stored.failure.take().unwrap_or_else(missing)
        })
    }

    fn within(&self, size: u64) -> Result<(), StoreError> {
        let stored = self.size()?;
        if size <= stored {
            return Ok(());
        }
        Err(StoreError::Invalid(format!("the log has {stored} entries, not {size}")))
    }
}

/// The stored hashes; why one could not be read is kept until the computation ends.
pub(super) struct StoredTree<'a> {
    conn: &'a Connection,
    failure: RefCell<Option<StoreError>>,
}

impl Hashes for StoredTree<'_> {
    fn hash(&self, level: u32, n: u64) -> Option<Digest> {
        subtree(self.conn, level, n).unwrap_or_else(|error| {
            self.failure.replace(Some(error));
            None
        })
    }
}

fn subtree(conn: &Connection, level: u32, n: u64) -> Result<Option<Digest>, StoreError> {
    let hash: Option<[u8; 32]> = if level == 0 {
        let mut select = conn.prepare_cached("SELECT leaf_hash FROM log_entry WHERE idx = ?1")?;
        select.query_row([int(n)?], |row| row.get(0)).optional()?
    } else {
        let mut select = conn.prepare_cached("SELECT hash FROM log_hash WHERE leaf = ?1 AND level = ?2")?;
        select.query_row(params![int(last_leaf(level, n))?, level], |row| row.get(0)).optional()?
    };
    Ok(hash.map(Digest::from_bytes))
}

/// The last leaf of a complete subtree, with which its hash came into being.
pub(super) const fn last_leaf(level: u32, n: u64) -> u64 {
    ((n + 1) << level) - 1
}

/// A number as SQLite holds it.
pub(super) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("`{number}` is beyond what the log counts")))
}

/// A count or an index read back.
pub(super) fn uint(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("`{number}` is not an index")))
}
