//! The identifiers of the product, each a type of its own.
//! In: strings from outside. Out: values that are well formed, or `IdError`.
//! Implements DESIGN's words (person, request, code) and RFC 7638 for key ids.
//! Never generates anything: chance is an argument.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// Longest name of an issuer, rule, group or person, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// A string that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {wanted}")]
pub struct IdError {
    /// What was given, shortened to `MAX_NAME_CHARS`.
    pub value: String,
    /// What would have been right, as a noun phrase.
    pub wanted: &'static str,
}

impl IdError {
    fn new(value: &str, wanted: &'static str) -> Self {
        Self { value: value.chars().take(MAX_NAME_CHARS).collect(), wanted }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the form.
            ///
            /// # Errors
            /// `IdError` says what the form is.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(IdError::new(text, $wanted)) }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    let count = text.chars().count();
    (1..=MAX_NAME_CHARS).contains(&count) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_CHARS
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

text_id!(
    /// A human account: `p` and 16 lower-case base32 characters (80 random bits), never reused.
    PersonId,
    "a person id (`p` and 16 characters a-z, 2-7)",
    |text| text.len() == 17
        && text.starts_with('p')
        && text.bytes().skip(1).all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
);
text_id!(
    /// The link id of a request: 128 random bits, base64url. Its holder may look, never act.
    RequestId,
    "a request id (22 characters of base64url)",
    |text| BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
);
text_id!(
    /// The link id of a change: 128 random bits, base64url. Its holder may look, never act.
    ChangeId,
    "a change id (22 characters of base64url)",
    |text| BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
);
text_id!(
    /// The code that a person compares between the job log and the page: 3 + 3 of `2-9 A-Z` without I, O.
    Code,
    "a code such as `KX7-42Q`",
    |text| text.len() == 7
        && text.bytes().enumerate().all(|(at, b)| if at == 3 { b == b'-' } else { CODE_ALPHABET.contains(&b) })
);
text_id!(
    /// The short name of an issuer, as in `gitlab`.
    IssuerName,
    "an issuer name (a-z, 0-9, `-_.`, at most 100)",
    is_slug
);
text_id!(
    /// The name of a rule, as people wrote it.
    RuleName,
    "a rule name (1 to 100 characters, no control characters)",
    is_name
);
text_id!(
    /// The name of a group of people, as in `release-managers`.
    GroupName,
    "a group name (a-z, 0-9, `-_.`, at most 100)",
    is_slug
);
text_id!(
    /// The id of a client (RFC 6749 §2.2), as in `grafana`.
    ClientId,
    "a client id (a-z, 0-9, `-_.`, at most 100)",
    is_slug
);
text_id!(
    /// What ties a session, its ID tokens and logout tokens together (OpenID Connect Back-Channel Logout §2.1 `sid`).
    SessionId,
    "a session id (32 lower-case hex digits)",
    |text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
text_id!(
    /// Who an issued token is for (RFC 8693 §2.1 `audience`, RFC 7519 `aud`).
    Audience,
    "an audience (1 to 255 printable ASCII characters without spaces)",
    |text| !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic())
);
text_id!(
    /// A key id: the RFC 7638 SHA-256 thumbprint of the public key, base64url.
    Kid,
    "a key id (an RFC 7638 thumbprint, 43 characters of base64url)",
    |text| BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
);

/// The characters of a `Code`: no I, O, 0 or 1.
pub const CODE_ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

impl PersonId {
    /// The id made of 80 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 10]) -> Self {
        Self(format!("p{}", BASE32_NOPAD.encode(&bits).to_ascii_lowercase()))
    }
}

impl RequestId {
    /// The id made of 128 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(BASE64URL_NOPAD.encode(&bits))
    }
}

impl SessionId {
    /// The id made of 128 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(HEXLOWER.encode(&bits))
    }
}

impl ChangeId {
    /// The id made of 128 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(BASE64URL_NOPAD.encode(&bits))
    }
}

impl Code {
    /// The code made of six random bytes (the low five bits of each count).
    #[must_use]
    pub fn from_random(bits: [u8; 6]) -> Self {
        let mut text = String::with_capacity(7);
        for (at, byte) in bits.iter().enumerate() {
            if at == 3 {
                text.push('-');
            }
            let letter = CODE_ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'2');
            text.push(char::from(letter));
        }
        Self(text)
    }
}

/// A SHA-256 or HMAC-SHA-256 value; lower-case hex wherever it is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// SHA-256 of the bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest that these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As people are shown it, and may type it where it names one thing of few: its first 12 digits.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }

    /// Reads 64 lower-case hex digits.
    ///
    /// # Errors
    /// `IdError` where the text is anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| IdError::new(text, "a digest (64 lower-case hex digits)"))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        HEXLOWER.encode(&digest.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_form() {
        assert_eq!(PersonId::from_random([0; 10]).as_str(), "paaaaaaaaaaaaaaaa");
        assert!(PersonId::parse("pmq4zx7k2hv5ntr3b").is_ok());
        assert!(PersonId::parse("pMQ4zx7k2hv5ntr3b").is_err());
        assert!(RequestId::parse(RequestId::from_random([7; 16]).as_str()).is_ok());
        assert!(RequestId::parse("short").is_err());
        assert_eq!(Code::from_random([0, 1, 2, 3, 4, 255]).as_str(), "234-56Z");
        assert!(Code::parse("KX7-42Q").is_ok());
        assert!(Code::parse("KX7-42O").is_err());
        assert!(GroupName::parse("Release").is_err());
        assert!(RuleName::parse("production deploy").is_ok());
        assert!(RuleName::parse(" x").is_err());
        assert!(Audience::parse("sts.amazonaws.com").is_ok());
        assert!(Audience::parse("two words").is_err());
    }

    #[test]
    fn a_digest_is_lower_case_hex() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        assert!(Digest::parse(&digest.to_string().to_uppercase()).is_err());
    }
}
