//! The stored hashes of inner nodes, read in step with the entries: they stand in the order in which entries make them.
//! In: one snapshot. Out: the hash that is stored for each that is derived.
//! Implements DESIGN §12 (`log check`).
//! Never holds the tree in memory: a log of any length is checked with a few pages.

use rusqlite::{Rows, Statement};

use crate::store::log::{int, uint};
use crate::store::{Reader, StoreError};

/// A row: the last leaf of a subtree, its level, its hash.
type Stored = (u64, u32, Vec<u8>);

/// One cursor over all of them.
pub(super) struct StoredHashes<'s> {
    rows: Rows<'s>,
    /// The row that no step took yet.
    ahead: Option<Stored>,
    taken: u64,
}

/// What `StoredHashes::open` reads from.
pub(super) fn statement<'r>(reader: &Reader<'r>) -> Result<Statement<'r>, StoreError> {
    Ok(reader.conn().prepare("SELECT leaf, level, hash FROM log_hash ORDER BY leaf, level")?)
}

impl<'s> StoredHashes<'s> {
    pub(super) fn open(statement: &'s mut Statement<'_>) -> Result<Self, StoreError> {
        let mut hashes = Self { rows: statement.query([])?, ahead: None, taken: 0 };
        hashes.read()?;
        Ok(hashes)
    }

    /// The hash stored for a subtree, by its last leaf and its level; what stands before it belongs to no subtree.
    pub(super) fn next(&mut self, leaf: u64, level: u32) -> Result<Option<Vec<u8>>, StoreError> {
        while self.ahead.as_ref().is_some_and(|(at, of, _)| (*at, *of) < (leaf, level)) {
            self.read()?;
        }
        match &mut self.ahead {
            Some((at, of, hash)) if (*at, *of) == (leaf, level) => {
                let hash = std::mem::take(hash);
                self.taken += 1;
                self.read()?;
                Ok(Some(hash))
            }
            _ => Ok(None),
        }
    }

    /// Whether there are rows that belong to no subtree.
    pub(super) fn left_over(&self, reader: &Reader<'_>) -> Result<bool, StoreError> {
        let stored: i64 = reader.conn().query_row("SELECT count(*) FROM log_hash", [], |row| row.get(0))?;
        Ok(stored != int(self.taken)?)
    }

    fn read(&mut self) -> Result<(), StoreError> {
        self.ahead = match self.rows.next()? {
            Some(row) => Some((uint(row.get(0)?)?, row.get(1)?, row.get(2)?)),
            None => None,
        };
        Ok(())
    }
}
