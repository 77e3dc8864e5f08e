//! Passkeys of people.
//! In: what the authenticator's library accepted. Out: rows.
//! Implements DESIGN §6.
//! Never brings one back that was suspended.

use rusqlite::{Row, params};

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::{Aaguid, Attestation, Vouched};
use crate::domain::ids::{Digest, PersonId};
use crate::domain::time::{NEW_PASSKEY_PAUSE, Timestamp};

use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// A passkey of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyRow {
    /// Ours alone.
    pub id: i64,
    /// Whose.
    pub person: PersonId,
    /// As the browser names it.
    pub credential_id: Vec<u8>,
    /// SHA-256 of the COSE public key.
    pub public_key_sha256: Digest,
    /// The library's record of it.
    pub credential: String,
    /// What the authenticator said when it was registered.
    pub registered: AuthenticatorFacts,
    /// The model that it claims; whether that is proven, `vouched` says.
    pub aaguid: Option<Aaguid>,
    /// The format of its attestation statement.
    pub format: Option<String>,
    /// What its attestation proved, and what it may carry at most.
    pub vouched: Vouched,
    /// As its owner calls it.
    pub name: String,
    /// When added.
    pub added: Timestamp,
    /// When last used.
    pub last_used: Option<Timestamp>,
    /// When suspended or removed, if so.
    pub suspended: Option<Timestamp>,
    /// Why it was suspended, where it or its owner gave the reason.
    pub suspended_why: Option<SuspendedWhy>,
    /// The passkey that admitted it (our row id), where no invitation did.
    pub admitted_by: Option<i64>,
    /// Until when it approves nothing: it was made after a recovery.
    pub rests_until: Option<Timestamp>,
    /// The log entry that added it.
    pub entry: u64,
}

/// Why a passkey signs no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspendedWhy {
    /// Its counter went back: there may be two of it.
    Copied,
    /// Its owner did not sign what it signed.
    Reported,
    /// Its owner removed it.
    Removed,
}

impl SuspendedWhy {
    /// As the store and the log spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Reported => "reported",
            Self::Removed => "removed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Copied, Self::Reported, Self::Removed].into_iter().find(|why| why.as_str() == text)
    }
}

impl PasskeyRow {
    /// Until when it approves nothing, since another passkey admitted it.
    #[must_use]
    pub fn approves_from(&self) -> Timestamp {
        if self.admitted_by.is_some() { self.added + NEW_PASSKEY_PAUSE } else { self.added }
    }
}

fn passkey(row: &Row<'_>) -> Result<PasskeyRow, StoreError> {
    let registered: String = row.get("registered")?;
    Ok(PasskeyRow {
        id: row.get("id")?,
        person: parsed(row, "person", PersonId::parse)?,
        credential_id: row.get("credential_id")?,
        public_key_sha256: digest(row, "public_key_sha256")?,
        credential: row.get("credential")?,
        registered: serde_json::from_str(&registered).map_err(|_| corrupt("registered"))?,
        aaguid: row.get::<_, Option<[u8; 16]>>("aaguid")?.map(Aaguid),
        format: row.get("format")?,
        vouched: vouched(row)?,
        name: row.get("name")?,
        added: time(row, "added")?,
        last_used: optional_time(row, "last_used")?,
        suspended: optional_time(row, "suspended")?,
        suspended_why: row
            .get::<_, Option<String>>("suspended_why")?
            .map(|text| SuspendedWhy::parse(&text).ok_or_else(|| corrupt("suspended_why")))
            .transpose()?,
        admitted_by: row.get("admitted_by")?,
        rests_until: optional_time(row, "rests_until")?,
        entry: index(row, "entry")?,
    })
}

/// What is known of a passkey's model; one of before this was kept has no attestation.
pub(super) fn vouched(row: &Row<'_>) -> Result<Vouched, StoreError> {
    let attestation: Option<String> = row.get("attestation")?;
    let admitted: Option<String> = row.get("admitted")?;
    Ok(Vouched {
        attestation: attestation
            .map_or(Ok(Attestation::None), |text| serde_json::from_str(&text))
            .map_err(|_| corrupt("attestation"))?,
        admitted: admitted.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| corrupt("admitted"))?,
    })
}

