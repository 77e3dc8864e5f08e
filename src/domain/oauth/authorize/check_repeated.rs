//! No parameter twice.
//! In: what was sent. Out: nothing.
//! Implements RFC 6749 §3.1; `resource` may repeat (RFC 8707 §2).
//! Never takes the first or the last of two.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(asked: &Asked<'_>, _: &mut Draft) -> Result<(), Refusal> {
    let Some(name) = asked.said.repeated() else { return Ok(()) };
    let shown: String = name.chars().take(40).collect();
    Err(refuse(ErrorCode::ParameterRepeated, format!("the parameter `{shown}` occurs more than once")))
}
