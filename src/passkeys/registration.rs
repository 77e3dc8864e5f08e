//! Registration: a new passkey, bound to a statement.
//! In: a challenge, and what the browser answered. Out: creation options, then `Registered`.
//! Implements WebAuthn L3 §5.4 and §7.1; the statement is verified, its chain is `attestation::judge`'s.
//! Never trusts that the browser honoured the options: algorithm, flags, id length and format are checked here.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};
use webauthn_rs_core::proto::{
    AuthenticatorAttestationResponseRaw, RegisterPublicKeyCredential, RegistrationExtensionsClientOutputs,
};

use super::attestation::{self, Statement};
use super::authenticator_data::{AttestedCredential, AuthenticatorData};
use super::client_data::{self, Ceremony};
use super::cose::{ALGORITHMS, PublicKey};
use super::error::PasskeyError;
use super::response::{Attestation, Credential};
use super::{Expected, RelyingParty, binding, cbor};
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::ids::Digest;
use crate::domain::time::CEREMONY;

/// Longest account name and display name, in characters; authenticators may cut at 64 bytes (WebAuthn L3 §6.4.1).
pub const MAX_ACCOUNT_NAME: usize = 100;
/// Largest attestation object, in bytes, so that a registration fits an evidence document.
pub const MAX_ATTESTATION_OBJECT: usize = 32 * 1024;

/// Longest name of an attestation statement format, in bytes (WebAuthn L3 §8.1).
pub const MAX_FORMAT: usize = 32;

/// The attestation format that cannot verify its user.
const FIDO_U2F: &str = "fido-u2f";
/// A new passkey, verified.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The credential id.
    pub credential_id: Vec<u8>,
    /// What `assertion::verify` wants back, as JSON.
    pub credential: String,
    /// The public key as canonical `COSE_Key`.
    pub public_key: Vec<u8>,
    /// SHA-256 of `public_key`: equal for equal keys.
    pub public_key_sha256: Digest,
    /// What the authenticator signed about itself.
    pub facts: AuthenticatorFacts,
    /// The model that it claims.
    pub aaguid: [u8; 16],
    /// The attestation statement format, as it names itself.
    pub format: String,
    /// What the attestation statement says, verified.
    pub statement: Statement,
    /// How the client says it can be reached; unsigned.
    pub transports: Vec<String>,
    /// Whether the client says it is discoverable; unsigned.
    pub discoverable: Option<bool>,
    /// Evidence, as received.
    pub attestation_object: Vec<u8>,
    /// Evidence, as received.
    pub client_data_json: Vec<u8>,
}

/// What the signed bytes of a registration say.
#[derive(Debug)]
pub(super) struct Inspected {
    pub credential_id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub facts: AuthenticatorFacts,
    pub aaguid: [u8; 16],
    pub format: String,
    /// The attestation statement, where it verifies.
    pub statement: Result<Statement, PasskeyError>,
    authenticator_data: Vec<u8>,
}

/// The options for `navigator.credentials.create`, as `{"publicKey": …}`.
///
/// # Errors
/// `PasskeyError::AccountName`.
pub fn options(
    rp: &RelyingParty,
    user_handle: &[u8; 16],
    account_name: &str,
    display: &str,
    exclude: &[Vec<u8>],
    challenge: Digest,
) -> Result<Value, PasskeyError> {
    for name in [account_name, display] {
        if name.is_empty() || name.chars().count() > MAX_ACCOUNT_NAME {
            return Err(PasskeyError::AccountName);
        }
    }
    let algorithms = ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg }));
    let timeout = u64::try_from(CEREMONY.as_millis()).unwrap_or(u64::MAX);
    Ok(json!({ "publicKey": {
        "rp": { "id": rp.id, "name": rp.name },
        "user": { "id": BASE64URL_NOPAD.encode(user_handle), "name": account_name, "displayName": display },
        "challenge": BASE64URL_NOPAD.encode(challenge.as_bytes()),
        "pubKeyCredParams": algorithms,
        "timeout": timeout,
        "excludeCredentials": descriptors(exclude),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "attestation": "direct",
        "extensions": {
            "credProps": true,
            // Enforced, it would shut out every authenticator that does not know it.
            "credentialProtectionPolicy": "userVerificationRequired",
            "enforceCredentialProtectionPolicy": false,
        },
    }}))
}

/// Credential ids as the descriptors of an option.
pub(super) fn descriptors(ids: &[Vec<u8>]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "type": "public-key", "id": BASE64URL_NOPAD.encode(id) })).collect()
}

