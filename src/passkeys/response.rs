//! The JSON that `credential.toJSON()` gives in a browser.
//! In: JSON from a page. Out: bytes.
//! Implements WebAuthn L3 §5.1 `RegistrationResponseJSON` and `AuthenticationResponseJSON`.
//! Never lets an extension output or an unknown member through: nothing unsigned is evidence.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

use super::error::PasskeyError;
use crate::domain::canonical::Bytes;

/// Most transports that are kept.
pub const MAX_TRANSPORTS: usize = 8;

/// The transports that WebAuthn L3 §5.8.4 names.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// What both kinds share.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential<R> {
    id: String,
    raw_id: Bytes,
    #[serde(rename = "type")]
    kind: String,
    /// The authenticator's part.
    pub response: R,
    #[serde(default)]
    client_extension_results: Value,
}

/// The authenticator's part of a registration.
#[derive(Debug, Deserialize)]
pub struct Attestation {
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Bytes,
    #[serde(rename = "attestationObject")]
    pub object: Bytes,
    #[serde(default)]
    transports: Value,
}

/// The authenticator's part of an assertion.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    #[serde(rename = "clientDataJSON")]
    pub client_data_json: Bytes,
    pub authenticator_data: Bytes,
    pub signature: Bytes,
    #[serde(default)]
    pub user_handle: Option<Bytes>,
}

impl<'a, R: Deserialize<'a>> Credential<R> {
    /// Reads the members that we know.
    pub fn read(value: &'a Value) -> Result<Self, PasskeyError> {
        let read =
            Self::deserialize(value).map_err(|_| PasskeyError::Malformed("a member is missing or not base64url"))?;
        if read.kind != "public-key" {
            return Err(PasskeyError::Malformed("type"));
        }
        if read.id != BASE64URL_NOPAD.encode(&read.raw_id.0) {
            return Err(PasskeyError::Malformed("id"));
        }
        Ok(read)
    }

    /// The credential id.
    pub fn credential_id(&self) -> &[u8] {
        &self.raw_id.0
    }

    /// The id as text.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the client says about discoverability; its word only.
    pub fn discoverable(&self) -> Option<bool> {
        self.client_extension_results.get("credProps")?.get("rk")?.as_bool()
    }
}

impl Attestation {
    /// How the client says the authenticator can be reached; its word only.
    pub fn transports(&self) -> Vec<String> {
        let listed = self.transports.as_array().map(Vec::as_slice).unwrap_or_default();
        let known = listed.iter().filter_map(Value::as_str).filter(|name| TRANSPORTS.contains(name));
        known.take(MAX_TRANSPORTS).map(str::to_owned).collect()
    }
}
