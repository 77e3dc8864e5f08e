//! `response_mode`: how the answer goes back.
//! In: the parameter and what the client registered. Out: nothing; faults use the mode where it can be used.
//! Implements OAuth 2.0 Multiple Response Type Encoding Practices §2.1, OAuth 2.0 Form Post Response Mode.
//! Never answers in a fragment, nor by script to another window.

use crate::domain::oauth::client::{Client, ResponseMode};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::parameters::Parameters;
use super::{Asked, Draft, refuse};

/// The mode that is asked for, where the client may have it.
fn wanted(said: &Parameters, client: &Client) -> Option<ResponseMode> {
    let mode = said.get("response_mode").map_or(Some(ResponseMode::Query), ResponseMode::parse)?;
    client.response_modes.contains(&mode).then_some(mode)
}

/// The mode of whatever is answered: the one asked for, else the usual one of a code.
pub(super) fn usable(said: &Parameters, client: &Client) -> ResponseMode {
    wanted(said, client).unwrap_or(ResponseMode::Query)
}

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if wanted(asked.said, draft.client()?).is_none() {
        let text = "`response_mode` is none that the client may use";
        return Err(refuse(ErrorCode::ResponseModeUnsupported, text));
    }
    Ok(())
}
