//! The high-water mark: how far the log had come, kept apart from the database.
//! In: the head of the tree after each commit. Out: the head that a database must not fall behind.
//! Implements DESIGN §7.
//! Never judges by itself: the store compares.

use crate::domain::ids::Digest;

/// A head of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Where the mark is kept; a database that is put back alone must not bring an old mark with it.
pub trait HighWater: Send {
    /// The newest mark, `None` where none was ever written.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence; a damaged mark is an error, never `None`.
    fn read(&self) -> Result<Option<Mark>, String>;

    /// Keeps a newer mark; when this returns, it survives a loss of power.
    ///
    /// # Errors
    /// Why it cannot be kept, as a sentence.
    fn write(&mut self, mark: &Mark) -> Result<(), String>;

    /// Sets the mark even where it goes back: after a restore, which an entry then records.
    ///
    /// # Errors
    /// Why it cannot be kept; the higher mark then still stands.
    fn reset(&mut self, mark: &Mark) -> Result<(), String>;
}
