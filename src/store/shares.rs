//! How tables that strangers fill are shared out, so that nobody takes another's place in them.
//! In: a table's share, whoever pays for another row. Out: room for it, or a refusal.
//! Implements ATTACKS 44: what waits is bounded for each network and for all of them.
//! Never counts rows: triggers keep the counts, so that a full table costs the writer no more than an empty one.

use rusqlite::params;

use crate::domain::network::Network;
use crate::domain::oauth::client::Client;

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
    /// What ends a row, so that there is room for another; else that is refused.
    pub(super) oldest: Option<Oldest>,
}

/// SQL that deletes one row: `?1` is the pool, `?2` the payer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oldest {
    /// A payer's oldest.
    pub(super) of_payer: &'static str,
    /// The oldest of all.
    pub(super) of_all: &'static str,
}

/// Of whose share of a table a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// The network's that it came from.
    Network(Network),
    /// The client's, which proved who it is.
    Client,
}

impl Payer {
    /// Who pays for what a client sends from a network. A public client's id is known to everybody: what comes in its name
    /// comes from a stranger.
    #[must_use]
    pub fn of(client: &Client, from: Network) -> Self {
        if client.is_public() { Self::Network(from) } else { Self::Client }
    }
}

impl Unit<'_> {
    /// Makes room for one row more of this payer. Whoever has what it may have, and whoever comes when all is taken, ends a
    /// row where that is the share's way: its own oldest, else the oldest of the payer with most, else the oldest of all.
    ///
    /// # Errors
    /// `Crowded` where the share is taken and nothing makes room.
    pub(super) fn make_room(&mut self, share: &Share, payer: &str) -> Result<(), StoreError> {
        let (all, own) = (self.shared(share, "")?, self.shared(share, payer)?);
        let most = if all > share.most / 2 { share.in_a_crowd } else { share.of_one };
        if own < most && all < share.most {
            return Ok(());
        }
        let Some(oldest) = share.oldest else { return Err(StoreError::Crowded(share.pool)) };
        let payer = if own > 0 { Some(payer.to_owned()) } else { self.payer_with_most(share)? };
        match payer {
            Some(payer) => self.conn().prepare_cached(oldest.of_payer)?.execute(params![share.pool, payer])?,
            None => self.conn().prepare_cached(oldest.of_all)?.execute(params![share.pool])?,
        };
        Ok(())
    }

    /// The payer with most rows, where that is more than one.
    fn payer_with_most(&self, share: &Share) -> Result<Option<String>, StoreError> {
        let sql = "SELECT payer FROM shared_out WHERE pool = ?1 AND payer <> '' AND taken > 1
                   ORDER BY taken DESC LIMIT 1";
        first(&mut self.conn().prepare_cached(sql)?, params![share.pool], |row| Ok(row.get("payer")?))
    }

    fn shared(&self, share: &Share, payer: &str) -> Result<usize, StoreError> {
        let sql = "SELECT taken FROM shared_out WHERE pool = ?1 AND payer = ?2";
        let mut select = self.conn().prepare_cached(sql)?;
        let taken = first(&mut select, params![share.pool, payer], |row| Ok(row.get::<_, i64>(0)?))?;
        Ok(usize::try_from(taken.unwrap_or(0)).unwrap_or(0))
    }
}