/// Verifies what the browser answered to `options` with the same challenge. That the credential is not enrolled yet
/// is the store's to say.
///
/// # Errors
/// The first check that failed.
pub fn finish(rp: &RelyingParty, challenge: Digest, response: &Value) -> Result<Registered, PasskeyError> {
    let answer = Credential::<Attestation>::read(response)?;
    let client_data_json = &answer.response.client_data_json.0;
    let attestation_object = &answer.response.object.0;
    let inspected = inspect(&rp.expecting(&challenge), attestation_object, client_data_json)?;
    if inspected.credential_id != answer.credential_id() {
        return Err(PasskeyError::Malformed("rawId is not what was signed"));
    }
    let statement = inspected.statement.clone()?;

    let given = RegisterPublicKeyCredential {
        id: answer.id().to_owned(),
        raw_id: answer.credential_id().to_vec(),
        response: AuthenticatorAttestationResponseRaw {
            attestation_object: without_statement(&inspected)?,
            client_data_json: client_data_json.clone(),
            transports: None,
        },
        type_: "public-key".to_owned(),
        // Unsigned: not even shown to the library.
        extensions: RegistrationExtensionsClientOutputs::default(),
    };
    let state = binding::registration_state(&challenge)?;
    let credential = binding::library(rp)?
        .register_credential(&given, &state, None)
        .map_err(|error| PasskeyError::from_library(&error))?;
    if credential.cred_id != inspected.credential_id || !credential.user_verified {
        return Err(PasskeyError::Malformed("two readings of it differ"));
    }

    Ok(Registered {
        credential: serde_json::to_string(&credential).map_err(|_| PasskeyError::StoredCredential)?,
        public_key_sha256: Digest::of(&inspected.public_key),
        credential_id: inspected.credential_id,
        public_key: inspected.public_key,
        facts: inspected.facts,
        aaguid: inspected.aaguid,
        format: inspected.format,
        statement,
        transports: answer.response.transports(),
        discoverable: answer.discoverable(),
        attestation_object: attestation_object.clone(),
        client_data_json: client_data_json.clone(),
    })
}

/// Every check of a registration; whether the attestation statement verifies is in what comes out.
pub(super) fn inspect(
    expected: &Expected<'_>,
    attestation_object: &[u8],
    client_data_json: &[u8],
) -> Result<Inspected, PasskeyError> {
    client_data::check(client_data_json, Ceremony::Create, expected)?;
    let (format, members, authenticator_data) = open(attestation_object)?;
    let data = AuthenticatorData::parse(&authenticator_data)?;
    let facts = data.facts(expected.rp_id)?;
    let credential = data.attested()?;
    let AttestedCredential { aaguid, credential_id, public_key } = credential;
    PublicKey::parse(public_key)?;
    if format == FIDO_U2F {
        return Err(PasskeyError::PolicyNotMet("a U2F key cannot verify its user".to_owned()));
    }
    let statement = attestation::examine((&format, &members), &authenticator_data, client_data_json, &credential);
    let (credential_id, public_key) = (credential_id.to_vec(), public_key.to_vec());
    Ok(Inspected { credential_id, public_key, facts, aaguid, format, statement, authenticator_data })
}

/// The attestation object that the library gets: it refuses true statements of some formats, so it is shown none.
fn without_statement(inspected: &Inspected) -> Result<Vec<u8>, PasskeyError> {
    let members = [
        ("fmt", Cbor::Text("none".to_owned())),
        ("attStmt", Cbor::Map(BTreeMap::new())),
        ("authData", Cbor::Bytes(inspected.authenticator_data.clone())),
    ];
    let map: BTreeMap<Cbor, Cbor> =
        members.into_iter().map(|(name, value)| (Cbor::Text(name.to_owned()), value)).collect();
    serde_cbor_2::to_vec(&map).map_err(|_| PasskeyError::Library)
}

/// Format, statement and authenticator data.
type Opened = (String, BTreeMap<Cbor, Cbor>, Vec<u8>);

/// Format, statement and authenticator data of an attestation object (WebAuthn L3 §6.5.4).
fn open(attestation_object: &[u8]) -> Result<Opened, PasskeyError> {
    const BAD: PasskeyError = PasskeyError::Malformed("attestationObject");
    if attestation_object.len() > MAX_ATTESTATION_OBJECT {
        return Err(PasskeyError::Malformed("attestationObject is too long"));
    }
    // Our own reader goes first: the other one takes repeated keys and deep nesting.
    if !cbor::is_one_item(attestation_object) {
        return Err(BAD);
    }
    let Ok(Cbor::Map(mut members)) = serde_cbor_2::from_slice(attestation_object) else { return Err(BAD) };
    let mut take = |name: &str| members.remove(&Cbor::Text(name.to_owned()));
    match (take("fmt"), take("attStmt"), take("authData")) {
        (Some(Cbor::Text(format)), Some(Cbor::Map(statement)), Some(Cbor::Bytes(authenticator_data))) => {
            if format == "none" && !statement.is_empty() {
                return Err(PasskeyError::AttestationInvalid("format `none` with a statement".to_owned()));
            }
            if format.len() > MAX_FORMAT {
                return Err(BAD);
            }
            Ok((format, statement, authenticator_data))
        }
        _ => Err(BAD),
    }
}

#[cfg(test)]
mod tests;
