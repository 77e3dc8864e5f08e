//! Grants: what people gave to clients, their codes, refresh tokens and access tokens.
//! In: what an authorization began, digests of what clients bring. Out: rows; a code and a refresh token are used once.
//! Implements RFC 6749 §4.1.2, §6, §10.4, RFC 9700 §4.14.
//! Never stores a code or a token that could be used, only SHA-256 of it; and never judges whether a grant holds.

use rusqlite::{Row, params};

use crate::domain::assurance::{Acr, AuthenticatorFacts};
use crate::domain::ids::{Audience, ClientId, Digest, Kid, PersonId, SessionId};
use crate::domain::oauth::grant::GrantEnd;
use crate::domain::oauth::scope::{Scopes, WantedClaims};
use crate::domain::time::{GRANT_KEPT, Timestamp};

use super::columns::{
    as_i64, collect, corrupt, digest, first, index, optional_digest, optional_index, optional_time, parsed, time,
};
use super::{Reader, StoreError, Unit};

/// Most grants of a person; another one ends the oldest.
pub const MAX_GRANTS_OF_PERSON: usize = 200;
/// Rows of a table that are over and go with one unit of work.
pub const PRUNED_AT_ONCE: usize = 50;

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The log entry that began it: its id.
    pub entry: u64,
    /// To whom.
    pub client: ClientId,
    /// Whose.
    pub person: PersonId,
    /// What ties it to the session.
    pub sid: SessionId,
    /// The entry of the session in which it was given.
    pub session: u64,
    /// The passkey that signed in (our row id).
    pub passkey: i64,
    /// What its authenticator said.
    pub facts: AuthenticatorFacts,
    /// When it was touched.
    pub auth_time: Timestamp,
    /// The level that was demanded: the client's, or what its request called essential.
    pub acr: Acr,
    /// What was allowed.
    pub scopes: Scopes,
    /// The resource servers that access tokens may be meant for.
    pub resources: Vec<Audience>,
    /// The key to which its tokens are bound.
    pub dpop_jkt: Option<Kid>,
    /// What the request gave to be repeated in the ID token.
    pub nonce: Option<String>,
    /// Claims beside those of the scopes.
    pub claims: WantedClaims,
    /// Whether it outlives the session.
    pub offline: bool,
    /// Whether it was given to a device (RFC 8628).
    pub device: bool,
    /// When it began.
    pub created: Timestamp,
    /// Its last moment.
    pub ends: Timestamp,
    /// When it was ended, if it was.
    pub ended: Option<Timestamp>,
}

/// A code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// Its SHA-256.
    pub code_sha256: Digest,
    /// Its grant.
    pub grant: u64,
    /// For whom.
    pub client: ClientId,
    /// What it must be redeemed with.
    pub redirect_uri: String,
    /// BASE64URL(SHA-256(verifier)) (RFC 7636 §4.2).
    pub code_challenge: String,
    /// Its last moment.
    pub ends: Timestamp,
    /// When it was used before, if it was.
    pub used: Option<Timestamp>,
}

/// The refresh tokens of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRow {
    /// SHA-256 of the part that all of them share.
    pub family_sha256: Digest,
    /// Their grant.
    pub grant: u64,
    /// SHA-256 of the one that may be used.
    pub token_sha256: Digest,
    /// When that was issued.
    pub issued: Timestamp,
    /// SHA-256 of the one that was used last.
    pub before_sha256: Option<Digest>,
    /// When that was used for the first time.
    pub rotated: Option<Timestamp>,
}

/// An access token that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRow {
    /// Its `jti`.
    pub jti: String,
    /// Its grant; a client's own token has none.
    pub grant: Option<u64>,
    /// Its `exp`.
    pub ends: Timestamp,
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| corrupt(column))
}

fn text<T: serde::Serialize>(value: &T, column: &str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| corrupt(column))
}

