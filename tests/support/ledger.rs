//! What lies on the disk: every table before and after, and the invariants that hold after every test.
//! In: a server. Out: snapshots, or a panic that names what moved.
//! Implements the attack list's "no state change" and "invariants after every test".
//! Never writes to the database.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::server::Server;
use super::wire::Answer;

/// The database's file.
const DATABASE: &str = "countersign.db";
/// Tables that hold the log itself.
const LOG: [&str; 4] = ["log_entry", "log_hash", "log_checkpoint", "evidence"];
/// A finished ceremony is gone, whatever came of it.
const CEREMONIES: [&str; 7] = [
    "approval_ceremony",
    "registration_ceremony",
    "sign_in_ceremony",
    "addition_ceremony",
    "change_ceremony",
    "link_ceremony",
    "device_ceremony",
];
/// How many ceremonies each network has: a place is free again when one is over.
const PLACES: [&str; 1] = ["shared_out"];

/// Whether a refusal stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// What was not verified never enters the log.
    No,
    /// Exactly one entry, of this very code.
    Yes,
}

/// Every row of every table, and the high-water mark.
#[derive(Clone)]
pub struct Snapshot {
    tables: BTreeMap<String, BTreeSet<String>>,
    /// The log's entries.
    pub entries: Vec<Value>,
    mark: Vec<u8>,
}

fn connect(server: &Server) -> Connection {
    let path = server.directory.join(DATABASE);
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).unwrap()
}

impl Snapshot {
    /// Reads everything in one transaction.
    pub fn of(server: &Server) -> Self {
        let mut connection = connect(server);
        let transaction = connection.transaction().unwrap();
        let names: Vec<String> = transaction
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let tables = names.into_iter().map(|name| (name.clone(), rows(&transaction, &name))).collect();
        let entries = transaction
            .prepare("SELECT entry FROM log_entry ORDER BY idx")
            .unwrap()
            .query_map([], |row| row.get::<_, Vec<u8>>(0))
            .unwrap()
            .map(|bytes| serde_json::from_slice(&bytes.unwrap()).unwrap())
            .collect();
        let mark = std::fs::read(server.directory.join("mark")).unwrap();
        Self { tables, entries, mark }
    }

    /// How many entries of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.of_kind(kind).count()
    }

    /// The entries of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entries.iter().filter(move |entry| entry["kind"] == kind)
    }

    /// The rows of a table, as text.
    pub fn table(&self, name: &str) -> &BTreeSet<String> {
        &self.tables[name]
    }

    /// Entries that came since.
    pub fn since<'a>(&'a self, before: &Self) -> &'a [Value] {
        assert_eq!(self.entries[..before.entries.len()], before.entries, "an entry changed");
        &self.entries[before.entries.len()..]
    }

    /// Nothing differs at all, the log included.
    pub fn assert_identical(&self, before: &Self) {
        assert_eq!(self.since(before), &[] as &[Value]);
        self.assert_same(before, &[]);
    }

    /// Nothing but the log differs; ceremonies that are over do not count, and none has begun.
    pub fn assert_same_state(&self, before: &Self) {
        self.assert_same(before, &[LOG.as_slice(), CEREMONIES.as_slice(), PLACES.as_slice()].concat());
        self.assert_none_began(before);
    }

    fn assert_none_began(&self, before: &Self) {
        for name in CEREMONIES {
            let begun: Vec<_> = self.tables[name].difference(&before.tables[name]).collect();
            assert!(begun.is_empty(), "a refused call began a ceremony: {begun:?}");
        }
    }

    /// What the log holds beside its entries: none of it is gone, and this much was added to each table.
    fn assert_grew(&self, before: &Self, name: &str, most: usize) {
        let (known, now) = (&before.tables[name], &self.tables[name]);
        assert!(known.is_subset(now), "{name} lost rows");
        assert!(now.len() - known.len() <= most, "{name} grew by {}", now.len() - known.len());
    }

    fn assert_same(&self, before: &Self, except: &[&str]) {
        for (name, rows) in &self.tables {
            let known = &before.tables[name];
            if except.contains(&name.as_str()) {
                continue;
            }
            let added: Vec<_> = rows.difference(known).collect();
            let gone: Vec<_> = known.difference(rows).collect();
            assert!(added.is_empty() && gone.is_empty(), "{name} changed: + {added:?} - {gone:?}");
        }
    }
}

