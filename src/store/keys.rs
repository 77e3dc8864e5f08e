//! Signing keys (wrapped), issuers' keys as fetched, and the digest of the rules in force.
//! In: what was generated, fetched or loaded. Out: rows, each with the log entry that recorded it.
//! Implements DESIGN §9.
//! Never holds an unwrapped private key.

use rusqlite::{Row, params};

use crate::domain::ids::{Digest, IssuerName, Kid};
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, digest, first, index, parsed, time};
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
    /// The private JWK, wrapped by the master key.
    pub wrapped: String,
    /// When added.
    pub created: Timestamp,
    /// The log entry that added it.
    pub entry: u64,
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
        created: time(row, "created")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// Every signing key, newest first.
    pub fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let sql = "SELECT * FROM signing_key ORDER BY created DESC, kid";
        collect(&mut self.conn().prepare_cached(sql)?, [], signing_key)
    }

    /// An issuer's keys as last logged.
    pub fn issuer_keys(&self, issuer: &IssuerName) -> Result<Option<IssuerKeysRow>, StoreError> {
        let sql = "SELECT document, entry FROM issuer_keys WHERE issuer = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str()], |row| {
            Ok(IssuerKeysRow { document: row.get("document")?, entry: index(row, "entry")? })
        })
    }

    /// Digest and log entry of the rules as last logged.
    pub fn rules_in_force(&self) -> Result<Option<(Digest, u64)>, StoreError> {
        let sql = "SELECT sha256, entry FROM rules_in_force WHERE id = 1";
        first(&mut self.conn().prepare_cached(sql)?, [], |row| Ok((digest(row, "sha256")?, index(row, "entry")?)))
    }
}

impl Unit<'_> {
    /// Adds a signing key.
    pub fn insert_signing_key(&mut self, row: &SigningKeyRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO signing_key (kid, alg, public, wrapped, created, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            row.kid.as_str(),
            row.alg.as_str(),
            row.public,
            row.wrapped,
            row.created.millis(),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Replaces an issuer's keys by those just logged.
    pub fn put_issuer_keys(&mut self, issuer: &IssuerName, row: &IssuerKeysRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO issuer_keys (issuer, document, entry) VALUES (?1, ?2, ?3)
                   ON CONFLICT (issuer) DO UPDATE SET document = excluded.document, entry = excluded.entry";
        self.conn().prepare_cached(sql)?.execute(params![issuer.as_str(), row.document, as_i64(row.entry)?])?;
        Ok(())
    }

    /// Replaces the digest of the rules in force.
    pub fn put_rules_in_force(&mut self, sha256: &Digest, entry: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO rules_in_force (id, sha256, entry) VALUES (1, ?1, ?2)
                   ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, entry = excluded.entry";
        self.conn().prepare_cached(sql)?.execute(params![sha256.as_bytes(), as_i64(entry)?])?;
        Ok(())
    }
}
