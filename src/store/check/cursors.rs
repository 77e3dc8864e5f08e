//! The stored hashes of inner nodes, read in step with the entries, one cursor for each level of the tree.
//! In: one snapshot. Out: at each level the next stored hash.
//! Implements DESIGN §12 (`log check`).
//! Never holds the tree in memory: a log of any length is checked with a few pages.

use rusqlite::{Rows, Statement};

use crate::store::log::{int, uint};
use crate::store::{Reader, StoreError};

/// What a cursor finds.
pub(super) enum Step {
    /// The place and the hash of the next row.
    At(u64, Vec<u8>),
    /// No row.
    End,
}

/// A cursor for each level from 1 on.
pub(super) struct Cursors<'s> {
    levels: Vec<Rows<'s>>,
    taken: u64,
}

/// One statement for each level that the tree can have.
pub(super) fn statements<'r>(reader: &Reader<'r>) -> Result<Vec<Statement<'r>>, StoreError> {
    let levels = reader.size()?.checked_ilog2().unwrap_or(0);
    let sql = "SELECT n, hash FROM log_hash WHERE level = ?1 ORDER BY n";
    (0..levels).map(|_| Ok(reader.conn().prepare(sql)?)).collect()
}

impl<'s> Cursors<'s> {
    pub(super) fn open(statements: &'s mut [Statement<'_>]) -> Result<Self, StoreError> {
        let levels = statements.iter_mut().zip(1_i64..).map(|(statement, level)| Ok(statement.query([level])?));
        Ok(Self { levels: levels.collect::<Result<_, StoreError>>()?, taken: 0 })
    }

    /// The next stored hash of a level.
    pub(super) fn step(&mut self, level: u32) -> Result<Step, StoreError> {
        let rows = (level as usize).checked_sub(1).and_then(|at| self.levels.get_mut(at));
        let Some(rows) = rows else { return Ok(Step::End) };
        let Some(row) = rows.next()? else { return Ok(Step::End) };
        self.taken += 1;
        Ok(Step::At(uint(row.get(0)?)?, row.get(1)?))
    }

    /// Whether there are rows that no step took.
    pub(super) fn left_over(&self, reader: &Reader<'_>) -> Result<bool, StoreError> {
        let stored: i64 = reader.conn().query_row("SELECT count(*) FROM log_hash", [], |row| row.get(0))?;
        Ok(stored != int(self.taken)?)
    }
}
