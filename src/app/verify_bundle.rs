//! Verifies a proof bundle offline: the pure verification, with the libraries that check signatures.
//! In: a bundle's bytes and a pinned key line. Out: a report.
//! Implements DESIGN §7.
//! Never opens the store: it runs on any machine.

use serde_json::Value;

use crate::crypto::jwk::{KeySet, thumbprint};
use crate::crypto::jwt::UnverifiedToken;
use crate::crypto::log_key::verify_ed25519;
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Attestation;
use crate::domain::bundle::report::Report;
use crate::domain::bundle::signatures::{AssertionEvidence, Place, RegisteredKey, RegistrationEvidence, Signatures};
use crate::domain::bundle::verify::verify;
use crate::domain::ids::{Digest, Kid};
use crate::domain::log::note::VerifierKey;
use crate::domain::time::Timestamp;
use crate::domain::verified::{RawClaims, Verified};
use crate::passkeys::attestation::confirms;
use crate::passkeys::{Expected, offline};

struct Libraries;

impl Signatures for Libraries {
    fn note(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        verify_ed25519(public_key, message, signature)
    }

    fn job_token(&self, token: &str, jwks: &[u8]) -> Result<Verified<RawClaims>, String> {
        let (keys, _) = KeySet::parse(jwks).map_err(|error| error.to_string())?;
        let token = UnverifiedToken::parse(token).map_err(|error| error.to_string())?;
        token.verify(&keys).map_err(|error| error.to_string())
    }

    fn assertion(
        &self,
        place: Place<'_>,
        challenge: Digest,
        public_key: &[u8],
        answer: &AssertionEvidence,
    ) -> Result<AuthenticatorFacts, String> {
        offline::verify_assertion(
            &Expected { rp_id: place.rp_id, origin: place.origin, challenge: &challenge },
            public_key,
            &answer.client_data_json.0,
            &answer.authenticator_data.0,
            &answer.signature.0,
        )
        .map_err(|error| error.to_string())
    }

    fn registration(
        &self,
        place: Place<'_>,
        challenge: Digest,
        answer: &RegistrationEvidence,
    ) -> Result<RegisteredKey, String> {
        let found = offline::verify_registration(
            &Expected { rp_id: place.rp_id, origin: place.origin, challenge: &challenge },
            &answer.attestation_object.0,
            &answer.client_data_json.0,
        )
        .map_err(|error| error.to_string())?;
        Ok(RegisteredKey {
            public_key: found.public_key,
            sha256: found.public_key_sha256,
            credential_id: found.credential_id,
            facts: found.facts,
        })
    }

    fn attestation(
        &self,
        place: Place<'_>,
        challenge: Digest,
        answer: &RegistrationEvidence,
        verdict: &Attestation,
        at: Timestamp,
    ) -> Result<(), String> {
        let found = offline::verify_registration(
            &Expected { rp_id: place.rp_id, origin: place.origin, challenge: &challenge },
            &answer.attestation_object.0,
            &answer.client_data_json.0,
        );
        let statement = found.and_then(|found| found.statement).map_err(|error| error.to_string())?;
        confirms(&statement, verdict, at)
    }

    fn thumbprint(&self, jwk: &Value) -> Option<Kid> {
        thumbprint(jwk).ok()
    }
}

/// Verifies a bundle under a pinned key.
pub fn verify_bundle(bundle: &[u8], key: &VerifierKey) -> Report {
    verify(bundle, key, &Libraries)
}
