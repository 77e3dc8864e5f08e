//! The check of the whole log: everything is derived again from the rows and compared.
//! In: one snapshot, and a function that opens checkpoints with the log's key. Out: counts, and the first fault.
//! Implements DESIGN §7, §12 (`log check`).
//! Never trusts a stored hash: it is compared, not used.

mod stored_hashes;

use std::collections::BTreeMap;
use std::num::NonZero;

use rusqlite::Rows;

use crate::domain::ids::Digest;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::{Entry, Event};
use crate::domain::log::evidence::{SALT, evidence_digest};
use crate::domain::log::merkle::{Frontier, Subtree, leaf_hash};
use crate::domain::time::Timestamp;

use super::log::{int, last_leaf, uint};
use super::{Reader, StoreError};
use stored_hashes::StoredHashes;

/// How many entries are examined together.
const CHUNK: usize = 4096;
/// From how many on it is worth sharing them among threads.
const SHARED: usize = 64;

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Entries found good.
    pub entries: u64,
    /// Checkpoints found good.
    pub checkpoints: u64,
    /// Documents found good.
    pub evidence: u64,
    /// Documents that were erased.
    pub erased: u64,
    /// The first fault; `None` where the log is whole.
    pub fault: Option<Fault>,
}

/// What is wrong, and where first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first entry that is concerned; `None` where no entry names what is wrong.
    pub index: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// Opens a note with the log's key.
pub type VerifyNote<'a> = &'a (dyn Fn(&str) -> Result<Checkpoint, String> + Sync);

/// Derives the whole log again. `verify_note` opens a note with the log's key; `cancelled` is asked now and then.
///
/// # Errors
/// `Stopped` where cancelled; or the database cannot be read. What is wrong with the log is no error but the report's.
pub fn check_log(
    reader: &Reader<'_>,
    verify_note: VerifyNote<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let mut documents = check_documents(reader, &mut report, cancelled)?;
    match check_entries(reader, verify_note, cancelled, &mut report, &mut documents) {
        Ok(()) => {
            report.fault = documents.into_values().next().map(|what| Fault { index: None, what });
            Ok(report)
        }
        Err(Found::Fault(fault)) => Ok(CheckReport { fault: Some(fault), ..report }),
        Err(Found::Failure(error)) => Err(error),
    }
}

/// Why the walk over the entries ended early.
enum Found {
    Fault(Fault),
    Failure(StoreError),
}

impl<E: Into<StoreError>> From<E> for Found {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

fn fault<T>(index: u64, what: String) -> Result<T, Found> {
    Err(Found::Fault(Fault { index: Some(index), what }))
}

/// Documents that are not what their digest says, by digest.
type BadDocuments = BTreeMap<Digest, String>;

fn check_documents(
    reader: &Reader<'_>,
    report: &mut CheckReport,
    cancelled: &dyn Fn() -> bool,
) -> Result<BadDocuments, StoreError> {
    let mut bad = BadDocuments::new();
    let mut select = reader.conn().prepare("SELECT digest, kind, salt, bytes FROM evidence")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (digest, kind): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
        // Under a digest of another length no entry finds it, which the walk reports.
        let Ok(digest) = digest.try_into().map(Digest::from_bytes) else { continue };
        let salt = row.get_ref(2)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let bytes = row.get_ref(3)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        match (salt, bytes) {
            (None, None) => report.erased += 1,
            (Some(salt), Some(bytes)) if is_document(&digest, salt, bytes) => report.evidence += 1,
            _ => {
                bad.insert(digest, format!("the evidence `{kind}` {digest} is not the document that was logged"));
            }
        }
        if (report.evidence + report.erased).is_multiple_of(1024) && cancelled() {
            return Err(StoreError::Stopped);
        }
    }
    Ok(bad)
}

fn is_document(digest: &Digest, salt: &[u8], bytes: &[u8]) -> bool {
    <&[u8; SALT]>::try_from(salt).is_ok_and(|salt| evidence_digest(salt, bytes) == *digest)
}