fn grant(row: &Row<'_>) -> Result<GrantRow, StoreError> {
    let dpop_jkt: Option<String> = row.get("dpop_jkt")?;
    Ok(GrantRow {
        entry: index(row, "entry")?,
        client: parsed(row, "client", ClientId::parse)?,
        person: parsed(row, "person", PersonId::parse)?,
        sid: parsed(row, "sid", SessionId::parse)?,
        session: index(row, "session")?,
        passkey: row.get("passkey")?,
        facts: json(row, "facts")?,
        auth_time: time(row, "auth_time")?,
        acr: parsed(row, "acr", |text| Acr::parse(text).ok_or(()))?,
        scopes: parsed(row, "scopes", Scopes::parse)?,
        resources: json(row, "resources")?,
        dpop_jkt: dpop_jkt.map(|text| Kid::parse(&text).map_err(|_| corrupt("dpop_jkt"))).transpose()?,
        nonce: row.get("nonce")?,
        claims: json(row, "claims")?,
        offline: row.get("offline")?,
        device: row.get("device")?,
        created: time(row, "created")?,
        ends: time(row, "ends")?,
        ended: optional_time(row, "ended")?,
    })
}

fn code(row: &Row<'_>) -> Result<CodeRow, StoreError> {
    Ok(CodeRow {
        code_sha256: digest(row, "code_sha256")?,
        grant: index(row, "grant_entry")?,
        client: parsed(row, "client", ClientId::parse)?,
        redirect_uri: row.get("redirect_uri")?,
        code_challenge: row.get("code_challenge")?,
        ends: time(row, "ends")?,
        used: optional_time(row, "used")?,
    })
}

fn refresh(row: &Row<'_>) -> Result<RefreshRow, StoreError> {
    Ok(RefreshRow {
        family_sha256: digest(row, "family_sha256")?,
        grant: index(row, "grant_entry")?,
        token_sha256: digest(row, "token_sha256")?,
        issued: time(row, "issued")?,
        before_sha256: optional_digest(row, "before_sha256")?,
        rotated: optional_time(row, "rotated")?,
    })
}

impl Reader<'_> {
    /// A grant by the entry that began it, whether it holds or not.
    pub fn grant(&self, entry: u64) -> Result<Option<GrantRow>, StoreError> {
        let sql = "SELECT * FROM oauth_grant WHERE entry = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![as_i64(entry)?], grant)
    }

    /// The grants of a session that nobody ended, oldest first.
    pub fn grants_of_session(&self, sid: &SessionId) -> Result<Vec<GrantRow>, StoreError> {
        let sql = "SELECT * FROM oauth_grant WHERE sid = ?1 AND ended IS NULL ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![sid.as_str()], grant)
    }

    /// The grants that were ever given in a session and are not forgotten, ended or not, one for each client.
    pub fn grants_ever_of_session(&self, sid: &SessionId) -> Result<Vec<GrantRow>, StoreError> {
        let sql = "SELECT * FROM oauth_grant WHERE entry IN
                   (SELECT max(entry) FROM oauth_grant WHERE sid = ?1 GROUP BY client) ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![sid.as_str()], grant)
    }

    /// The grants of a person that nobody ended, oldest first.
    pub fn grants_of_person(&self, id: &PersonId) -> Result<Vec<GrantRow>, StoreError> {
        let sql = "SELECT * FROM oauth_grant WHERE person = ?1 AND ended IS NULL ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], grant)
    }

    /// The grants of a passkey that nobody ended, oldest first.
    pub fn grants_of_passkey(&self, passkey: i64) -> Result<Vec<GrantRow>, StoreError> {
        let sql = "SELECT * FROM oauth_grant WHERE passkey = ?1 AND ended IS NULL ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![passkey], grant)
    }

    /// The grants to a client that count, newest first.
    pub fn grants_of_client(
        &self,
        client: &ClientId,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql =
            "SELECT * FROM oauth_grant WHERE client = ?1 AND ended IS NULL AND ends >= ?2 ORDER BY entry DESC LIMIT ?3";
        collect(&mut self.conn().prepare_cached(sql)?, params![client.as_str(), now.millis(), most], grant)
    }

    /// How many grants to a client count, and how many of them have a refresh token.
    pub fn count_grants_of_client(&self, client: &ClientId, now: Timestamp) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(*) AS total, count(r.grant_entry) AS families FROM oauth_grant g
                   LEFT JOIN refresh_token r ON r.grant_entry = g.entry
                   WHERE g.client = ?1 AND g.ended IS NULL AND g.ends >= ?2";
        let counted = first(&mut self.conn().prepare_cached(sql)?, params![client.as_str(), now.millis()], |row| {
            Ok((index(row, "total")?, index(row, "families")?))
        });
        Ok(counted?.unwrap_or_default())
    }

    /// A code by its SHA-256, used or not.
    pub fn code(&self, code_sha256: &Digest) -> Result<Option<CodeRow>, StoreError> {
        let sql = "SELECT * FROM code WHERE code_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![code_sha256.as_bytes()], code)
    }

    /// The refresh tokens of a family.
    pub fn refresh_token(&self, family_sha256: &Digest) -> Result<Option<RefreshRow>, StoreError> {
        let sql = "SELECT * FROM refresh_token WHERE family_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![family_sha256.as_bytes()], refresh)
    }

    /// An access token that was neither given back nor ended with its grant.
    pub fn access_token(&self, jti: &str) -> Result<Option<AccessRow>, StoreError> {
        let sql = "SELECT a.jti, a.grant_entry, a.ends FROM access_token a
                   LEFT JOIN oauth_grant g ON g.entry = a.grant_entry WHERE a.jti = ?1 AND g.ended IS NULL";
        first(&mut self.conn().prepare_cached(sql)?, params![jti], |row| {
            Ok(AccessRow { jti: row.get("jti")?, grant: optional_index(row, "grant_entry")?, ends: time(row, "ends")? })
        })
    }

    /// When each client last had a token.
    pub fn clients_used(&self) -> Result<Vec<(ClientId, Timestamp)>, StoreError> {
        let sql = "SELECT client, used FROM client_use ORDER BY client";
        collect(&mut self.conn().prepare_cached(sql)?, [], |row| {
            Ok((parsed(row, "client", ClientId::parse)?, time(row, "used")?))
        })
    }
}

