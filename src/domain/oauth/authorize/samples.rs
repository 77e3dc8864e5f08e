//! A client, a request and people for the tests of this module.

use std::collections::BTreeSet;
use std::time::Duration;

use super::AuthorizationRequest;
use crate::domain::assurance::Acr;
use crate::domain::ids::{Audience, ClientId, PersonId};
use crate::domain::oauth::client::{Client, ClientAuth, Consent, GrantType, Lifetimes, ResponseMode};
use crate::domain::oauth::scope::{Scopes, WantedClaims};
use crate::domain::rules::TokenAlg;

pub(super) const REDIRECT: &str = "https://grafana.example.com/login/generic_oauth";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) fn person(number: u8) -> PersonId {
    PersonId::from_random([number; 10])
}

pub(super) fn client() -> Client {
    Client {
        id: ClientId::parse("grafana").unwrap(),
        name: "Grafana".to_owned(),
        auth: ClientAuth::None,
        redirect_uris: vec![REDIRECT.to_owned(), "https://grafana.example.com/second".to_owned()],
        native: false,
        grants: BTreeSet::from([GrantType::AuthorizationCode]),
        scopes: Scopes::parse("openid profile groups").unwrap(),
        resources: vec![Audience::parse("https://api.example.com").unwrap()],
        serves: Vec::new(),
        groups: None,
        acr: Acr::Phr,
        device_policy: None,
        consent: Consent::NotAsked,
        par: false,
        dpop: false,
        alg: TokenAlg::Rs256,
        response_modes: BTreeSet::from([ResponseMode::Query]),
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        lifetimes: Lifetimes {
            access_token: Duration::from_mins(10),
            refresh: Duration::from_hours(12),
            offline: Duration::from_hours(720),
        },
        logo: None,
    }
}

pub(super) fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        client: ClientId::parse("grafana").unwrap(),
        redirect_uri: REDIRECT.to_owned(),
        response_mode: ResponseMode::Query,
        state: Some("s1".to_owned()),
        nonce: Some("n1".to_owned()),
        scopes: Scopes::parse("openid groups").unwrap(),
        code_challenge: CHALLENGE.to_owned(),
        prompt: BTreeSet::new(),
        max_age: None,
        acr: None,
        claims: WantedClaims::default(),
        login_hint: None,
        hinted: None,
        resources: Vec::new(),
        dpop_jkt: None,
    }
}
