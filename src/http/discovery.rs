//! `/.well-known/openid-configuration` and `/jwks`: what the clouds read.
//! In: nothing. Out: metadata and public keys as the narrowest consumer takes them.
//! Implements OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 7517 §5.
//! Never names an endpoint that does not exist.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::domain::oauth::exchange::GRANT_TYPE;

use super::edge::Shared;

/// How long clouds may keep the keys: shorter than the time for which a new key is published before it signs.
const KEYS_MAX_AGE: &str = "public, max-age=3600";

/// The metadata.
pub async fn configuration(edge: Shared) -> HttpResponse {
    let url = &edge.app.settings.url;
    let metadata = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "token_endpoint": format!("{url}/token"),
        "grant_types_supported": [GRANT_TYPE],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_endpoint": format!("{url}/authorize"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "acr_values_supported": ["phr", "phrh"],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "scopes_supported": ["openid"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "presence", "acr", "amr", "amr_missing", "auth_time",
            "approver", "approval", "log"
        ],
    });
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
