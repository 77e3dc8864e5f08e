//! The high-water mark: the largest tree that ever left this machine.
//! In: a size and a root. Out: the contract that the writer holds its keeper to.
//! Implements DESIGN §7.
//! Never opens a file: the keeper does.

use crate::domain::ids::Digest;

/// A tree that answers have been given under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Who keeps the mark, outside the database.
pub trait HighWater: Send {
    /// The mark, or nothing where none was ever written.
    ///
    /// # Errors
    /// A mark that cannot be read: the log must not go on.
    fn read(&self) -> Result<Option<Mark>, String>;

    /// Makes the mark durable before it returns.
    ///
    /// # Errors
    /// A mark that could not be made durable: no answer may leave.
    fn write(&mut self, mark: &Mark) -> Result<(), String>;
}
