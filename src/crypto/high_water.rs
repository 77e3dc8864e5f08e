//! The high-water mark's file: two slots, so that one of them is always whole.
//! In: a path, marks. Out: the mark, or why it cannot be told.
//! Implements DESIGN §7: one `pwrite` and one `fdatasync` a mark.
//! Never goes back, but for `reset`, which an operator asks for after a restore.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{CryptoError, files};
use crate::domain::ids::Digest;
use crate::domain::log::high_water::{HighWater, Mark};

/// Size of a slot: a sector, which disks write whole.
pub const SLOT: usize = 512;
const FILE_SIZE: u64 = 2 * SLOT as u64;

/// The open file.
#[derive(Debug)]
pub struct HighWaterFile {
    path: PathBuf,
    file: File,
}

/// What a slot holds.
enum Slot {
    Fresh,
    Torn,
    Whole(Mark),
}

/// A mark of an earlier moment agrees with every log that went on from there.
const PUT_BACK: &str = "put back a copy of it, of any age (docs/deploy.md, \"Backup\")";

impl HighWaterFile {
    /// Makes the file, preallocated and fresh.
    ///
    /// # Errors
    /// `File` where it exists already or cannot be written.
    pub fn create(path: &Path) -> Result<Self, CryptoError> {
        files::create_secret(path, &[0; 2 * SLOT])?;
        Self::open(path)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// `File` where it is missing, has another size, or others may use it.
    pub fn open(path: &Path) -> Result<Self, CryptoError> {
        let cannot = |e: std::io::Error| {
            let cure = PUT_BACK;
            CryptoError::file(path, format!("cannot be opened ({e})"), cure)
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(cannot)?;
        let meta = file.metadata().map_err(cannot)?;
        files::check_mode(path, &meta, files::FILE_MODE, "chmod 0600")?;
        if meta.len() != FILE_SIZE {
            let cure = PUT_BACK;
            return Err(CryptoError::file(path, "is not a high-water mark of 1024 bytes", cure));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Sets the mark, lower than it was or not: the log goes on after a restore that an entry records.
    ///
    /// # Errors
    /// `File` where it cannot be made durable; the higher mark then still stands.
    pub fn reset(&mut self, mark: &Mark) -> Result<(), CryptoError> {
        // The slot of the higher mark comes last: a crash in between leaves it standing.
        let first = self.older_slot();
        for at in [first, 1 - first] {
            self.put(at, mark)
                .map_err(|e| CryptoError::file(&self.path, format!("cannot be written ({e})"), "check the disk"))?;
        }
        Ok(())
    }

    fn slots(&self) -> std::io::Result<[Slot; 2]> {
        let mut bytes = [0; 2 * SLOT];
        self.file.read_exact_at(&mut bytes, 0)?;
        let (first, second) = bytes.split_at(SLOT);
        Ok([decode(first), decode(second)])
    }

    /// The slot that does not hold the mark that counts.
    fn older_slot(&self) -> u64 {
        self.slots().as_ref().map_or(0, older)
    }

    fn put(&self, slot: u64, mark: &Mark) -> std::io::Result<()> {
        self.file.write_all_at(&encode(mark), slot * SLOT as u64)?;
        self.file.sync_data()
    }

    fn found(&self) -> Result<[Slot; 2], String> {
        self.slots().map_err(|e| self.no(format_args!("cannot be read ({e})")))
    }

    /// The mark that counts.
    fn counting(&self, slots: &[Slot; 2]) -> Result<Option<Mark>, String> {
        match slots {
            [Slot::Whole(first), Slot::Whole(second)] => {
                Ok(Some(if first.size > second.size { *first } else { *second }))
            }
            [Slot::Whole(mark), _] | [_, Slot::Whole(mark)] => Ok(Some(*mark)),
            [Slot::Fresh, Slot::Fresh] => Ok(None),
            _ => Err(self.no(format_args!("has no whole slot; {PUT_BACK}"))),
        }
    }

    fn no(&self, problem: impl std::fmt::Display) -> String {
        format!("the high-water mark `{}` {problem}", self.path.display())
    }
}

/// The slot that does not hold the mark that counts.
fn older(slots: &[Slot; 2]) -> u64 {
    match slots {
        [Slot::Whole(first), Slot::Whole(second)] => u64::from(first.size > second.size),
        [Slot::Whole(_), _] => 1,
        _ => 0,
    }
}

impl HighWater for HighWaterFile {
    fn read(&self) -> Result<Option<Mark>, String> {
        self.counting(&self.found()?)
    }

    fn write(&mut self, mark: &Mark) -> Result<(), String> {
        let slots = self.found()?;
        if let Some(known) = self.counting(&slots)? {
            if mark.size < known.size {
                return Err(self.no(format_args!("would go back from {} to {} entries", known.size, mark.size)));
            }
            if mark.size == known.size && mark.root != known.root {
                return Err(self.no(format_args!("names another tree of {} entries", known.size)));
            }
            if *mark == known {
                return Ok(());
            }
        }
        self.put(older(&slots), mark).map_err(|e| self.no(format_args!("cannot be written ({e})")))
    }

    fn reset(&mut self, mark: &Mark) -> Result<(), String> {
        Self::reset(self, mark).map_err(|error| error.to_string())
    }
}

fn encode(mark: &Mark) -> [u8; SLOT] {
    let mut content = Vec::with_capacity(SLOT);
    content.extend_from_slice(&mark.size.to_be_bytes());
    content.extend_from_slice(mark.root.as_bytes());
    content.extend_from_slice(Digest::of(&content).as_bytes());
    content.resize(SLOT, 0);
    content.try_into().unwrap_or([0; SLOT])
}

fn decode(slot: &[u8]) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Fresh;
    }
    let read = || {
        let (size, rest) = slot.split_first_chunk::<8>()?;
        let (root, _) = rest.split_first_chunk::<32>()?;
        let mark = Mark { size: u64::from_be_bytes(*size), root: Digest::from_bytes(*root) };
        (encode(&mark).as_slice() == slot).then_some(mark)
    };
    read().map_or(Slot::Torn, Slot::Whole)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::crypto::fixtures::TempDir;

    fn mark(size: u64) -> Mark {
        Mark { size, root: Digest::of(&size.to_be_bytes()) }
    }

    fn fresh(dir: &TempDir) -> HighWaterFile {
        HighWaterFile::create(&dir.path("high-water")).unwrap()
    }

    #[test]
    fn a_fresh_file_has_no_mark_and_keeps_the_highest() {
        let dir = TempDir::new();
        let mut file = fresh(&dir);
        assert_eq!(file.read(), Ok(None));
        for size in 1..20 {
            file.write(&mark(size)).unwrap();
            let other = HighWaterFile::open(&dir.path("high-water")).unwrap();
            assert_eq!(other.read(), Ok(Some(mark(size))));
        }
        assert_eq!(std::fs::metadata(dir.path("high-water")).unwrap().len(), FILE_SIZE);
    }

    #[test]
    fn a_write_torn_anywhere_leaves_the_mark_before_it() {
        let dir = TempDir::new();
        let mut file = fresh(&dir);
        file.write(&mark(1)).unwrap();
        file.write(&mark(2)).unwrap();
        let slot = file.older_slot();
        let mut before = [0; SLOT];
        file.file.read_exact_at(&mut before, slot * SLOT as u64).unwrap();
        let next = encode(&mark(3));
        for cut in 1..SLOT {
            let mut torn = before;
            torn[..cut].copy_from_slice(&next[..cut]);
            file.file.write_all_at(&torn, slot * SLOT as u64).unwrap();
            let read = file.read().unwrap();
            let whole = torn == next;
            assert_eq!(read, Some(mark(if whole { 3 } else { 2 })), "cut at {cut}");
        }
    }

    #[test]
    fn after_a_torn_slot_the_next_mark_takes_its_place() {
        let dir = TempDir::new();
        let mut file = fresh(&dir);
        file.write(&mark(1)).unwrap();
        file.write(&mark(2)).unwrap();
        file.file.write_all_at(&[0xff; 40], file.older_slot() * SLOT as u64).unwrap();
        file.write(&mark(3)).unwrap();
        assert_eq!(file.read(), Ok(Some(mark(3))));
        file.file.write_all_at(&[0xff; 40], file.older_slot() * SLOT as u64).unwrap();
        assert_eq!(file.read(), Ok(Some(mark(3))));
    }

    #[test]
    fn no_whole_slot_is_an_error_and_not_a_fresh_file() {
        let dir = TempDir::new();
        let mut file = fresh(&dir);
        file.write(&mark(1)).unwrap();
        file.write(&mark(2)).unwrap();
        file.file.write_all_at(&[0xff], 0).unwrap();
        file.file.write_all_at(&[0xff], SLOT as u64).unwrap();
        assert!(file.read().is_err());
        assert!(file.write(&mark(3)).is_err());
    }

    #[test]
    fn the_mark_never_goes_back_unless_it_is_reset() {
        let dir = TempDir::new();
        let mut file = fresh(&dir);
        file.write(&mark(1)).unwrap();
        file.write(&mark(9)).unwrap();
        assert!(file.write(&mark(8)).is_err());
        assert!(file.write(&Mark { size: 9, root: Digest::of(b"another") }).is_err());
        assert!(file.write(&mark(9)).is_ok(), "the same mark again changes nothing");
        file.reset(&mark(4)).unwrap();
        assert_eq!(file.read(), Ok(Some(mark(4))));
        file.write(&mark(5)).unwrap();
        assert_eq!(file.read(), Ok(Some(mark(5))));
    }

    #[test]
    fn attack_096_a_missing_short_or_open_file_is_refused() {
        let dir = TempDir::new();
        let path = dir.path("high-water");
        assert!(HighWaterFile::open(&path).is_err() && !path.exists(), "opening makes nothing");
        drop(fresh(&dir));
        assert!(HighWaterFile::create(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let text = HighWaterFile::open(&path).unwrap_err().to_string();
        assert!(text.contains("high-water") && text.contains("0600"), "{text}");
        let short = dir.path("short");
        files::create_secret(&short, &[0; 512]).unwrap();
        assert!(HighWaterFile::open(&short).is_err());
    }
}
