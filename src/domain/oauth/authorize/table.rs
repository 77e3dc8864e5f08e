//! THE TABLE of an authorization request's checks: their order, and at which endpoint each one runs.
//! In: what was sent. Out: the request, or the first fault and to whom it may be told.
//! Implements OpenID Connect Core §3.1.2.2, RFC 6749 §4.1.2.1, RFC 9126 §2.1 and §4.
//! Never tells a client anything before its redirect URI is proven.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{
    Asked, AuthorizationRequest, Draft, Fault, check_acr, check_claims, check_client, check_dpop, check_grant,
    check_hint, check_max_age, check_nonce, check_pkce, check_prompt, check_pushed, check_redirect_uri, check_repeated,
    check_request_object, check_resource, check_response_mode, check_response_type, check_scope, check_state, refuse,
};

/// Where a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/authorize`, by the browser.
    Authorize,
    /// `/par`, by the client itself.
    Par,
}

/// To whom a check's fault may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldTo {
    /// To whoever sits at the browser.
    Page,
    /// To the client, by its redirect URI.
    Client,
}

type Run = fn(&Asked<'_>, &mut Draft) -> Result<(), Refusal>;

/// One check.
pub struct Check {
    /// Its parameter, or what it is about.
    pub name: &'static str,
    /// Whether it runs at `/authorize`.
    pub authorize: bool,
    /// Whether it runs at `/par`.
    pub par: bool,
    /// To whom its fault may be told, where a browser is there.
    pub told: ToldTo,
    run: Run,
}

const YES: bool = true;
const NO: bool = false;

const fn check(name: &'static str, [authorize, par]: [bool; 2], told: ToldTo, run: Run) -> Check {
    Check { name, authorize, par, told, run }
}

/// Every check, in order.
#[rustfmt::skip]
pub const TABLE: &[Check] = &[
    //    about              authorize, par  told to
    check("client_id",       [YES, YES], ToldTo::Page,   check_client::run),
    check("redirect_uri",    [YES, YES], ToldTo::Page,   check_redirect_uri::run),
    // From here on the way back is proven.
    check("state",           [YES, YES], ToldTo::Client, check_state::run),
    check("repeated",        [YES, YES], ToldTo::Client, check_repeated::run),
    check("request",         [YES, YES], ToldTo::Client, check_request_object::run),
    check("response_type",   [YES, YES], ToldTo::Client, check_response_type::run),
    check("response_mode",   [YES, YES], ToldTo::Client, check_response_mode::run),
    check("grants",          [YES, YES], ToldTo::Client, check_grant::run),
    check("par",             [YES, NO],  ToldTo::Client, check_pushed::run),
    check("code_challenge",  [YES, YES], ToldTo::Client, check_pkce::run),
    check("scope",           [YES, YES], ToldTo::Client, check_scope::run),
    check("nonce",           [YES, YES], ToldTo::Client, check_nonce::run),
    check("prompt",          [YES, YES], ToldTo::Client, check_prompt::run),
    check("max_age",         [YES, YES], ToldTo::Client, check_max_age::run),
    check("claims",          [YES, YES], ToldTo::Client, check_claims::run),
    check("acr_values",      [YES, YES], ToldTo::Client, check_acr::run),
    check("id_token_hint",   [YES, YES], ToldTo::Client, check_hint::run),
    check("resource",        [YES, YES], ToldTo::Client, check_resource::run),
    check("dpop_jkt",        [YES, YES], ToldTo::Client, check_dpop::run),
];

/// Runs the checks of an endpoint.
///
/// # Errors
/// The first fault, and to whom it may be told.
pub fn examine(asked: &Asked<'_>, endpoint: Endpoint) -> Result<AuthorizationRequest, Fault> {
    let mut draft = Draft::default();
    for check in TABLE {
        let runs = match endpoint {
            Endpoint::Authorize => check.authorize,
            Endpoint::Par => check.par,
        };
        if runs && let Err(refusal) = (check.run)(asked, &mut draft) {
            return Err(fault(asked, draft, check, refusal));
        }
    }
    let client = draft.client.clone();
    draft.finish(asked.said).ok_or_else(|| {
        let refusal = Box::new(refuse(ErrorCode::Internal, "a check is missing"));
        Fault::Page { client, parameter: "client_id", refusal }
    })
}

fn fault(asked: &Asked<'_>, draft: Draft, check: &Check, refusal: Refusal) -> Fault {
    let back = if check.told == ToldTo::Client { draft.way_back(asked.said) } else { None };
    let refusal = Box::new(refusal);
    match back {
        Some(back) => Fault::Client { back, refusal },
        None => Fault::Page { client: draft.client, parameter: check.name, refusal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_to_a_client_before_its_redirect_uri_is_proven() {
        let names: Vec<_> = TABLE.iter().map(|check| check.name).collect();
        assert_eq!(&names[..2], ["client_id", "redirect_uri"]);
        assert!(TABLE[..2].iter().all(|check| check.told == ToldTo::Page && check.authorize && check.par));
        assert!(TABLE[2..].iter().all(|check| check.told == ToldTo::Client));
        let only_here: Vec<_> = TABLE.iter().filter(|check| !(check.authorize && check.par)).collect();
        assert_eq!(only_here.len(), 1, "what a client pushes is checked like what a browser brings");
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
    }
}
