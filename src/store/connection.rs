//! Connections to the one database file.
//! In: the file. Out: the writer's connection, readers' connections, and a bounded pool of the latter.
//! Implements DESIGN §8 (WAL, full durability).
//! Never lets a reader write.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Reader, StoreError};

/// How long a connection waits for another one's lock, and a reader for a connection.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this many bytes when it is reset.
pub const JOURNAL_SIZE_LIMIT: u32 = 64 * 1024 * 1024;
/// An operator is warned of a write-ahead log of more bytes than this.
pub const WAL_ALARM: u64 = 128 * 1024 * 1024;
/// Pages in the write-ahead log after which they are carried over into the database.
pub const WAL_PAGES: u32 = 4_000;
/// What each reader's connection keeps of the database in memory, in KiB. The system keeps the file too, once for all of them.
const READERS_CACHE: u32 = 512;
/// Prepared statements kept by each connection.
const STATEMENTS: usize = 128;

/// The one connection that writes. In WAL mode only `synchronous = FULL` makes a commit survive a loss of power.
pub(super) fn writer(path: &Path, max_size: Option<u64>) -> Result<Connection, StoreError> {
    let conn = connect(path, Access::Ours)?;
    conn.execute_batch("PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Invalid(format!("the database's journal mode is `{mode}`; a local disk allows `wal`")));
    }
    conn.execute_batch(&format!(
        "PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}; PRAGMA wal_autocheckpoint = {WAL_PAGES};"
    ))?;
    if let Some(bytes) = max_size {
        let page: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = (bytes / u64::from(page.max(1))).max(1);
        conn.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    Ok(conn)
}

/// What a reader's connection may do beside reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Carry the write-ahead log over: it belongs to the process that holds the state directory.
    Ours,
    /// Nothing: another process may hold the state directory.
    ReadOnly,
}

fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let mode = match access {
        Access::Ours => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.execute_batch("PRAGMA trusted_schema = OFF")?;
    // Plans do not look at what is bound; else SQLite, looking for a better one, prepares some statements at each use.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Connections that only read; each is lent to one reader at a time.
pub(super) struct Pool {
    /// `None` once closed.
    idle: Mutex<Option<Vec<Connection>>>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn open(path: &Path, readers: usize, access: Access) -> Result<Self, StoreError> {
        let connections = (0..readers.max(1)).map(|_| {
            let conn = connect(path, access)?;
            conn.execute_batch(&format!("PRAGMA query_only = ON; PRAGMA cache_size = -{READERS_CACHE}"))?;
            Ok(conn)
        });
        let idle = connections.collect::<Result<_, StoreError>>()?;
        Ok(Self { idle: Mutex::new(Some(idle)), returned: Condvar::new() })
    }

    /// Reads in one snapshot.
    pub(super) fn read<T, E: From<StoreError>>(&self, act: impl FnOnce(&Reader<'_>) -> Result<T, E>) -> Result<T, E> {
        let lease = self.lease().map_err(E::from)?;
        let conn = lease.conn.as_ref().ok_or(StoreError::Stopped).map_err(E::from)?;
        let snapshot = Snapshot::begin(conn).map_err(E::from)?;
        act(&Reader::new(snapshot.0))
    }

    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let none_idle = |idle: &mut Option<Vec<Connection>>| idle.as_ref().is_some_and(Vec::is_empty);
        let (mut idle, _) =
            self.returned.wait_timeout_while(idle, BUSY_TIMEOUT, none_idle).unwrap_or_else(PoisonError::into_inner);
        let conn = idle.as_mut().ok_or(StoreError::Stopped)?.pop().ok_or(StoreError::Busy)?;
        Ok(Lease { pool: self, conn: Some(conn) })
    }
}

/// A deferred transaction, from statements that are prepared once. Dropped, it is rolled back, of which a reader notices
/// nothing.
struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(conn: &'a Connection) -> Result<Self, StoreError> {
        conn.prepare_cached("BEGIN DEFERRED")?.execute([])?;
        Ok(Self(conn))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute([]));
        // A connection that stays in a transaction would show an old state for ever: `begin` then fails, and loudly.
        debug_assert!(ended.is_ok(), "a snapshot did not end");
    }
}

/// A connection that goes back to the pool, however its reader ends.
struct Lease<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(conn), Some(idle)) = (self.conn.take(), idle.as_mut()) {
            idle.push(conn);
        }
        self.pool.returned.notify_one();
    }
}
