//! Ceremonies over statements that are under way, of every kind.
//! In: a statement, and what it belongs to. Out: rows; a ceremony is handed out once.
//! Implements DESIGN §6, WebAuthn L3 §13.4.3 (single use).
//! Never keeps a challenge after it was taken, and never finds one kind's where another's is asked for.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, params};

use crate::domain::ids::Digest;
use crate::domain::time::{CEREMONY, Timestamp};

use super::columns::{corrupt, digest, first, time};
use super::{StoreError, Unit};

/// Most ceremonies under way for one request, change, invitation or session; starting another ends the oldest.
pub const MAX_CEREMONIES: usize = 64;

/// What a ceremony is over. Each kind has a table of its own. A sign-in's challenge is no statement's: it is in
/// `sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CeremonyKind {
    /// A decision on a request.
    Approval,
    /// A signature for or against a change.
    Change,
    /// A passkey that an invitation admits.
    Registration,
    /// A passkey that a person adds in a session.
    Addition,
    /// A GitLab user that a person proves in a session.
    Link,
    /// What a device asks, allowed in a session.
    Device,
}

impl CeremonyKind {
    pub(super) const ALL: [Self; 6] =
        [Self::Approval, Self::Change, Self::Registration, Self::Addition, Self::Link, Self::Device];

    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Approval => "approval_ceremony",
            Self::Change => "change_ceremony",
            Self::Registration => "registration_ceremony",
            Self::Addition => "addition_ceremony",
            Self::Link => "link_ceremony",
            Self::Device => "device_ceremony",
        }
    }

    /// The column that says what a ceremony belongs to.
    const fn subject(self) -> &'static str {
        match self {
            Self::Approval => "request",
            Self::Change => "change",
            Self::Registration => "invitation",
            Self::Addition | Self::Link | Self::Device => "session",
        }
    }
}

/// What a ceremony belongs to: nobody else finishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CeremonyFor {
    /// A request or a change, by its id.
    Id(String),
    /// An invitation or a session, by the SHA-256 of its secret.
    Secret(Digest),
}

impl CeremonyFor {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        match row.get_ref("subject")? {
            ValueRef::Text(_) => Ok(Self::Id(row.get("subject")?)),
            _ => Ok(Self::Secret(digest(row, "subject")?)),
        }
    }
}

impl ToSql for CeremonyFor {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Id(id) => id.to_sql(),
            Self::Secret(digest) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(digest.as_bytes()))),
        }
    }
}

/// A ceremony that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeremonyRow {
    /// What it was started for.
    pub subject: CeremonyFor,
    /// The canonical statement whose SHA-256 is the challenge.
    pub statement: Vec<u8>,
    /// The credential ids that the browser was given, where it was told which to look for.
    pub listed: Option<Vec<Vec<u8>>>,
    /// When it started.
    pub started: Timestamp,
}

impl CeremonyRow {
    /// Whether it may still be finished.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.started) <= CEREMONY
    }
}

fn ceremony(row: &Row<'_>) -> Result<CeremonyRow, StoreError> {
    Ok(CeremonyRow {
        subject: CeremonyFor::read(row)?,
        statement: row.get("statement")?,
        listed: listed(row)?,
        started: time(row, "started")?,
    })
}

/// Credential ids that a browser was given.
pub(super) fn listed(row: &Row<'_>) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let listed: Option<String> = row.get("listed")?;
    listed.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| corrupt("listed"))
}

/// Credential ids as they are kept.
pub(super) fn as_listed(ids: Option<&[Vec<u8>]>) -> Result<Option<String>, StoreError> {
    ids.map(serde_json::to_string).transpose().map_err(|_| corrupt("listed"))
}

impl Unit<'_> {
    /// Starts a ceremony over a statement, for the passkeys that are listed or any. Those of its kind that took too long are
    /// forgotten, and the oldest of what it belongs to end.
    pub fn start_ceremony(
        &mut self,
        kind: CeremonyKind,
        (id, subject): (&str, &CeremonyFor),
        (statement, listed): (&[u8], Option<&[Vec<u8>]>),
    ) -> Result<(), StoreError> {
        let (now, table, of) = (self.now(), kind.table(), kind.subject());
        self.conn()
            .prepare_cached(&format!("DELETE FROM {table} WHERE started < ?1"))?
            .execute(params![(now - CEREMONY).millis()])?;
        let prune = format!(
            "DELETE FROM {table} WHERE {of} = ?1 AND id NOT IN
             (SELECT id FROM {table} WHERE {of} = ?1 ORDER BY started DESC LIMIT ?2)"
        );
        let keep = i64::try_from(MAX_CEREMONIES - 1).unwrap_or(0);
        self.conn().prepare_cached(&prune)?.execute(params![subject, keep])?;
        let sql = format!("INSERT INTO {table} (id, {of}, statement, listed, started) VALUES (?1, ?2, ?3, ?4, ?5)");
        let values = params![id, subject, statement, as_listed(listed)?, now.millis()];
        self.conn().prepare_cached(&sql)?.execute(values)?;
        Ok(())
    }

    /// Takes a ceremony: it is gone afterwards, whatever comes of it.
    pub fn take_ceremony(&mut self, kind: CeremonyKind, id: &str) -> Result<Option<CeremonyRow>, StoreError> {
        let (table, of) = (kind.table(), kind.subject());
        let sql = format!("DELETE FROM {table} WHERE id = ?1 RETURNING {of} AS subject, statement, listed, started");
        first(&mut self.conn().prepare_cached(&sql)?, params![id], ceremony)
    }
}
