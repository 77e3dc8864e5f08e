//! `resource`: the services that access tokens are for.
//! In: the parameters, what the client may ask for. Out: those that were asked for, each once.
//! Implements RFC 8707 §2 and §2.1.
//! Never takes one that is not configured for the client.

use crate::domain::ids::Audience;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

/// Most services of one request.
pub const MAX_RESOURCES: usize = 8;

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let said = asked.said.resources().iter().map(String::as_str).filter(|text| !text.is_empty());
    draft.resources = known(said, draft.client()?)?;
    Ok(())
}

/// The services that a client names, each once.
pub(in crate::domain::oauth) fn known<'a>(
    said: impl Iterator<Item = &'a str>,
    client: &Client,
) -> Result<Vec<Audience>, Refusal> {
    let mut resources: Vec<Audience> = Vec::new();
    for resource in said {
        let known = client.resources.iter().find(|known| known.as_str() == resource);
        let known = known.ok_or_else(|| {
            refuse(ErrorCode::ResourceNotAllowed, "the client may not have tokens for one `resource` that it names")
        })?;
        if !resources.contains(known) {
            resources.push(known.clone());
        }
    }
    if resources.len() > MAX_RESOURCES {
        return Err(refuse(ErrorCode::ResourceNotAllowed, format!("more than {MAX_RESOURCES} different `resource`")));
    }
    Ok(resources)
}
