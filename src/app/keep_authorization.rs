//! Keeps authorization requests while people are on their way through them.
//! In: a checked request, what people said to it. Out: the row, under the digest of its id; what it holds.
//! Implements OpenID Connect Core §3.1.2, RFC 9126 §2.2.
//! Never judges what was asked or said.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Digest;
use crate::domain::oauth::authorize::AuthorizationRequest;
use crate::domain::oauth::error_code::ErrorCode;
use crate::store::Unit;
use crate::store::authorizations::AuthorizationRow;
use crate::store::shares::Payer;

use super::AppError;

/// A request as it is kept: what was asked, and what the person has said to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// What is asked.
    pub(super) request: AuthorizationRequest,
    /// How many entries the log had when it came.
    pub(super) came_at: u64,
    /// The session (its entry) that was begun for this request: a sign-in made for something else is none of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signed_in: Option<u64>,
    /// The session (its entry) in which the person agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agreed: Option<u64>,
    /// The person will not, and why that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cancelled: Option<ErrorCode>,
}

/// How a request comes.
pub(super) struct Coming {
    /// SHA-256 of its id.
    pub(super) id_sha256: Digest,
    /// Its client pushed it.
    pub(super) pushed: bool,
    /// How long it waits.
    pub(super) lives: std::time::Duration,
}

/// Keeps a request under the digest of its id, out of a payer's share.
pub(super) fn keep(
    unit: &mut Unit<'_>,
    &Coming { id_sha256, pushed, lives }: &Coming,
    request: AuthorizationRequest,
    payer: Payer,
) -> Result<(), AppError> {
    let created = unit.now();
    let client = request.client.clone();
    let kept = Kept { request, came_at: unit.reader().size()?, signed_in: None, agreed: None, cancelled: None };
    let request = serde_json::to_vec(&kept).map_err(AppError::internal)?;
    let proven = payer == Payer::Client;
    let ends = created + lives;
    let row = AuthorizationRow { id_sha256, client, request, pushed, proven, created, ends, taken: None };
    Ok(unit.insert_authorization_request(&row, payer)?)
}

/// Notes that a session was begun for a request. One that does not wait any more is nothing to note.
pub(super) fn note_sign_in(unit: &mut Unit<'_>, id: &Digest, entry: u64) -> Result<(), AppError> {
    let row = unit.reader().authorization_request(id)?;
    let Some(row) = row.filter(|row| !row.pushed && row.taken.is_none()) else { return Ok(()) };
    put(unit, id, &Kept { signed_in: Some(entry), ..read(&row)? })
}

/// Puts what a person said into a request that waits.
pub(super) fn put(unit: &mut Unit<'_>, id: &Digest, kept: &Kept) -> Result<(), AppError> {
    let request = serde_json::to_vec(kept).map_err(AppError::internal)?;
    Ok(unit.update_authorization_request(id, &request)?)
}

/// Reads what is kept.
pub(super) fn read(row: &AuthorizationRow) -> Result<Kept, AppError> {
    serde_json::from_slice(&row.request).map_err(AppError::internal)
}
