//! Devices of people who asked to be told there, and the key that says to push services who sends (wrapped).
//! In: what a browser gave, in a session. Out: rows.
//! Implements DESIGN §11 (being told), RFC 8291, RFC 8292.
//! Never outlives its person, its passkey, or the session that somebody ended.

use rusqlite::{Row, params};

use crate::domain::ids::PersonId;
use crate::domain::push::Subscription;
use crate::domain::time::{PUSH_LIVES, Timestamp};

use super::columns::{as_i64, collect, corrupt, first, index, parsed, time};
use super::{Reader, StoreError, Unit};

/// A device that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRow {
    /// Our number.
    pub id: i64,
    /// Whose.
    pub person: PersonId,
    /// The passkey with which they were signed in (our row id).
    pub passkey: i64,
    /// The entry of the session in which they asked.
    pub session: u64,
    /// Where it takes messages.
    pub subscription: Subscription,
    /// What the browser calls itself.
    pub device: String,
    /// When they asked.
    pub created: Timestamp,
    /// The log entry that says so.
    pub entry: u64,
}

fn push(row: &Row<'_>) -> Result<PushRow, StoreError> {
    let endpoint: String = row.get("endpoint")?;
    let (key, auth) = (row.get("key")?, row.get("auth")?);
    Ok(PushRow {
        id: row.get("id")?,
        person: parsed(row, "person", PersonId::parse)?,
        passkey: row.get("passkey")?,
        session: index(row, "session")?,
        subscription: Subscription::of(&endpoint, key, auth).map_err(|_| corrupt("endpoint"))?,
        device: row.get("device")?,
        created: time(row, "created")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// The devices on which a person is told at `now`, oldest first.
    pub fn pushes_of(&self, person: &PersonId, now: Timestamp) -> Result<Vec<PushRow>, StoreError> {
        let sql = "SELECT * FROM push WHERE person = ?1 AND created > ?2 ORDER BY id";
        let values = params![person.as_str(), (now - PUSH_LIVES).millis()];
        collect(&mut self.conn().prepare_cached(sql)?, values, push)
    }

    /// One device.
    pub fn push(&self, id: i64) -> Result<Option<PushRow>, StoreError> {
        first(&mut self.conn().prepare_cached("SELECT * FROM push WHERE id = ?1")?, params![id], push)
    }

    /// The wrapped key, where one was made.
    pub fn push_key(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT wrapped FROM push_key WHERE id = 1";
        first(&mut self.conn().prepare_cached(sql)?, [], |row| Ok(row.get(0)?))
    }
}

impl Unit<'_> {
    /// Tells a person on a device from now on. An address has one owner: whoever asked with it last.
    pub fn insert_push(&mut self, row: &PushRow) -> Result<(), StoreError> {
        let old = (self.now() - PUSH_LIVES).millis();
        let sql = "DELETE FROM push WHERE endpoint = ?1 OR (person = ?2 AND created <= ?3)";
        let endpoint = row.subscription.endpoint().as_str();
        self.conn().prepare_cached(sql)?.execute(params![endpoint, row.person.as_str(), old])?;
        let sql = "INSERT INTO push (person, passkey, session, endpoint, key, auth, device, created, entry)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let values = params![
            row.person.as_str(),
            row.passkey,
            as_i64(row.session)?,
            endpoint,
            row.subscription.key,
            row.subscription.auth,
            row.device,
            row.created.millis(),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Tells nobody on a device any more.
    pub fn delete_push(&mut self, id: i64) -> Result<(), StoreError> {
        self.conn().prepare_cached("DELETE FROM push WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    }

    /// As `delete_push`, for all that a session asked for.
    pub fn delete_pushes_of_session(&mut self, session: u64) -> Result<(), StoreError> {
        self.conn().prepare_cached("DELETE FROM push WHERE session = ?1")?.execute(params![as_i64(session)?])?;
        Ok(())
    }

    /// What a session asked for goes on with the one that follows it in the same browser; for another person it ends.
    pub fn hand_on_pushes(&mut self, person: &PersonId, before: u64, after: u64) -> Result<(), StoreError> {
        let (before, after) = (as_i64(before)?, as_i64(after)?);
        let sql = "UPDATE push SET session = ?3 WHERE session = ?2 AND person = ?1";
        self.conn().prepare_cached(sql)?.execute(params![person.as_str(), before, after])?;
        self.conn().prepare_cached("DELETE FROM push WHERE session = ?1")?.execute(params![before])?;
        Ok(())
    }

    pub(super) fn delete_pushes_of_person(&mut self, person: &PersonId) -> Result<(), StoreError> {
        self.conn().prepare_cached("DELETE FROM push WHERE person = ?1")?.execute(params![person.as_str()])?;
        Ok(())
    }

    pub(super) fn delete_pushes_of_passkey(&mut self, passkey: i64) -> Result<(), StoreError> {
        self.conn().prepare_cached("DELETE FROM push WHERE passkey = ?1")?.execute(params![passkey])?;
        Ok(())
    }

    /// Keeps the key, wrapped.
    pub fn insert_push_key(&mut self, wrapped: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO push_key (id, wrapped, created) VALUES (1, ?1, ?2)";
        self.conn().prepare_cached(sql)?.execute(params![wrapped, self.now().millis()])?;
        Ok(())
    }
}