fn rows(connection: &Connection, table: &str) -> BTreeSet<String> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        let mut line = String::new();
        for at in 0..columns {
            line.push_str(&match row.get_ref(at)? {
                ValueRef::Null => "∅".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => shown(bytes),
            });
            line.push('\u{1f}');
        }
        Ok(line)
    };
    statement.query_map([], text).unwrap().map(Result::unwrap).collect()
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => data_encoding::HEXLOWER.encode(bytes),
    }
}

/// NSC: state identical before and after; the log gained nothing, or exactly one refusal with the code that was answered.
pub fn refused(server: &Server, before: &Snapshot, answer: &Answer, logged: Logged) {
    let after = Snapshot::of(server);
    after.assert_same_state(before);
    let new = after.since(before);
    match logged {
        Logged::No => {
            assert!(new.is_empty(), "unverified junk is in the log: {new:?}");
            after.assert_same(before, &[CEREMONIES.as_slice(), PLACES.as_slice()].concat());
            assert_eq!(after.mark, before.mark, "the high-water mark moved");
            assert!(answer.json().get("log").is_none(), "{}", answer.text());
        }
        Logged::Yes => {
            assert_eq!(new.len(), 1, "{} gave {new:?}", answer.text());
            after.assert_grew(before, "log_entry", 1);
            after.assert_grew(before, "log_checkpoint", 1);
            after.assert_grew(before, "evidence", 1);
            assert_eq!(new[0]["kind"], "refusal");
            assert_eq!(new[0]["outcome"], answer.code().as_str());
            assert_eq!(answer.json()["log"]["index"], new[0]["seq"], "{}", answer.text());
        }
    }
}

/// NSC for a signature of a change that does not count: state identical, one entry that says whose it was and why not.
pub fn rejected(server: &Server, before: &Snapshot, answer: &Answer) {
    let after = Snapshot::of(server);
    after.assert_same_state(before);
    let new = after.since(before);
    assert_eq!(new.len(), 1, "{} gave {new:?}", answer.text());
    assert_eq!((&new[0]["kind"], &new[0]["outcome"]), (&Value::from("change"), &Value::from("rejected")));
    assert_eq!(new[0]["fault"], answer.code().as_str());
    assert_eq!(answer.json()["log"]["index"], new[0]["seq"], "{}", answer.text());
}

/// The log re-derives, and everything that was issued stands in it as the rules of the house demand.
pub fn check_log(server: &Server) {
    let report = server.app.check_log().unwrap();
    assert_eq!(report.fault, None);
    let snapshot = Snapshot::of(server);
    let mut last = String::new();
    for (at, entry) in snapshot.entries.iter().enumerate() {
        assert_eq!(entry["seq"], at);
        let time = entry["time"].as_str().unwrap();
        assert!(time >= last.as_str(), "entry {at} goes back from {last} to {time}");
        time.clone_into(&mut last);
    }
    let mut seen = BTreeSet::new();
    let mut audiences = BTreeSet::new();
    for token in snapshot.of_kind("token") {
        let jti = token["jti"].as_str().unwrap();
        assert!(seen.insert(jti.to_owned()), "{jti} has two entries");
        let place = (token["job_id"].to_string(), token["asked"].to_string(), token["audience"].to_string());
        if token.get("asked").is_some() {
            check_approvals(&snapshot, token);
            assert!(audiences.insert(place), "one request gave one audience two tokens: {token}");
        }
    }
    for jti in server.issued.lock().unwrap().iter() {
        assert!(seen.contains(jti), "{jti} was issued and is not in the log");
    }
}

fn check_approvals(snapshot: &Snapshot, token: &Value) {
    let index = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let asked = &snapshot.entries[index(&token["asked"])];
    assert_eq!(asked["kind"], "request");
    assert_eq!(asked["job_id"], token["job_id"]);
    let decisions = token["decisions"].as_array().unwrap();
    assert!(!decisions.is_empty(), "nobody approved {token}");
    let mut people = BTreeSet::new();
    for at in decisions {
        let decision = &snapshot.entries[index(at)];
        assert_eq!((&decision["kind"], &decision["outcome"]), (&Value::from("decision"), &Value::from("approve")));
        assert_eq!(decision["request"], asked["request"]);
        assert!(index(at) < index(&token["seq"]));
        assert!(people.insert(decision["person"].to_string()), "one person counted twice: {token}");
    }
}
