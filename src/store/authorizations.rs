//! Authorization requests that wait, and what people allowed clients.
//! In: requests as canonical JSON, under the SHA-256 of their ids. Out: rows; a pushed request is handed out once.
//! Implements OpenID Connect Core 1.0 §3.1.2, RFC 9126 §2, DESIGN §10 (consent).
//! Never stores an id by which a request is named, only its SHA-256.

use rusqlite::{Row, params};

use crate::domain::ids::{ClientId, Digest, PersonId};
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, digest, first, index, optional_time, parsed, time};
use super::grants::PRUNED_AT_ONCE;
use super::shares::{Oldest, Payer, Share};
use super::{Reader, StoreError, Unit};

/// Most authorization requests that wait, of all networks together; another one ends the oldest of the network with most.
pub const MAX_AUTHORIZATION_REQUESTS: usize = 20_000;
/// Of them, those of one network; another one ends its oldest.
pub const MAX_AUTHORIZATION_REQUESTS_OF_NETWORK: usize = 1_000;
/// The same while more than half of all are taken.
pub const MAX_AUTHORIZATION_REQUESTS_IN_A_CROWD: usize = 50;
/// Most requests of clients that proved who they are, of all of them together; another one is refused.
pub const MAX_PROVEN_REQUESTS: usize = 10_000;
/// Of them, those of one client; another one is refused.
pub const MAX_PROVEN_REQUESTS_OF_CLIENT: usize = 2_000;

/// What browsers and public clients bring: who they are, nobody knows.
const STRANGERS: Share = Share {
    pool: "strangers",
    most: MAX_AUTHORIZATION_REQUESTS,
    of_one: MAX_AUTHORIZATION_REQUESTS_OF_NETWORK,
    in_a_crowd: MAX_AUTHORIZATION_REQUESTS_IN_A_CROWD,
    oldest: Some(Oldest {
        of_payer: "DELETE FROM authorization_request WHERE id_sha256 =
                   (SELECT id_sha256 FROM authorization_request WHERE pool = ?1 AND payer = ?2 ORDER BY created LIMIT 1)",
        of_all: "DELETE FROM authorization_request WHERE id_sha256 =
                 (SELECT id_sha256 FROM authorization_request WHERE pool = ?1 ORDER BY created LIMIT 1)",
    }),
};
/// What clients push that prove who they are. Their requests are many people's, so none makes room for another.
const CLIENTS: Share = Share {
    pool: "clients",
    most: MAX_PROVEN_REQUESTS,
    of_one: MAX_PROVEN_REQUESTS_OF_CLIENT,
    in_a_crowd: MAX_PROVEN_REQUESTS_OF_CLIENT,
    oldest: None,
};

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
    /// Its client proved who it is when it pushed it.
    pub proven: bool,
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
        proven: row.get::<_, String>("pool")? == CLIENTS.pool,
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
    /// Keeps an authorization request that comes out of a payer's share; some that are over go.
    ///
    /// # Errors
    /// `Crowded` where the share is taken: nobody's request goes for another's.
    pub fn insert_authorization_request(&mut self, row: &AuthorizationRow, payer: Payer) -> Result<(), StoreError> {
        let some = i64::try_from(PRUNED_AT_ONCE).unwrap_or(1);
        let prune = "DELETE FROM authorization_request WHERE id_sha256 IN
                     (SELECT id_sha256 FROM authorization_request WHERE ends < ?1 ORDER BY ends LIMIT ?2)";
        self.conn().prepare_cached(prune)?.execute(params![self.now().millis(), some])?;
        let (share, payer) = match payer {
            Payer::Network(network) => (&STRANGERS, network.to_string()),
            Payer::Client => (&CLIENTS, row.client.to_string()),
        };
        self.make_room(share, &payer)?;
        let sql = "INSERT INTO authorization_request (id_sha256, client, request, pushed, created, ends, pool, payer)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = params![
            row.id_sha256.as_bytes(),
            row.client.as_str(),
            row.request,
            row.pushed,
            row.created.millis(),
            row.ends.millis(),
            share.pool,
            payer
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
