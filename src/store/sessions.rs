//! Sessions of people who signed in, and sign-ins that are under way.
//! In: who signed in with which passkey. Out: rows; a sign-in is handed out once.
//! Implements DESIGN §6 (a sign-in's challenge is 32 random bytes from a table of its own), §10.
//! Never stores a cookie's secret, and never judges whether a session lives.

use rusqlite::{Row, params};

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::ids::{Digest, PersonId, SessionId};
use crate::domain::network::Network;
use crate::domain::session::SessionTimes;
use crate::domain::time::{CEREMONY, Timestamp};

use super::ceremonies::{as_listed, listed};
use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_digest, optional_time, parsed, time};
use super::grants::PRUNED_AT_ONCE;
use super::shares::{Oldest, Share};
use super::{Reader, StoreError, Unit};

/// Most sign-ins under way, of all networks together; another one ends the oldest of the network with most.
pub const MAX_SIGN_INS: usize = 10_000;
/// Of them, those of one network; another one ends its oldest.
pub const MAX_SIGN_INS_OF_NETWORK: usize = 300;
/// The same while more than half of all are taken.
pub const MAX_SIGN_INS_IN_A_CROWD: usize = 30;

const SIGN_INS: Share = Share {
    pool: "sign_ins",
    most: MAX_SIGN_INS,
    of_one: MAX_SIGN_INS_OF_NETWORK,
    in_a_crowd: MAX_SIGN_INS_IN_A_CROWD,
    oldest: Some(Oldest {
        of_payer: "DELETE FROM sign_in_ceremony WHERE id =
                   (SELECT id FROM sign_in_ceremony WHERE ?1 = 'sign_ins' AND network = ?2 ORDER BY started LIMIT 1)",
        of_all: "DELETE FROM sign_in_ceremony WHERE id =
                 (SELECT id FROM sign_in_ceremony WHERE ?1 = 'sign_ins' ORDER BY started LIMIT 1)",
    }),
};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's secret.
    pub secret_sha256: Digest,
    /// Who.
    pub person: PersonId,
    /// With which passkey (our row id).
    pub passkey: i64,
    /// What the authenticator said.
    pub facts: AuthenticatorFacts,
    /// When it began, was used, and ends.
    pub times: SessionTimes,
    /// What the browser calls itself.
    pub device: String,
    /// The log entry that started it.
    pub entry: u64,
    /// What ties it to the grants that were given in it.
    pub sid: SessionId,
}

/// A sign-in that starts.
#[derive(Debug, Clone)]
pub struct NewSignIn {
    /// Its id.
    pub id: String,
    /// The challenge.
    pub challenge: Digest,
    /// The credential ids that the browser is given, where a user name was asked for.
    pub listed: Option<Vec<Vec<u8>>>,
    /// SHA-256 of the id of the authorization request that it is made for, where it is made for one.
    pub request: Option<Digest>,
    /// Where it is made.
    pub network: Network,
}

/// A sign-in that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRow {
    /// The challenge.
    pub challenge: Digest,
    /// The credential ids that the browser was given, where a user name was asked for.
    pub listed: Option<Vec<Vec<u8>>>,
    /// SHA-256 of the id of the authorization request that it is made for, where it is made for one.
    pub request: Option<Digest>,
    /// When it started.
    pub started: Timestamp,
}

fn session(row: &Row<'_>) -> Result<SessionRow, StoreError> {
    let facts: String = row.get("facts")?;
    Ok(SessionRow {
        secret_sha256: digest(row, "secret_sha256")?,
        person: parsed(row, "person", PersonId::parse)?,
        passkey: row.get("passkey")?,
        facts: serde_json::from_str(&facts).map_err(|_| corrupt("facts"))?,
        times: SessionTimes {
            started: time(row, "started")?,
            last_used: time(row, "last_used")?,
            ends: time(row, "ends")?,
            ended: optional_time(row, "ended")?,
        },
        device: row.get("device")?,
        entry: index(row, "entry")?,
        sid: parsed(row, "sid", SessionId::parse)?,
    })
}

fn sign_in(row: &Row<'_>) -> Result<SignInRow, StoreError> {
    Ok(SignInRow {
        challenge: digest(row, "challenge")?,
        listed: listed(row)?,
        request: optional_digest(row, "request")?,
        started: time(row, "started")?,
    })
}