impl Unit<'_> {
    /// Keeps a grant whose entry was appended. Some that are over go.
    pub fn insert_grant(&mut self, row: &GrantRow) -> Result<(), StoreError> {
        self.prune_grants()?;
        let sql =
            "INSERT INTO oauth_grant (entry, client, person, sid, session, passkey, facts, auth_time, acr, scopes,
                       resources, dpop_jkt, nonce, claims, offline, created, ends, device)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
        let values = params![
            as_i64(row.entry)?,
            row.client.as_str(),
            row.person.as_str(),
            row.sid.as_str(),
            as_i64(row.session)?,
            row.passkey,
            text(&row.facts, "facts")?,
            row.auth_time.millis(),
            row.acr.as_str(),
            row.scopes.to_string(),
            text(&row.resources, "resources")?,
            row.dpop_jkt.as_ref().map(Kid::as_str),
            row.nonce,
            text(&row.claims, "claims")?,
            row.offline,
            row.created.millis(),
            row.ends.millis(),
            row.device
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn prune_grants(&mut self) -> Result<(), StoreError> {
        let (now, some) = (self.now().millis(), i64::try_from(PRUNED_AT_ONCE).unwrap_or(1));
        let sql = "DELETE FROM oauth_grant WHERE entry IN (SELECT entry FROM oauth_grant WHERE ends < ?1 ORDER BY ends LIMIT ?2)";
        self.conn().prepare_cached(sql)?.execute(params![now, some])?;
        Ok(())
    }

    /// Says to which key the tokens of a grant are bound from here on.
    pub fn bind_grant(&mut self, entry: u64, jkt: Option<&Kid>) -> Result<(), StoreError> {
        let sql = "UPDATE oauth_grant SET dpop_jkt = ?2 WHERE entry = ?1";
        self.conn().prepare_cached(sql)?.execute(params![as_i64(entry)?, jkt.map(Kid::as_str)])?;
        Ok(())
    }

    /// Ends a grant, and with it every token of it; false where it was ended already.
    pub fn end_grant(&mut self, entry: u64, why: GrantEnd) -> Result<bool, StoreError> {
        let now = self.now();
        let sql =
            "UPDATE oauth_grant SET ended = ?2, why = ?3, ends = min(ends, ?4) WHERE entry = ?1 AND ended IS NULL";
        let values = params![as_i64(entry)?, now.millis(), why.as_str(), (now + GRANT_KEPT).millis()];
        Ok(self.conn().prepare_cached(sql)?.execute(values)? == 1)
    }

    /// Keeps a code of a grant.
    pub fn insert_code(&mut self, row: &CodeRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO code (code_sha256, grant_entry, client, redirect_uri, code_challenge, ends)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            row.code_sha256.as_bytes(),
            as_i64(row.grant)?,
            row.client.as_str(),
            row.redirect_uri,
            row.code_challenge,
            row.ends.millis()
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Uses a code: it stays as used, and says when it was used before, if it was.
    pub fn take_code(&mut self, code_sha256: &Digest) -> Result<Option<CodeRow>, StoreError> {
        let found = self.reader().code(code_sha256)?;
        let sql = "UPDATE code SET used = coalesce(used, ?2) WHERE code_sha256 = ?1";
        self.conn().prepare_cached(sql)?.execute(params![code_sha256.as_bytes(), self.now().millis()])?;
        Ok(found)
    }

    /// Keeps the first refresh token of a grant.
    pub fn insert_refresh(&mut self, family: &Digest, grant: u64, token: &Digest) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO refresh_token (family_sha256, grant_entry, token_sha256, issued) VALUES (?1, ?2, ?3, ?4)";
        let values = params![family.as_bytes(), as_i64(grant)?, token.as_bytes(), self.now().millis()];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Puts a successor in the place of the one that may be used, which was used just now.
    pub fn rotate_refresh(&mut self, row: &RefreshRow, successor: &Digest) -> Result<(), StoreError> {
        let sql = "UPDATE refresh_token SET before_sha256 = token_sha256, rotated = ?3, token_sha256 = ?2, issued = ?3
                   WHERE family_sha256 = ?1";
        let values = params![row.family_sha256.as_bytes(), successor.as_bytes(), self.now().millis()];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Puts another successor in the place of one that was never used: the answer with that was lost.
    pub fn replace_refresh(&mut self, row: &RefreshRow, successor: &Digest) -> Result<(), StoreError> {
        let sql = "UPDATE refresh_token SET token_sha256 = ?2, issued = ?3 WHERE family_sha256 = ?1";
        let values = params![row.family_sha256.as_bytes(), successor.as_bytes(), self.now().millis()];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Keeps an access token until it is over. Some that are over go.
    pub fn insert_access(&mut self, row: &AccessRow) -> Result<(), StoreError> {
        let some = i64::try_from(PRUNED_AT_ONCE).unwrap_or(1);
        let sql = "DELETE FROM access_token WHERE jti IN (SELECT jti FROM access_token WHERE ends < ?1 ORDER BY ends LIMIT ?2)";
        self.conn().prepare_cached(sql)?.execute(params![self.now().millis(), some])?;
        let sql = "INSERT INTO access_token (jti, grant_entry, ends) VALUES (?1, ?2, ?3)";
        let values = params![row.jti, row.grant.map(as_i64).transpose()?, row.ends.millis()];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Forgets an access token that was given back; false where there is none.
    pub fn delete_access(&mut self, jti: &str) -> Result<bool, StoreError> {
        Ok(self.conn().prepare_cached("DELETE FROM access_token WHERE jti = ?1")?.execute(params![jti])? == 1)
    }

    /// Notes that a client had a token.
    pub fn note_client(&mut self, client: &ClientId) -> Result<(), StoreError> {
        let sql = "INSERT INTO client_use (client, used) VALUES (?1, ?2) ON CONFLICT (client) DO UPDATE SET used = ?2";
        self.conn().prepare_cached(sql)?.execute(params![client.as_str(), self.now().millis()])?;
        Ok(())
    }

    /// Spends the `jti` of a client's assertion until then; false where it was spent before. Some that are over go.
    pub fn spend_assertion(&mut self, client: &ClientId, jti: &Digest, ends: Timestamp) -> Result<bool, StoreError> {
        let some = i64::try_from(PRUNED_AT_ONCE).unwrap_or(1);
        let sql = "DELETE FROM client_assertion WHERE (client, jti_sha256) IN
                   (SELECT client, jti_sha256 FROM client_assertion WHERE ends < ?1 ORDER BY ends LIMIT ?2)";
        self.conn().prepare_cached(sql)?.execute(params![self.now().millis(), some])?;
        let sql = "INSERT INTO client_assertion (client, jti_sha256, ends) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let values = params![client.as_str(), jti.as_bytes(), ends.millis()];
        Ok(self.conn().prepare_cached(sql)?.execute(values)? == 1)
    }
}
