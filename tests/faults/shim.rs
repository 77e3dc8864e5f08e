//! The faults that are loaded into the server: `faults.c`, compiled once, and the file that steers it.
//! In: what is to go wrong. Out: an environment for the server, and what was counted in it.
//! Implements nothing.
//! Never works on a server that did not load it: that is a failed test, not a passed one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The places of the shared file, as `faults.c` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Loaded,
    Step,
    Countdown,
    Action,
    Seed,
    WriteError,
    SyncError,
    MarkWriteError,
    MarkSyncError,
    OpenError,
    SyncDelay,
    Wall,
    Monotonic,
    Syncs,
    Answers,
    Unsynced,
    Steps,
}
const PLACES: usize = Place::Steps as usize + 1;

/// Where a server can be ended; the numbers are those of `faults.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Any = 1,
    LogBeforeWrite,
    LogHalfWritten,
    LogBeforeSync,
    LogAfterSync,
    MarkBeforeWrite,
    MarkHalfWritten,
    MarkBeforeSync,
    MarkAfterSync,
    AnswerBefore,
    AnswerHalf,
    AnswerAfter,
    CarryBeforeWrite,
    CarryHalfWritten,
    CarryBeforeSync,
    CarryAfterSync,
}

/// Every step, with what a table calls it.
pub const STEPS: &[(Step, &str)] = &[
    (Step::LogBeforeWrite, "before the commit is written"),
    (Step::LogHalfWritten, "in the middle of writing the commit"),
    (Step::LogBeforeSync, "commit written, not synced"),
    (Step::LogAfterSync, "commit synced, mark not written"),
    (Step::MarkBeforeWrite, "before the mark is written"),
    (Step::MarkHalfWritten, "in the middle of writing the mark"),
    (Step::MarkBeforeSync, "mark written, not synced"),
    (Step::MarkAfterSync, "mark synced, nobody answered"),
    (Step::AnswerBefore, "before the answer is sent"),
    (Step::AnswerHalf, "in the middle of the answer"),
    (Step::AnswerAfter, "after the answer"),
    (Step::CarryBeforeWrite, "before the log is carried over"),
    (Step::CarryHalfWritten, "in the middle of carrying over"),
    (Step::CarryBeforeSync, "carried over, not synced"),
    (Step::CarryAfterSync, "carried over and synced"),
];

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`: what was written stays.
    Kill = 1,
    /// What was not synced is lost, kept, or kept in part.
    PowerCut = 2,
}

/// Error numbers of Linux that disks give.
pub const EIO: i64 = 5;
pub const EROFS: i64 = 30;
pub const ENOSPC: i64 = 28;

/// One server's faults.
pub struct Faults {
    file: File,
    path: PathBuf,
}

impl Faults {
    /// Faults that do nothing yet; the file lies in `folder`.
    pub fn none(folder: &Path) -> Self {
        let path = folder.join("faults");
        std::fs::write(&path, [0; 8 * PLACES]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { file, path }
    }

    /// What the server needs to be started with.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", library()), ("COUNTERSIGN_FAULTS", &self.path)]
    }

    pub fn set(&self, place: Place, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), 8 * place as u64).unwrap();
    }

    pub fn get(&self, place: Place) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 8 * place as u64).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Ends the server when it comes to this step for the n-th time.
    pub fn end_at(&self, step: Step, nth: u64, end: End, seed: u64) {
        self.set(Place::Seed, seed.cast_signed() | 1);
        self.set(Place::Action, end as i64);
        self.set(Place::Countdown, nth.try_into().unwrap());
        self.set(Place::Step, step as i64);
    }

    /// Everything as it should be again.
    pub fn heal(&self) {
        for place in (Place::Step as usize..Place::Syncs as usize).rev() {
            self.file.write_all_at(&[0; 8], 8 * place as u64).unwrap();
        }
    }

    /// Time passes: both clocks go forward.
    pub fn pass(&self, milliseconds: i64) {
        self.set(Place::Wall, self.get(Place::Wall) + milliseconds);
        self.set(Place::Monotonic, self.get(Place::Monotonic) + milliseconds);
    }

    /// The server of these faults has loaded them.
    pub fn assert_loaded(&self) {
        let why = "the server does not load tests/faults/faults.c: is the binary linked statically?";
        assert_eq!(self.get(Place::Loaded), 1, "{why}");
    }
}

/// The compiled library.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/faults.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (fresh, built) = (folder.join(format!("faults-{}.so", std::process::id())), folder.join("faults.so"));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&fresh)
            .arg(source)
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // In one step: another run may be loading it.
        std::fs::rename(fresh, &built).unwrap();
        built
    })
}
