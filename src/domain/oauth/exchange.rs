//! The token exchange's parameters, read without tolerance.
//! In: the decoded form, and what two headers bring. Out: `ExchangeForm`, or the first fault with its code.
//! Implements RFC 8693 §2.1, RFC 6749 §3.2 (a parameter occurs once), RFC 8707 §2, RFC 9278 (a key as collector).
//! Never looks inside the job token.

use std::fmt;

use crate::domain::ids::{Audience, Digest, Kid};
use crate::domain::rules::Refusal;

use super::error_code::ErrorCode;
use super::form::Form;

/// Most audiences of a call.
pub const MAX_AUDIENCES: usize = 8;
/// Longest job token, in bytes.
pub const MAX_JOB_TOKEN: usize = 32 * 1024;
/// Shortest collector, in characters.
pub const MIN_COLLECTOR: usize = 32;
/// Longest collector, in characters.
pub const MAX_COLLECTOR: usize = 128;

/// RFC 8693 §2.1 `grant_type`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3 token type of an ID token.
pub const TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// RFC 8693 §3 token type of a JWT.
pub const TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A token that nobody may read in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectToken(String);

impl SubjectToken {
    /// Takes a token.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself, for verifying it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectToken(redacted)")
    }
}

/// What only the first caller knows, so that only he can have a lost answer again.
#[derive(Clone, PartialEq, Eq)]
pub struct Collector(String);

impl Collector {
    /// Checks an `Idempotency-Key`.
    ///
    /// # Errors
    /// `collector_malformed`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let fits = (MIN_COLLECTOR..=MAX_COLLECTOR).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(refuse(
                ErrorCode::CollectorMalformed,
                format!(
                    "the `Idempotency-Key` is not {MIN_COLLECTOR} to {MAX_COLLECTOR} characters of `A-Z a-z 0-9 _ -`"
                ),
            ))
        }
    }

    /// Its SHA-256, the only form that is kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// The collector that a proven key is: SHA-256 of its thumbprint's URI (RFC 9278), the only form that is kept. A URI has
/// colons, so that no `Idempotency-Key` has the same digest.
#[must_use]
pub fn key_collector(jkt: &Kid) -> Digest {
    Digest::of(format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{jkt}").as_bytes())
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector(redacted)")
    }
}

/// A well-formed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeForm {
    /// The job token, unverified.
    pub subject_token: SubjectToken,
    /// What is asked for, in order, each once.
    pub audiences: Vec<Audience>,
    /// The form that the issued token is called by in the answer (the bytes are the same).
    pub issued_token_type: &'static str,
    /// The collector, where an `Idempotency-Key` was brought; a proof of possession is judged beside the form.
    pub collector: Option<Collector>,
}

/// What stands in headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExchangeHeaders<'a> {
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// Whether a `DPoP` header is there.
    pub has_dpop: bool,
}

fn refuse(code: ErrorCode, description: impl Into<String>) -> Refusal {
    Refusal::new(code, description)
}

/// Reads a form: the checks run in the order in which they stand here.
///
/// # Errors
/// The first fault, with its code.
pub fn parse(body: &[u8], headers: ExchangeHeaders<'_>) -> Result<ExchangeForm, Refusal> {
    checked(&Form::read(body)?, headers)
}

/// The same for a form that was taken apart before.
///
/// # Errors
/// The first fault, with its code.
pub fn checked(form: &Form, headers: ExchangeHeaders<'_>) -> Result<ExchangeForm, Refusal> {
    form.grant_type()?;
    form.no_actor()?;
    form.no_scope()?;
    let subject_token = form.subject_token()?;
    let issued_token_type = form.issued_token_type()?;
    let audiences = form.audiences()?;
    let collector = headers.idempotency_key.map(Collector::parse).transpose()?;
    // Which of the two would count, a caller and a reader of the log could take differently.
    if headers.has_dpop && collector.is_some() {
        let text = "the call brings a `DPoP` proof and an `Idempotency-Key`, and one alone collects";
        return Err(
            refuse(ErrorCode::CollectorMalformed, text).with_hint("send one of the two, and at every call of the job")
        );
    }
    Ok(ExchangeForm { subject_token, audiences, issued_token_type, collector })
}