impl Reader<'_> {
    /// A passkey by the id that the browser names it with.
    pub fn passkey(&self, credential_id: &[u8]) -> Result<Option<PasskeyRow>, StoreError> {
        let sql = "SELECT * FROM passkey WHERE credential_id = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![credential_id], passkey)
    }

    /// Every passkey of a person that was not removed, oldest first.
    pub fn passkeys_of(&self, id: &PersonId) -> Result<Vec<PasskeyRow>, StoreError> {
        let sql = "SELECT * FROM passkey WHERE person = ?1 AND suspended_why IS NOT 'removed' ORDER BY id";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], passkey)
    }

    /// A passkey by our row id.
    pub fn passkey_row(&self, id: i64) -> Result<Option<PasskeyRow>, StoreError> {
        first(&mut self.conn().prepare_cached("SELECT * FROM passkey WHERE id = ?1")?, params![id], passkey)
    }

    /// Passkeys that may be in other hands: copied or reported, newest first.
    pub fn passkeys_in_doubt(&self) -> Result<Vec<PasskeyRow>, StoreError> {
        let sql = "SELECT * FROM passkey WHERE suspended_why IN ('copied', 'reported') ORDER BY suspended DESC";
        collect(&mut self.conn().prepare_cached(sql)?, [], passkey)
    }

    /// Whether a public key is enrolled, whoever has it.
    pub fn has_public_key(&self, public_key_sha256: &Digest) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM passkey WHERE public_key_sha256 = ?1)";
        Ok(self.conn().prepare_cached(sql)?.query_row(params![public_key_sha256.as_bytes()], |row| row.get(0))?)
    }
}

impl Unit<'_> {
    /// Adds a passkey; `id` is given by the store.
    pub fn insert_passkey(&mut self, row: &PasskeyRow) -> Result<i64, StoreError> {
        let registered = serde_json::to_string(&row.registered).map_err(|_| corrupt("registered"))?;
        let attestation = serde_json::to_string(&row.vouched.attestation).map_err(|_| corrupt("attestation"))?;
        let admitted = row.vouched.admitted.as_ref().map(serde_json::to_string).transpose();
        let admitted = admitted.map_err(|_| corrupt("admitted"))?;
        let sql = "INSERT INTO passkey (person, credential_id, public_key_sha256, credential, registered, name, added,
                   entry, aaguid, format, attestation, admitted, admitted_by, rests_until)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let values = params![
            row.person.as_str(),
            row.credential_id,
            row.public_key_sha256.as_bytes(),
            row.credential,
            registered,
            row.name,
            row.added.millis(),
            as_i64(row.entry)?,
            row.aaguid.map(|aaguid| aaguid.0),
            row.format,
            attestation,
            admitted,
            row.admitted_by,
            row.rests_until.map(Timestamp::millis)
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(self.conn().last_insert_rowid())
    }

    /// Stores the counter and backup state that a use brought.
    pub fn update_passkey(&mut self, id: i64, credential: &str) -> Result<(), StoreError> {
        let now = self.now().millis();
        self.conn()
            .prepare_cached("UPDATE passkey SET credential = ?2, last_used = ?3 WHERE id = ?1")?
            .execute(params![id, credential, now])?;
        Ok(())
    }

    /// Ends a passkey: from here on it is unknown to whoever asks. One that was reported or copied can still be removed.
    pub fn suspend_passkey(&mut self, id: i64, why: SuspendedWhy) -> Result<(), StoreError> {
        let now = self.now().millis();
        let sql = "UPDATE passkey SET suspended = coalesce(suspended, ?2), suspended_why = ?3 WHERE id = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id, now, why.as_str()])?;
        self.conn().prepare_cached("UPDATE decision SET ended = 1 WHERE passkey = ?1")?.execute(params![id])?;
        self.delete_pushes_of_passkey(id)?;
        // Whoever holds a session that began with an invitation adds no passkey after one was taken away.
        let end = "UPDATE invitation SET session_sha256 = NULL, session_until = NULL
                   WHERE person = (SELECT person FROM passkey WHERE id = ?1)";
        self.conn().prepare_cached(end)?.execute(params![id])?;
        self.end_change_signatures_of_passkey(id)
    }

    /// Ends the rest of a passkey that was made after a recovery.
    pub fn end_rest(&mut self, id: i64) -> Result<(), StoreError> {
        self.conn().prepare_cached("UPDATE passkey SET rests_until = NULL WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    }

    /// Names a passkey.
    pub fn rename_passkey(&mut self, id: i64, name: &str) -> Result<(), StoreError> {
        self.conn().prepare_cached("UPDATE passkey SET name = ?2 WHERE id = ?1")?.execute(params![id, name])?;
        Ok(())
    }
}
