//! The challenge binding: the library's states, rebuilt from a challenge of ours.
//! In: a relying party and a challenge. Out: what the library wants to be handed at the end of a ceremony.
//! Implements DESIGN §6 (a statement's digest is the challenge).
//! Never draws a challenge and never stores a state; whoever holds the statement can rebuild it.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use url::Url;
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::proto::{AuthenticationState, RegistrationState};

use super::RelyingParty;
use super::error::PasskeyError;
use crate::domain::ids::Digest;
use crate::domain::time::CEREMONY;

/// The library, for one relying party and one exact origin.
pub fn library(rp: &RelyingParty) -> Result<WebauthnCore, PasskeyError> {
    let origin = Url::parse(&rp.origin).map_err(|_| PasskeyError::RpIdUnfit {
        rp_id: super::error::shown(&rp.id),
        origin: super::error::shown(&rp.origin),
    })?;
    let timeout: Duration = CEREMONY;
    Ok(WebauthnCore::new_unsafe_experts_only(&rp.name, &rp.id, vec![origin], timeout, Some(false), Some(false)))
}

/// The state of a registration over `challenge`. INVARIANT(state shape): the library has no way to give it a challenge,
/// so this names its members; the version is pinned and a test compares the shape.
pub fn registration_state(challenge: &Digest) -> Result<RegistrationState, PasskeyError> {
    let state = json!({
        "policy": "required",
        "exclude_credentials": [],
        "challenge": BASE64URL_NOPAD.encode(challenge.as_bytes()),
        "credential_algorithms": ["ES256", "ES384", "RS256"],
        "require_resident_key": true,
        "authenticator_attachment": null,
        "extensions": {},
        "allow_synchronised_authenticators": true,
    });
    serde_json::from_value(state).map_err(|_| PasskeyError::Library)
}

/// The state of an assertion over `challenge`; the credential is handed over beside it. Relies on INVARIANT(state shape).
pub fn authentication_state(challenge: &Digest) -> Result<AuthenticationState, PasskeyError> {
    let state = json!({
        "credentials": [],
        "policy": "required",
        "challenge": BASE64URL_NOPAD.encode(challenge.as_bytes()),
        "appid": null,
        "allow_backup_eligible_upgrade": false,
    });
    serde_json::from_value(state).map_err(|_| PasskeyError::Library)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use webauthn_rs_core::proto::{COSEAlgorithm, UserVerificationPolicy};

    use super::*;
    use crate::passkeys::testing;

    /// Same members, same challenge form; the challenge itself and the extensions differ.
    fn shape(mut state: Value) -> Value {
        let challenge = BASE64URL_NOPAD.decode(state["challenge"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(challenge.len(), 32);
        state["challenge"] = Value::Null;
        if state.get("extensions").is_some() {
            state["extensions"] = Value::Null;
        }
        state
    }

    #[test]
    fn the_registration_state_has_the_shape_that_the_library_makes() {
        let library = library(&testing::rp()).unwrap();
        let builder = library
            .new_challenge_register_builder(&[1; 16], "a", "A")
            .unwrap()
            .user_verification_policy(UserVerificationPolicy::Required)
            .credential_algorithms(COSEAlgorithm::secure_algs())
            .require_resident_key(true);
        let (_, theirs) = library.generate_challenge_register(builder).unwrap();
        let ours = registration_state(&Digest::of(b"statement")).unwrap();
        assert_eq!(shape(serde_json::to_value(ours).unwrap()), shape(serde_json::to_value(theirs).unwrap()));
    }

    #[test]
    fn the_authentication_state_has_the_shape_that_the_library_makes() {
        let library = library(&testing::rp()).unwrap();
        let builder =
            library.new_challenge_authenticate_builder(vec![], Some(UserVerificationPolicy::Required)).unwrap();
        let (_, theirs) = library.generate_challenge_authenticate(builder).unwrap();
        let ours = authentication_state(&Digest::of(b"statement")).unwrap();
        assert_eq!(shape(serde_json::to_value(ours).unwrap()), shape(serde_json::to_value(theirs).unwrap()));
    }
}