impl Form {
    fn grant_type(&self) -> Result<(), Refusal> {
        match self.require("grant_type")? {
            GRANT_TYPE => Ok(()),
            _ => Err(refuse(ErrorCode::GrantUnsupported, "`grant_type` is none that this server has")),
        }
    }

    fn no_actor(&self) -> Result<(), Refusal> {
        if self.once.contains_key("actor_token") || self.once.contains_key("actor_token_type") {
            return Err(refuse(ErrorCode::ActorUnsupported, "`actor_token` is not supported yet"));
        }
        Ok(())
    }

    fn no_scope(&self) -> Result<(), Refusal> {
        match self.get("scope") {
            None => Ok(()),
            Some(_) => Err(refuse(ErrorCode::ScopeNotAllowed, "no rule grants a `scope`")),
        }
    }

    fn subject_token(&self) -> Result<SubjectToken, Refusal> {
        let token = self.require("subject_token")?;
        match self.require("subject_token_type")? {
            TYPE_ID_TOKEN | TYPE_JWT => {}
            _ => {
                let text = format!("`subject_token_type` is neither `{TYPE_ID_TOKEN}` nor `{TYPE_JWT}`");
                return Err(refuse(ErrorCode::ParameterInvalid, text));
            }
        }
        bounded("subject_token", token)
    }

    fn issued_token_type(&self) -> Result<&'static str, Refusal> {
        match self.get("requested_token_type") {
            None | Some(TYPE_JWT) => Ok(TYPE_JWT),
            Some(TYPE_ID_TOKEN) => Ok(TYPE_ID_TOKEN),
            Some(_) => {
                let text = format!("`requested_token_type` is neither `{TYPE_JWT}` nor `{TYPE_ID_TOKEN}`");
                Err(refuse(ErrorCode::ParameterInvalid, text))
            }
        }
    }

    fn audiences(&self) -> Result<Vec<Audience>, Refusal> {
        let mut list: Vec<Audience> = Vec::new();
        for (_, text) in self.audiences.iter().filter(|(_, text)| !text.is_empty()) {
            let audience =
                Audience::parse(text).map_err(|error| refuse(ErrorCode::AudienceNotAllowed, error.to_string()))?;
            if !list.contains(&audience) {
                list.push(audience);
            }
        }
        if list.is_empty() {
            return Err(refuse(ErrorCode::ParameterMissing, "the parameter `audience` is missing"));
        }
        if list.len() > MAX_AUDIENCES {
            let text = format!("more than {MAX_AUDIENCES} audiences in one call");
            return Err(refuse(ErrorCode::ParameterInvalid, text));
        }
        Ok(list)
    }
}

