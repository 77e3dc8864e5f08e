//! Assertion: a passkey signs a challenge.
//! In: a challenge, a stored credential and what the browser answered. Out: request options, then `Verification`.
//! Implements WebAuthn L3 §5.5 and §7.2, with user verification always required.
//! Never finds the credential and never writes its new counter: both are the store's, in one transaction.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use webauthn_rs_core::error::WebauthnError;
use webauthn_rs_core::proto;

use super::authenticator_data::{AuthenticatorData, MAX_AUTHENTICATOR_DATA};
use super::client_data::{self, Ceremony};
use super::cose::MAX_SIGNATURE;
use super::error::PasskeyError;
use super::response::{Assertion, Credential};
use super::{RelyingParty, binding, registration};
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::ids::Digest;
use crate::domain::time::CEREMONY;

/// A credential as the store has it.
#[derive(Debug, Clone, Copy)]
pub struct StoredCredential<'a> {
    /// The JSON that registration or the last verification gave.
    pub credential: &'a str,
    /// The credential id.
    pub credential_id: &'a [u8],
    /// The user handle of the person who owns it.
    pub user_handle: &'a [u8; 16],
}

/// A verified assertion.
#[derive(Debug, Clone)]
pub struct Verification {
    /// What the authenticator signed about itself.
    pub facts: AuthenticatorFacts,
    /// The credential as the store must have it from now on.
    pub credential: String,
    /// Evidence, as received.
    pub client_data_json: Vec<u8>,
    /// Evidence, as received.
    pub authenticator_data: Vec<u8>,
    /// Evidence, as received.
    pub signature: Vec<u8>,
}

/// The options for `navigator.credentials.get`, as `{"publicKey": …}`. Without `allow` the person picks any passkey.
#[must_use]
pub fn options(rp: &RelyingParty, challenge: Digest, allow: &[Vec<u8>]) -> Value {
    let timeout = u64::try_from(CEREMONY.as_millis()).unwrap_or(u64::MAX);
    json!({ "publicKey": {
        "challenge": BASE64URL_NOPAD.encode(challenge.as_bytes()),
        "timeout": timeout,
        "rpId": rp.id,
        "allowCredentials": registration::descriptors(allow),
        "userVerification": "required",
    }})
}

/// The credential id that an answer names, to look the credential up by. Proves nothing.
#[must_use]
pub fn credential_id(response: &Value) -> Option<Vec<u8>> {
    bytes_of(response.get("rawId")?)
}

/// The user handle that an answer names. Proves nothing.
#[must_use]
pub fn user_handle(response: &Value) -> Option<Vec<u8>> {
    bytes_of(response.get("response")?.get("userHandle")?)
}

fn bytes_of(text: &Value) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_str()?.as_bytes()).ok()
}

/// Verifies the answer to `options` without `allow`: the person picked a passkey, so it must name its owner.
///
/// # Errors
/// The first check that failed.
pub fn verify(
    rp: &RelyingParty,
    challenge: Digest,
    stored: &StoredCredential<'_>,
    response: &Value,
) -> Result<Verification, PasskeyError> {
    if user_handle(response).is_none() {
        return Err(PasskeyError::UserHandleWrong);
    }
    verify_listed(rp, challenge, stored, response)
}

/// Verifies the answer to `options` with `allow`: a passkey that was listed may leave its owner's handle out
/// (WebAuthn L3 §7.2 step 6), but must not name another.
///
/// # Errors
/// The first check that failed.
pub fn verify_listed(
    rp: &RelyingParty,
    challenge: Digest,
    stored: &StoredCredential<'_>,
    response: &Value,
) -> Result<Verification, PasskeyError> {
    let answer = Credential::<Assertion>::read(response)?;
    let mut credential: proto::Credential =
        serde_json::from_str(stored.credential).map_err(|_| PasskeyError::StoredCredential)?;
    if credential.cred_id != stored.credential_id {
        return Err(PasskeyError::StoredCredential);
    }
    let facts = check(rp, &challenge, stored, &answer)?;
    // The library would look at this before the signature; but whoever lacks the key learns nothing of it.
    let eligible = std::mem::replace(&mut credential.backup_eligible, facts.backup_eligible);
    ask_library(rp, &challenge, &credential, &answer)?;
    if facts.backup_eligible != eligible {
        return Err(PasskeyError::BackupFlags);
    }

    credential.counter = facts.counter;
    credential.backup_state = facts.backup_state;
    let Assertion { client_data_json, authenticator_data, signature, .. } = answer.response;
    Ok(Verification {
        facts,
        credential: serde_json::to_string(&credential).map_err(|_| PasskeyError::StoredCredential)?,
        client_data_json: client_data_json.0,
        authenticator_data: authenticator_data.0,
        signature: signature.0,
    })
}

