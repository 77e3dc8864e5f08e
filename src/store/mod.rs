//! The store: one SQLite database, one writer, many readers.
//! In: whole domain transactions. Out: their results once they are durable; consistent reads.
//! Implements DESIGN §7 (what is not logged does not happen), §8.
//! Never hands out a connection, and never answers before the commit.

pub mod authorizations;
pub mod ceremonies;
pub mod changes;
mod check;
mod columns;
mod connection;
pub mod devices;
mod error;
pub mod grants;
pub mod keys;
pub mod links;
mod log;
pub mod logouts;
pub mod metadata;
mod migrations;
mod open;
pub mod passkeys;
pub mod people;
mod progress;
pub mod push;
pub mod requests;
mod resume;
pub mod rule_sets;
pub mod sessions;
pub mod shares;
mod startup;
pub mod tokens;
mod unit;
mod unmarked;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use check::{CheckReport, Fault, check_log};
pub use connection::{BUSY_TIMEOUT, JOURNAL_SIZE_LIMIT, WAL_ALARM, WAL_PAGES};
pub use error::StoreError;
pub use log::{EvidenceRow, MAX_ENTRIES_AT_ONCE};
pub use open::{Clock, DATABASE, Fatal, LOCK, Opening, Random, Seal};
pub use startup::RECHECKED;
pub use unit::Unit;
pub use unmarked::Unmarked;
pub use writer::{GROUP, NEW_WORK, PROBE_EVERY, QUEUE};

use connection::Pool;
use progress::Progress;
use writer::{Hindrance, Task, Work};

/// The one store of a process; clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Box<dyn Work>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    pool: Pool,
    hindrance: Arc<Hindrance>,
    progress: Arc<Progress>,
    /// The database's write-ahead log.
    ahead: PathBuf,
}

impl Store {
    /// Why nothing can be written just now, as far as is known; the writer itself finds out when it can again.
    #[must_use]
    pub fn hindrance(&self) -> Option<String> {
        self.0.hindrance.get()
    }

    /// How large the write-ahead log is, in bytes, where that is more than `WAL_ALARM`: somebody keeps it from being
    /// carried over.
    #[must_use]
    pub fn overlong(&self) -> Option<u64> {
        let bytes = self.0.ahead.metadata().map_or(0, |file| file.len());
        (bytes > WAL_ALARM).then_some(bytes)
    }

    /// How many entries are under the high-water mark; `None` where the store is only looked at.
    #[must_use]
    pub fn marked(&self) -> Option<u64> {
        Some(self.0.progress.marked()).filter(|marked| *marked > 0)
    }

    /// Reads in one snapshot; waits for a free connection for at most `BUSY_TIMEOUT`. Do not nest.
    ///
    /// # Errors
    /// What `act` gives, `Busy` or `Stopped`.
    pub fn read<T, E, F>(&self, act: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: FnOnce(&Reader<'_>) -> Result<T, E>,
    {
        self.0.pool.read(act)
    }

    /// Queues a unit of work at once; the future gives its result after commit and high-water mark.
    ///
    /// The work is done even where the future is dropped. An error, whether of the unit or of its group, means that
    /// nothing of the unit was kept.
    pub fn write<T, E, F>(&self, act: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queued = self.queue(Box::new(Task::new(act, move |result| {
            // Whoever waited may have left; the work is done all the same.
            let _ = answer.send(result);
        })));
        async move {
            queued.map_err(E::from)?;
            answered.await.unwrap_or_else(|_| Err(E::from(StoreError::Stopped)))
        }
    }

    /// As `write`, for work that may be refused so that signatures and waiting jobs go on: `Full` while `NEW_WORK` units
    /// wait, which is before the queue is full.
    pub fn write_new<T, E, F>(&self, act: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send + 'static,
    {
        let full = self.0.progress.waiting() >= NEW_WORK;
        let written = (!full).then(|| self.write(act));
        async move {
            match written {
                Some(written) => written.await,
                None => Err(E::from(StoreError::Full)),
            }
        }
    }

    /// Waits until an entry that a reader has seen is under the high-water mark too.
    ///
    /// # Errors
    /// The writer has ended, or cannot be asked just now.
    pub async fn settled(&self, entry: u64) -> Result<(), StoreError> {
        if self.0.progress.marked() > entry {
            return Ok(());
        }
        // The writer answers after the mark of the group before.
        self.write(|_| Ok(())).await
    }

    /// As `write`, for threads that may wait.
    ///
    /// # Errors
    /// What the unit gives, or why its group was not committed.
    pub fn write_blocking<T, E, F>(&self, act: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let queued = self.queue(Box::new(Task::new(act, move |result| {
            // The receiver is below and waits.
            let _ = answer.send(result);
        })));
        queued.map_err(E::from)?;
        answered.recv().unwrap_or_else(|_| Err(E::from(StoreError::Stopped)))
    }

    /// Finishes what is queued, ends the writer and gives the state directory free; every clone is closed with it.
    pub fn close(&self) {
        self.0.close();
    }

    fn queue(&self, work: Box<dyn Work>) -> Result<(), StoreError> {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(StoreError::Stopped)?;
        self.0.progress.queued();
        queue.try_send(work).map_err(|error| {
            self.0.progress.taken(1);
            match error {
                TrySendError::Full(_) => StoreError::Full,
                TrySendError::Disconnected(_) => StoreError::Stopped,
            }
        })
    }
}

impl Inner {
    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A unit may hold the last clone; the writer must not wait for itself.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != std::thread::current().id()) {
            // Its failure was told through `fatal`.
            let _ = writer.join();
        }
        self.pool.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads of one snapshot, or of a unit's own state.
pub struct Reader<'a> {
    conn: &'a Connection,
}

impl<'a> Reader<'a> {
    const fn new(conn: &'a Connection) -> Self {
        Self { conn }
    }

    /// The connection, for the aggregates.
    pub(in crate::store) const fn conn(&self) -> &'a Connection {
        self.conn
    }
}

#[cfg(test)]
mod tests;