impl Reader<'_> {
    /// A session by its secret's SHA-256, living or not.
    pub fn session(&self, secret_sha256: &Digest) -> Result<Option<SessionRow>, StoreError> {
        let sql = "SELECT * FROM session WHERE secret_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![secret_sha256.as_bytes()], session)
    }

    /// The session of a `sid` that nobody ended; whether it lives is not judged.
    pub fn session_of_sid(&self, sid: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        let sql = "SELECT * FROM session WHERE sid = ?1 AND ended IS NULL ORDER BY entry DESC LIMIT 1";
        first(&mut self.conn().prepare_cached(sql)?, params![sid.as_str()], session)
    }

    /// The sessions of a person that nobody ended, oldest first; whether they live is not judged.
    pub fn sessions_of(&self, id: &PersonId) -> Result<Vec<SessionRow>, StoreError> {
        let sql = "SELECT * FROM session WHERE person = ?1 AND ended IS NULL ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], session)
    }

    /// The key of what an unknown user name is answered with.
    pub fn decoys(&self) -> Result<[u8; 32], StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'decoys'";
        let key = first(&mut self.conn().prepare_cached(sql)?, [], |row| Ok(row.get::<_, String>(0)?))?;
        let bytes = key.and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| corrupt("decoys"))
    }
}

impl Unit<'_> {
    /// Starts a session; those of the same person that are over for good go.
    pub fn insert_session(&mut self, row: &SessionRow) -> Result<(), StoreError> {
        self.conn()
            .prepare_cached("DELETE FROM session WHERE person = ?1 AND ends < ?2")?
            .execute(params![row.person.as_str(), self.now().millis()])?;
        let facts = serde_json::to_string(&row.facts).map_err(|_| corrupt("facts"))?;
        let sql = "INSERT INTO session (secret_sha256, person, passkey, facts, started, last_used, ends, device, entry,
                       sid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let values = params![
            row.secret_sha256.as_bytes(),
            row.person.as_str(),
            row.passkey,
            facts,
            row.times.started.millis(),
            row.times.last_used.millis(),
            row.times.ends.millis(),
            row.device,
            as_i64(row.entry)?,
            row.sid.as_str()
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Notes that a session was used.
    pub fn note_session(&mut self, secret_sha256: &Digest) -> Result<(), StoreError> {
        let sql = "UPDATE session SET last_used = max(last_used, ?2) WHERE secret_sha256 = ?1 AND ended IS NULL";
        self.conn().prepare_cached(sql)?.execute(params![secret_sha256.as_bytes(), self.now().millis()])?;
        Ok(())
    }

    /// Ends a session.
    pub fn end_session(&mut self, secret_sha256: &Digest) -> Result<(), StoreError> {
        let sql = "UPDATE session SET ended = ?2 WHERE secret_sha256 = ?1 AND ended IS NULL";
        self.conn().prepare_cached(sql)?.execute(params![secret_sha256.as_bytes(), self.now().millis()])?;
        Ok(())
    }

    /// Starts a sign-in out of a network's share; some that are over go.
    pub fn start_sign_in(&mut self, new: &NewSignIn) -> Result<(), StoreError> {
        let (now, some) = (self.now(), i64::try_from(PRUNED_AT_ONCE).unwrap_or(1));
        let prune = "DELETE FROM sign_in_ceremony WHERE id IN
                     (SELECT id FROM sign_in_ceremony WHERE started < ?1 ORDER BY started LIMIT ?2)";
        self.conn().prepare_cached(prune)?.execute(params![(now - CEREMONY).millis(), some])?;
        let network = new.network.to_string();
        self.make_room(&SIGN_INS, &network)?;
        let listed = as_listed(new.listed.as_deref())?;
        let sql = "INSERT INTO sign_in_ceremony (id, challenge, listed, started, network, request)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let request = new.request.map(|digest| digest.as_bytes().to_vec());
        let values = params![new.id, new.challenge.as_bytes(), listed, now.millis(), network, request];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Takes a sign-in: it is gone afterwards, whatever comes of it.
    pub fn take_sign_in(&mut self, id: &str) -> Result<Option<SignInRow>, StoreError> {
        let sql = "DELETE FROM sign_in_ceremony WHERE id = ?1 RETURNING challenge, listed, started, request";
        first(&mut self.conn().prepare_cached(sql)?, params![id], sign_in)
    }
}