/// What the library leaves to us, and what we want to name precisely.
fn check(
    rp: &RelyingParty,
    challenge: &Digest,
    stored: &StoredCredential<'_>,
    answer: &Credential<Assertion>,
) -> Result<AuthenticatorFacts, PasskeyError> {
    if answer.credential_id() != stored.credential_id {
        return Err(PasskeyError::PasskeyUnknown);
    }
    if answer.response.user_handle.as_ref().is_some_and(|handle| handle.0 != stored.user_handle) {
        return Err(PasskeyError::UserHandleWrong);
    }
    client_data::check(&answer.response.client_data_json.0, Ceremony::Get, &rp.expecting(challenge))?;
    assertion_facts(&rp.id, &answer.response.authenticator_data.0, &answer.response.signature.0)
}

/// What an assertion's authenticator data says; nothing is verified yet.
pub(super) fn assertion_facts(
    rp_id: &str,
    authenticator_data: &[u8],
    signature: &[u8],
) -> Result<AuthenticatorFacts, PasskeyError> {
    if authenticator_data.len() > MAX_AUTHENTICATOR_DATA {
        return Err(PasskeyError::Malformed("authenticatorData is too long"));
    }
    if signature.len() > MAX_SIGNATURE {
        return Err(PasskeyError::Malformed("signature is too long"));
    }
    let data = AuthenticatorData::parse(authenticator_data)?;
    data.expect_assertion()?;
    data.facts(rp_id)
}

/// The signature, the counter, and every check again.
fn ask_library(
    rp: &RelyingParty,
    challenge: &Digest,
    credential: &proto::Credential,
    answer: &Credential<Assertion>,
) -> Result<(), PasskeyError> {
    let given = proto::PublicKeyCredential {
        id: answer.id().to_owned(),
        raw_id: answer.credential_id().to_vec(),
        response: proto::AuthenticatorAssertionResponseRaw {
            authenticator_data: answer.response.authenticator_data.0.clone(),
            client_data_json: answer.response.client_data_json.0.clone(),
            signature: answer.response.signature.0.clone(),
            user_handle: answer.response.user_handle.as_ref().map(|handle| handle.0.clone()),
        },
        // Unsigned: not even shown to the library.
        extensions: proto::AuthenticationExtensionsClientOutputs::default(),
        type_: "public-key".to_owned(),
    };
    let state = binding::authentication_state(challenge)?;
    match binding::library(rp)?.authenticate_single_credential(&given, &state, credential) {
        Ok(result) if result.user_verified() => Ok(()),
        Ok(_) => Err(PasskeyError::UserNotVerified),
        Err(WebauthnError::CredentialPossibleCompromise) => {
            // The signature was good: this is the key, or its copy. The counter is the last thing that is checked.
            let data = AuthenticatorData::parse(&answer.response.authenticator_data.0)?.facts(&rp.id)?;
            Err(PasskeyError::CounterRolledBack { stored: credential.counter, found: data.counter })
        }
        Err(error) => match PasskeyError::from_library(&error) {
            // A signature that is none tells nothing of the key that it is held against.
            PasskeyError::AttestationInvalid(_) => Err(PasskeyError::SignatureInvalid),
            known => Err(known),
        },
    }
}

#[cfg(test)]
mod tests;
