//! The table, parameter by parameter: each fault with its code, and to whom it is told.

use std::sync::Arc;

use proptest::prelude::*;

use super::parameters::Parameters;
use super::samples::{CHALLENGE, REDIRECT, client, person};
use super::table::{Endpoint, examine};
use super::*;
use crate::domain::oauth::client::GrantType;
use crate::domain::oauth::error_code::OAuthCode;

const GOOD: &[(&str, &str)] = &[
    ("client_id", "grafana"),
    ("redirect_uri", REDIRECT),
    ("response_type", "code"),
    ("scope", "openid groups"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
    ("state", "s1"),
    ("nonce", "n1"),
];

/// The good parameters, with some in place of theirs; one without a value is left out.
fn with(changes: &[(&str, &str)]) -> Parameters {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in GOOD {
        if !changes.iter().any(|(changed, _)| changed == name) {
            text.append_pair(name, value);
        }
    }
    for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
        text.append_pair(name, value);
    }
    Parameters::read(text.finish().as_bytes()).unwrap()
}

fn of(clients: &[Arc<Client>], said: &Parameters) -> Result<AuthorizationRequest, Fault> {
    examine(&Asked { said, clients, authenticated: None, hint: Hinted::Absent }, Endpoint::Authorize)
}

fn clients() -> Vec<Arc<Client>> {
    let id = |text: &str| ClientId::parse(text).unwrap();
    let other = Client { id: id("other"), scopes: Scopes::parse("openid wiki:read").unwrap(), ..client() };
    let machine = Client { id: id("machine"), grants: [GrantType::ClientCredentials].into(), ..client() };
    let pushing = Client { id: id("pushing"), par: true, ..client() };
    [client(), other, machine, pushing].map(Arc::new).to_vec()
}

/// The fault is told to the client, with this code.
fn told(changes: &[(&str, &str)], code: ErrorCode, wire: OAuthCode) {
    match of(&clients(), &with(changes)) {
        Err(Fault::Client { back, refusal }) => {
            assert_eq!((refusal.code, refusal.code.oauth()), (code, wire), "{changes:?}: {refusal:?}");
            assert_eq!(back.redirect_uri, REDIRECT);
        }
        other => panic!("{changes:?}: {other:?}"),
    }
}

/// The fault is told on a page, with this parameter.
fn shown(changes: &[(&str, &str)], code: ErrorCode, names: &str, knows: bool) {
    match of(&clients(), &with(changes)) {
        Err(Fault::Page { client, parameter, refusal }) => {
            assert_eq!((refusal.code, parameter, client.is_some()), (code, names, knows), "{changes:?}: {refusal:?}");
        }
        other => panic!("{changes:?}: {other:?}"),
    }
}

#[test]
fn a_good_request_reads() {
    let said = with(&[
        ("prompt", "login consent"),
        ("max_age", "3600"),
        ("acr_values", "urn:other phrh phr"),
        ("login_hint", "ada"),
        ("ui_locales", "de"),
        ("resource", "https://api.example.com"),
        ("dpop_jkt", CHALLENGE),
        ("claims", r#"{"id_token":{"name":null,"email":{"essential":true}},"userinfo":{"groups":null}}"#),
        ("scope", "openid groups address unheard:of"),
    ]);
    let read = of(&clients(), &said).unwrap();
    assert_eq!((read.client.as_str(), read.redirect_uri.as_str()), ("grafana", REDIRECT));
    assert_eq!((read.state.as_deref(), read.nonce.as_deref()), (Some("s1"), Some("n1")));
    assert_eq!(read.scopes.to_string(), "groups openid", "what nobody knows is ignored");
    assert!(read.prompts(Prompt::Login) && read.prompts(Prompt::Consent) && !read.prompts(Prompt::None));
    assert_eq!(read.max_age, Some(3600));
    assert_eq!(read.acr, Some(AcrWish { values: vec![Acr::Phrh, Acr::Phr], essential: false }));
    assert_eq!(read.login_hint.as_deref(), Some("ada"));
    assert_eq!(read.claims.id_token.iter().collect::<Vec<_>>(), ["email", "name"]);
    assert_eq!(read.claims.userinfo.iter().collect::<Vec<_>>(), ["groups"]);
    assert_eq!(read.resources.len(), 1);
    assert_eq!(read.dpop_jkt.as_ref().map(Kid::as_str), Some(CHALLENGE));
    let kept = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<AuthorizationRequest>(&kept).unwrap(), read);
}

