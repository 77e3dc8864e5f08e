//! What the log and its proofs are written in.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use countersign::app::verify_bundle::verify_bundle;
use countersign::crypto::high_water::{HighWaterFile, SLOT};
use countersign::domain::bundle::Bundle;
use countersign::domain::ids::Digest;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::entry::Entry;
use countersign::domain::log::high_water::{HighWater as _, Mark};
use countersign::domain::log::note::{SignedNote, VerifierKey};
use countersign::domain::statement::Statement;
use serde_json::Value;

use super::text;

/// A bundle that is proven, and the key of its log: one run of the demo.
const PROVEN: &[u8] = include_bytes!("../corpus/bundle/good-demo");
const PROVEN_KEY: &str = include_str!("../corpus/verifier_key/good-demo");

pub fn note(bytes: &[u8]) -> bool {
    let Some(note) = text(bytes) else { return false };
    let Ok(read) = SignedNote::parse(note) else { return false };
    assert_eq!(read.format(), note, "a note has one spelling");
    true
}

pub fn verifier_key(bytes: &[u8]) -> bool {
    let Some(key) = text(bytes) else { return false };
    let Ok(read) = VerifierKey::parse(key) else { return false };
    assert_eq!(read.to_string(), key, "a key has one spelling");
    true
}

pub fn checkpoint(bytes: &[u8]) -> bool {
    let Some(head) = text(bytes) else { return false };
    let Ok(read) = Checkpoint::parse(head) else { return false };
    assert_eq!(read.to_text(), head, "a checkpoint has one spelling");
    true
}

pub fn entry(bytes: &[u8]) -> bool {
    let Ok(read) = Entry::from_bytes(bytes) else { return false };
    assert_eq!(read.to_bytes().unwrap(), bytes, "an entry has one spelling");
    true
}

pub fn statement(bytes: &[u8]) -> bool {
    let Ok(read) = Statement::from_bytes(bytes) else { return false };
    assert_eq!(read.to_bytes().unwrap(), bytes, "a statement has one spelling");
    true
}

/// Nothing but the proven bundle is proven under its key, however it is spelled.
pub fn bundle(bytes: &[u8]) -> bool {
    let key = VerifierKey::parse(PROVEN_KEY.trim()).unwrap();
    let report = verify_bundle(bytes, &key);
    if report.failed().is_none() {
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(read(bytes), read(PROVEN), "another bundle is proven: {}", report.answer());
    }
    let Ok(read) = Bundle::parse(bytes) else {
        assert_eq!(report.failed().map(|step| step.name), Some("format"));
        return false;
    };
    let again = serde_json::to_vec(&read).unwrap();
    assert_eq!(Bundle::parse(&again), Ok(read), "a bundle survives its own spelling");
    true
}

static SLOTS: LazyLock<Mutex<PathBuf>> = LazyLock::new(|| {
    let fast = PathBuf::from("/dev/shm");
    let folder = if fast.is_dir() { fast } else { std::env::temp_dir() };
    Mutex::new(folder.join(format!("countersign-fuzz-high-water-{}", std::process::id())))
});

/// The first byte says which of the two slots gets the digest that it should have; both follow.
pub fn high_water(bytes: &[u8]) -> bool {
    let (flags, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut slots = [[0; SLOT]; 2];
    for (at, byte) in rest.iter().take(2 * SLOT).enumerate() {
        slots[at / SLOT][at % SLOT] = *byte;
    }
    for (at, slot) in slots.iter_mut().enumerate() {
        if flags >> at & 1 == 1 {
            let digest = Digest::of(&slot[..40]);
            slot[40..72].copy_from_slice(digest.as_bytes());
        }
    }
    let marks = slots.map(|slot| whole(&slot));
    let path = SLOTS.lock().unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&*path).unwrap();
    file.write_all(slots.as_flattened()).unwrap();
    let mut opened = HighWaterFile::open(&path).unwrap();
    let read = opened.read();
    let fresh = slots.as_flattened().iter().all(|byte| *byte == 0);
    match marks.into_iter().flatten().max_by_key(|mark| mark.size) {
        Some(highest) => assert_eq!(read.as_ref().unwrap().unwrap().size, highest.size, "the highest mark counts"),
        None => assert_eq!(read.is_ok(), fresh, "what is neither fresh nor whole is refused"),
    }
    let known = read.as_ref().ok().copied().flatten();
    let size = known.map_or(1, |mark| mark.size.saturating_add(1));
    let next = Mark { size, root: Digest::of(&size.to_be_bytes()) };
    let written = opened.write(&next);
    if read.is_ok() && known.is_none_or(|mark| mark.size < u64::MAX) {
        assert_eq!((written, opened.read()), (Ok(()), Ok(Some(next))), "a higher mark is kept");
    } else if read.is_err() {
        assert!(written.is_err(), "a damaged file is not written over");
    }
    drop(opened);
    std::fs::remove_file(&*path).unwrap();
    read.is_ok()
}

/// A whole slot: size and root, their digest, and nothing behind it.
fn whole(slot: &[u8; SLOT]) -> Option<Mark> {
    let fits = Digest::of(&slot[..40]).as_bytes()[..] == slot[40..72] && slot[72..].iter().all(|byte| *byte == 0);
    fits.then(|| Mark {
        size: u64::from_be_bytes(slot[..8].try_into().unwrap()),
        root: Digest::from_bytes(slot[8..40].try_into().unwrap()),
    })
}
