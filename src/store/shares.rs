//! How tables that strangers fill are shared out, so that nobody takes another's place in them.
//! In: a table's share, whoever pays for another row. Out: whether there is room, and whose.
//! Implements ATTACKS 44: what waits is bounded for each network and for all of them.
//! Never counts rows: triggers keep the counts, so that a full table costs the writer no more than an empty one.

use rusqlite::params;

use super::columns::first;
use super::{StoreError, Unit};

/// How a table's rows are shared out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Its name among the counts.
    pub(super) pool: &'static str,
    /// Most rows of all payers together.
    pub(super) most: usize,
    /// Most rows of one payer.
    pub(super) of_one: usize,
    /// Most rows of one payer while more than half of all are taken.
    pub(super) in_a_crowd: usize,
}

/// Whether there is room for one row more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Free,
    /// The payer has what it may have: only its own oldest could go.
    ForItsOldest,
    /// Others have taken everything.
    None,
}

impl Unit<'_> {
    /// Whether there is room for one row more of this payer.
    pub(super) fn room(&self, share: &Share, payer: &str) -> Result<Room, StoreError> {
        let all = self.shared(share, "")?;
        let own = self.shared(share, payer)?;
        let most = if all > share.most / 2 { share.in_a_crowd } else { share.of_one };
        Ok(match (own < most, all < share.most) {
            (true, true) => Room::Free,
            (true, false) if own == 0 => Room::None,
            // Whoever has rows goes on with those, however full it is.
            _ => Room::ForItsOldest,
        })
    }

    fn shared(&self, share: &Share, payer: &str) -> Result<usize, StoreError> {
        let sql = "SELECT taken FROM shared_out WHERE pool = ?1 AND payer = ?2";
        let mut select = self.conn().prepare_cached(sql)?;
        let taken = first(&mut select, params![share.pool, payer], |row| Ok(row.get::<_, i64>(0)?))?;
        Ok(usize::try_from(taken.unwrap_or(0)).unwrap_or(0))
    }
}
