//! A client, a request and people for the tests of this module.

use std::collections::BTreeSet;

use super::AuthorizationRequest;
use crate::domain::ids::{Audience, ClientId, PersonId};
use crate::domain::oauth::client::{Client, ResponseMode};
use crate::domain::oauth::scope::{Scopes, WantedClaims};

pub(super) const REDIRECT: &str = "https://grafana.example.com/login/generic_oauth";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) fn person(number: u8) -> PersonId {
    PersonId::from_random([number; 10])
}

pub(super) fn client() -> Client {
    Client {
        redirect_uris: vec![REDIRECT.to_owned(), "https://grafana.example.com/second".to_owned()],
        scopes: Scopes::parse("openid profile groups").unwrap(),
        resources: vec![Audience::parse("https://api.example.com").unwrap()],
        ..Client::plain(ClientId::parse("grafana").unwrap(), "Grafana".to_owned())
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
