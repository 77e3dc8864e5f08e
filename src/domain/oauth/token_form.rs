//! What a client trades for tokens, read without tolerance.
//! In: the form of `POST /token`. Out: `Trade`, or the first fault with its code.
//! Implements RFC 6749 §4.1.3, §4.4.2, §6, RFC 7636 §4.5, RFC 8628 §3.4, RFC 8707 §2.2.
//! Never looks at who asks: `client_auth` does.

use std::fmt;

use super::client::GrantType;
use super::device::DeviceCode;
use super::error_code::ErrorCode;
use super::form::Form;
use super::scope::Scopes;
use crate::domain::ids::{Audience, Digest};
use crate::domain::rules::Refusal;

/// Bytes of chance in a code.
pub const CODE_BYTES: usize = 32;
/// What stands before a code.
pub const CODE_PREFIX: &str = "co_";
/// What stands before a refresh token.
pub const REFRESH_PREFIX: &str = "rt_";
/// Bytes of a refresh token that all of its family share.
pub const FAMILY_BYTES: usize = 16;
/// Bytes of a refresh token that it alone has.
pub const TOKEN_BYTES: usize = 32;

/// A code that nobody may read in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeText(String);

impl CodeText {
    /// The code made of random bytes.
    #[must_use]
    pub fn from_random(bits: [u8; CODE_BYTES]) -> Self {
        Self(format!("{CODE_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&bits)))
    }

    /// The code itself, for the client that it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its SHA-256, the only form that is kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeText(redacted)")
    }
}

/// A refresh token that nobody may read in diagnostics: a part that its family shares, and a part of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    family: [u8; FAMILY_BYTES],
    own: [u8; TOKEN_BYTES],
}

impl RefreshToken {
    /// The token made of random bytes.
    #[must_use]
    pub const fn new(family: [u8; FAMILY_BYTES], own: [u8; TOKEN_BYTES]) -> Self {
        Self { family, own }
    }

    /// Another one of the same family.
    #[must_use]
    pub const fn successor(&self, own: [u8; TOKEN_BYTES]) -> Self {
        Self { family: self.family, own }
    }

    /// Reads one; `None` for what is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.strip_prefix(REFRESH_PREFIX)?.as_bytes()).ok()?;
        let (family, own) = bytes.split_at_checked(FAMILY_BYTES)?;
        Some(Self { family: family.try_into().ok()?, own: own.try_into().ok()? })
    }

    /// The token itself, for the client that it is for.
    #[must_use]
    pub fn expose(&self) -> String {
        let bytes = [self.family.as_slice(), self.own.as_slice()].concat();
        format!("{REFRESH_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&bytes))
    }

    /// SHA-256 of the part that its family shares.
    #[must_use]
    pub fn family_digest(&self) -> Digest {
        Digest::of(&self.family)
    }

    /// SHA-256 of the whole of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose().as_bytes())
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(redacted)")
    }
}

/// What a client brings, and what it wants for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// What it brings.
    pub offer: Offer,
    /// The scopes that it wants, where it says so.
    pub scopes: Option<Scopes>,
    /// The resource that the access token is to be for, where it says so.
    pub resource: Option<Audience>,
}

/// What a client brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// A code.
    Code {
        /// The code.
        code: CodeText,
        /// What it was asked with.
        redirect_uri: String,
        /// What its challenge was made of.
        verifier: Verifier,
    },
    /// A refresh token; `None` is text that is none of ours.
    Refresh(Option<RefreshToken>),
    /// The code of a device.
    Device(DeviceCode),
    /// Nothing but who it is.
    Nothing,
}

/// A `code_verifier` that nobody may read in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(String);

impl Verifier {
    /// The verifier itself, for comparing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(redacted)")
    }
}