#[test]
fn attack_063_what_is_wrong_with_client_or_redirect_uri_is_shown_and_never_sent_on() {
    shown(&[("client_id", "")], ErrorCode::ParameterMissing, "client_id", false);
    shown(&[("client_id", "evil")], ErrorCode::ApplicationUnknown, "client_id", false);
    shown(&[("client_id", "grafana"), ("client_id", "grafana")], ErrorCode::ParameterRepeated, "client_id", false);
    shown(&[("redirect_uri", "")], ErrorCode::ParameterMissing, "redirect_uri", true);
    shown(
        &[("redirect_uri", REDIRECT), ("redirect_uri", REDIRECT)],
        ErrorCode::ParameterRepeated,
        "redirect_uri",
        true,
    );
    for wrong in ["https://evil.example", "javascript:alert(1)", &format!("{REDIRECT}/"), &format!("{REDIRECT}?x")] {
        // However much else is wrong with it.
        shown(
            &[("redirect_uri", wrong), ("response_type", "token"), ("state", "\u{7}")],
            ErrorCode::RedirectUriUnknown,
            "redirect_uri",
            true,
        );
    }
}

#[test]
fn attack_065_a_code_is_bound_to_a_hash_or_not_given() {
    for changes in [
        &[("code_challenge", "")][..],
        &[("code_challenge_method", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "s256")],
        &[("code_challenge", &CHALLENGE[1..])],
        &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM")],
        &[("code_challenge", "")],
    ] {
        told(changes, ErrorCode::PkceRequired, OAuthCode::InvalidRequest);
    }
}

#[test]
fn attack_067_only_a_code_is_answered_and_only_as_registered() {
    for kind in ["token", "id_token", "code id_token", "code token", "none", "CODE", "code code"] {
        told(&[("response_type", kind)], ErrorCode::ResponseTypeUnsupported, OAuthCode::UnsupportedResponseType);
    }
    for mode in ["fragment", "web_message", "form_post", "query.jwt", "jwt", "QUERY"] {
        told(&[("response_mode", mode)], ErrorCode::ResponseModeUnsupported, OAuthCode::UnsupportedResponseType);
    }
    told(
        &[("response_type", "token"), ("response_mode", "query")],
        ErrorCode::ResponseTypeUnsupported,
        OAuthCode::UnsupportedResponseType,
    );
    told(&[("response_type", "")], ErrorCode::ParameterMissing, OAuthCode::InvalidRequest);
    let posting = Client { response_modes: ResponseMode::ALL.into(), ..client() };
    let read = of(&[Arc::new(posting.clone())], &with(&[("response_mode", "form_post")])).unwrap();
    assert_eq!(read.response_mode, ResponseMode::FormPost);
    let fault = of(&[Arc::new(posting)], &with(&[("response_mode", "form_post"), ("scope", "")])).unwrap_err();
    assert!(matches!(fault, Fault::Client { back, .. } if back.response_mode == ResponseMode::FormPost));
}

#[test]
fn attack_071_a_request_object_is_not_read_and_nothing_is_fetched() {
    for (name, code, wire) in [
        ("request", ErrorCode::RequestObjectUnsupported, OAuthCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriUnsupported, OAuthCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationUnsupported, OAuthCode::RegistrationNotSupported),
    ] {
        told(&[(name, "http://169.254.169.254/")], code, wire);
        // The redirect URI may have been meant to stand inside.
        shown(&[(name, "http://169.254.169.254/"), ("redirect_uri", "")], code, "redirect_uri", true);
    }
}

