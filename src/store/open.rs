//! Opening the store: the lock, the file, the schema, the start-up check, the writer's thread.
//! In: where the state is, and what the store needs of other floors. Out: a store, or why there is none.
//! Implements DESIGN §7 (high-water mark), §8.
//! Never goes on with a log that is not the one it left.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;

use crate::domain::log::entry::Event;
use crate::domain::log::high_water::{HighWater, Mark};
use crate::domain::log::merkle::Frontier;
use crate::domain::time::Timestamp;

use super::connection::{self, Access, Pool};
use super::progress::Progress;
use super::unit::Position;
use super::writer::{Hindrance, QUEUE, Writer};
use super::{Inner, Reader, Store, StoreError, migrations, startup};

/// The database's file in the state directory.
pub const DATABASE: &str = "countersign.db";
/// The file whose lock says that a process holds the state directory.
pub const LOCK: &str = "countersign.lock";

/// Gives the time, or says why it is not to be trusted (`ClockStepped`).
pub type Clock = Arc<dyn Fn() -> Result<Timestamp, StoreError> + Send + Sync>;
/// Fills bytes with chance.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), StoreError> + Send + Sync>;
/// Makes a signed note of a checkpoint's text.
pub type Seal = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;
/// Is told why the process must end at once; ends it.
pub type Fatal = dyn Fn(&str) + Send + Sync;

/// All that the store needs.
pub struct Opening {
    /// Holds `countersign.db` and the lock file.
    pub directory: PathBuf,
    /// The log's name, `<host>/log`.
    pub origin: String,
    /// The clock.
    pub now: Clock,
    /// The source of chance.
    pub random: Random,
    /// The log's key.
    pub seal: Seal,
    /// Where the high-water mark is kept.
    pub mark: Box<dyn HighWater>,
    /// Largest size of the database, in bytes; beyond it changes get `NoSpace`.
    pub max_size: Option<u64>,
    /// How many may read at once.
    pub readers: usize,
    /// Called once, after everybody was answered, when what is on the disk is no longer known.
    pub fatal: Box<Fatal>,
}

impl Store {
    /// Makes a new database whose log begins with this entry.
    ///
    /// # Errors
    /// `Exists`, `Locked`, or why it cannot be made; then nothing remains of it.
    pub fn create(opening: Opening, genesis: Event) -> Result<Self, StoreError> {
        match &genesis {
            Event::Genesis { origin, .. } if *origin == opening.origin => {}
            Event::Genesis { origin, .. } => {
                return Err(StoreError::ForeignLog { found: origin.clone(), expected: opening.origin });
            }
            _ => return Err(StoreError::Invalid("a log begins with `genesis`".to_owned())),
        }
        let directory = opening.directory.clone();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|source| StoreError::Io { path: directory.clone(), source })?;
        let lock = lock(&directory)?;
        if opening.mark.read().map_err(StoreError::Mark)?.is_some() {
            return Err(StoreError::Exists);
        }
        let path = new_file(&directory)?;
        let created = found(opening, &path, lock, genesis);
        if created.is_err() {
            for ending in ["", "-wal", "-shm"] {
                // What is not there need not be removed; the error that matters is the first.
                let _ = std::fs::remove_file(directory.join(format!("{DATABASE}{ending}")));
            }
        }
        created
    }

    /// Opens the database and checks that its log is the one that was left.
    ///
    /// # Errors
    /// `Missing`, `Locked`, `RolledBack`, `ForeignLog`, `NewerSchema`, or why it cannot be opened.
    pub fn open(opening: Opening) -> Result<Self, StoreError> {
        let path = opening.directory.join(DATABASE);
        if !path.is_file() {
            return Err(StoreError::Missing);
        }
        let lock = lock(&opening.directory)?;
        let mut opening = opening;
        let mut conn = connection::writer(&path, opening.max_size)?;
        migrations::migrate(&mut conn)?;
        let mark = opening.mark.read().map_err(StoreError::Mark)?.ok_or(StoreError::NoMark)?;
        let (position, head) = startup::check(&Reader::new(&conn), &opening.origin, &mark)?;
        if head.size > mark.size {
            // Committed, but never answered: the process died before the mark was written.
            opening.mark.write(&head).map_err(StoreError::Mark)?;
        }
        start(opening, &path, lock, conn, position)
    }

    /// Opens the database for reading alone, beside whoever holds the state directory; every write gets `Stopped`.
    ///
    /// Nothing is checked, migrated or marked: a log that does not agree can still be shown and examined.
    ///
    /// # Errors
    /// `Missing`, a schema that is not this program's, or why it cannot be opened.
    pub fn open_read_only(directory: &Path, readers: usize) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE);
        if !path.is_file() {
            return Err(StoreError::Missing);
        }
        let pool = Pool::open(&path, readers, Access::ReadOnly)?;
        pool.read(|reader| migrations::check(reader.conn()))?;
        let (hindrance, progress) = (Arc::default(), Arc::default());
        let (queue, writer, ahead) = (Mutex::new(None), Mutex::new(None), write_ahead_log(&path));
        Ok(Self(Arc::new(Inner { queue, writer, pool, hindrance, progress, ahead })))
    }

    /// Checks the newest entries, the root and the newest checkpoint, as `open` does: how many entries there are.
    ///
    /// `mark` must have been read before: the log may have grown since, but never shrunk.
    ///
    /// # Errors
    /// `RolledBack`, `ForeignLog`, `Corrupt`.
    pub fn check_head(&self, origin: &str, mark: &Mark) -> Result<u64, StoreError> {
        self.read(|reader| startup::check(reader, origin, mark)).map(|(_, head)| head.size)
    }
}

