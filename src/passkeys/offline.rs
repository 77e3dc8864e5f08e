//! The same verification without a store, for proof bundles.
//! In: documents, and what they must be bound to. Out: what they prove.
//! Implements WebAuthn L3 §7.1 and §7.2 as far as signed bytes carry them.
//! Never judges an attestation chain, a counter or whose key it is: those need other evidence.

use super::Expected;
use super::assertion::assertion_facts;
use super::attestation::Statement;
use super::client_data::{self, Ceremony};
use super::cose::PublicKey;
use super::error::PasskeyError;
use super::registration::inspect;
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::ids::Digest;

/// What a registration's documents say.
#[derive(Debug, Clone)]
pub struct OfflineRegistration {
    /// The public key as canonical `COSE_Key`.
    pub public_key: Vec<u8>,
    /// SHA-256 of `public_key`.
    pub public_key_sha256: Digest,
    /// The credential id.
    pub credential_id: Vec<u8>,
    /// What the authenticator said about itself.
    pub facts: AuthenticatorFacts,
    /// The model that it claims.
    pub aaguid: [u8; 16],
    /// The attestation statement format.
    pub format: String,
    /// What the attestation statement says, where it verifies.
    pub statement: Result<Statement, PasskeyError>,
}

/// Verifies an assertion by the key that a registration gave.
///
/// # Errors
/// The first check that failed.
pub fn verify_assertion(
    expected: &Expected<'_>,
    public_key_cose: &[u8],
    client_data_json: &[u8],
    authenticator_data: &[u8],
    signature: &[u8],
) -> Result<AuthenticatorFacts, PasskeyError> {
    client_data::check(client_data_json, Ceremony::Get, expected)?;
    let facts = assertion_facts(expected.rp_id, authenticator_data, signature)?;
    let signed = [authenticator_data, Digest::of(client_data_json).as_bytes()].concat();
    if PublicKey::parse(public_key_cose)?.verify(signature, &signed) {
        Ok(facts)
    } else {
        Err(PasskeyError::SignatureInvalid)
    }
}

/// Checks a registration's documents. Without a statement that verifies, that this key was made for this challenge is
/// the log's word, which is why its entry names these documents.
///
/// # Errors
/// The first check that failed.
pub fn verify_registration(
    expected: &Expected<'_>,
    attestation_object: &[u8],
    client_data_json: &[u8],
) -> Result<OfflineRegistration, PasskeyError> {
    let inspected = inspect(expected, attestation_object, client_data_json)?;
    Ok(OfflineRegistration {
        public_key_sha256: Digest::of(&inspected.public_key),
        public_key: inspected.public_key,
        credential_id: inspected.credential_id,
        facts: inspected.facts,
        aaguid: inspected.aaguid,
        format: inspected.format,
        statement: inspected.statement,
    })
}

#[cfg(test)]
mod tests;
