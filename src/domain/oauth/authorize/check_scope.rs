//! `scope`: what is asked for.
//! In: the parameter, what the client may have. Out: the scopes that are known here.
//! Implements RFC 6749 §3.3, OpenID Connect Core §3.1.2.1 (scopes that nobody here knows are ignored).
//! Never gives more than is configured for the client.

use std::sync::Arc;

use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::{KNOWN, Scopes};
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    draft.scopes = known(asked.said.get("scope"), draft.client()?, asked.clients)?;
    Ok(())
}

/// What a client asks for, of what is known here; `clients` are all that are configured.
pub(in crate::domain::oauth) fn known(
    said: Option<&str>,
    client: &Client,
    clients: &[Arc<Client>],
) -> Result<Scopes, Refusal> {
    let Some(said) = said else {
        return Err(refuse(ErrorCode::ScopeNotGranted, "the parameter `scope` is missing"));
    };
    let asked_for = Scopes::parse(said).map_err(|error| refuse(ErrorCode::ScopeNotGranted, error.to_string()))?;
    let scopes = asked_for.common(&client.scopes);
    let is_known = |scope: &str| KNOWN.contains(&scope) || clients.iter().any(|one| one.scopes.has(scope));
    if let Some(scope) = asked_for.beyond(&scopes).iter().find(|scope| is_known(scope.as_str())) {
        return Err(refuse(ErrorCode::ScopeNotGranted, format!("the client may not have the scope `{scope}`")));
    }
    if scopes.is_empty() {
        return Err(refuse(ErrorCode::ScopeNotGranted, "`scope` has nothing that this server knows"));
    }
    Ok(scopes)
}