/// An entry's row, as stored.
struct Row {
    index: i64,
    stored_hash: Vec<u8>,
    bytes: Vec<u8>,
}

/// What can be said of a row alone.
struct Examined {
    leaf: Digest,
    entry: Result<Entry, String>,
}

fn examine(row: &Row) -> Examined {
    let entry = Entry::from_bytes(&row.bytes).map_err(|error| error.to_string());
    Examined { leaf: leaf_hash(&row.bytes), entry }
}

fn check_entries(
    reader: &Reader<'_>,
    verify_note: VerifyNote<'_>,
    cancelled: &dyn Fn() -> bool,
    report: &mut CheckReport,
    documents: &mut BadDocuments,
) -> Result<(), Found> {
    let mut hashes = stored_hashes::statement(reader)?;
    let mut select = reader.conn().prepare("SELECT idx, leaf_hash, entry FROM log_entry ORDER BY idx")?;
    let mut rows = select.query([])?;
    let mut walk = Walk {
        reader,
        tree: Frontier::default(),
        last: Timestamp::from_millis(i64::MIN),
        covered: 0,
        hashes: StoredHashes::open(&mut hashes)?,
        documents,
        report,
    };
    loop {
        let chunk = next_chunk(&mut rows)?;
        if chunk.is_empty() {
            return walk.end();
        }
        if cancelled() {
            return Err(StoreError::Stopped.into());
        }
        let mut checkpoints = checkpoints(reader, walk.tree.size(), chunk.len(), verify_note)?;
        let examined = shared(&chunk, examine);
        for (row, examined) in chunk.iter().zip(examined) {
            walk.entry(row, examined)?;
            if let Some(checkpoint) = checkpoints.remove(&walk.tree.size()) {
                walk.checkpoint(checkpoint)?;
            }
        }
    }
}

fn next_chunk(rows: &mut Rows<'_>) -> Result<Vec<Row>, StoreError> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK
        && let Some(row) = rows.next()?
    {
        chunk.push(Row { index: row.get(0)?, stored_hash: row.get(1)?, bytes: row.get(2)? });
    }
    Ok(chunk)
}

/// The checkpoints of the `count` sizes after `size`, opened.
fn checkpoints(
    reader: &Reader<'_>,
    size: u64,
    count: usize,
    verify_note: VerifyNote<'_>,
) -> Result<BTreeMap<u64, Result<Checkpoint, String>>, StoreError> {
    let sql = "SELECT size, note FROM log_checkpoint WHERE size > ?1 AND size <= ?2";
    let mut select = reader.conn().prepare_cached(sql)?;
    let mut rows = select.query([int(size)?, int(size + count as u64)?])?;
    let mut notes: Vec<(u64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        notes.push((uint(row.get(0)?)?, row.get(1)?));
    }
    let opened = shared(&notes, |(_, note)| verify_note(note));
    Ok(notes.into_iter().map(|(size, _)| size).zip(opened).collect())
}

/// The walk over the entries, in order: the first thing that does not fit ends it.
struct Walk<'r, 's, 'd> {
    reader: &'r Reader<'r>,
    tree: Frontier,
    last: Timestamp,
    /// The size of the newest good checkpoint: no entry before it can be wrong.
    covered: u64,
    hashes: StoredHashes<'s>,
    documents: &'d mut BadDocuments,
    report: &'d mut CheckReport,
}

