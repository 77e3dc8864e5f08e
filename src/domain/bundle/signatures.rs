//! What a verification asks of the libraries that check signatures, and what the checked answers are.
//! In: answers of browsers, job tokens, keys. Out: what their signatures prove.
//! Implements the interface alone; `crypto` and `passkeys` check, `app` brings them together.
//! Never knows an algorithm.

use serde_json::Value;

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Attestation;
use crate::domain::canonical::Bytes;
use crate::domain::ids::{Digest, Kid};
use crate::domain::time::Timestamp;
use crate::domain::verified::{RawClaims, Verified};

/// What a browser answered to an approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssertionEvidence {
    /// WebAuthn L3 §6.1.
    pub authenticator_data: Bytes,
    /// WebAuthn L3 §5.8.1.
    pub client_data_json: Bytes,
    /// The credential's id.
    pub credential_id: Bytes,
    /// The signature.
    pub signature: Bytes,
}

/// What a browser answered to a registration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationEvidence {
    /// WebAuthn L3 §6.5.
    pub attestation_object: Bytes,
    /// WebAuthn L3 §5.8.1.
    pub client_data_json: Bytes,
    /// What the browser says of transports; unsigned.
    pub transports: Vec<String>,
}

/// A passkey as its registration shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredKey {
    /// COSE bytes.
    pub public_key: Vec<u8>,
    /// Their SHA-256.
    pub sha256: Digest,
    /// The credential's id.
    pub credential_id: Vec<u8>,
    /// What the authenticator said.
    pub facts: AuthenticatorFacts,
}

/// Where a ceremony took place.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The WebAuthn RP id.
    pub rp_id: &'a str,
    /// The exact origin.
    pub origin: &'a str,
}

/// Checks signatures; the floor above brings the libraries.
pub trait Signatures {
    /// Ed25519 over a note's text.
    fn note(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool;
    /// A job token under a set of keys.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn job_token(&self, token: &str, jwks: &[u8]) -> Result<Verified<RawClaims>, String>;
    /// An assertion: type, challenge, origin, RP id, UP, UV, signature.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn assertion(
        &self,
        place: Place<'_>,
        challenge: Digest,
        public_key: &[u8],
        answer: &AssertionEvidence,
    ) -> Result<AuthenticatorFacts, String>;
    /// A registration: type, challenge, origin, RP id, UP, UV.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn registration(
        &self,
        place: Place<'_>,
        challenge: Digest,
        answer: &RegistrationEvidence,
    ) -> Result<RegisteredKey, String>;
    /// Whether a registration's attestation statement still proves what the log says it proved: its signature, and the
    /// chain up to the certificate that the verdict names, as it stood `at` the registration.
    ///
    /// # Errors
    /// What does not hold, as a sentence.
    fn attestation(
        &self,
        place: Place<'_>,
        challenge: Digest,
        answer: &RegistrationEvidence,
        verdict: &Attestation,
        at: Timestamp,
    ) -> Result<(), String>;
    /// RFC 7638 thumbprint of a public JWK.
    fn thumbprint(&self, jwk: &Value) -> Option<Kid>;
}
