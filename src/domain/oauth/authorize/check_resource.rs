//! `resource`: the services that access tokens are for.
//! In: the parameters, what the client may ask for. Out: those that were asked for, each once.
//! Implements RFC 8707 §2 and §2.1.
//! Never takes one that is not configured for the client.

use crate::domain::ids::Audience;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

/// Most services of one request.
pub const MAX_RESOURCES: usize = 8;

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let mut resources: Vec<Audience> = Vec::new();
    for resource in asked.said.resources().iter().filter(|text| !text.is_empty()) {
        let known = draft.client()?.resources.iter().find(|known| known.as_str() == resource);
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
    draft.resources = resources;
    Ok(())
}
