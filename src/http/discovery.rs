//! `/.well-known/openid-configuration` and `/jwks`: what the clouds read.
//! In: nothing. Out: metadata and public keys as the narrowest consumer takes them.
//! Implements OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 8628 §4, RFC 7517 §5.
//! Never names an endpoint that does not exist.

use std::collections::BTreeSet;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::domain::oauth::authorize::Prompt;
use crate::domain::oauth::client::{GrantType, ResponseMode};
use crate::domain::oauth::client_auth::CLIENT_ALGS;
use crate::domain::oauth::exchange::GRANT_TYPE;
use crate::domain::oauth::scope::{EMAIL, GROUPS, OFFLINE_ACCESS, OPENID, PROFILE};
use crate::domain::oauth::tokens::CLAIMS;

use super::edge::Shared;

/// How long clouds may keep the keys: shorter than the time for which a new key is published before it signs.
const KEYS_MAX_AGE: &str = "public, max-age=3600";

/// How clients say who they are.
const AUTH_METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
/// Where they must prove it.
const CONFIDENTIAL_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// What clients may ask to be told of people, and for how long.
const SCOPES: [&str; 5] = [OPENID, PROFILE, EMAIL, GROUPS, OFFLINE_ACCESS];
/// Claims that only tokens of jobs carry.
const OF_JOBS: &[&str] = &["nbf", "presence", "approver", "approval"];

/// The metadata, the same for OpenID Connect and for OAuth.
pub async fn configuration(edge: Shared) -> HttpResponse {
    let url = &edge.app.settings.url;
    let for_devices = edge.app.clients.have(GrantType::DeviceCode);
    let usual = GrantType::ALL.into_iter().filter(|grant| edge.app.clients.have(*grant));
    let grants: Vec<_> = std::iter::once(GRANT_TYPE).chain(usual.map(GrantType::as_str)).collect();
    let claims: BTreeSet<_> = CLAIMS.iter().chain(OF_JOBS).collect();
    let mut metadata = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "introspection_endpoint": format!("{url}/introspect"),
        "revocation_endpoint": format!("{url}/revoke"),
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": CLIENT_ALGS,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL_METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": CLIENT_ALGS,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": CLIENT_ALGS,
        "dpop_signing_alg_values_supported": CLIENT_ALGS,
        "authorization_endpoint": format!("{url}/authorize"),
        "pushed_authorization_request_endpoint": format!("{url}/par"),
        "end_session_endpoint": format!("{url}/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "response_types_supported": ["code"],
        "response_modes_supported": ResponseMode::ALL.map(ResponseMode::as_str),
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": Prompt::ALL.map(Prompt::as_str),
        "acr_values_supported": ["phr", "phrh"],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "scopes_supported": SCOPES,
        "claims_supported": claims,
    });
    if for_devices && let Some(members) = metadata.as_object_mut() {
        members.insert("device_authorization_endpoint".to_owned(), json!(format!("{url}/device_authorization")));
    }
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, KEYS_MAX_AGE))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(metadata)
}

/// The public keys.
pub async fn jwks(request: HttpRequest, edge: Shared) -> HttpResponse {
    if request.method() == Method::GET {
        edge.app.note_key_fetch(edge.address(&request));
    }
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, KEYS_MAX_AGE))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(edge.app.jwks())
}
