//! Clients that are still to be told that a session ended.
//! In: whom to tell of which session. Out: rows that are due; each goes when its client was told, or is given up.
//! Implements OpenID Connect Back-Channel Logout 1.0 §2.5, §2.7.
//! Never holds a token: it is signed anew for each try.

use rusqlite::{Row, params};

use crate::domain::ids::{ClientId, PersonId, SessionId};
use crate::domain::oauth::logout::LogoutNotice;
use crate::domain::time::Timestamp;

use super::columns::{collect, parsed, time};
use super::{Reader, StoreError, Unit};

/// Most clients that wait to be told; one more is given up at once, and the oldest stay.
pub const MAX_LOGOUT_NOTICES: usize = 10_000;

/// A client that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRow {
    /// Our number.
    pub id: i64,
    /// Whom, of what.
    pub told: LogoutNotice,
    /// When the session ended.
    pub created: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

fn notice(row: &Row<'_>) -> Result<LogoutRow, StoreError> {
    Ok(LogoutRow {
        id: row.get("id")?,
        told: LogoutNotice {
            client: parsed(row, "client", ClientId::parse)?,
            person: parsed(row, "person", PersonId::parse)?,
            sid: parsed(row, "sid", SessionId::parse)?,
        },
        created: time(row, "created")?,
        tries: row.get("tries")?,
    })
}

impl Reader<'_> {
    /// Who is to be told now: those that are due longest first, of each client so many and no more.
    pub fn logouts_due(&self, now: Timestamp, of_each: u32, most: u32) -> Result<Vec<LogoutRow>, StoreError> {
        let sql = "SELECT id, client, person, sid, created, tries FROM
                   (SELECT *, row_number() OVER (PARTITION BY client ORDER BY due, id) AS place
                    FROM logout_notice WHERE due <= ?1)
                   WHERE place <= ?2 ORDER BY due, id LIMIT ?3";
        collect(&mut self.conn().prepare_cached(sql)?, params![now.millis(), of_each, most], notice)
    }
}

impl Unit<'_> {
    /// Has a client told; one that is told of this session already is not told twice. False where too many wait.
    pub fn insert_logout_notice(&mut self, told: &LogoutNotice) -> Result<bool, StoreError> {
        let now = self.now().millis();
        let waiting: i64 =
            self.conn().prepare_cached("SELECT count(*) FROM logout_notice")?.query_row([], |row| row.get(0))?;
        if usize::try_from(waiting).unwrap_or(usize::MAX) >= MAX_LOGOUT_NOTICES {
            return Ok(false);
        }
        let sql = "INSERT INTO logout_notice (client, person, sid, created, due) VALUES (?1, ?2, ?3, ?4, ?4)
                   ON CONFLICT (client, sid) DO NOTHING";
        let values = params![told.client.as_str(), told.person.as_str(), told.sid.as_str(), now];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(true)
    }

    /// Tries a client again later.
    pub fn put_off_logout(&mut self, id: i64, due: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE logout_notice SET tries = tries + 1, due = ?2 WHERE id = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id, due.millis()])?;
        Ok(())
    }

    /// A client was told, or is given up.
    pub fn delete_logout(&mut self, id: i64) -> Result<(), StoreError> {
        self.conn().prepare_cached("DELETE FROM logout_notice WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    }
}
