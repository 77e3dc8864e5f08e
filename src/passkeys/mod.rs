//! WebAuthn: options for a browser, what it answered checked, and the same checks again offline.
//! In: challenges and answers. Out: `AuthenticatorFacts`, stored credentials, or one precise `PasskeyError`.
//! Implements WebAuthn L3 §7.1 and §7.2, stricter where DESIGN §6 says so.
//! Never keeps state, never decides whether a person may do something, never takes an unsigned word as evidence.

pub mod assertion;
pub mod attestation;
mod authenticator_data;
mod binding;
mod cbor;
mod client_data;
mod cose;
pub mod device;
mod error;
pub mod metadata;
pub mod nobody;
pub mod offline;
pub mod registration;
mod response;

#[cfg(test)]
#[path = "../../tests/support/maker.rs"]
mod maker;
#[cfg(test)]
mod testing;

use url::{Host, Url};
use webauthn_rs::WebauthnBuilder;

use crate::domain::ids::Digest;
pub use error::PasskeyError;

/// Longest RP id, in bytes (RFC 1035 §2.3.4).
pub const MAX_RP_ID: usize = 253;

/// Who we are towards authenticators. Changing `id` orphans every passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The RP id: a domain.
    pub id: String,
    /// The one origin at which ceremonies happen, as browsers serialise it (no trailing slash).
    pub origin: String,
    /// Shown by some authenticators.
    pub name: String,
}

/// What a ceremony's answer must be bound to.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The RP id.
    pub rp_id: &'a str,
    /// The exact origin.
    pub origin: &'a str,
    /// The challenge of this very ceremony.
    pub challenge: &'a Digest,
}

impl RelyingParty {
    /// Checks that `rp_id` is the host of `origin_url` or a parent domain of it, over https (http on localhost only).
    ///
    /// # Errors
    /// `PasskeyError::RpIdUnfit`.
    pub fn new(rp_id: &str, origin_url: &str, name: &str) -> Result<Self, PasskeyError> {
        let unfit = || PasskeyError::RpIdUnfit { rp_id: error::shown(rp_id), origin: error::shown(origin_url) };
        let url = Url::parse(origin_url).map_err(|_| unfit())?;
        let Some(Host::Domain(host)) = url.host() else { return Err(unfit()) };
        let local = host == "localhost" || host.ends_with(".localhost");
        let secure = url.scheme() == "https" || (url.scheme() == "http" && local);
        // Without a list of public suffixes the one mistake that can be caught is a bare top-level domain.
        let whole_domain = rp_id == host || rp_id.contains('.');
        let plain = rp_id.len() <= MAX_RP_ID && url.username().is_empty() && url.password().is_none();
        if !secure || !whole_domain || !plain || rp_id.is_empty() {
            return Err(unfit());
        }
        WebauthnBuilder::new(rp_id, &url).map_err(|_| unfit())?;
        Ok(Self { id: rp_id.to_owned(), origin: url.origin().ascii_serialization(), name: name.to_owned() })
    }

    /// What an answer to `challenge` must be bound to.
    #[must_use]
    pub fn expecting<'a>(&'a self, challenge: &'a Digest) -> Expected<'a> {
        Expected { rp_id: &self.id, origin: &self.origin, challenge }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::oauth::error_code::ErrorCode;

    #[test]
    fn the_rp_id_must_fit_the_origin() {
        let fits = |id: &str, url: &str| RelyingParty::new(id, url, "Countersign").map(|rp| rp.origin);
        assert_eq!(fits("sign.example.com", "https://sign.example.com").as_deref(), Ok("https://sign.example.com"));
        assert_eq!(fits("example.com", "https://sign.example.com/").as_deref(), Ok("https://sign.example.com"));
        assert_eq!(fits("example.com", "https://example.com:443/").as_deref(), Ok("https://example.com"));
        assert_eq!(fits("localhost", "http://localhost:8080/").as_deref(), Ok("http://localhost:8080"));
        for (id, url) in [
            ("evil.example.com", "https://sign.example.com"),
            ("ample.com", "https://example.com"),
            ("com", "https://example.com"),
            ("", "https://example.com"),
            ("example.com", "http://example.com"),
            ("127.0.0.1", "https://127.0.0.1"),
            ("example.com", "https://user@example.com"),
            ("EXAMPLE.com", "https://example.com"),
            ("example.com", "not a url"),
        ] {
            let refused = fits(id, url);
            assert!(matches!(refused, Err(PasskeyError::RpIdUnfit { .. })), "{id} at {url}: {refused:?}");
        }
    }

    #[test]
    fn every_error_has_a_code_that_pages_know() {
        assert_eq!(PasskeyError::ChallengeUnknown.code(), ErrorCode::ChallengeUnknown);
        assert_eq!(PasskeyError::PasskeyKnown.code(), ErrorCode::PasskeyKnown);
        assert_eq!(PasskeyError::PasskeyUnknown.code(), ErrorCode::PasskeyUnknown);
        assert_eq!(PasskeyError::CounterRolledBack { stored: 2, found: 1 }.code(), ErrorCode::AssertionInvalid);
    }
}
