//! Devices that ask, and how far that has come.
//! In: requests as canonical JSON, under the SHA-256 of their codes. Out: rows.
//! Implements RFC 8628 §3.
//! Never stores a code that could be used, only its SHA-256; and finds a request by a person's code only while it is open.

use rusqlite::{Row, params};

use crate::domain::ids::Digest;
use crate::domain::oauth::device::DeviceRequest;
use crate::domain::oauth::device::standing::{Stage, Standing};
use crate::domain::time::{DEVICE_KEPT, Timestamp};

use super::columns::{as_i64, corrupt, digest, first, optional_digest, optional_index, time};
use super::grants::PRUNED_AT_ONCE;
use super::shares::{Oldest, Payer, Share};
use super::{Reader, StoreError, Unit};

/// Most requests of devices that are kept, of all networks together, of clients that are public; another one
/// ends the oldest of the network with most.
pub const MAX_DEVICES: usize = 10_000;
/// Of them, those of one network; another one ends its oldest.
pub const MAX_DEVICES_OF_NETWORK: usize = 300;
/// The same while more than half of all are taken.
pub const MAX_DEVICES_IN_A_CROWD: usize = 20;
/// Most requests of devices whose clients proved who they are, of all of them together; another one is refused.
pub const MAX_PROVEN_DEVICES: usize = 10_000;
/// Of them, those of one client; another one is refused.
pub const MAX_PROVEN_DEVICES_OF_CLIENT: usize = 1_000;

/// What devices of public clients ask: who they are, nobody knows.
const STRANGERS: Share = Share {
    pool: "devices",
    most: MAX_DEVICES,
    of_one: MAX_DEVICES_OF_NETWORK,
    in_a_crowd: MAX_DEVICES_IN_A_CROWD,
    oldest: Some(Oldest {
        of_payer: "DELETE FROM device_request WHERE device_code_sha256 =
                   (SELECT device_code_sha256 FROM device_request WHERE pool = ?1 AND payer = ?2 ORDER BY created LIMIT 1)",
        of_all: "DELETE FROM device_request WHERE device_code_sha256 =
                 (SELECT device_code_sha256 FROM device_request WHERE pool = ?1 ORDER BY created LIMIT 1)",
    }),
};
/// What devices ask whose client proves who it is.
const CLIENTS: Share = Share {
    pool: "devices_of_clients",
    most: MAX_PROVEN_DEVICES,
    of_one: MAX_PROVEN_DEVICES_OF_CLIENT,
    in_a_crowd: MAX_PROVEN_DEVICES_OF_CLIENT,
    oldest: None,
};

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
    /// Keeps a device's request, out of a share; some that are over for long go.
    ///
    /// # Errors
    /// `Crowded` where the share is taken: nobody's request goes for another's.
    pub fn insert_device(
        &mut self,
        request: &DeviceRequest,
        (user_code, payer): (&Digest, Payer),
        ends: Timestamp,
    ) -> Result<(), StoreError> {
        let some = i64::try_from(PRUNED_AT_ONCE).unwrap_or(1);
        let prune = "DELETE FROM device_request WHERE device_code_sha256 IN
                     (SELECT device_code_sha256 FROM device_request WHERE ends < ?1 ORDER BY ends LIMIT ?2)";
        self.conn().prepare_cached(prune)?.execute(params![(self.now() - DEVICE_KEPT).millis(), some])?;
        let (share, payer) = match payer {
            Payer::Network(network) => (&STRANGERS, network.to_string()),
            Payer::Client => (&CLIENTS, request.client.to_string()),
        };
        self.make_room(share, &payer)?;
        let sql = "INSERT INTO device_request (device_code_sha256, user_code_sha256, client, request, created, ends,
                       pool, payer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = params![
            request.id.as_bytes(),
            user_code.as_bytes(),
            request.client.as_str(),
            serde_json::to_vec(request).map_err(|_| corrupt("request"))?,
            request.asked.millis(),
            ends.millis(),
            share.pool,
            payer
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
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
}
