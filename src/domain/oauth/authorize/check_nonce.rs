//! `nonce`: what ties the ID token to whoever began.
//! In: the parameter. Out: the nonce.
//! Implements OpenID Connect Core §3.1.2.1 and §15.5.2.
//! Never changes a byte of it.

use crate::domain::rules::Refusal;

use super::{Asked, Draft, invalid};

/// Longest `nonce`, in bytes.
pub const MAX_NONCE: usize = 512;

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(nonce) = asked.said.get("nonce") else { return Ok(()) };
    if nonce.len() > MAX_NONCE || nonce.chars().any(char::is_control) {
        return Err(invalid(format!("`nonce` is longer than {MAX_NONCE} bytes, or has control characters")));
    }
    draft.nonce = Some(nonce.to_owned());
    Ok(())
}
