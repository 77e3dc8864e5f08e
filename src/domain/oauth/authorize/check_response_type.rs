//! `response_type`: a code, and nothing else.
//! In: the parameter. Out: nothing.
//! Implements RFC 6749 §3.1.1; implicit and hybrid answers do not exist (RFC 9700 §2.1.2).
//! Never lets a token out by way of a browser.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, refuse};

pub(super) fn run(asked: &Asked<'_>, _: &mut Draft) -> Result<(), Refusal> {
    match asked.said.get("response_type") {
        Some("code") => Ok(()),
        Some(_) => Err(refuse(ErrorCode::ResponseTypeUnsupported, "`response_type` is not `code`")),
        None => Err(refuse(ErrorCode::ParameterMissing, "the parameter `response_type` is missing")),
    }
}
