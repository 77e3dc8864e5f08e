//! The device grant: what a device without a keyboard asks for, the codes that name it, and where it stands.
//! In: random bits, what people type, a form. Out: `DeviceRequest`, `DeviceCode`, `UserCode`; `Standing` says where it stands.
//! Implements RFC 8628, ATTACKS 77.
//! Never makes a link that carries the code: whoever is sent one must still type it, and read what it would allow.

pub mod pace;
pub mod request;
pub mod standing;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, CODE_ALPHABET, ClientId, Digest};
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;

/// Bytes of chance in a device code.
pub const DEVICE_CODE_BYTES: usize = 32;
/// Letters of a user code: 40 bits (RFC 8628 §6.1).
pub const USER_CODE_LETTERS: usize = 8;
/// What stands before a device code.
pub const DEVICE_CODE_PREFIX: &str = "dc_";
/// Letters of a user code before and behind its hyphen.
const GROUP: usize = 4;

/// What a device asks for, and where it asked from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// SHA-256 of its device code: what names it, and is told to nobody who could use it.
    pub id: Digest,
    /// Who asks.
    pub client: ClientId,
    /// What is asked for, of what the client may have.
    pub scopes: Scopes,
    /// The services that access tokens are for (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Audience>,
    /// The address that it asked from, as the server saw it.
    pub from: IpAddr,
    /// When.
    pub asked: Timestamp,
}

/// The code with which a device comes back; nobody may read it in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceCode(String);

impl DeviceCode {
    /// The code made of random bytes.
    #[must_use]
    pub fn from_random(bits: [u8; DEVICE_CODE_BYTES]) -> Self {
        Self(format!("{DEVICE_CODE_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&bits)))
    }

    /// What a client brings, whatever it is.
    #[must_use]
    pub fn brought(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The code itself, for the device that it is for.
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

impl fmt::Debug for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCode(redacted)")
    }
}

/// The code that a device shows and a person types; nobody may read it in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// The code made of random bytes.
    #[must_use]
    pub fn from_random(bits: [u8; USER_CODE_LETTERS]) -> Self {
        Self(
            bits.iter()
                .map(|byte| char::from(CODE_ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'2')))
                .collect(),
        )
    }

    /// Reads what a person typed: capitals, hyphens and spaces mean nothing. `None` for what no code looks like.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let mut letters = String::with_capacity(USER_CODE_LETTERS);
        for letter in typed.chars().filter(|letter| !letter.is_whitespace() && !is_hyphen(*letter)) {
            let letter = letter.to_ascii_uppercase();
            let known = u8::try_from(letter).is_ok_and(|byte| CODE_ALPHABET.contains(&byte));
            if !known || letters.len() == USER_CODE_LETTERS {
                return None;
            }
            letters.push(letter);
        }
        (letters.len() == USER_CODE_LETTERS).then_some(Self(letters))
    }

    /// As the device shows it: `KX7M-42QP`.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.0.split_at_checked(GROUP).unwrap_or((&self.0, ""));
        format!("{first}-{second}")
    }

    /// Its SHA-256, the only form that is kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// Hyphens as keyboards and copied text have them.
const fn is_hyphen(letter: char) -> bool {
    matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = UserCode::from_random([0, 1, 2, 3, 28, 29, 30, 255]);
        assert_eq!(code.shown(), "2345-WXYZ");
        for typed in ["2345-WXYZ", "2345wxyz", " 2345 wXyZ ", "23-45-WX-YZ", "2345\u{2013}wxyz"] {
            assert_eq!(UserCode::parse(typed), Some(code.clone()), "{typed}");
        }
        for wrong in ["", "2345-WXY", "2345-WXYZ2", "2345-WXY0", "2345-WXYI", "2345-WXYO", "2345_WXYZ", "２345-WXYZ"] {
            assert_eq!(UserCode::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn attack_077_a_user_code_has_forty_bits_and_a_device_code_256() {
        // Each of five bits leads to a letter of its own, so no two of the 2^40 choices are one code.
        let letters: std::collections::BTreeSet<_> =
            (0..32).map(|bits| UserCode::from_random([bits; USER_CODE_LETTERS]).shown()).collect();
        assert_eq!((letters.len(), USER_CODE_LETTERS * 5), (32, 40));
        let device = DeviceCode::from_random([7; DEVICE_CODE_BYTES]);
        assert_eq!((DEVICE_CODE_BYTES * 8, device.expose().len()), (256, DEVICE_CODE_PREFIX.len() + 43));
        let user = UserCode::from_random([7; USER_CODE_LETTERS]);
        let said = format!("{device:?} {user:?}");
        assert!(!said.contains(device.expose()) && !said.contains(&user.0), "{said}");
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_code_of_this_alphabet_or_none(typed in any::<String>(), bits in any::<[u8; 8]>()) {
            if let Some(code) = UserCode::parse(&typed) {
                prop_assert_eq!(UserCode::parse(&code.shown()), Some(code));
            }
            let made = UserCode::from_random(bits);
            prop_assert_eq!(UserCode::parse(&made.shown().to_lowercase()), Some(made));
        }
    }
}
