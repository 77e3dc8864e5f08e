//! Signing keys (wrapped), and issuers' keys as fetched.
//! In: what was generated or fetched. Out: rows, each with the log entry that recorded it.
//! Implements DESIGN §9.
//! Never holds an unwrapped private key.

use rusqlite::{Row, params};

use crate::domain::ids::{IssuerName, Kid};
use crate::domain::keys::{Key, KeyState};
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, first, index, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// RFC 7638 thumbprint.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: TokenAlg,
    /// The public JWK, JSON.
    pub public: String,
    /// The private JWK, wrapped by the master key; empty once the key is gone.
    pub wrapped: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// When added.
    pub created: Timestamp,
    /// From when on its publication counts.
    pub published: Timestamp,
    /// When it began to sign.
    pub signs: Option<Timestamp>,
    /// When another one took its place.
    pub retired: Option<Timestamp>,
    /// When it was removed or revoked.
    pub gone: Option<Timestamp>,
    /// The log entry that added it.
    pub entry: u64,
}

impl SigningKeyRow {
    /// What its steps depend on.
    #[must_use]
    pub fn key(&self) -> Key {
        let since = match self.state {
            KeyState::Published => Some(self.published),
            KeyState::Signing => self.signs,
            KeyState::Retired => self.retired,
            KeyState::Removed | KeyState::Revoked => self.gone,
        };
        Key { kid: self.kid.clone(), alg: self.alg, state: self.state, since: since.unwrap_or(self.created) }
    }
}

/// An issuer's keys as last logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKeysRow {
    /// The normalised set.
    pub document: Vec<u8>,
    /// The log entry that holds it.
    pub entry: u64,
}

fn signing_key(row: &Row<'_>) -> Result<SigningKeyRow, StoreError> {
    Ok(SigningKeyRow {
        kid: parsed(row, "kid", Kid::parse)?,
        alg: parsed(row, "alg", |text| match text {
            "RS256" => Ok(TokenAlg::Rs256),
            "ES256" => Ok(TokenAlg::Es256),
            _ => Err(()),
        })?,
        public: row.get("public")?,
        wrapped: row.get("wrapped")?,
        state: parsed(row, "state", |text| KeyState::parse(text).ok_or(()))?,
        created: time(row, "created")?,
        published: time(row, "published")?,
        signs: optional_time(row, "signs")?,
        retired: optional_time(row, "retired")?,
        gone: optional_time(row, "gone")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// Every signing key, newest first.
    pub fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let sql = "SELECT * FROM signing_key ORDER BY created DESC, kid";
        collect(&mut self.conn().prepare_cached(sql)?, [], signing_key)
    }

    /// The key of an algorithm that signs now.
    pub fn signs(&self, alg: TokenAlg) -> Result<Option<Kid>, StoreError> {
        let sql = "SELECT kid FROM signing_key WHERE alg = ?1 AND state = 'signing'";
        first(&mut self.conn().prepare_cached(sql)?, params![alg.as_str()], |row| parsed(row, "kid", Kid::parse))
    }

    /// Keys that were dropped in an emergency since a time, newest first.
    pub fn keys_revoked(&self, since: Timestamp) -> Result<Vec<(Kid, TokenAlg, Timestamp)>, StoreError> {
        let sql = "SELECT * FROM signing_key WHERE state = 'revoked' AND gone >= ?1 ORDER BY gone DESC, kid";
        let rows = collect(&mut self.conn().prepare_cached(sql)?, params![since.millis()], signing_key)?;
        Ok(rows.into_iter().map(|row| (row.kid, row.alg, row.gone.unwrap_or_default())).collect())
    }

    /// An issuer's keys as last logged.
    pub fn issuer_keys(&self, issuer: &IssuerName) -> Result<Option<IssuerKeysRow>, StoreError> {
        let sql = "SELECT document, entry FROM issuer_keys WHERE issuer = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str()], |row| {
            Ok(IssuerKeysRow { document: row.get("document")?, entry: index(row, "entry")? })
        })
    }
}

impl Unit<'_> {
    /// Adds a signing key; a second one that signs, or that is the next, is a conflict.
    pub fn insert_signing_key(&mut self, row: &SigningKeyRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO signing_key (kid, alg, public, wrapped, state, created, published, signs, retired, gone, entry)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
        let values = params![
            row.kid.as_str(),
            row.alg.as_str(),
            row.public,
            row.wrapped,
            row.state.as_str(),
            row.created.millis(),
            row.published.millis(),
            millis(row.signs),
            millis(row.retired),
            millis(row.gone),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// A signing key goes on in its life, at the time of this unit. Of one that is gone no private part is kept.
    pub fn move_signing_key(&mut self, kid: &Kid, state: KeyState) -> Result<(), StoreError> {
        let sql = match state {
            KeyState::Published => return Err(StoreError::Invalid("a key is published when it is added".to_owned())),
            KeyState::Signing => "UPDATE signing_key SET state = ?2, signs = ?3 WHERE kid = ?1",
            KeyState::Retired => "UPDATE signing_key SET state = ?2, retired = ?3 WHERE kid = ?1",
            KeyState::Removed | KeyState::Revoked => {
                "UPDATE signing_key SET state = ?2, gone = ?3, wrapped = '' WHERE kid = ?1"
            }
        };
        let values = params![kid.as_str(), state.as_str(), self.now().millis()];
        let changed = self.conn().prepare_cached(sql)?.execute(values)?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Corrupt(format!("there is no signing key {kid}"))) }
    }

    /// The publication of a signing key counts from another time on.
    pub fn put_off_signing_key(&mut self, kid: &Kid, from: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE signing_key SET published = ?2 WHERE kid = ?1 AND state = 'published'";
        self.conn().prepare_cached(sql)?.execute(params![kid.as_str(), from.millis()])?;
        Ok(())
    }

    /// Replaces an issuer's keys by those just logged.
    pub fn put_issuer_keys(&mut self, issuer: &IssuerName, row: &IssuerKeysRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO issuer_keys (issuer, document, entry) VALUES (?1, ?2, ?3)
                   ON CONFLICT (issuer) DO UPDATE SET document = excluded.document, entry = excluded.entry";
        self.conn().prepare_cached(sql)?.execute(params![issuer.as_str(), row.document, as_i64(row.entry)?])?;
        Ok(())
    }
}
