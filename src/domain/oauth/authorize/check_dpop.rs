//! `dpop_jkt`: the key that must redeem the code.
//! In: the parameter. Out: the key's thumbprint.
//! Implements RFC 9449 §10.
//! Never asks for a proof here: whoever redeems brings it.

use crate::domain::ids::Kid;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, invalid};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(thumbprint) = asked.said.get("dpop_jkt") else { return Ok(()) };
    let thumbprint = Kid::parse(thumbprint).map_err(|error| invalid(format!("`dpop_jkt`: {error}")))?;
    draft.dpop_jkt = Some(thumbprint);
    Ok(())
}