/// Lays the foundation: schema and first entry.
fn found(opening: Opening, path: &Path, lock: File, genesis: Event) -> Result<Store, StoreError> {
    let mut conn = connection::writer(path, opening.max_size)?;
    migrations::migrate(&mut conn)?;
    let position = Position { tree: Frontier::default(), last: Timestamp::from_millis(0) };
    let store = start(opening, path, lock, conn, position)?;
    store.write_blocking(move |unit| unit.append(genesis))?;
    Ok(store)
}

pub(super) fn start(
    opening: Opening,
    path: &Path,
    lock: File,
    conn: Connection,
    position: Position,
) -> Result<Store, StoreError> {
    let pool = Pool::open(path, opening.readers, Access::Ours)?;
    let hindrance = Arc::new(Hindrance::default());
    let progress = Arc::new(Progress::of(position.tree.size()));
    let writer = Writer {
        hindrance: Arc::clone(&hindrance),
        progress: Arc::clone(&progress),
        conn,
        position,
        origin: opening.origin,
        clock: opening.now,
        random: opening.random,
        seal: opening.seal,
        mark: opening.mark,
        fatal: Arc::from(opening.fatal),
    };
    let (sender, queue) = sync_channel(QUEUE);
    let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        writer.serve(&queue);
        // The state directory is this process's until the last commit is made.
        drop(lock);
    });
    let thread = thread.map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    let (queue, writer) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
    let ahead = write_ahead_log(path);
    Ok(Store(Arc::new(Inner { queue, writer, pool, hindrance, progress, ahead })))
}

/// Beside the database, under its name.
fn write_ahead_log(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// Takes the state directory for this process, until the file is closed.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let failed = |source| StoreError::Io { path: path.clone(), source };
    let file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes the database's file before SQLite does, so that nobody else may ever read it; its companions inherit the mode.
fn new_file(directory: &Path) -> Result<PathBuf, StoreError> {
    let path = directory.join(DATABASE);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let made = made.and_then(|_| File::open(directory)?.sync_all());
    match made {
        Ok(()) => Ok(path),
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => Err(StoreError::Exists),
        Err(source) => Err(StoreError::Io { path, source }),
    }
}
