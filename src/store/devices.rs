//! Devices that ask, and the ceremonies by which people allow them.
//! In: requests as canonical JSON, under the SHA-256 of their codes. Out: rows; a ceremony is handed out once.
//! Implements RFC 8628 §3.
//! Never stores a code that could be used, only its SHA-256; and finds a request by a person's code only while it is open.

use rusqlite::{Row, params};

use crate::domain::ids::{ClientId, Digest};
use crate::domain::oauth::device::DeviceRequest;
use crate::domain::oauth::device::standing::{Stage, Standing};
use crate::domain::time::{CEREMONY, DEVICE_KEPT, Timestamp};

use super::columns::{as_i64, corrupt, digest, first, optional_digest, optional_index, time};
use super::passkeys::{CeremonyRow, MAX_CEREMONIES, ceremony};
use super::{Reader, StoreError, Unit};

/// Most requests of a client's devices that are kept; another one ends the oldest.
pub const MAX_DEVICES_OF_CLIENT: usize = 1_000;

/// A device's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// What is asked.
    pub request: DeviceRequest,
    /// Where it stands.
    pub standing: Standing,
    /// The session in which its code was typed last.
    pub session: Option<Digest>,
}

fn stage(row: &Row<'_>) -> Result<Stage, StoreError> {
    let text: String = row.get("stage")?;
    let grant = || optional_index(row, "grant_entry");
    Ok(match text.as_str() {
        "waiting" => Stage::Waiting,
        "denied" => Stage::Denied,
        // A grant that is over for long is gone, and nothing can be had of it.
        "allowed" => grant()?.map_or(Stage::Denied, |grant| Stage::Allowed { grant }),
        "fetched" => grant()?.map_or(Stage::Denied, |grant| Stage::Fetched { grant }),
        _ => return Err(corrupt("stage")),
    })
}

fn device(row: &Row<'_>) -> Result<DeviceRow, StoreError> {
    let request: Vec<u8> = row.get("request")?;
    let request: DeviceRequest = serde_json::from_slice(&request).map_err(|_| corrupt("request"))?;
    if request.id != digest(row, "device_code_sha256")? {
        return Err(corrupt("device_code_sha256"));
    }
    Ok(DeviceRow {
        request,
        standing: Standing { stage: stage(row)?, ends: time(row, "ends")? },
        session: optional_digest(row, "session")?,
    })
}

impl Reader<'_> {
    /// A device's request by the SHA-256 of its device code, over or not.
    pub fn device(&self, device_code_sha256: &Digest) -> Result<Option<DeviceRow>, StoreError> {
        let sql = "SELECT * FROM device_request WHERE device_code_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![device_code_sha256.as_bytes()], device)
    }

    /// The request that waits for whoever types this code at `now`.
    pub fn device_of_code(&self, user_code: &Digest, now: Timestamp) -> Result<Option<DeviceRow>, StoreError> {
        let sql = "SELECT * FROM device_request WHERE user_code_sha256 = ?1 AND stage = 'waiting' AND ends >= ?2";
        first(&mut self.conn().prepare_cached(sql)?, params![user_code.as_bytes(), now.millis()], device)
    }

    /// The request behind a page's id, over or not.
    pub fn device_of_page(&self, page: &Digest) -> Result<Option<DeviceRow>, StoreError> {
        let sql = "SELECT * FROM device_request WHERE page_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![page.as_bytes()], device)
    }
}

impl Unit<'_> {
    /// Keeps a device's request; those that are over for long go, and the oldest of the client where there are too many.
    pub fn insert_device(
        &mut self,
        request: &DeviceRequest,
        user_code: &Digest,
        ends: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn()
            .prepare_cached("DELETE FROM device_request WHERE ends < ?1")?
            .execute(params![(self.now() - DEVICE_KEPT).millis()])?;
        self.prune_devices(&request.client)?;
        let sql = "INSERT INTO device_request (device_code_sha256, user_code_sha256, client, request, created, ends)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            request.id.as_bytes(),
            user_code.as_bytes(),
            request.client.as_str(),
            serde_json::to_vec(request).map_err(|_| corrupt("request"))?,
            request.asked.millis(),
            ends.millis()
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn prune_devices(&mut self, client: &ClientId) -> Result<(), StoreError> {
        let prune = "DELETE FROM device_request WHERE client = ?1 AND device_code_sha256 IN
                     (SELECT device_code_sha256 FROM device_request WHERE client = ?1 ORDER BY created DESC LIMIT -1 OFFSET ?2)";
        let keep = i64::try_from(MAX_DEVICES_OF_CLIENT - 1).unwrap_or(0);
        self.conn().prepare_cached(prune)?.execute(params![client.as_str(), keep])?;
        Ok(())
    }

    /// Opens a request's page to the session in which its code was typed, and to no other any more.
    pub fn open_device(&mut self, id: &Digest, session: &Digest, page: &Digest) -> Result<(), StoreError> {
        let sql = "UPDATE device_request SET session = ?2, page_sha256 = ?3 WHERE device_code_sha256 = ?1";
        let values = params![id.as_bytes(), session.as_bytes(), page.as_bytes()];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Says how far a request has come.
    pub fn stage_device(&mut self, id: &Digest, stage: Stage) -> Result<(), StoreError> {
        let (text, grant) = match stage {
            Stage::Waiting => ("waiting", None),
            Stage::Denied => ("denied", None),
            Stage::Allowed { grant } => ("allowed", Some(as_i64(grant)?)),
            Stage::Fetched { grant } => ("fetched", Some(as_i64(grant)?)),
        };
        let sql = "UPDATE device_request SET stage = ?2, grant_entry = ?3 WHERE device_code_sha256 = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id.as_bytes(), text, grant])?;
        Ok(())
    }

    /// Starts the ceremony over what a device asks; those that took too long are forgotten, the oldest of a session end.
    pub fn start_device_ceremony(&mut self, id: &str, session: &Digest, statement: &[u8]) -> Result<(), StoreError> {
        let now = self.now();
        self.conn()
            .prepare_cached("DELETE FROM device_ceremony WHERE started < ?1")?
            .execute(params![(now - CEREMONY).millis()])?;
        let prune = "DELETE FROM device_ceremony WHERE session = ?1 AND id NOT IN
                     (SELECT id FROM device_ceremony WHERE session = ?1 ORDER BY started DESC LIMIT ?2)";
        let keep = i64::try_from(MAX_CEREMONIES - 1).unwrap_or(0);
        self.conn().prepare_cached(prune)?.execute(params![session.as_bytes(), keep])?;
        let sql = "INSERT INTO device_ceremony (id, session, statement, started) VALUES (?1, ?2, ?3, ?4)";
        self.conn().prepare_cached(sql)?.execute(params![id, session.as_bytes(), statement, now.millis()])?;
        Ok(())
    }

    /// Takes the ceremony over what a device asks: it is gone, whatever becomes of it.
    pub fn take_device_ceremony(&mut self, id: &str) -> Result<Option<CeremonyRow>, StoreError> {
        let sql = "DELETE FROM device_ceremony WHERE id = ?1
                   RETURNING lower(hex(session)) AS subject, statement, started";
        first(&mut self.conn().prepare_cached(sql)?, params![id], ceremony)
    }
}