/// Reads what a client brings for a grant.
///
/// # Errors
/// The first fault, with its code.
pub fn parse(form: &Form, grant: GrantType) -> Result<Trade, Refusal> {
    let offer = match grant {
        GrantType::AuthorizationCode => Offer::Code {
            code: CodeText(form.require("code")?.to_owned()),
            redirect_uri: form.require("redirect_uri")?.to_owned(),
            // RFC 9700 §2.1.1: a code without its verifier is somebody else's; an empty one fits no challenge.
            verifier: Verifier(form.get("code_verifier").unwrap_or_default().to_owned()),
        },
        GrantType::RefreshToken => Offer::Refresh(RefreshToken::parse(form.require("refresh_token")?)),
        GrantType::ClientCredentials => Offer::Nothing,
        GrantType::DeviceCode => Offer::Device(DeviceCode::brought(form.require("device_code")?)),
    };
    // With a code no scope is asked for: what was allowed is known, and some clients repeat what they asked (RFC 6749 §4.1.3,
    // RFC 8628 §3.4).
    let by_code = matches!(grant, GrantType::AuthorizationCode | GrantType::DeviceCode);
    let asked = form.get("scope").filter(|_| !by_code);
    let scopes = asked.map(Scopes::parse).transpose();
    let scopes = scopes.map_err(|error| Refusal::new(ErrorCode::ScopeNotGranted, error.to_string()))?;
    let mut resources = form.resources();
    let resource = match (resources.next(), resources.next()) {
        (None, _) => None,
        (Some(one), None) => {
            let parsed = Audience::parse(one);
            Some(parsed.map_err(|error| Refusal::new(ErrorCode::ResourceNotAllowed, error.to_string()))?)
        }
        (Some(_), Some(_)) => {
            let text = "an access token is for one `resource`";
            return Err(Refusal::new(ErrorCode::ResourceNotAllowed, text).with_hint("ask once for each"));
        }
    };
    Ok(Trade { offer, scopes, resource })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, grant: GrantType) -> Result<Trade, ErrorCode> {
        parse(&Form::read(body.as_bytes()).unwrap(), grant).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_refresh_token_reads_back_and_its_family_with_it() {
        let token = RefreshToken::new([1; FAMILY_BYTES], [2; TOKEN_BYTES]);
        assert_eq!(RefreshToken::parse(&token.expose()), Some(token.clone()));
        let next = token.successor([3; TOKEN_BYTES]);
        assert_eq!(next.family_digest(), token.family_digest());
        assert_ne!(next.digest(), token.digest());
        for text in ["", "rt_", "rt_AAAA", "co_AAAA", &format!("{}A", token.expose()), &token.expose()[3..]] {
            assert_eq!(RefreshToken::parse(text), None, "{text}");
        }
        assert!(!format!("{token:?}").contains(&token.expose()[3..]));
    }

    #[test]
    fn each_grant_wants_its_own() {
        let code =
            "code=co_x&redirect_uri=https%3A%2F%2Fa.example%2Fcb&code_verifier=v&resource=https%3A%2F%2Fapi.example";
        let trade = read(code, GrantType::AuthorizationCode).unwrap();
        assert_eq!(trade.resource.as_ref().map(Audience::as_str), Some("https://api.example"));
        assert!(!format!("{trade:?}").contains("co_x"));
        let repeated = read(&format!("{code}&scope=openid+email"), GrantType::AuthorizationCode).unwrap();
        assert_eq!(repeated, trade, "a scope says nothing beside a code");
        let without = "code=co_x&redirect_uri=https%3A%2F%2Fa.example%2Fcb";
        assert!(read(without, GrantType::AuthorizationCode).is_ok(), "it fits no challenge, and is no other fault");
        assert_eq!(read("code=co_x", GrantType::AuthorizationCode), Err(ErrorCode::ParameterMissing));
        assert_eq!(read("redirect_uri=x", GrantType::AuthorizationCode), Err(ErrorCode::ParameterMissing));
        assert_eq!(read("", GrantType::RefreshToken), Err(ErrorCode::ParameterMissing));
        assert_eq!(read("code=dc_x", GrantType::DeviceCode), Err(ErrorCode::ParameterMissing));
        let device = read("device_code=dc_x&scope=a%22", GrantType::DeviceCode).unwrap();
        assert!(device.scopes.is_none() && !format!("{device:?}").contains("dc_x"));
        let junk = read("refresh_token=x", GrantType::RefreshToken).unwrap();
        assert_eq!(junk.offer, Offer::Refresh(None));
        assert_eq!(read("scope=a%22", GrantType::ClientCredentials), Err(ErrorCode::ScopeNotGranted));
        let two = "resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example";
        assert_eq!(read(two, GrantType::ClientCredentials), Err(ErrorCode::ResourceNotAllowed));
    }
}
