//! `state`: what the client wants back.
//! In: the parameter. Out: nothing; it is sent back as it came.
//! Implements RFC 6749 §4.1.1 and appendix A.5.
//! Never sends anything back that no client could have meant.

use crate::domain::rules::Refusal;

use super::parameters::Parameters;
use super::{Asked, Draft, invalid};

/// Longest `state`, in bytes.
pub const MAX_STATE: usize = 2048;

/// What can be sent back, whatever else is wrong.
pub(super) fn usable(said: &Parameters) -> Option<String> {
    let state = said.get("state")?;
    let fits = state.len() <= MAX_STATE && state.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    fits.then(|| state.to_owned())
}

pub(super) fn run(asked: &Asked<'_>, _: &mut Draft) -> Result<(), Refusal> {
    match (asked.said.get("state"), usable(asked.said)) {
        (Some(_), None) => Err(invalid(format!("`state` is not at most {MAX_STATE} printable ASCII characters"))),
        _ => Ok(()),
    }
}
