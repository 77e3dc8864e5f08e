//! The one writer: it takes units of work from a bounded queue and commits them in groups.
//! In: units. Out: their results, after the commit and the high-water mark.
//! Implements DESIGN §7 (nothing leaves before its commit), §8 (group commit).
//! Never answers anybody before what they were told survives a loss of power.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::high_water::{HighWater, Mark};
use crate::domain::log::note::SignedNote;

use super::StoreError;
use super::log::int;
use super::open::{Clock, Fatal, Random, Seal};
use super::progress::Progress;
use super::unit::{Position, Unit};

/// Most units that wait; one more is refused at once.
pub const QUEUE: usize = 4096;
/// Units that wait when new work is refused; the places above are for signatures and for jobs that wait already.
pub const NEW_WORK: usize = 3072;
/// Most units that are committed together.
pub const GROUP: usize = 256;
/// How often a writer that could not write tries whether it can again.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Room below `database.max_size` that a unit may need, in pages.
const PROBE_PAGES: i64 = 32;

/// A unit on its way through the writer.
pub(super) trait Work: Send {
    /// Does the work; whether it is to be kept.
    fn run(&mut self, unit: &mut Unit<'_>) -> bool;
    /// Puts an error in place of whatever the work gave.
    fn fail(&mut self, error: StoreError);
    /// It is committed, and not yet under the mark.
    fn committed(&mut self) {}
    /// Gives the result to whoever waits.
    fn reply(self: Box<Self>);
}

/// A closure, its result, and who waits for it.
pub(super) struct Task<F, R, T, E> {
    act: Option<F>,
    result: Option<Result<T, E>>,
    reply: R,
}

impl<F, R, T, E> Task<F, R, T, E> {
    pub(super) const fn new(act: F, reply: R) -> Self {
        Self { act: Some(act), result: None, reply }
    }
}

impl<F, R, T, E> Work for Task<F, R, T, E>
where
    F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> bool {
        self.result = self.act.take().map(|act| act(unit));
        matches!(self.result, Some(Ok(_)))
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error.into()));
    }

    fn reply(self: Box<Self>) {
        (self.reply)(self.result.unwrap_or_else(|| Err(StoreError::Stopped.into())));
    }
}

/// Why a group was not committed.
enum Trouble {
    /// Rolled back; the store goes on.
    NoSpace,
    /// Rolled back; the store goes on.
    Busy,
    /// Rolled back; the store goes on.
    Refused(String),
    /// What is on the disk is not known: the process must end and read it again.
    Fatal(String),
}

