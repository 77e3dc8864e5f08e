//! The checks of a job token itself: its kind, issuer, audience and times.
//! In: header and claims of a verified token. Out: which job token it is and its times, or the first refusal.
//! Implements RFC 7519 §4.1 and RFC 8725 §3.8, §3.9, §3.11.
//! Never compares but byte for byte; never tolerates more than `LEEWAY`.

use serde_json::{Map, Value};

use super::gitlab::{IssuerTerms, check_text};
use super::{JobTokenKind, legacy};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;
use crate::domain::rules::explain::shown;
use crate::domain::time::{LEEWAY, Timestamp};

type Claims = Map<String, Value>;

/// `iat` and `exp`.
pub(super) struct Times {
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// Tokens of other kinds that the same issuer signs with the same keys.
pub(super) fn check_kind_of_token(header: &Claims, claims: &Claims) -> Result<(), Refusal> {
    let typ = header.get("typ");
    if typ.is_some_and(|typ| typ.as_str() != Some("JWT")) {
        let what = "the token's header has another `typ` than JWT";
        return Err(Refusal::new(ErrorCode::NotAJobToken, what));
    }
    if claims.contains_key("events") {
        return Err(Refusal::new(ErrorCode::NotAJobToken, "the token is a logout token or another security event"));
    }
    Ok(())
}

/// Exactly the issuer, and exactly us as the only audience; or a predecessor that is admitted.
pub(super) fn check_issuer_and_audience(claims: &Claims, terms: &IssuerTerms) -> Result<JobTokenKind, Refusal> {
    let audience = audience(claims)?;
    if let Some(kind) = legacy::kind(claims, audience, terms) {
        return Ok(kind);
    }
    if claims.get("iss").and_then(Value::as_str) != Some(terms.url.as_str()) {
        let what = format!("the token's `iss` is not exactly `{}`", terms.url);
        return Err(Refusal::new(ErrorCode::UnknownIssuer, what));
    }
    match audience {
        None => Err(Refusal::new(ErrorCode::AudMissing, "the token has no `aud`").with_hint(aud_cure(terms))),
        Some(aud) if aud == terms.our_url => Ok(JobTokenKind::IdToken),
        Some(aud) => {
            let what = format!("the token's `aud` is {}, not exactly `{}`", shown(aud), terms.our_url);
            Err(Refusal::new(ErrorCode::AudWrong, what).with_hint(aud_cure(terms)))
        }
    }
}

fn aud_cure(terms: &IssuerTerms) -> String {
    format!("set `aud: {}` in the job's `id_tokens:` entry", terms.our_url)
}

/// The one audience, as a string or a list of one.
fn audience(claims: &Claims) -> Result<Option<&str>, Refusal> {
    let wrong = || Refusal::new(ErrorCode::AudWrong, "the token's `aud` is neither a text nor a list of one text");
    match claims.get("aud") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(aud)) => Ok(Some(aud)),
        Some(Value::Array(items)) => match items.as_slice() {
            [Value::String(aud)] => Ok(Some(aud)),
            [_, _, ..] => {
                let what = format!("the token is meant for {} audiences; it must be meant for us alone", items.len());
                Err(Refusal::new(ErrorCode::AudNotExclusive, what))
            }
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

const NOT_YET: &str = "the job token is not valid yet";

/// `exp`, `nbf` and `iat`, with one leeway; relies on INVARIANT(leeway).
pub(super) fn check_times(claims: &Claims, now: Timestamp) -> Result<Times, Refusal> {
    let issued_at = required_date(claims, "iat")?;
    let expires_at = required_date(claims, "exp")?;
    let not_before = date(claims, "nbf")?;
    let tolerated = LEEWAY.as_secs();
    if now >= expires_at + LEEWAY {
        let what =
            format!("the job token expired {} s ago; {tolerated} s are tolerated", now.since(expires_at).as_secs());
        return Err(Refusal::new(ErrorCode::TokenExpired, what));
    }
    if issued_at > now + LEEWAY {
        let ahead = issued_at.since(now).as_secs();
        let why = format!("GitLab's clock is {ahead} s ahead of this server's; {tolerated} s are tolerated");
        return Err(Refusal::new(ErrorCode::TokenFromFuture, NOT_YET).because(why));
    }
    if let Some(not_before) = not_before.filter(|start| *start > now + LEEWAY) {
        let ahead = not_before.since(now).as_secs();
        let why = format!("its `nbf` is {ahead} s ahead of this server's clock; {tolerated} s are tolerated");
        return Err(Refusal::new(ErrorCode::TokenFromFuture, NOT_YET).because(why));
    }
    Ok(Times { issued_at, expires_at })
}

fn required_date(claims: &Claims, name: &str) -> Result<Timestamp, Refusal> {
    date(claims, name)?.ok_or_else(|| Refusal::new(ErrorCode::NotAJobToken, format!("the token has no `{name}`")))
}

/// A NumericDate (RFC 7519 §2): a number of seconds, whole or not.
fn date(claims: &Claims, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let bad = || Refusal::new(ErrorCode::BadClaimType, format!("the claim `{name}` is not a time in seconds"));
    if let Some(seconds) = value.as_i64() {
        let read = Timestamp::from_seconds(seconds);
        return if read.seconds() == seconds { Ok(Some(read)) } else { Err(bad()) };
    }
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e11).ok_or_else(bad)?;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked in the line above")]
    let millis = (seconds * 1000.0).floor() as i64;
    Ok(Some(Timestamp::from_millis(millis)))
}

/// `jti`: what a spent token is remembered by.
pub(super) fn jti(claims: &Claims) -> Result<String, Refusal> {
    let Some(Value::String(jti)) = claims.get("jti") else {
        return Err(Refusal::new(ErrorCode::BadClaimType, "the claim `jti` is not text"));
    };
    check_text("jti", jti)?;
    Ok(jti.clone())
}
