//! How far the writer is: what waits for it, and what of the log is under the high-water mark.
//! In: what is queued, taken, marked. Out: two numbers that any thread may read.
//! Implements DESIGN §7 (answers wait for the mark), §8 (bounded queue).
//! Never decides anything: the numbers may be a moment old.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shared by the store and its writer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    waiting: AtomicUsize,
    marked: AtomicU64,
}

impl Progress {
    /// A log of that many entries, all of them under the mark.
    pub(super) const fn of(size: u64) -> Self {
        Self { waiting: AtomicUsize::new(0), marked: AtomicU64::new(size) }
    }

    pub(super) fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many units wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn mark(&self, size: u64) {
        self.marked.store(size, Ordering::Release);
    }

    /// Every entry below this index is under the mark.
    pub(super) fn marked(&self) -> u64 {
        self.marked.load(Ordering::Acquire)
    }
}