/// A job token of a size that is read at all.
pub(super) fn bounded(name: &str, token: &str) -> Result<SubjectToken, Refusal> {
    if token.len() > MAX_JOB_TOKEN {
        let text = format!("`{name}` is longer than {MAX_JOB_TOKEN} bytes");
        return Err(refuse(ErrorCode::ParameterInvalid, text));
    }
    Ok(SubjectToken::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(extra: &str) -> String {
        format!("grant_type={GRANT_TYPE}&subject_token_type={TYPE_ID_TOKEN}&subject_token=a.b.c&audience=aws{extra}")
    }

    fn code(body: &str) -> ErrorCode {
        parse(body.as_bytes(), ExchangeHeaders::default()).unwrap_err().code
    }

    #[test]
    fn a_well_formed_call_reads() {
        let body = form("&audience=gcp&resource=aws&unknown=1");
        let read = parse(body.as_bytes(), ExchangeHeaders::default()).unwrap();
        assert_eq!(read.audiences.iter().map(Audience::as_str).collect::<Vec<_>>(), ["aws", "gcp"]);
        assert_eq!(read.issued_token_type, TYPE_JWT);
        assert!(!format!("{read:?}").contains("a.b.c"));
    }

    #[test]
    fn attack_046_parameter_games_end_at_the_form() {
        for name in ["grant_type", "subject_token", "subject_token_type", "requested_token_type", "x"] {
            assert_eq!(code(&form(&format!("&{name}=1&{name}=1"))), ErrorCode::ParameterRepeated, "{name}");
        }
        assert_eq!(code("grant_type=TOKEN"), ErrorCode::GrantUnsupported);
        assert_eq!(code(&GRANT_TYPE.to_uppercase().replace("URN", "grant_type=urn")), ErrorCode::GrantUnsupported);
        assert_eq!(code("audience=x"), ErrorCode::ParameterMissing);
        assert_eq!(code(&form(&"&a=1".repeat(10_000))), ErrorCode::ParameterRepeated);
        let parameters = |count| (0..count).map(|n| format!("&p{n}=1")).collect::<Vec<_>>().concat();
        assert_eq!(code(&form(&parameters(10_000))), ErrorCode::ParameterInvalid);
        assert!(parse(form(&parameters(50)).as_bytes(), ExchangeHeaders::default()).is_ok());
        let array = form("").replace("audience=", "audience[]=");
        assert_eq!(code(&array), ErrorCode::ParameterMissing);
    }

    #[test]
    fn attack_041_wider_types_and_scopes_are_refused_by_name() {
        for wanted in ["refresh_token", "saml2", "access_token"] {
            let body = form(&format!("&requested_token_type=urn:ietf:params:oauth:token-type:{wanted}"));
            assert_eq!(code(&body), ErrorCode::ParameterInvalid, "{wanted}");
        }
        assert_eq!(code(&form("&scope=admin")), ErrorCode::ScopeNotAllowed);
        assert_eq!(code(&form("&actor_token=x")), ErrorCode::ActorUnsupported);
        assert_eq!(code(&form("&actor_token_type=x")), ErrorCode::ActorUnsupported);
        let nine = (0..9).map(|n| format!("&audience=a{n}")).collect::<Vec<_>>().concat();
        assert_eq!(code(&form(&nine)), ErrorCode::ParameterInvalid);
        assert_eq!(code(&form("&audience=two%20words")), ErrorCode::AudienceNotAllowed);
    }

    #[test]
    fn a_collector_has_32_to_128_safe_characters() {
        for (text, fits) in [
            ("a".repeat(31), false),
            ("a".repeat(32), true),
            ("a".repeat(128), true),
            ("a".repeat(129), false),
            (format!("{}é", "a".repeat(32)), false),
            (format!("{} ", "a".repeat(32)), false),
        ] {
            let headers = ExchangeHeaders { idempotency_key: Some(&text), has_dpop: false };
            assert_eq!(parse(form("").as_bytes(), headers).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn attack_020_one_thing_collects() {
        let key = "a".repeat(43);
        let both = ExchangeHeaders { idempotency_key: Some(&key), has_dpop: true };
        let refusal = parse(form("").as_bytes(), both).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::CollectorMalformed);
        assert!(refusal.hint.unwrap().contains("one of the two"));
        let proof = ExchangeHeaders { idempotency_key: None, has_dpop: true };
        assert_eq!(parse(form("").as_bytes(), proof).unwrap().collector, None);
    }

    #[test]
    fn attack_020_no_idempotency_key_is_the_collector_that_a_key_is() {
        let jkt = Kid::parse(&"A".repeat(43)).unwrap();
        let same_letters = Collector::parse(jkt.as_str()).unwrap();
        assert_ne!(key_collector(&jkt), same_letters.digest());
        let uri = format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{jkt}");
        assert_eq!(key_collector(&jkt), Digest::of(uri.as_bytes()));
        assert!(Collector::parse(&uri).is_err(), "what is hashed is no key that a caller may send");
    }
}
