//! `GET` and `POST /userinfo`: who an access token is about.
//! In: an access token in the `Authorization` header, with a proof where it is bound. Out: claims as JSON.
//! Implements OpenID Connect Core 1.0 §5.3, RFC 6750 §2.1, §3, RFC 9449 §7.
//! Never takes a token from the URL or the body.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::app::AppError;
use crate::domain::oauth::error_code::{ErrorCode, OAuthCode};

use super::cors;
use super::edge::{Edge, Shared, json_answer};
use super::proof::{proven, put_nonce};

/// Longest `Authorization` header that is looked at, in bytes.
const MAX_HEADER: usize = 16 * 1024;

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// Answers.
pub async fn get(request: HttpRequest, edge: Shared) -> HttpResponse {
    answer(&request, &edge)
}

/// The same; what the body says does not matter.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    match edge.body(&request, payload).await {
        Ok(_) => answer(&request, &edge),
        Err(answer) => answer,
    }
}

fn answer(request: &HttpRequest, edge: &Edge) -> HttpResponse {
    if let Some(answer) = edge.refuse_refused(request) {
        return answer;
    }
    let mut answer = match presented(request) {
        Some((scheme, token)) => match claims(request, edge, scheme, token) {
            Ok(claims) => json_answer(&claims),
            Err(error) => {
                if matches!(error, AppError::Refused { .. }) {
                    edge.count_refused(request);
                }
                refusal(edge, scheme, error)
            }
        },
        None => unauthorized(),
    };
    cors::allow_everybody(&mut answer);
    answer
}

/// RFC 6750 §3.1: whoever brings nothing learns what to bring, and no error.
fn unauthorized() -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .append_header((header::WWW_AUTHENTICATE, "Bearer realm=\"countersign\""))
        .append_header((header::WWW_AUTHENTICATE, "DPoP realm=\"countersign\""))
        .finish()
}

/// The token that a call brings, and how.
fn presented(request: &HttpRequest) -> Option<(Scheme, &str)> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let (Some(value), None) = (headers.next(), headers.next()) else { return None };
    let (scheme, token) = value.to_str().ok().filter(|value| value.len() <= MAX_HEADER)?.split_once(' ')?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        _ if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return None,
    };
    Some((scheme, token.trim()))
}

fn claims(request: &HttpRequest, edge: &Edge, scheme: Scheme, token: &str) -> Result<Value, AppError> {
    let proven = match scheme {
        Scheme::Bearer => None,
        Scheme::Dpop => {
            let proven = proven(request, edge, Some(token), false)?;
            let text = "the token is presented as bound to a key, and no proof of one comes with it";
            let proven = proven.ok_or_else(|| AppError::refused(ErrorCode::DpopProofInvalid, text))?;
            Some(proven)
        }
    };
    Ok(Value::Object(edge.app.userinfo(token, proven.as_ref())?))
}

/// A resource server's refusal: 401, or 403 for a scope, with the challenge of the scheme that was used.
fn refusal(edge: &Edge, scheme: Scheme, error: AppError) -> HttpResponse {
    let code = error.code().oauth();
    let mut answer = edge.fail(error);
    let challenge = match (scheme, code) {
        (Scheme::Dpop, OAuthCode::InvalidDpopProof | OAuthCode::UseDpopNonce) => {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            put_nonce(&mut answer, edge);
            format!("DPoP error=\"{}\", algs=\"ES256 RS256 PS256 EdDSA\"", code.as_str())
        }
        (Scheme::Dpop, OAuthCode::InvalidToken) => format!("DPoP error=\"{}\"", code.as_str()),
        (Scheme::Bearer, OAuthCode::InvalidToken) => format!("Bearer error=\"{}\"", code.as_str()),
        (_, OAuthCode::InsufficientScope) => format!("Bearer error=\"{}\", scope=\"openid\"", code.as_str()),
        _ => return answer,
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}
