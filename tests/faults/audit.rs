//! Who watches: a monitor that holds every checkpoint it ever saw, and a book of every entry and every answer.
//! In: the database beside its server, tokens as they were answered. Out: a panic that names what does not agree.
//! Implements the drill's invariants; RFC 6962 §2.1 for roots, RFC 8785 for the digest of claims.
//! Never writes, and never believes a stored hash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use countersign::crypto::log_key::verify_ed25519;
use countersign::domain::canonical;
use countersign::domain::ids::Digest;
use countersign::domain::log::checkpoint::Checkpoint;
use countersign::domain::log::merkle::{Frontier, leaf_hash};
use countersign::domain::log::note::{VerifierKey, open};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::built::{World, payload};

/// Everything that was ever seen of one log.
pub struct Audit {
    key: VerifierKey,
    /// Every checkpoint: size and root.
    seen: BTreeMap<u64, Digest>,
    /// The tree over all entries that were read, derived here.
    tree: Frontier,
    leaves: Vec<Digest>,
    last_time: String,
    /// Entries that others name: requests and decisions.
    named: BTreeMap<u64, Value>,
    /// Tokens: `jti` to place and digest of claims.
    tokens: BTreeMap<String, (u64, String)>,
    /// What got a token: job and audience.
    served: BTreeSet<(String, String)>,
    answered: BTreeSet<String>,
}

fn connect(database: &Path) -> Connection {
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).unwrap()
}

/// Looks at one database again and again.
pub struct Window(Connection);

impl Window {
    pub fn open(world: &World) -> Self {
        Self(connect(&world.database()))
    }
}

impl Audit {
    pub fn new(world: &World) -> Self {
        Self {
            key: VerifierKey::parse(&world.log_vkey()).unwrap(),
            seen: BTreeMap::new(),
            tree: Frontier::default(),
            leaves: Vec::new(),
            last_time: String::new(),
            named: BTreeMap::new(),
            tokens: BTreeMap::new(),
            served: BTreeSet::new(),
            answered: BTreeSet::new(),
        }
    }

    /// Takes note of checkpoints, as somebody does who fetches them while the server runs.
    pub fn watch(&mut self, window: &Window) {
        let newest = self.seen.keys().next_back().copied().unwrap_or(0);
        let mut select =
            window.0.prepare_cached("SELECT size, note FROM log_checkpoint WHERE size >= ?1 ORDER BY size").unwrap();
        let mut rows = select.query([newest.cast_signed()]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (size, note): (i64, String) = (row.get(0).unwrap(), row.get(1).unwrap());
            self.see(size.cast_unsigned(), &note);
        }
    }

    fn see(&mut self, size: u64, note: &str) {
        let text = open(note, &self.key, &|public, message, signature| verify_ed25519(public, message, signature));
        let checkpoint = Checkpoint::parse(&text.unwrap()).unwrap();
        assert_eq!(checkpoint.size, size);
        let known = self.seen.insert(size, checkpoint.root);
        assert!(known.is_none_or(|known| known == checkpoint.root), "two checkpoints of {size} entries contradict");
    }

    /// Reads every new entry and checkpoint; whatever was seen before must still be what they lead to.
    pub fn read(&mut self, world: &World) {
        let window = Window::open(world);
        // One snapshot: the server may be running.
        window.0.execute_batch("BEGIN").unwrap();
        self.watch(&window);
        let mut select = window.0.prepare("SELECT entry FROM log_entry WHERE idx >= ?1 ORDER BY idx").unwrap();
        let mut rows = select.query([self.tree.size().cast_signed()]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let bytes: Vec<u8> = row.get(0).unwrap();
            self.enter(&bytes);
        }
        let (newest, _) = self.seen.last_key_value().unwrap();
        assert_eq!(self.tree.size(), *newest, "entries and checkpoints part");
    }

    fn enter(&mut self, bytes: &[u8]) {
        let entry: Value = serde_json::from_slice(bytes).unwrap();
        let index = self.tree.size();
        assert_eq!(entry["seq"], index, "an entry is out of its place");
        let time = text(&entry["time"]);
        assert!(time >= self.last_time, "entry {index} goes back from {} to {time}", self.last_time);
        self.last_time = time;
        let leaf = leaf_hash(bytes);
        self.leaves.push(leaf);
        self.tree.append(leaf);
        if let Some(root) = self.seen.get(&self.tree.size()) {
            assert_eq!(*root, self.tree.root(), "the checkpoint of {} entries is not over them", self.tree.size());
        }
        match entry["kind"].as_str().unwrap() {
            "token" => self.enter_token(index, &entry),
            "request" | "decision" => {
                self.named.insert(index, entry);
            }
            _ => {}
        }
    }

    fn enter_token(&mut self, index: u64, entry: &Value) {
        let place = (text(&entry["job_id"]), text(&entry["audience"]));
        assert!(self.served.insert(place.clone()), "{place:?} got two tokens");
        let token = (index, text(&entry["claims_sha256"]));
        assert!(self.tokens.insert(text(&entry["jti"]), token).is_none(), "a token has two entries: {entry}");
        let Some(asked) = entry.get("asked") else { return };
        let asked = &self.named[&asked.as_u64().unwrap()];
        assert_eq!(asked["job_id"], entry["job_id"]);
        let decisions = entry["decisions"].as_array().unwrap();
        assert!(!decisions.is_empty(), "nobody approved {entry}");
        for decision in decisions {
            let decision = &self.named[&decision.as_u64().unwrap()];
            assert_eq!((&decision["kind"], &decision["outcome"]), (&"decision".into(), &"approve".into()));
            assert_eq!(decision["request"], asked["request"]);
        }
    }

    /// A token that somebody holds is in the log, with the digest of these claims. `read` comes before.
    pub fn answered(&mut self, token: &str) {
        let mut claims = payload(token);
        let log = claims.remove("log").unwrap();
        let jti = text(&claims["jti"]);
        let (index, digest) = self.tokens.get(&jti).unwrap_or_else(|| panic!("{jti} was answered and is not logged"));
        assert_eq!(log["index"], *index);
        assert_eq!(*digest, Digest::of(&canonical::to_bytes(&claims).unwrap()).to_string());
        self.answered.insert(jti);
    }

    /// The whole log from its first entry, by three readers: the library, a fresh process, and this book.
    pub fn whole(&mut self, world: &World) -> String {
        self.read(world);
        let report = world.look().check_log().unwrap();
        assert_eq!(report.fault, None);
        assert_eq!(report.entries, self.tree.size());
        let check = world.command(&["log", "check"]).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let window = Window::open(world);
        let mut select = window.0.prepare("SELECT entry FROM log_entry ORDER BY idx").unwrap();
        let mut rows = select.query([]).unwrap();
        let mut tree = Frontier::default();
        while let Some(row) = rows.next().unwrap() {
            let leaf = leaf_hash(&row.get::<_, Vec<u8>>(0).unwrap());
            let index = usize::try_from(tree.size()).unwrap();
            assert!(self.leaves.get(index).is_none_or(|known| *known == leaf), "entry {index} changed");
            tree.append(leaf);
            let root = self.seen.get(&tree.size());
            assert!(root.is_none_or(|root| *root == tree.root()), "checkpoint {} is contradicted", tree.size());
        }
        assert!(tree.size() >= self.tree.size(), "the log lost entries");
        format!("{} entries, {} checkpoints held", tree.size(), self.seen.len())
    }

    /// How many different tokens somebody holds.
    pub fn held(&self) -> usize {
        self.answered.len()
    }

    /// How many tokens are logged.
    pub fn logged(&self) -> usize {
        self.tokens.len()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
