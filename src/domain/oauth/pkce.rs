//! PKCE: a code is redeemed by whoever began, and by nobody else.
//! In: a challenge and a verifier. Out: whether they belong together.
//! Implements RFC 7636 §4.1 to §4.6; the method is always `S256`.
//! Never takes `plain`, and never a code without a challenge.

use data_encoding::BASE64URL_NOPAD;

use crate::domain::ids::Digest;

/// Shortest verifier, in characters.
pub const MIN_VERIFIER: usize = 43;
/// Longest verifier, in characters.
pub const MAX_VERIFIER: usize = 128;

/// Whether a text has the form of a verifier (RFC 7636 §4.1).
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    (MIN_VERIFIER..=MAX_VERIFIER).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// Whether a text has the form of an `S256` challenge: 32 bytes, BASE64URL.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether the verifier is the one of the challenge (RFC 7636 §4.6).
#[must_use]
pub fn fits(verifier: &str, challenge: &str) -> bool {
    is_verifier(verifier) && BASE64URL_NOPAD.encode(Digest::of(verifier.as_bytes()).as_bytes()) == challenge
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_7636_fits() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(fits(verifier, challenge) && is_challenge(challenge));
        assert!(!fits(challenge, challenge), "`plain` is no method");
        assert!(!fits(&verifier[..42], challenge));
    }

    #[test]
    fn attack_065_a_verifier_has_43_to_128_unreserved_characters() {
        for (text, fits) in [
            ("a".repeat(42), false),
            ("a".repeat(43), true),
            ("a".repeat(128), true),
            ("a".repeat(129), false),
            (format!("{}+", "a".repeat(43)), false),
            (format!("{}é", "a".repeat(43)), false),
        ] {
            assert_eq!(is_verifier(&text), fits, "{text}");
        }
        assert!(!is_challenge("") && !is_challenge(&"a".repeat(42)) && !is_challenge(&"=".repeat(43)));
    }

    proptest! {
        #[test]
        fn one_verifier_fits_one_challenge(left in "[A-Za-z0-9._~-]{43,60}", right in "[A-Za-z0-9._~-]{43,60}") {
            let challenge = BASE64URL_NOPAD.encode(Digest::of(left.as_bytes()).as_bytes());
            prop_assert!(fits(&left, &challenge));
            prop_assert_eq!(fits(&right, &challenge), left == right);
        }
    }
}