#[test]
fn attack_076_prompt_age_level_and_hint_are_taken_exactly_or_not_at_all() {
    let bad = |changes: &[(&str, &str)]| told(changes, ErrorCode::ParameterInvalid, OAuthCode::InvalidRequest);
    for prompt in ["none login", "login none", "create", "Login", "none,login"] {
        bad(&[("prompt", prompt)]);
    }
    for age in ["-1", "1.5", "x", "+1", "99999999999", " 1"] {
        bad(&[("max_age", age)]);
    }
    for claims in ["x", "[]", r#"{"id_token":[]}"#, r#"{"id_token":{"acr":1}}"#, r#"{"id_token":{},"id_token":{}}"#] {
        bad(&[("claims", claims)]);
    }
    let essential = |values: &str| format!(r#"{{"id_token":{{"acr":{{"essential":true,"values":{values}}}}}}}"#);
    let unmet = |claims: &str| {
        told(&[("claims", claims)], ErrorCode::AcrUnmet, OAuthCode::UnmetAuthenticationRequirements);
    };
    unmet(&essential(r#"["urn:mace:incommon:iap:silver"]"#));
    unmet(r#"{"id_token":{"acr":{"essential":true,"value":"0"}}}"#);
    let wish = |claims: &str| of(&clients(), &with(&[("claims", claims), ("acr_values", "phr")])).unwrap().acr;
    assert_eq!(wish(&essential(r#"["x","phrh"]"#)), Some(AcrWish { values: vec![Acr::Phrh], essential: true }));
    let most = |claims: &str| of(&clients(), &with(&[("claims", claims)])).unwrap().claims.acr_most;
    assert_eq!(most(&essential(r#"["phr"]"#)), Some(Acr::Phr), "so that no ID token names another");
    assert_eq!(most(&essential(r#"["phr","phrh"]"#)), Some(Acr::Phrh));
    assert_eq!(most(r#"{"id_token":{"acr":{"values":["phr"]}}}"#), None);
    assert_eq!(wish(&essential("[]")), Some(AcrWish { values: vec![Acr::Phr], essential: false }));
    let expects = |claims: &str| of(&clients(), &with(&[("claims", claims)]));
    let named = format!(r#"{{"userinfo":{{"sub":{{"value":"{}"}}}}}}"#, person(1));
    assert_eq!(expects(&named).unwrap().hinted, Some(person(1)));
    assert_eq!(expects(r#"{"id_token":{"sub":{"value":"x"}}}"#).unwrap_err().refusal().code, ErrorCode::HintInvalid);
}

#[test]
fn attack_076_a_hint_is_a_token_that_this_client_was_given() {
    let (said, clients) = (with(&[]), clients());
    let hinted = |hint: Hinted| {
        let asked = Asked { said: &said, clients: &clients, authenticated: None, hint };
        examine(&asked, Endpoint::Authorize)
    };
    let hint =
        |subject: &str, audience: &str| Hinted::By(Hint { subject: subject.to_owned(), audience: audience.to_owned() });
    assert_eq!(hinted(hint(person(2).as_str(), "grafana")).unwrap().hinted, Some(person(2)));
    for wrong in
        [Hinted::NotOurs, hint(person(2).as_str(), "other"), hint("gitlab:4711:env:production:approval:phr", "grafana")]
    {
        let fault = hinted(wrong).unwrap_err();
        assert!(matches!(&fault, Fault::Client { refusal, .. } if refusal.code == ErrorCode::HintInvalid), "{fault:?}");
    }
}

#[test]
fn everything_else_is_told_to_the_client() {
    told(&[("x", "1"), ("x", "2")], ErrorCode::ParameterRepeated, OAuthCode::InvalidRequest);
    told(&[("state", "a\nb")], ErrorCode::ParameterInvalid, OAuthCode::InvalidRequest);
    told(&[("nonce", &"n".repeat(600))], ErrorCode::ParameterInvalid, OAuthCode::InvalidRequest);
    told(&[("scope", "")], ErrorCode::ScopeNotGranted, OAuthCode::InvalidScope);
    told(&[("scope", "address")], ErrorCode::ScopeNotGranted, OAuthCode::InvalidScope);
    told(&[("scope", "openid email")], ErrorCode::ScopeNotGranted, OAuthCode::InvalidScope);
    told(&[("scope", "openid wiki:read")], ErrorCode::ScopeNotGranted, OAuthCode::InvalidScope);
    told(&[("scope", "openid \"")], ErrorCode::ScopeNotGranted, OAuthCode::InvalidScope);
    told(&[("resource", "https://other.example")], ErrorCode::ResourceNotAllowed, OAuthCode::InvalidTarget);
    told(&[("resource", "https://api.example.com/")], ErrorCode::ResourceNotAllowed, OAuthCode::InvalidTarget);
    told(&[("dpop_jkt", "x")], ErrorCode::ParameterInvalid, OAuthCode::InvalidRequest);
    told(&[("client_id", "machine")], ErrorCode::GrantNotAllowed, OAuthCode::UnauthorizedClient);
    told(&[("client_id", "pushing")], ErrorCode::PushRequired, OAuthCode::InvalidRequest);
}

#[test]
fn a_state_that_cannot_be_sent_back_is_not() {
    for (state, sent) in [("a b~", Some("a b~")), ("a\u{e9}", None), ("a\r\nSet-Cookie: x", None)] {
        let fault = of(&clients(), &with(&[("state", state), ("response_type", "token")])).unwrap_err();
        let Fault::Client { back, .. } = fault else { panic!("{state}") };
        assert_eq!(back.state.as_deref(), sent);
    }
    let fault = of(&clients(), &with(&[("state", "1"), ("state", "2")])).unwrap_err();
    assert!(matches!(fault, Fault::Client { back, .. } if back.state.is_none()));
}

#[test]
fn a_client_pushes_for_itself_and_no_address() {
    let (clients, id) = (clients(), ClientId::parse("pushing").unwrap());
    let push = |changes: &[(&str, &str)]| {
        let said = with(changes);
        examine(
            &Asked { said: &said, clients: &clients, authenticated: Some(&id), hint: Hinted::Absent },
            Endpoint::Par,
        )
    };
    assert_eq!(push(&[("client_id", "pushing")]).unwrap().client, id);
    assert_eq!(push(&[("client_id", "")]).unwrap().client, id);
    assert_eq!(push(&[]).unwrap_err().refusal().code, ErrorCode::ParameterInvalid, "it is another client");
    let fault = push(&[("client_id", ""), ("request_uri", "urn:x")]).unwrap_err();
    assert_eq!(fault.refusal().code, ErrorCode::ParameterInvalid);
}

proptest! {
    #[test]
    fn no_request_is_answered_at_an_address_that_is_not_registered(
        name in prop::sample::select(vec!["client_id", "redirect_uri", "state", "scope", "response_mode", "claims", "x"]),
        value in "[^\\p{C}\u{fffd}]{0,40}",
        other in prop::sample::select(vec!["https://evil.example", REDIRECT, "https://grafana.example.com/second"]),
    ) {
        let said = with(&[("redirect_uri", other), (name, &value)]);
        let registered = client().redirect_uris;
        match of(&clients(), &said) {
            Ok(read) => prop_assert!(registered.contains(&read.redirect_uri)),
            Err(Fault::Client { back, .. }) => prop_assert!(registered.contains(&back.redirect_uri)),
            Err(Fault::Page { .. }) => {}
        }
    }
}

#[test]
fn each_parameter_is_as_long_as_its_limit_and_no_longer() {
    let taken = |name: &str, value: &str| of(&clients(), &with(&[(name, value)])).is_ok();
    let wrong =
        |name: &str, value: &str| told(&[(name, value)], ErrorCode::ParameterInvalid, OAuthCode::InvalidRequest);
    for (name, most) in [("state", check_state::MAX_STATE), ("nonce", check_nonce::MAX_NONCE)] {
        assert!(taken(name, &"a".repeat(most)), "{name}");
        wrong(name, &"a".repeat(most + 1));
    }
    let padded = |bytes: usize| format!("{{\"x\":\"{}\"}}", "a".repeat(bytes - 8));
    assert!(taken("claims", &padded(check_claims::MAX_CLAIMS)));
    wrong("claims", &padded(check_claims::MAX_CLAIMS + 1));
    let named = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"c{n}\":null")).collect();
        format!("{{\"userinfo\":{{{}}}}}", names.join(","))
    };
    assert!(taken("claims", &named(check_claims::MAX_CLAIM_NAMES)));
    wrong("claims", &named(check_claims::MAX_CLAIM_NAMES + 1));
    let hinted = |bytes: usize| of(&clients(), &with(&[("login_hint", &"a".repeat(bytes))])).unwrap().login_hint;
    assert!(
        hinted(MAX_LOGIN_HINT).is_some() && hinted(MAX_LOGIN_HINT + 1).is_none(),
        "what cannot be shown is dropped"
    );
}

#[test]
fn a_request_names_so_many_services_and_no_more() {
    let services: Vec<_> = (0..=check_resource::MAX_RESOURCES).map(|n| format!("https://api{n}.example.com")).collect();
    let resources = services.iter().map(|one| Audience::parse(one).unwrap()).collect();
    let wide = [Arc::new(Client { resources, ..client() })];
    let asked = |count: usize| {
        let named: Vec<_> = services.iter().take(count).map(|one| ("resource", one.as_str())).collect();
        of(&wide, &with(&named))
    };
    assert_eq!(asked(check_resource::MAX_RESOURCES).unwrap().resources.len(), check_resource::MAX_RESOURCES);
    let refused = asked(check_resource::MAX_RESOURCES + 1).unwrap_err();
    assert_eq!(refused.refusal().code, ErrorCode::ResourceNotAllowed);
}
