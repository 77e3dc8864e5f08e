//! A unit of work: one domain transaction inside a group that is committed together.
//! In: what a use case appends and stores. Out: rows, seen by nobody else before the group's commit.
//! Implements DESIGN §8 (each unit is a savepoint).
//! Never lets an index be skipped or used twice.

use rusqlite::{Connection, params};

use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::{Entry, Event, MAX_ENTRY};
use crate::domain::log::evidence::{MAX_EVIDENCE, SALT, evidence_digest};
use crate::domain::log::merkle::{Frontier, leaf_hash};
use crate::domain::time::Timestamp;

use super::log::int;
use super::open::Random;
use super::{Reader, StoreError};

/// How far the log has come: the tree's right edge and the newest entry's time.
#[derive(Debug, Clone)]
pub(super) struct Position {
    pub(super) tree: Frontier,
    pub(super) last: Timestamp,
}

/// One domain transaction; if it ends in an error, nothing of it remains.
pub struct Unit<'a> {
    conn: &'a Connection,
    position: &'a mut Position,
    now: Timestamp,
    random: &'a Random,
    /// An append went wrong half-way: the unit is rolled back even where its author goes on.
    pub(super) spoiled: bool,
    /// A write of ours found no space; SQLite may then have rolled back more than this unit.
    pub(super) no_space: bool,
}

impl<'a> Unit<'a> {
    pub(super) fn new(conn: &'a Connection, position: &'a mut Position, clock: Timestamp, random: &'a Random) -> Self {
        let now = clock.max(position.last);
        Self { conn, position, now, random, spoiled: false, no_space: false }
    }

    /// The time of this unit: the clock's, but never before the newest entry's.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Reads, including what this unit wrote.
    #[must_use]
    pub const fn reader(&self) -> Reader<'_> {
        Reader::new(self.conn)
    }

    /// The writer's connection, for the aggregates.
    pub(in crate::store) const fn conn(&self) -> &'a Connection {
        self.conn
    }

    /// Appends an entry to the log and gives its index.
    pub fn append(&mut self, event: Event) -> Result<u64, StoreError> {
        let seq = self.position.tree.size();
        if (seq == 0) != matches!(event, Event::Genesis { .. }) {
            return Err(StoreError::Invalid("a log begins with `genesis` and has it once".to_owned()));
        }
        let entry = Entry { seq, time: self.now, event };
        let bytes = entry.to_bytes().map_err(|error| StoreError::Invalid(error.to_string()))?;
        if bytes.len() > MAX_ENTRY {
            return Err(StoreError::TooLarge { what: "the log entry", limit: MAX_ENTRY });
        }
        // Until every row stands, the unit must not be kept.
        let spoiled = std::mem::replace(&mut self.spoiled, true);
        let mut tree = self.position.tree.clone();
        self.insert(seq, &bytes, &mut tree).inspect_err(|error| self.note(error))?;
        self.spoiled = spoiled;
        *self.position = Position { tree, last: self.now };
        Ok(seq)
    }

    /// Keeps a document under a fresh salt and gives the digest by which entries name it.
    pub fn put_evidence(&mut self, kind: &str, bytes: &[u8], person: Option<&PersonId>) -> Result<Digest, StoreError> {
        self.put_document(None, kind, bytes, person)
    }

    /// The same for a document that the next entry names and no other ever will.
    pub fn put_evidence_of_next(
        &mut self,
        kind: &str,
        bytes: &[u8],
        person: Option<&PersonId>,
    ) -> Result<Digest, StoreError> {
        self.put_document(Some(self.position.tree.size()), kind, bytes, person)
    }

    fn put_document(
        &mut self,
        entry: Option<u64>,
        kind: &str,
        bytes: &[u8],
        person: Option<&PersonId>,
    ) -> Result<Digest, StoreError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(StoreError::TooLarge { what: "the evidence", limit: MAX_EVIDENCE });
        }
        let salt: [u8; SALT] = self.random()?;
        let digest = evidence_digest(&salt, bytes);
        let entry = entry.map(int).transpose()?;
        let row = params![digest.as_bytes(), entry, kind, salt, bytes, person.map(PersonId::as_str)];
        let sql = "INSERT INTO evidence (digest, entry, kind, salt, bytes, person_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let inserted = self.conn.prepare_cached(sql).and_then(|mut insert| insert.execute(row));
        inserted.map_err(StoreError::from).inspect_err(|error| self.note(error))?;
        Ok(digest)
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        (self.random)(&mut bytes)?;
        Ok(bytes)
    }

    fn insert(&self, seq: u64, entry: &[u8], tree: &mut Frontier) -> Result<(), StoreError> {
        let leaf = leaf_hash(entry);
        let sql = "INSERT INTO log_entry (idx, leaf_hash, entry) VALUES (?1, ?2, ?3)";
        self.conn.prepare_cached(sql)?.execute(params![int(seq)?, leaf.as_bytes(), entry])?;
        // The first is the leaf, which has its place beside the entry.
        for subtree in tree.append(leaf).iter().skip(1) {
            let sql = "INSERT INTO log_hash (leaf, level, hash) VALUES (?1, ?2, ?3)";
            let row = params![int(seq)?, subtree.level, subtree.hash.as_bytes()];
            self.conn.prepare_cached(sql)?.execute(row)?;
        }
        Ok(())
    }

    fn note(&mut self, error: &StoreError) {
        self.no_space |= matches!(error, StoreError::NoSpace);
    }
}
