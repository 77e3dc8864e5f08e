//! Job tokens: compact JWS, unverified first, verified once.
//! In: the token as it was sent; the key set of its issuer. Out: `Verified<RawClaims>`, or the reason against it.
//! Implements RFC 7515 (compact serialisation), RFC 7519 §7.2, RFC 8725 §3.
//! Never chooses a key or an algorithm by anything in the token but `kid` and an exact match of `alg`.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::jwk::{KeySet, shown};
use crate::domain::canonical::{CanonicalError, strict_value};
use crate::domain::ids::Digest;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::verified::{RawClaims, Verified};

/// Longest token, in bytes. A true one with 200 groups has 12 kB.
pub const MAX_TOKEN: usize = 32 * 1024;

/// What people send by mistake, by the prefixes that its makers give it.
const OTHER_CREDENTIALS: &[(&str, &str)] = &[
    ("glcbt-", "GitLab's `CI_JOB_TOKEN`"),
    ("glpat-", "a personal access token of GitLab"),
    ("gldt-", "a deploy token of GitLab"),
    ("ghp_", "a personal access token of GitHub"),
    ("ghs_", "a `GITHUB_TOKEN`"),
    ("github_pat_", "a personal access token of GitHub"),
];

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of strict base64url with JSON objects in the first two.
    #[error("the token is not a compact JWS: {0}")]
    NotCompactJws(String),
    /// A credential of another kind, known by its prefix.
    #[error("this is {0}, not the ID token of a job")]
    OtherCredential(&'static str),
    /// A member occurs twice.
    #[error("the token's {place} has the member `{member}` twice")]
    DuplicateMember {
        /// `header` or `payload`.
        place: &'static str,
        /// Which member.
        member: String,
    },
    /// An algorithm that the issuer's keys are not for.
    #[error("the token's `alg` is `{0}`, which this issuer does not sign with")]
    AlgNotAllowed(String),
    /// Extensions that must be understood.
    #[error("the token's header has `crit`")]
    CritNotAllowed,
    /// No key id, or not a string.
    #[error("the token's header has no `kid`")]
    NoKeyId,
    /// A key id that the issuer does not publish.
    #[error("the issuer publishes no key with the id `{0}`")]
    UnknownKey(String),
    /// A signature that is not the key's.
    #[error("the token's signature does not fit its issuer's key")]
    SignatureInvalid,
}

impl TokenError {
    /// The stable code of the refusal.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotCompactJws(_) => ErrorCode::NotCompactJws,
            Self::OtherCredential(_) => ErrorCode::NotAJobToken,
            Self::DuplicateMember { .. } => ErrorCode::DuplicateMember,
            Self::AlgNotAllowed(_) => ErrorCode::AlgNotAllowed,
            Self::CritNotAllowed => ErrorCode::CritNotAllowed,
            Self::NoKeyId | Self::UnknownKey(_) => ErrorCode::UnknownKey,
            Self::SignatureInvalid => ErrorCode::SignatureInvalid,
        }
    }
}

/// A token before its signature is checked: it tells who claims to have made it, and nothing else.
pub struct UnverifiedToken {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signing_input: String,
    signature: Vec<u8>,
}

impl std::fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a credential: its digest is all that diagnostics may show.
        write!(f, "UnverifiedToken({:.16})", Digest::of(self.signing_input.as_bytes()).to_string())
    }
}

impl UnverifiedToken {
    /// Takes a token apart. One token has one spelling.
    ///
    /// # Errors
    /// `OtherCredential`, `NotCompactJws`, `DuplicateMember` or `CritNotAllowed`.
    pub fn parse(token: &str) -> Result<Self, TokenError> {
        if let Some((_, kind)) = OTHER_CREDENTIALS.iter().find(|(prefix, _)| token.starts_with(prefix)) {
            return Err(TokenError::OtherCredential(kind));
        }
        let parts = Parts::split(token)?;
        let header = object(&parts.header, "header")?;
        if header.contains_key("crit") {
            return Err(TokenError::CritNotAllowed);
        }
        check_header(&header)?;
        let claims = object(&parts.payload, "payload")?;
        Ok(Self { header, claims, signing_input: parts.signing_input.to_owned(), signature: parts.signature })
    }

