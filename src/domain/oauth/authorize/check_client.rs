//! `client_id`: who asks.
//! In: the parameter, and who authenticated where somebody did. Out: the configured client.
//! Implements RFC 6749 §4.1.1, RFC 9126 §2.1 (a client pushes for itself alone).
//! Never guesses: a client that is not configured is nobody.

use std::sync::Arc;

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if asked.said.is_repeated("client_id") {
        return Err(refuse(ErrorCode::ParameterRepeated, "the parameter `client_id` occurs more than once"));
    }
    let said = asked.said.get("client_id");
    let authenticated = asked.authenticated.map(|id| id.as_str());
    let id = match (said, authenticated) {
        (Some(said), Some(proven)) if said != proven => {
            let text = "`client_id` is not the client that authenticated";
            return Err(refuse(ErrorCode::ParameterInvalid, text));
        }
        (said, proven) => proven.or(said),
    };
    let id = id.ok_or_else(|| refuse(ErrorCode::ParameterMissing, "the parameter `client_id` is missing"))?;
    let client = asked.clients.iter().find(|client| client.id.as_str() == id);
    draft.client = Some(Arc::clone(client.ok_or_else(|| {
        let shown: String = id.chars().take(100).collect();
        refuse(
            ErrorCode::ApplicationUnknown,
            format!("this server knows no application with the `client_id` `{shown}`"),
        )
    })?));
    Ok(())
}
