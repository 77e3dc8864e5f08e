//! The check before the store is used: the newest entries, the root, the newest checkpoint, the high-water mark.
//! In: the database as found. Out: where the log stands, or why it must not go on.
//! Implements DESIGN §7.
//! Never repairs: what does not agree is refused.

use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::{Entry, Event};
use crate::domain::log::high_water::Mark;
use crate::domain::log::merkle::{Frontier, Hashes as _, leaf_hash};
use crate::domain::log::note::SignedNote;
use crate::domain::time::Timestamp;

use super::unit::Position;
use super::{Reader, StoreError};

/// How many of the newest entries are derived again at each start.
pub const RECHECKED: u64 = 256;

/// Where the log stands, and its head.
pub(super) fn check(reader: &Reader<'_>, origin: &str, mark: &Mark) -> Result<(Position, Mark), StoreError> {
    let size = reader.size()?;
    let rolled_back = StoreError::RolledBack { size, mark: *mark };
    if size < mark.size || size == 0 {
        return Err(rolled_back);
    }
    check_origin(reader, origin)?;
    let position = newest(reader, size)?;
    let head = Mark { size, root: position.tree.root() };
    check_checkpoint(reader, origin, &head)?;
    if reader.root(mark.size)? != mark.root {
        return Err(rolled_back);
    }
    Ok((position, head))
}

fn check_origin(reader: &Reader<'_>, origin: &str) -> Result<(), StoreError> {
    match read(reader, 0)?.1.event {
        Event::Genesis { origin: found, .. } if found == origin => Ok(()),
        Event::Genesis { origin: found, .. } => Err(StoreError::ForeignLog { found, expected: origin.to_owned() }),
        _ => Err(StoreError::Corrupt("the log does not begin with `genesis`".to_owned())),
    }
}

/// Derives the newest entries' hashes and the subtrees over them again.
fn newest(reader: &Reader<'_>, size: u64) -> Result<Position, StoreError> {
    let from = size.saturating_sub(RECHECKED);
    let mut tree = reader.tree(|stored| Frontier::load(from, stored))?;
    let mut last = Timestamp::from_millis(i64::MIN);
    for index in from..size {
        let (bytes, entry) = read(reader, index)?;
        if entry.time < last {
            return Err(StoreError::Corrupt(format!("entry {index} is older than the one before")));
        }
        last = entry.time;
        for derived in tree.append(leaf_hash(&bytes)) {
            let stored = reader.tree(|stored| stored.hash(derived.level, derived.n))?;
            if stored != derived.hash {
                let what = format!("the tree's hash over entry {index} is not what the entry gives");
                return Err(StoreError::Corrupt(what));
            }
        }
    }
    Ok(Position { tree, last })
}

fn check_checkpoint(reader: &Reader<'_>, origin: &str, head: &Mark) -> Result<(), StoreError> {
    let wrong = |what: &str| StoreError::Corrupt(format!("the newest checkpoint {what}"));
    let note = reader.checkpoint()?.ok_or_else(|| wrong("is missing"))?;
    let note = SignedNote::parse(&note).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if checkpoint.origin != origin {
        return Err(StoreError::ForeignLog { found: checkpoint.origin, expected: origin.to_owned() });
    }
    if (checkpoint.size, checkpoint.root) != (head.size, head.root) {
        return Err(wrong(&format!("is of {} entries and not of the tree's {}", checkpoint.size, head.size)));
    }
    Ok(())
}

/// An entry that stands where it says it does.
fn read(reader: &Reader<'_>, index: u64) -> Result<(Vec<u8>, Entry), StoreError> {
    let bytes = reader.entry(index)?.ok_or_else(|| StoreError::Corrupt(format!("entry {index} is missing")))?;
    let entry = Entry::from_bytes(&bytes);
    let entry = entry.map_err(|error| StoreError::Corrupt(format!("entry {index} cannot be read: {error}")))?;
    if entry.seq == index {
        return Ok((bytes, entry));
    }
    Err(StoreError::Corrupt(format!("entry {index} says that it is entry {}", entry.seq)))
}
