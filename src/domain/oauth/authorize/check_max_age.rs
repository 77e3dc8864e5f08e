//! `max_age`: how old a sign-in may be.
//! In: the parameter. Out: seconds.
//! Implements OpenID Connect Core §3.1.2.1.
//! Never takes a number that could mean something else.

use crate::domain::rules::Refusal;

use super::{Asked, Draft, invalid};

/// Longest `max_age` in digits: beyond it every session is young enough.
const DIGITS: usize = 10;

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(said) = asked.said.get("max_age") else { return Ok(()) };
    let is_number = said.len() <= DIGITS && said.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number { said.parse().ok() } else { None };
    draft.max_age = Some(seconds.ok_or_else(|| invalid("`max_age` is not a whole number of seconds"))?);
    Ok(())
}