impl Trouble {
    fn error(&self) -> StoreError {
        match self {
            Self::NoSpace => StoreError::NoSpace,
            Self::Busy => StoreError::Busy,
            Self::Refused(why) | Self::Fatal(why) => StoreError::Aborted(why.clone()),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match StoreError::from(error) {
            StoreError::NoSpace => Self::NoSpace,
            StoreError::Busy => Self::Busy,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Whether a commit shows that the disk can be written.
enum Wrote {
    Something,
    /// As far as is known: units may end without a change.
    Nothing,
}

/// Why nothing can be written just now, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Hindrance(Mutex<Option<String>>);

impl Hindrance {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Answers a unit that was not begun.
fn refuse(mut work: Box<dyn Work>, trouble: &Trouble) {
    work.fail(trouble.error());
    work.reply();
}

/// All that the writer's thread owns.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) position: Position,
    pub(super) origin: String,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) seal: Seal,
    pub(super) mark: Box<dyn HighWater>,
    pub(super) fatal: Arc<Fatal>,
    pub(super) hindrance: Arc<Hindrance>,
    pub(super) progress: Arc<Progress>,
}

impl Writer {
    /// Serves the queue until every sender is gone, or until the process must end.
    pub(super) fn serve(mut self, queue: &Receiver<Box<dyn Work>>) {
        let fatal = Arc::clone(&self.fatal);
        let served = catch_unwind(AssertUnwindSafe(|| {
            while let Some(group) = self.next(queue) {
                match self.settle(group) {
                    Ok(()) | Err(Trouble::NoSpace | Trouble::Refused(_)) => {}
                    // Whoever waits behind that group would wait as long for the same answer.
                    Err(Trouble::Busy) => queue.try_iter().take(QUEUE).for_each(|work| {
                        self.progress.taken(1);
                        refuse(work, &Trouble::Busy);
                    }),
                    Err(Trouble::Fatal(why)) => {
                        (self.fatal)(&why);
                        return;
                    }
                }
            }
            // A courtesy to whoever copies the file; the write-ahead log is as good.
            let _ = self.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }));
        if served.is_err() {
            fatal("the store's writer failed unexpectedly");
        }
    }

    /// The next group; an empty one, where it is time to try whether the disk can be written again. `None` at the end.
    fn next(&self, queue: &Receiver<Box<dyn Work>>) -> Option<Vec<Box<dyn Work>>> {
        let first = if self.hindrance.get().is_some() {
            match queue.recv_timeout(PROBE_EVERY) {
                Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
                first => first.ok()?,
            }
        } else {
            queue.recv().ok()?
        };
        // Whoever is about to hand something in may do so first: where this thread has a core to itself that takes no
        // time, and where it has not, each commit carries more.
        std::thread::yield_now();
        let mut group = vec![first];
        // What waits already, and no longer: nobody waits for a group to fill.
        group.extend(queue.try_iter().take(GROUP - 1));
        self.progress.taken(group.len());
        Some(group)
    }

    /// Commits a group, then answers.
    fn settle(&mut self, mut group: Vec<Box<dyn Work>>) -> Result<(), Trouble> {
        let before = self.position.clone();
        let mut outcome = self.commit(&mut group, before.tree.size());
        if let Err(trouble) = &outcome {
            self.position = before;
            for unit in &mut group {
                unit.fail(trouble.error());
            }
            let rolled_back = self.conn.is_autocommit() || self.conn.execute_batch("ROLLBACK").is_ok();
            if !rolled_back && !matches!(trouble, Trouble::Fatal(_)) {
                outcome = Err(Trouble::Fatal("a group of changes could not be rolled back".to_owned()));
            }
        }
        // Before the answers: whoever is refused finds `/readyz` red.
        match &outcome {
            Ok(Wrote::Something) => self.hindrance.set(None),
            Ok(Wrote::Nothing) => {}
            Err(trouble) => self.hindrance.set(Some(trouble.error().to_string())),
        }
        for unit in group {
            unit.reply();
        }
        outcome.map(|_| ())
    }

    fn commit(&mut self, group: &mut [Box<dyn Work>], size_before: u64) -> Result<Wrote, Trouble> {
        let probes = group.is_empty();
        self.execute("BEGIN IMMEDIATE")?;
        let alone = group.len() == 1;
        for work in group.iter_mut() {
            self.run(work.as_mut(), alone)?;
        }
        if alone && self.conn.is_autocommit() {
            return Ok(Wrote::Nothing);
        }
        if probes {
            self.probe()?;
        }
        let grown = self.position.tree.size() > size_before;
        let mark = if grown { Some(self.checkpoint()?) } else { None };
        self.execute("COMMIT").map_err(|error| match Trouble::from(error) {
            Trouble::NoSpace => Trouble::NoSpace,
            other => Trouble::Fatal(format!("the commit failed: {}", other.error())),
        })?;
        // If the process dies here, the database is ahead of the mark, which opening allows; nobody was answered.
        if let Some(mark) = mark {
            // Whoever signs what is recorded now does it while the mark is synced.
            for work in group.iter_mut() {
                work.committed();
            }
            let kept = self.mark.write(&mark);
            kept.map_err(|why| Trouble::Fatal(format!("the high-water mark could not be written: {why}")))?;
            self.progress.mark(mark.size);
        }
        Ok(if grown || probes { Wrote::Something } else { Wrote::Nothing })
    }

    /// Writes a page that says what it said before: a commit of it needs the disk as any other does.
    fn probe(&self) -> Result<(), Trouble> {
        let pages = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if pages("page_count")? - pages("freelist_count")? + PROBE_PAGES > pages("max_page_count")? {
            return Err(Trouble::NoSpace);
        }
        let id: i32 = self.conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok(self.conn.pragma_update(None, "application_id", id)?)
    }

    /// A statement that every group or unit needs, prepared once.
    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Runs one unit in its savepoint; one that is alone has the transaction for it.
    fn run(&mut self, work: &mut dyn Work, alone: bool) -> Result<(), Trouble> {
        let now = match (self.clock)() {
            Ok(now) => now,
            // A wrong time would stand in the log, and hold its time there for ever.
            Err(error) => {
                work.fail(error);
                return Ok(());
            }
        };
        let before = self.position.clone();
        if !alone {
            self.execute("SAVEPOINT unit")?;
        }
        let mut unit = Unit::new(&self.conn, &mut self.position, now, &self.random);
        let kept = catch_unwind(AssertUnwindSafe(|| work.run(&mut unit)));
        let (spoiled, no_space) = (unit.spoiled, unit.no_space);
        if no_space {
            self.hindrance.set(Some(StoreError::NoSpace.to_string()));
        }
        let given_up = self.conn.is_autocommit();
        match kept {
            Ok(true) if !spoiled && !given_up => {
                return if alone { Ok(()) } else { Ok(self.execute("RELEASE unit")?) };
            }
            Ok(true) => work.fail(StoreError::Aborted("one of its entries could not be written".to_owned())),
            Ok(false) => {}
            Err(_) => work.fail(StoreError::Aborted("it failed unexpectedly".to_owned())),
        }
        if given_up {
            // SQLite gave up the whole transaction, and with it the units before this one.
            let why = "the database gave up a whole group of changes, most often for want of space";
            return Err(if no_space { Trouble::NoSpace } else { Trouble::Refused(why.to_owned()) });
        }
        self.position = before;
        let undo = if alone { "ROLLBACK" } else { "ROLLBACK TO unit; RELEASE unit" };
        Ok(self.conn.execute_batch(undo)?)
    }

    /// Seals the tree as it stands and stores the checkpoint.
    fn checkpoint(&self) -> Result<Mark, Trouble> {
        let mark = Mark { size: self.position.tree.size(), root: self.position.tree.root() };
        let head = Checkpoint { origin: self.origin.clone(), size: mark.size, root: mark.root };
        let refused = |why: String| Trouble::Refused(format!("the checkpoint could not be signed: {why}"));
        let note = (self.seal)(&head.to_text()).map_err(refused)?;
        let sealed = SignedNote::parse(&note).map_err(|error| refused(error.to_string()))?;
        if sealed.text != head.to_text() {
            return Err(refused("another text was signed".to_owned()));
        }
        let size = int(mark.size).map_err(|error| refused(error.to_string()))?;
        let mut insert = self.conn.prepare_cached("INSERT INTO log_checkpoint (size, note) VALUES (?1, ?2)")?;
        insert.execute(params![size, note])?;
        Ok(mark)
    }
}
