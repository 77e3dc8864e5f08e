//! Whether the client must push its requests.
//! In: the client. Out: nothing.
//! Implements RFC 9126 §6 (`require_pushed_authorization_requests`).
//! Never runs for what was pushed.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(_: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if draft.client()?.par {
        return Err(refuse(ErrorCode::PushRequired, "the client must push its requests to `/par`"));
    }
    Ok(())
}
