//! Whether the client may have people sign in at all.
//! In: the client. Out: nothing.
//! Implements RFC 6749 §4.1.2.1 (`unauthorized_client`).
//! Never lets a client for machines ask people.

use crate::domain::oauth::client::GrantType;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(_: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if draft.client()?.may(GrantType::AuthorizationCode) {
        return Ok(());
    }
    Err(refuse(ErrorCode::GrantNotAllowed, "the client may not use the grant `authorization_code`"))
}
