//! Shows one client: how it is configured, who has given it something, when it last had a token.
//! In: a client's id. Out: values that print, serialise and are drawn.
//! Implements DESIGN §10, §12.
//! Never tells a token, nor the digest of one.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ClientId, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;

use super::list_clients::ClientLine;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// Most grants of a client that are listed.
pub const MAX_CLIENT_GRANTS_SHOWN: usize = 100;

/// A client, with what people gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSeen {
    /// How it is configured.
    pub client: ClientLine,
    /// What people gave it and that still counts, newest first, at most `MAX_CLIENT_GRANTS_SHOWN`.
    pub grants: Vec<ClientGrant>,
    /// How many grants that are in all.
    pub total: u64,
    /// How many of them have a refresh token: a family each.
    pub families: u64,
    /// The log's time.
    pub now: Timestamp,
}

/// What somebody gave a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientGrant {
    /// Who.
    pub person: PersonId,
    /// What they are called.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Its last moment.
    pub ends: Timestamp,
    /// It outlives the session.
    pub offline: bool,
    /// It was given to a device.
    pub on_device: bool,
    /// The log entry that began it.
    pub entry: u64,
}

/// There is no such client.
pub(super) fn unknown_client() -> AppError {
    AppError::refused(ErrorCode::NotFound, "the configuration has no client of this id")
}

impl Countersign {
    /// One client.
    pub fn show_client(&self, id: &str) -> Result<ClientSeen, AppError> {
        let id = ClientId::parse(id).map_err(|_| unknown_client())?;
        let client = self.list_clients()?.into_iter().find(|line| line.id == id).ok_or_else(unknown_client)?;
        let wall = self.clock.now();
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let mut grants = Vec::new();
            for row in reader.grants_of_client(&id, now, MAX_CLIENT_GRANTS_SHOWN)? {
                let person = reader.person(&row.person)?;
                grants.push(ClientGrant {
                    name: person.map_or_else(|| row.person.to_string(), |person| person.name),
                    person: row.person,
                    at: row.created,
                    ends: row.ends,
                    offline: row.offline,
                    on_device: row.device,
                    entry: row.entry,
                });
            }
            let (total, families) = reader.count_grants_of_client(&id, now)?;
            Ok(ClientSeen { client, grants, total, families, now })
        })
    }
}
