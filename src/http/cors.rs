//! Which foreign pages may read which answers: those of public clients at `/token`, everybody's at `/userinfo`.
//! In: a call's `Origin`. Out: the headers of Fetch's CORS protocol, and the answer to its preflight.
//! Implements Fetch §3.2, ATTACKS 78.
//! Never allows credentials: no answer here depends on a cookie.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use url::Url;

use crate::domain::oauth::client::Client;

use super::edge::Shared;

/// Headers that a page may send.
const HEADERS: &str = "authorization, content-type, dpop";
/// Headers that a page may read.
const EXPOSED: &str = "dpop-nonce, www-authenticate";
/// How long a browser keeps the answer to a preflight, in seconds.
const PREFLIGHT_AGE: &str = "600";

/// Whether an origin is one where a public client has its pages: that of one of its redirect URIs.
pub fn has_pages_at(client: &Client, origin: &str) -> bool {
    client.is_public()
        && client.redirect_uris.iter().any(|uri| {
            Url::parse(uri).is_ok_and(|uri| uri.scheme() == "https" && uri.origin().ascii_serialization() == origin)
        })
}

fn origin(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::ORIGIN).and_then(|value| value.to_str().ok())
}

/// Lets the pages of a public client read an answer.
pub fn allow_client(answer: &mut HttpResponse, request: &HttpRequest, client: &Client) {
    let Some(origin) = origin(request).filter(|origin| has_pages_at(client, origin)) else { return };
    if let Ok(origin) = HeaderValue::from_str(origin) {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// Lets every page read an answer: only an access token brings anything.
pub fn allow_everybody(answer: &mut HttpResponse) {
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

fn preflight(origin: &str, methods: &'static str, allow: &'static str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ALLOW, allow))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE))
        .insert_header((header::VARY, "Origin"))
        .finish()
}

/// `OPTIONS /token`: for the pages of public clients. For everybody else there is no such method.
pub async fn token(request: HttpRequest, edge: Shared) -> HttpResponse {
    let clients = edge.app.clients.all();
    let found = origin(&request).filter(|origin| clients.iter().any(|client| has_pages_at(client, origin)));
    match found {
        Some(origin) => preflight(origin, "POST", "POST"),
        None => HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "POST")).finish(),
    }
}

/// `OPTIONS /userinfo`: for every page.
pub async fn userinfo(request: HttpRequest) -> HttpResponse {
    match origin(&request) {
        Some(_) => preflight("*", "GET, POST", "GET, HEAD, POST"),
        None => HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, HEAD, POST")).finish(),
    }
}
