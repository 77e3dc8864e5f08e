//! `redirect_uri`: where the answer goes.
//! In: the parameter and what the client registered. Out: the URI, byte by byte as it was sent.
//! Implements OpenID Connect Core §3.1.2.1 (always required), RFC 9700 §2.1, RFC 8252 §7.3.
//! Never fills in a URI that was not sent, even where only one is registered.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::redirect_uri::is_registered;
use super::{Asked, Draft, check_request_object, refuse};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if asked.said.is_repeated("redirect_uri") {
        return Err(refuse(ErrorCode::ParameterRepeated, "the parameter `redirect_uri` occurs more than once"));
    }
    let Some(given) = asked.said.get("redirect_uri") else {
        // It may stand in a request object, which nobody reads here: that is what is at fault.
        check_request_object::run(asked, draft)?;
        return Err(refuse(ErrorCode::ParameterMissing, "the parameter `redirect_uri` is missing"));
    };
    let client = draft.client()?;
    let known = client.redirect_uris.iter().any(|registered| is_registered(registered, given, client.native));
    if !known {
        return Err(refuse(ErrorCode::RedirectUriUnknown, "`redirect_uri` is none that is registered for the client"));
    }
    draft.redirect_uri = Some(given.to_owned());
    Ok(())
}
