//! What can go wrong with the store.
//! In: failures of SQLite, of files, and of checks. Out: one error that says what to do next.
//! Implements DESIGN §8.
//! Never carries a row's content.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::domain::log::high_water::Mark;

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full.
    #[error("too many changes are waiting; try again in a moment")]
    Full,
    /// Everybody together has as many as may wait; nobody's goes for another's.
    #[error("too many {0} are waiting; try again in a minute")]
    Crowded(&'static str),
    /// The disk or the database's limit is exhausted; nothing was changed.
    #[error("no space is left for the database; free some or raise its limit, then try again")]
    NoSpace,
    /// The wall clock left the monotonic one; nothing is recorded under a time that may be wrong.
    #[error("the wall clock stepped by {0} ms; set it right, or say that it is: countersign log accept-time")]
    ClockStepped(i64),
    /// Another connection holds the database, or every reader is taken.
    #[error("the database is busy; try again in a moment")]
    Busy,
    /// The group of changes was given up; nothing of it was kept.
    #[error("the change was not made: {0}")]
    Aborted(String),
    /// The database holds what no version of this program wrote.
    #[error("the database is damaged: {0}; keep a copy of it and restore a backup")]
    Corrupt(String),
    /// The database is behind the high-water mark, or beside it.
    #[error(
        "the database's {size} entries do not go back to the {} that the high-water mark names: another copy was put \
         in its place; if that was a restore, run `countersign log resume --after-restore`",
        mark.size
    )]
    RolledBack {
        /// How many entries the database holds.
        size: u64,
        /// The newest head that this log had.
        mark: Mark,
    },
    /// No high-water mark.
    #[error("the log's high-water mark is missing; put it back, or begin anew where `init` was interrupted")]
    NoMark,
    /// The high-water mark cannot be read or written.
    #[error("the log's high-water mark: {0}")]
    Mark(String),
    /// The schema is of a newer program.
    #[error("the database has schema {found}, this program knows {known}; use the newer program")]
    NewerSchema {
        /// The database's version.
        found: usize,
        /// This program's version.
        known: usize,
    },
    /// The log is another one.
    #[error("the database holds the log `{found}`, not `{expected}`; check the configured `url`")]
    ForeignLog {
        /// The database's origin.
        found: String,
        /// The configured origin.
        expected: String,
    },
    /// Another process holds the state directory.
    #[error("another countersign holds the state directory; stop it first")]
    Locked,
    /// No database.
    #[error("no database here; run `countersign init` first")]
    Missing,
    /// There is a database, or a mark of one.
    #[error("a database or its high-water mark is here already; move them away to begin anew")]
    Exists,
    /// A document or an entry is beyond its limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// The writer has ended.
    #[error("the store is closed; start the program again")]
    Stopped,
    /// A value that must not be stored.
    #[error("{0}")]
    Invalid(String),
    /// A file of the state directory.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that SQLite reports.
    #[error("the database failed: {0}")]
    Sqlite(rusqlite::Error),
}

impl StoreError {
    /// Whether it may pass by itself, or once the disk has space.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Full | Self::Crowded(_) | Self::NoSpace | Self::Busy)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            Some(_) => Self::Sqlite(error),
            None => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..) => Self::Corrupt(error.to_string()),
                other => Self::Sqlite(other),
            },
        }
    }
}
