//! The secret that signs notices, and the signature.
//! In: `whsec_…`, an id, a time, a body. Out: the value of `webhook-signature`.
//! Implements Standard Webhooks 1.0, HMAC-SHA-256 (RFC 2104).
//! Never shows the secret.

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::OutboundError;

/// Fewest bytes of the secret.
pub const LEAST_SECRET: usize = 24;
/// Most bytes of the secret.
pub const MOST_SECRET: usize = 64;

/// Signs notices.
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, OutboundError> {
        let form = OutboundError::Secret("the secret is not `whsec_` and the base64 of 24 to 64 random bytes");
        let Some(encoded) = text.trim().strip_prefix("whsec_") else { return Err(form) };
        match BASE64.decode(encoded.as_bytes()) {
            Ok(bytes) if (LEAST_SECRET..=MOST_SECRET).contains(&bytes.len()) => Ok(Self(bytes)),
            _ => Err(form),
        }
    }

    /// The value of `webhook-signature` over one attempt.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_others_make() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(signed, secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_331, b"{\"test\": 2432232314}"));
    }

    #[test]
    fn a_secret_has_its_form_and_is_not_shown() {
        for wrong in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"] {
            assert!(Secret::parse(wrong).is_err(), "{wrong}");
        }
        for (length, fits) in
            [(LEAST_SECRET - 1, false), (LEAST_SECRET, true), (MOST_SECRET, true), (MOST_SECRET + 1, false)]
        {
            let text = format!("whsec_{}", BASE64.encode(&vec![1; length]));
            assert_eq!(Secret::parse(&text).is_ok(), fits, "{length}");
        }
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
