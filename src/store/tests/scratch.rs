//! A state directory for one test: keys, clock, mark and hooks that the test holds in its hand.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rusqlite::Connection;

use crate::domain::ids::Digest;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::{Event, EvidenceDigests, FORMAT};
use crate::domain::log::high_water::{HighWater, Mark};
use crate::domain::log::note::{VerifierKey, sign};
use crate::domain::time::Timestamp;
use crate::store::{DATABASE, Opening, Store, StoreError};

/// The log's name in tests.
pub(in crate::store) const ORIGIN: &str = "sign.example.com/log";

/// A mark in memory that outlives the store.
#[derive(Clone, Default)]
pub(in crate::store) struct TestMark {
    pub(in crate::store) kept: Arc<Mutex<Option<Mark>>>,
    pub(in crate::store) broken: Arc<AtomicBool>,
}

impl HighWater for TestMark {
    fn read(&self) -> Result<Option<Mark>, String> {
        Ok(*self.kept.lock().unwrap())
    }

    fn write(&mut self, mark: &Mark) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("the disk is gone".to_owned());
        }
        *self.kept.lock().unwrap() = Some(*mark);
        Ok(())
    }

    fn reset(&mut self, mark: &Mark) -> Result<(), String> {
        self.write(mark)
    }
}

/// A directory that goes when the test ends.
pub(in crate::store) struct Scratch {
    pub(in crate::store) directory: PathBuf,
    pub(in crate::store) mark: TestMark,
    pub(in crate::store) clock: Arc<AtomicI64>,
    pub(in crate::store) fatal: Arc<Mutex<Vec<String>>>,
    pub(in crate::store) seal_fails: Arc<AtomicBool>,
}

impl Scratch {
    pub(in crate::store) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("countersign-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        Self {
            directory,
            mark: TestMark::default(),
            clock: Arc::new(AtomicI64::new(1_795_430_400_000)),
            fatal: Arc::default(),
            seal_fails: Arc::default(),
        }
    }

    pub(in crate::store) fn opening(&self) -> Opening {
        let (clock, fatal, seal_fails) = (self.clock.clone(), self.fatal.clone(), self.seal_fails.clone());
        Opening {
            directory: self.directory.clone(),
            origin: ORIGIN.to_owned(),
            now: Arc::new(move || Ok(Timestamp::from_millis(clock.load(Ordering::SeqCst)))),
            random: Arc::new(|bytes| {
                static CHANCE: AtomicU32 = AtomicU32::new(0);
                let seed = Digest::of(&CHANCE.fetch_add(1, Ordering::SeqCst).to_be_bytes());
                bytes.iter_mut().zip(seed.as_bytes().iter().cycle()).for_each(|(place, byte)| *place = *byte);
                Ok(())
            }),
            seal: Box::new(move |text| {
                if seal_fails.load(Ordering::SeqCst) {
                    return Err("the key is gone".to_owned());
                }
                sign(text, ORIGIN, key().id(), pair().sign(text.as_bytes()).as_ref()).map_err(|e| e.to_string())
            }),
            mark: Box::new(self.mark.clone()),
            max_size: None,
            readers: 2,
            fatal: Box::new(move |why| fatal.lock().unwrap().push(why.to_owned())),
        }
    }

    pub(in crate::store) fn create(&self) -> Store {
        Store::create(self.opening(), genesis(ORIGIN)).unwrap()
    }

    pub(in crate::store) fn open(&self) -> Result<Store, StoreError> {
        Store::open(self.opening())
    }

    pub(in crate::store) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// The database as somebody with the file and `sqlite3` has it.
    pub(in crate::store) fn tamper(&self) -> Connection {
        tamper(&self.database())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn tamper(database: &Path) -> Connection {
    let conn = Connection::open(database).unwrap();
    let sql = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
    let drop: Option<String> = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    conn.execute_batch(&format!("{}; PRAGMA ignore_check_constraints = ON", drop.unwrap_or_default())).unwrap();
    conn
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN, pair().public_key().as_ref().try_into().unwrap()).unwrap()
}

/// Opens a checkpoint with the log's key.
pub(in crate::store) fn verify_note(note: &str) -> Result<Checkpoint, String> {
    let verify = |key: &[u8; 32], message: &[u8], signature: &[u8]| {
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    };
    Checkpoint::open(note, &key(), &verify).map_err(|error| error.to_string())
}

pub(in crate::store) fn genesis(origin: &str) -> Event {
    Event::Genesis {
        origin: origin.to_owned(),
        format: FORMAT,
        issuer: "https://sign.example.com".to_owned(),
        rp_id: "sign.example.com".to_owned(),
        demo: false,
    }
}

/// An entry without evidence.
pub(in crate::store) fn step(step: i64) -> Event {
    Event::Clock { step }
}

/// An entry that names one document.
pub(in crate::store) fn rules(document: Digest) -> Event {
    let evidence = EvidenceDigests::from([("rules".to_owned(), document)]);
    Event::Rules { sha256: Digest::of(b"rules"), before: None, change: None, count: 1, evidence }
}