    /// Who claims to have issued the token.
    #[must_use]
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The payload, for telling whoever sent a token of another kind so; nothing may be granted by it.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The key that claims to have signed the token.
    #[must_use]
    pub fn unverified_kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The algorithm that the header states.
    #[must_use]
    pub fn alg(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    /// Checks the signature against the issuer's own keys.
    ///
    /// # Errors
    /// `AlgNotAllowed`, `NoKeyId`, `UnknownKey` or `SignatureInvalid`.
    pub fn verify(self, keys: &KeySet) -> Result<Verified<RawClaims>, TokenError> {
        self.verify_by(|alg, kid, input, signature| keys.check(alg, kid, input, signature))
    }

    /// The key that a proof of possession brings along (RFC 9449 §4.2); nothing else may be verified by it.
    pub(super) fn header_jwk(&self) -> Option<&Value> {
        self.header.get("jwk")
    }

    /// Checks the signature by whoever knows the key, given `alg`, `kid`, what was signed and the signature.
    pub(super) fn verify_by(
        self,
        check: impl FnOnce(&str, Option<&str>, &[u8], &[u8]) -> Result<(), TokenError>,
    ) -> Result<Verified<RawClaims>, TokenError> {
        let alg = self.alg().ok_or_else(|| TokenError::AlgNotAllowed(String::new()))?;
        check(alg, self.unverified_kid(), self.signing_input.as_bytes(), &self.signature)?;
        Ok(Verified::after_checking_the_signature(RawClaims {
            token_sha256: Digest::of(self.signing_input.as_bytes()),
            claims: self.claims,
            header: self.header,
        }))
    }
}

/// The three parts, decoded, before anybody looks into them.
pub(super) struct Parts<'a> {
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) signing_input: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(not_compact(format!("it is longer than {MAX_TOKEN} bytes")));
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or_else(|| not_compact("it has no dots"))?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(|| not_compact("it has one dot"))?;
        if payload.contains('.') {
            return Err(not_compact("it has more than three parts"));
        }
        if header.is_empty() || payload.is_empty() {
            return Err(not_compact("a part is empty"));
        }
        // An empty signature is no signature; `verify` refuses it by its `alg`.
        Ok(Self {
            header: decode(header, "header")?,
            payload: decode(payload, "payload")?,
            signature: decode(signature, "signature")?,
            signing_input,
        })
    }
}

fn check_header(header: &Map<String, Value>) -> Result<(), TokenError> {
    for name in ["zip", "enc"] {
        if header.contains_key(name) {
            return Err(not_compact(format!("its header has `{name}`")));
        }
    }
    let nested = header.get("cty").is_some_and(|cty| {
        !cty.as_str()
            .is_some_and(|cty| !cty.eq_ignore_ascii_case("JWT") && !cty.eq_ignore_ascii_case("application/jwt"))
    });
    if nested { Err(not_compact("its `cty` says that another token is inside")) } else { Ok(()) }
}

fn decode(part: &str, place: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| not_compact(format!("its {place} is not base64url without padding")))
}

fn object(bytes: &[u8], place: &'static str) -> Result<Map<String, Value>, TokenError> {
    match strict_value(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(not_compact(format!("its {place} is not a JSON object"))),
        Err(CanonicalError::Duplicate(member)) => Err(TokenError::DuplicateMember { place, member: shown(&member) }),
        // The parser's own words may quote the token.
        Err(_) => Err(not_compact(format!("its {place} is not JSON"))),
    }
}

fn not_compact(why: impl Into<String>) -> TokenError {
    TokenError::NotCompactJws(why.into())
}

#[cfg(test)]
mod tests;
