//! The session's cookie, who it says is signed in, and where a page may send people afterwards.
//! In: a request. Out: the session's digest, its person, or the way to the sign-in page.
//! Implements RFC 6265bis (`__Host-`, Secure, HttpOnly, SameSite), DESIGN §10, ATTACKS 72, 75.
//! Never lets anybody be sent to another site.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use url::Url;

use crate::app::AppError;
use crate::app::use_session::{SignedIn, not_signed_in, session_digest};
use crate::domain::ids::Digest;
use crate::domain::session::SessionLimits;

use super::bodies::PasskeyBody;
use super::edge::Edge;

/// The cookie.
pub const COOKIE: &str = "__Host-countersign";
/// Longest path that people are sent to after they signed in, in bytes.
pub const MAX_NEXT: usize = 512;

/// The digest of the cookie's secret, where there is a cookie.
pub fn digest(request: &HttpRequest) -> Option<Digest> {
    request.cookie(COOKIE).map(|cookie| session_digest(cookie.value()))
}

/// Who is signed in. A session that is found to be over is noted as such.
///
/// # Errors
/// The store cannot be read, or the clock cannot be trusted.
pub async fn who(edge: &Edge, request: &HttpRequest) -> Result<Option<SignedIn>, AppError> {
    let Some(cookie) = request.cookie(COOKIE) else { return Ok(None) };
    let signed_in = edge.app.signed_in(cookie.value())?;
    if signed_in.is_none()
        && let Err(error) = edge.app.note_end(cookie.value()).await
    {
        tracing::warn!(%error, "the end of a session was not noted");
    }
    Ok(signed_in)
}

/// Refuses a call whose sender is not signed in before anything of it reaches the writer; it counts for its address.
///
/// # Errors
/// The answer.
pub async fn needed(edge: &Edge, request: &HttpRequest) -> Result<(), HttpResponse> {
    if let Some(answer) = edge.refuse_refused(request) {
        return Err(answer);
    }
    match who(edge, request).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            edge.count_refused(request);
            Err(edge.fail_script(not_signed_in()))
        }
        Err(error) => Err(edge.fail_script(error)),
    }
}

/// The body of a call from a page of ours, and the session of whoever is signed in.
///
/// # Errors
/// The answer.
pub async fn call<T: DeserializeOwned>(
    edge: &Edge,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(T, Option<Digest>), HttpResponse> {
    let body = edge.json_from_our_page(request, payload).await?;
    with_session(edge, request, body).await
}

/// What a call brought, and the session of whoever is signed in.
async fn with_session<T>(edge: &Edge, request: &HttpRequest, body: T) -> Result<(T, Option<Digest>), HttpResponse> {
    needed(edge, request).await?;
    Ok((body, digest(request)))
}

/// The same for a call that starts a ceremony, which counts for its address.
///
/// # Errors
/// The answer.
pub async fn start<T: DeserializeOwned>(
    edge: &Edge,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(T, Option<Digest>), HttpResponse> {
    let body = edge.start_from_our_page(request, payload).await?;
    with_session(edge, request, body).await
}

/// The same for a browser's answer to a ceremony, from an address that did not bring too many wrong ones.
///
/// # Errors
/// The answer.
pub async fn passkey_answer(
    edge: &Edge,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(PasskeyBody, Option<Digest>), HttpResponse> {
    let body = edge.passkey_from_our_page(request, payload).await?;
    with_session(edge, request, body).await
}

/// Who opens a page; the use is noted.
///
/// # Errors
/// The answer: the way to the sign-in page, or the page of a failure.
pub async fn visitor(edge: &Edge, request: &HttpRequest) -> Result<SignedIn, HttpResponse> {
    let signed_in = match who(edge, request).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return Err(to_sign_in(request)),
        Err(error) => return Err(edge.fail_page(error)),
    };
    if let Err(error) = edge.app.note_use(&signed_in).await {
        // Whoever only looks is not kept from it; the session ends the sooner.
        tracing::warn!(%error, "the use of a session was not noted");
    }
    Ok(signed_in)
}

fn to_sign_in(request: &HttpRequest) -> HttpResponse {
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let next = local_path(here).filter(|path| path != "/");
    let query = |path: String| url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &path).finish();
    see(&next.map_or_else(|| "/sign-in".to_owned(), |path| format!("/sign-in?{}", query(path))))
}

/// 303 to a path of ours.
pub fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, path))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// A path of ours, where the text is one: it begins with one slash and stays at our own origin.
pub fn local_path(text: &str) -> Option<String> {
    let plain = text.len() <= MAX_NEXT && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain || !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    let base = Url::parse("https://here.invalid").ok()?;
    let joined = base.join(text).ok()?;
    let query = joined.query().map(|query| format!("?{query}")).unwrap_or_default();
    // What dots and escapes lead to is read again: it must not begin with two slashes either.
    let path = format!("{}{query}", joined.path());
    (joined.origin() == base.origin() && !path.starts_with("//")).then_some(path)
}

/// The cookie of a session that began.
pub fn cookie(secret: &str, limits: SessionLimits) -> Cookie<'static> {
    let seconds = i64::try_from(limits.absolute.as_secs()).unwrap_or(0);
    build(secret.to_owned(), actix_web::cookie::time::Duration::seconds(seconds))
}

/// Takes the cookie back.
pub fn no_cookie() -> Cookie<'static> {
    build(String::new(), actix_web::cookie::time::Duration::ZERO)
}

fn build(value: String, age: actix_web::cookie::time::Duration) -> Cookie<'static> {
    Cookie::build(COOKIE, value).path("/").secure(true).http_only(true).same_site(SameSite::Lax).max_age(age).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_075_only_a_path_of_ours_comes_next() {
        for (given, path) in
            [("/", "/"), ("/me/passkeys", "/me/passkeys"), ("/a/x?y=1&z", "/a/x?y=1&z"), ("/a/../b", "/b")]
        {
            assert_eq!(local_path(given).as_deref(), Some(path), "{given}");
        }
        for wrong in [
            "//evil.example",
            "/\\evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "/%2e/%2e//evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "",
            "/a\n/b",
            "/\t/evil.example",
            "/\u{202e}",
        ] {
            assert_eq!(local_path(wrong), None, "{wrong:?}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(MAX_NEXT))), None);
    }

    #[test]
    fn attack_072_the_cookie_is_for_this_host_and_no_script() {
        let written = cookie("s3cret", SessionLimits::default()).to_string();
        for part in ["__Host-countersign=s3cret", "Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=43200"] {
            assert!(written.contains(part), "{written}");
        }
        assert!(!written.contains("Domain"));
        assert!(no_cookie().to_string().contains("Max-Age=0"));
    }
}
