//! Authorization requests that wait, and what people allowed clients.
//! In: requests as canonical JSON, under the SHA-256 of their ids. Out: rows; a pushed request is handed out once.
//! Implements OpenID Connect Core 1.0 §3.1.2, RFC 9126 §2, DESIGN §10 (consent).
//! Never stores an id by which a request is named, only its SHA-256.

use rusqlite::{Row, params};

use crate::domain::ids::{ClientId, Digest, PersonId};
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, digest, first, index, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// Most authorization requests that wait, of everybody together; another one ends the oldest.
pub const MAX_AUTHORIZATION_REQUESTS: usize = 20_000;

/// An authorization request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRow {
    /// SHA-256 of its id.
    pub id_sha256: Digest,
    /// Whose.
    pub client: ClientId,
    /// What is asked, as JSON.
    pub request: Vec<u8>,
    /// Its client pushed it.
    pub pushed: bool,
    /// When it came.
    pub created: Timestamp,
    /// Its last moment.
    pub ends: Timestamp,
    /// When it was answered, or a pushed one was named by its client.
    pub taken: Option<Timestamp>,
}

/// What a person allowed a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRow {
    /// Who.
    pub person: PersonId,
    /// Whom.
    pub client: ClientId,
    /// What.
    pub scopes: Scopes,
    /// The log entry.
    pub entry: u64,
}

fn authorization(row: &Row<'_>) -> Result<AuthorizationRow, StoreError> {
    Ok(AuthorizationRow {
        id_sha256: digest(row, "id_sha256")?,
        client: parsed(row, "client", ClientId::parse)?,
        request: row.get("request")?,
        pushed: row.get("pushed")?,
        created: time(row, "created")?,
        ends: time(row, "ends")?,
        taken: optional_time(row, "taken")?,
    })
}

fn consent(row: &Row<'_>) -> Result<ConsentRow, StoreError> {
    Ok(ConsentRow {
        person: parsed(row, "person", PersonId::parse)?,
        client: parsed(row, "client", ClientId::parse)?,
        scopes: parsed(row, "scopes", Scopes::parse)?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// An authorization request by the SHA-256 of its id, over or not.
    pub fn authorization_request(&self, id_sha256: &Digest) -> Result<Option<AuthorizationRow>, StoreError> {
        let sql = "SELECT * FROM authorization_request WHERE id_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![id_sha256.as_bytes()], authorization)
    }

    /// What a person allowed a client.
    pub fn consent(&self, person: &PersonId, client: &ClientId) -> Result<Option<ConsentRow>, StoreError> {
        let sql = "SELECT * FROM consent WHERE person = ?1 AND client = ?2";
        first(&mut self.conn().prepare_cached(sql)?, params![person.as_str(), client.as_str()], consent)
    }

    /// Everything that a person allowed.
    pub fn consents_of(&self, person: &PersonId) -> Result<Vec<ConsentRow>, StoreError> {
        let sql = "SELECT * FROM consent WHERE person = ?1 ORDER BY client";
        collect(&mut self.conn().prepare_cached(sql)?, params![person.as_str()], consent)
    }
}

impl Unit<'_> {
    /// Keeps an authorization request; those that are over go, and the oldest where there are too many.
    pub fn insert_authorization_request(&mut self, row: &AuthorizationRow) -> Result<(), StoreError> {
        self.conn()
            .prepare_cached("DELETE FROM authorization_request WHERE ends < ?1")?
            .execute(params![self.now().millis()])?;
        let prune = "DELETE FROM authorization_request WHERE id_sha256 IN
                     (SELECT id_sha256 FROM authorization_request ORDER BY created DESC LIMIT -1 OFFSET ?1)";
        let keep = i64::try_from(MAX_AUTHORIZATION_REQUESTS - 1).unwrap_or(0);
        self.conn().prepare_cached(prune)?.execute(params![keep])?;
        let sql = "INSERT INTO authorization_request (id_sha256, client, request, pushed, created, ends)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            row.id_sha256.as_bytes(),
            row.client.as_str(),
            row.request,
            row.pushed,
            row.created.millis(),
            row.ends.millis()
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Takes an authorization request: it stays as taken until it is over, and says when it was taken before, if it was.
    pub fn take_authorization_request(&mut self, id_sha256: &Digest) -> Result<Option<AuthorizationRow>, StoreError> {
        let found = self.reader().authorization_request(id_sha256)?;
        let sql = "UPDATE authorization_request SET taken = coalesce(taken, ?2) WHERE id_sha256 = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id_sha256.as_bytes(), self.now().millis()])?;
        Ok(found)
    }

    /// Puts what a person said into an authorization request that waits.
    pub fn update_authorization_request(&mut self, id_sha256: &Digest, request: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE authorization_request SET request = ?2 WHERE id_sha256 = ?1 AND taken IS NULL";
        self.conn().prepare_cached(sql)?.execute(params![id_sha256.as_bytes(), request])?;
        Ok(())
    }

    /// Remembers what a person allowed a client, in place of what was remembered.
    pub fn put_consent(&mut self, row: &ConsentRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO consent (person, client, scopes, entry) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (person, client) DO UPDATE SET scopes = ?3, entry = ?4";
        let values = params![row.person.as_str(), row.client.as_str(), row.scopes.to_string(), as_i64(row.entry)?];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Forgets what a person allowed a client; false where there is nothing.
    pub fn delete_consent(&mut self, person: &PersonId, client: &ClientId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM consent WHERE person = ?1 AND client = ?2";
        Ok(self.conn().prepare_cached(sql)?.execute(params![person.as_str(), client.as_str()])? == 1)
    }
}
