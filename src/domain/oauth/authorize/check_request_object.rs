//! `request`, `request_uri`, `registration`: what this server does not take.
//! In: what was sent. Out: nothing.
//! Implements OpenID Connect Core §6.1, §6.2, §7.2.1 and §3.1.2.6, RFC 9126 §2.1 (no `request_uri` is pushed).
//! Never fetches anything: an address in a request leads nowhere.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, invalid, refuse};

pub(super) fn run(asked: &Asked<'_>, _: &mut Draft) -> Result<(), Refusal> {
    let is_there = |name: &str| asked.said.get(name).is_some() || asked.said.is_repeated(name);
    if is_there("request") {
        return Err(refuse(
            ErrorCode::RequestObjectUnsupported,
            "`request` is not taken: send the parameters themselves",
        ));
    }
    if is_there("request_uri") {
        if asked.authenticated.is_some() {
            return Err(invalid("`request_uri` cannot be pushed"));
        }
        return Err(refuse(ErrorCode::RequestUriUnsupported, "`request_uri` is none that this server gave out"));
    }
    if is_there("registration") {
        return Err(refuse(ErrorCode::RegistrationUnsupported, "`registration` is not taken: clients are configured"));
    }
    Ok(())
}
