//! Job tokens in use and the tokens issued for them.
//! In: a job token's binding, issued claims. Out: rows that make a repeat the same or a refusal.
//! Implements DESIGN §5 (once, and lost answers).
//! Never holds a job token or a signature, only digests and claims.

use rusqlite::{Row, params};

use crate::domain::ids::{Audience, Digest, IssuerName, Kid, RequestId};
use crate::domain::request::standing::Mark;
use crate::domain::time::{LEEWAY, Timestamp};

use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_digest, parsed, time};
use super::{Reader, StoreError, Unit};

/// The oldest job tokens in use are looked at each time that so many more are.
const SWEEP_EVERY: i64 = 64;
/// How many of the oldest are looked at.
const SWEPT: i64 = 128;

/// A job token whose `jti` is bound to a list of audiences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUseRow {
    /// SHA-256 of the job token's signing input: another token under the same `jti` is not this one.
    pub token_sha256: Digest,
    /// The list.
    pub audiences: Vec<Audience>,
    /// The request it belongs to, where people are asked.
    pub request: Option<RequestId>,
    /// SHA-256 of the collector that the first call brought, where it brought one.
    pub collector: Option<Digest>,
}

/// A token that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedRow {
    /// Its `jti`.
    pub jti: String,
    /// Its `aud`.
    pub audience: Audience,
    /// The request it was issued for.
    pub request: Option<RequestId>,
    /// SHA-256 of the collector that may have it again.
    pub collector: Option<Digest>,
    /// The canonical claims without `log`.
    pub claims: Vec<u8>,
    /// The key that signs it.
    pub kid: Kid,
    /// Its `exp`.
    pub exp: Timestamp,
    /// The log entry of the issue.
    pub entry: u64,
}

fn token_use(row: &Row<'_>) -> Result<TokenUseRow, StoreError> {
    let audiences: String = row.get("audiences")?;
    let request: Option<String> = row.get("request")?;
    Ok(TokenUseRow {
        token_sha256: digest(row, "token_sha256")?,
        audiences: serde_json::from_str(&audiences).map_err(|_| corrupt("audiences"))?,
        request: request.map(|id| RequestId::parse(&id)).transpose().map_err(|_| corrupt("request"))?,
        collector: optional_digest(row, "collector")?,
    })
}

fn issued(row: &Row<'_>) -> Result<IssuedRow, StoreError> {
    let request: Option<String> = row.get("request")?;
    Ok(IssuedRow {
        jti: row.get("jti")?,
        audience: parsed(row, "audience", Audience::parse)?,
        request: request.map(|id| RequestId::parse(&id)).transpose().map_err(|_| corrupt("request"))?,
        collector: optional_digest(row, "collector")?,
        claims: row.get("claims")?,
        kid: parsed(row, "kid", Kid::parse)?,
        exp: time(row, "exp")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// What a job token's `jti` is bound to.
    pub fn token_use(&self, issuer: &IssuerName, jti: &str) -> Result<Option<TokenUseRow>, StoreError> {
        let sql = "SELECT * FROM token_use WHERE issuer = ?1 AND jti = ?2";
        first(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), jti], token_use)
    }

    /// The tokens issued for a job token, by its `jti`.
    pub fn issued_for_token(&self, issuer: &IssuerName, jti: &str) -> Result<Vec<IssuedRow>, StoreError> {
        let sql = "SELECT * FROM issued WHERE binding = (SELECT id FROM token_use WHERE issuer = ?1 AND jti = ?2)
                   ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), jti], issued)
    }

    /// The tokens issued for a request.
    pub fn issued_for_request(&self, id: &RequestId) -> Result<Vec<IssuedRow>, StoreError> {
        let sql = "SELECT * FROM issued WHERE request = ?1 ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], issued)
    }

    /// How many tokens were issued for the job token that an issued one was exchanged for, that one included.
    pub fn issued_beside(&self, entry: u64) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) FROM issued AS one JOIN issued AS other
                   ON other.binding = one.binding WHERE one.entry = ?1";
        let count: i64 = self.conn().prepare_cached(sql)?.query_row(params![as_i64(entry)?], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| corrupt("count"))
    }

    /// The log entry of the first token that was ever issued.
    pub fn first_issued(&self) -> Result<Option<u64>, StoreError> {
        first(&mut self.conn().prepare_cached("SELECT entry FROM issued ORDER BY entry LIMIT 1")?, [], |row| {
            index(row, "entry")
        })
    }

    /// The token whose issue is a log entry.
    pub fn issued_at_entry(&self, entry: u64) -> Result<Option<IssuedRow>, StoreError> {
        let sql = "SELECT * FROM issued WHERE entry = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![as_i64(entry)?], issued)
    }
}

/// What binds a job token: see `Unit::bind_token`.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Short name of the issuer.
    pub issuer: &'a IssuerName,
    /// The job token's `jti`.
    pub jti: &'a str,
    /// Its `exp`.
    pub exp: Timestamp,
}

impl Unit<'_> {
    /// Binds a job token's `jti` to its list, once. The oldest bindings whose token is long over are forgotten on the
    /// way (relies on INVARIANT(leeway)).
    pub fn bind_token(&mut self, token: &Binding<'_>, row: &TokenUseRow) -> Result<(), StoreError> {
        let audiences = serde_json::to_string(&row.audiences).map_err(|_| corrupt("audiences"))?;
        let sql = "INSERT INTO token_use (issuer, jti, token_sha256, audiences, request, collector, exp)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![
            token.issuer.as_str(),
            token.jti,
            row.token_sha256.as_bytes(),
            audiences,
            row.request.as_ref().map(RequestId::as_str),
            row.collector.map(|digest| digest.as_bytes().to_vec()),
            token.exp.millis(),
        ];
        let id = self.conn().prepare_cached(sql)?.insert(values)?;
        if id % SWEEP_EVERY == 0 {
            let sql = "DELETE FROM token_use WHERE exp < ?1 AND id IN (SELECT id FROM token_use ORDER BY id LIMIT ?2)";
            self.conn().prepare_cached(sql)?.execute(params![(self.now() - LEEWAY).millis(), SWEPT])?;
        }
        Ok(())
    }

    /// Records an issued token; a second one for the same job token or request and audience is a conflict
    /// (INVARIANT(one token an audience)). A request whose last audience this is has ended.
    pub fn insert_issued(&mut self, token: &Binding<'_>, row: &IssuedRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO issued (entry, jti, binding, audience, request, collector, claims, kid, exp)
                   VALUES (?1, ?2, (SELECT id FROM token_use WHERE issuer = ?3 AND jti = ?4), ?5, ?6, ?7, ?8, ?9, ?10)";
        let values = params![
            as_i64(row.entry)?,
            row.jti,
            token.issuer.as_str(),
            token.jti,
            row.audience.as_str(),
            row.request.as_ref().map(RequestId::as_str),
            row.collector.map(|digest| digest.as_bytes().to_vec()),
            row.claims,
            row.kid.as_str(),
            row.exp.millis(),
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        if let Some(id) = &row.request {
            let sql = "SELECT (SELECT count(*) FROM request_audience WHERE request = ?1)
                       = (SELECT count(*) FROM issued WHERE request = ?1)";
            let complete: bool = self.conn().prepare_cached(sql)?.query_row(params![id.as_str()], |r| r.get(0))?;
            if complete {
                self.end_request(id, Mark::Collected, row.entry)?;
            }
        }
        Ok(())
    }
}