impl Walk<'_, '_, '_> {
    fn entry(&mut self, row: &Row, examined: Examined) -> Result<(), Found> {
        let index = self.tree.size();
        if uint(row.index).ok() != Some(index) {
            let what = if row.index < 0 {
                format!("a row stands before the first entry, at {}", row.index)
            } else {
                format!("entry {index} is missing: the next row is entry {}", row.index)
            };
            return fault(index, what);
        }
        let entry = match examined.entry {
            Ok(entry) => entry,
            Err(why) => return fault(index, format!("entry {index} cannot be read: {why}")),
        };
        if entry.seq != index {
            return fault(index, format!("entry {index} says that it is entry {}", entry.seq));
        }
        if (index == 0) != matches!(entry.event, Event::Genesis { .. }) {
            return fault(index, format!("entry {index} is a `{}`, out of place", entry.event.kind()));
        }
        if entry.time < self.last {
            return fault(index, format!("entry {index} is older than the one before"));
        }
        if row.stored_hash != examined.leaf.as_bytes() {
            return fault(index, format!("entry {index} does not have its stored hash: it was changed"));
        }
        self.last = entry.time;
        for subtree in self.tree.append(examined.leaf).into_iter().skip(1) {
            self.subtree(subtree)?;
        }
        self.evidence(index, &entry.event)?;
        self.report.entries += 1;
        Ok(())
    }

    fn subtree(&mut self, derived: Subtree) -> Result<(), Found> {
        let (first, last) = (derived.n << derived.level, last_leaf(derived.level, derived.n));
        // What a good checkpoint covers is as it was signed, so the fault lies after it.
        let index = first.max(self.covered);
        match self.hashes.next(last, derived.level)? {
            Some(hash) if hash == derived.hash.as_bytes() => Ok(()),
            Some(_) => {
                fault(index, format!("the tree's hash over entries {first} to {last} is not what the entries give"))
            }
            None => fault(index, format!("the tree's hash over entries {first} to {last} is missing")),
        }
    }

    fn evidence(&mut self, index: u64, event: &Event) -> Result<(), Found> {
        for (name, digest) in event.evidence().into_iter().flatten() {
            if let Some(what) = self.documents.remove(digest) {
                return fault(index, format!("entry {index} names `{name}`, but {what}"));
            }
            match self.reader.is_erased(index, digest)? {
                Some(false) => {}
                // No command erases in this version, so no entry can say that one did.
                Some(true) => {
                    let what = format!("entry {index} names `{name}` {digest}, which was erased, and no entry says so");
                    return fault(index, what);
                }
                None => return fault(index, format!("entry {index} names `{name}` {digest}, which is missing")),
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, opened: Result<Checkpoint, String>) -> Result<(), Found> {
        let size = self.tree.size();
        let checkpoint = match opened {
            Ok(checkpoint) => checkpoint,
            Err(why) => return fault(size - 1, format!("the checkpoint over {size} entries does not hold: {why}")),
        };
        if checkpoint.size != size {
            let what = format!("the checkpoint over {size} entries says that it covers {}", checkpoint.size);
            return fault(size - 1, what);
        }
        if checkpoint.root != self.tree.root() {
            let (first, last) = (self.covered, size - 1);
            let which = if first == last { format!("entry {last}") } else { format!("entries {first} to {last}") };
            return fault(first, format!("what was signed over {size} entries is not this log: see {which}"));
        }
        self.covered = size;
        self.report.checkpoints += 1;
        Ok(())
    }

    /// After the last row: nothing may be left over, and everything must be covered.
    fn end(&mut self) -> Result<(), Found> {
        let size = self.tree.size();
        let newest = self.reader.conn().query_row("SELECT max(size) FROM log_checkpoint", [], |row| row.get(0));
        let newest: Option<i64> = newest?;
        let newest = newest.map_or(Ok(0), uint)?;
        if size == 0 {
            return fault(0, "the log is empty".to_owned());
        }
        if newest > size {
            return fault(size, format!("entry {size} is missing: a checkpoint covers {newest} entries"));
        }
        if self.covered < size {
            return fault(self.covered, format!("no checkpoint covers the entries from {} on", self.covered));
        }
        if self.hashes.left_over(self.reader)? {
            return fault(size, format!("the tree holds hashes that the log's {size} entries do not give"));
        }
        Ok(())
    }
}

/// Applies to every item, on several threads where there are many.
fn shared<I: Sync, O: Send>(items: &[I], act: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    if items.len() < SHARED || threads == 1 {
        return items.iter().map(act).collect();
    }
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads)).map(|part| {
            let act = &act;
            scope.spawn(move || part.iter().map(act).collect::<Vec<_>>())
        });
        let parts: Vec<_> = parts.collect();
        let joined =
            parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    })
}

#[cfg(test)]
mod tests;
