//! A software authenticator behind a software browser: real ES256 passkeys without a person.
//! In: the options a page gets. Out: what `credential.toJSON()` would give in a browser.
//! Implements the client's and authenticator's side of WebAuthn L3 §5.1.3, §5.1.4, §6.1, §6.5.
//! Never part of a server: whoever holds it holds its keys. It claims no model and no attested hardware.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePublicKey;
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};
use url::Url;

use crate::domain::ids::Digest;

/// Fills the slice with random bytes.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// COSE's number of ES256.
const ES256: i64 = -7;

/// How it behaves; every field except the default is a lie that a relying party has to notice.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of the flags byte (WebAuthn L3 §6.1)")]
pub struct Behaviour {
    /// UP.
    pub user_present: bool,
    /// UV.
    pub user_verified: bool,
    /// BE.
    pub backup_eligible: bool,
    /// BS.
    pub backup_state: bool,
    /// Added to the counter before each assertion; zero behaves as synced passkeys do.
    pub counter_step: i64,
    /// Another origin in the client data.
    pub origin: Option<String>,
    /// Another `type` in the client data.
    pub ceremony: Option<String>,
    /// `crossOrigin` in the client data; `None` leaves it out.
    pub cross_origin: Option<bool>,
    /// `topOrigin` in the client data.
    pub top_origin: Option<String>,
    /// Another RP id in the authenticator data.
    pub rp_id: Option<String>,
    /// The user handle of an assertion.
    pub user_handle: UserHandle,
    /// The model that a registration claims.
    pub aaguid: [u8; 16],
    /// The algorithm that the public key of a registration claims.
    pub algorithm: i64,
    /// Length of new credential ids.
    pub credential_id_length: usize,
    /// How a registration is attested.
    pub attestation: Attestation,
    /// Flag bits set besides the others.
    pub extra_flags: u8,
    /// Bytes behind the authenticator data.
    pub trailing: Vec<u8>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            user_present: true,
            user_verified: true,
            backup_eligible: false,
            backup_state: false,
            counter_step: 1,
            origin: None,
            ceremony: None,
            cross_origin: Some(false),
            top_origin: None,
            rp_id: None,
            user_handle: UserHandle::Own,
            aaguid: [0; 16],
            algorithm: ES256,
            credential_id_length: 32,
            attestation: Attestation::None,
            extra_flags: 0,
            trailing: Vec::new(),
        }
    }
}

/// The user handle of an assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserHandle {
    /// The one of the registration.
    Own,
    /// None.
    Absent,
    /// Somebody else's.
    Other(Vec<u8>),
}

/// How a registration is attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// `none`.
    None,
    /// `packed`, signed with the new key itself.
    PackedSelf,
    /// A format by name with an empty statement.
    Named(String),
}

struct Resident {
    rp_id: String,
    user_handle: Vec<u8>,
    credential_id: Vec<u8>,
    key: SigningKey,
    counter: u32,
}

/// An authenticator with its browser, open at one origin.
pub struct SoftAuthenticator {
    origin: String,
    random: Random,
    residents: Vec<Resident>,
    /// How it behaves from here on.
    pub behaviour: Behaviour,
}

impl std::fmt::Debug for SoftAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftAuthenticator")
            .field("origin", &self.origin)
            .field("passkeys", &self.residents.len())
            .finish_non_exhaustive()
    }
}

impl SoftAuthenticator {
    /// An empty authenticator, with a page open at `origin`.
    #[must_use]
    pub fn new(origin: &str, random: Random) -> Self {
        Self { origin: origin.to_owned(), random, residents: Vec::new(), behaviour: Behaviour::default() }
    }

    /// `navigator.credentials.create`.
    ///
    /// # Errors
    /// A sentence, where a browser would throw.
    pub fn create(&mut self, options: &Value) -> Result<Value, String> {
        let options = public_key(options)?;
        let rp_id = text(options, "/rp/id")?.to_owned();
        self.check_rp_id(&rp_id)?;
        let offered = options.get("pubKeyCredParams").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !offered.iter().any(|parameter| parameter.get("alg").and_then(Value::as_i64) == Some(ES256)) {
            return Err("NotSupportedError: ES256 is not offered".to_owned());
        }
        let excluded = ids(options, "excludeCredentials")?;
        if self.residents.iter().any(|held| held.rp_id == rp_id && excluded.contains(&held.credential_id)) {
            return Err("InvalidStateError: a passkey of the list is held here already".to_owned());
        }
        let user_handle = decode(text(options, "/user/id")?)?;
        let client_data = self.client_data("webauthn.create", text(options, "/challenge")?);

        let key = self.new_key()?;
        let mut credential_id = vec![0; self.behaviour.credential_id_length];
        (self.random)(&mut credential_id);
        let authenticator_data = self.attested_data(&rp_id, &credential_id, &key)?;
        let attestation_object = self.attest(&key, &authenticator_data, &client_data)?;
        let public_key = key.verifying_key().to_public_key_der().map_err(|e| e.to_string())?;
        let answer = json!({
            "id": encode(&credential_id),
            "rawId": encode(&credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": { "credProps": { "rk": true } },
            "response": {
                "clientDataJSON": encode(&client_data),
                "attestationObject": encode(&attestation_object),
                "authenticatorData": encode(&authenticator_data),
                "publicKey": encode(public_key.as_bytes()),
                "publicKeyAlgorithm": self.behaviour.algorithm,
                "transports": ["internal"],
            },
        });
        // One passkey for each account, as authenticators do (CTAP 2.1 §6.1.2).
        self.residents.retain(|held| held.rp_id != rp_id || held.user_handle != user_handle);
        self.residents.push(Resident { rp_id, user_handle, credential_id, key, counter: 0 });
        Ok(answer)
    }

    /// `navigator.credentials.get`; without a list the newest passkey for the RP id answers.
    ///
    /// # Errors
    /// A sentence, where a browser would throw.
    pub fn get(&mut self, options: &Value) -> Result<Value, String> {
        let options = public_key(options)?;
        let rp_id = text(options, "/rpId")?;
        self.check_rp_id(rp_id)?;
        let client_data = self.client_data("webauthn.get", text(options, "/challenge")?);
        let allowed = ids(options, "allowCredentials")?;
        let step = self.behaviour.counter_step;
        let held = self
            .residents
            .iter_mut()
            .rev()
            .find(|held| held.rp_id == rp_id && (allowed.is_empty() || allowed.contains(&held.credential_id)))
            .ok_or_else(|| format!("NotAllowedError: no passkey for `{rp_id}` here"))?;
        held.counter = u32::try_from(i64::from(held.counter).saturating_add(step).max(0)).unwrap_or(u32::MAX);
        let (key, counter) = (held.key.clone(), held.counter);
        let (credential_id, own_handle) = (held.credential_id.clone(), held.user_handle.clone());

        let mut authenticator_data = self.fixed_data(rp_id, 0, counter);
        authenticator_data.extend_from_slice(&self.behaviour.trailing);
        let signature = sign(&key, &authenticator_data, &client_data);
        let user_handle = match &self.behaviour.user_handle {
            UserHandle::Own => Some(own_handle),
            UserHandle::Absent => None,
            UserHandle::Other(handle) => Some(handle.clone()),
        };
        let mut response = json!({
            "clientDataJSON": encode(&client_data),
            "authenticatorData": encode(&authenticator_data),
            "signature": encode(&signature),
        });
        if let (Some(handle), Some(members)) = (user_handle, response.as_object_mut()) {
            members.insert("userHandle".to_owned(), encode(&handle).into());
        }
        Ok(json!({
            "id": encode(&credential_id),
            "rawId": encode(&credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }))
    }

    /// A page may only use RP ids that its own host ends in (HTML, "registrable domain suffix").
    fn check_rp_id(&self, rp_id: &str) -> Result<(), String> {
        let url = Url::parse(&self.origin).map_err(|_| format!("SecurityError: `{}` is no origin", self.origin))?;
        let host = url.host_str().unwrap_or_default();
        if host == rp_id || host.ends_with(&format!(".{rp_id}")) {
            Ok(())
        } else {
            Err(format!("SecurityError: `{rp_id}` does not belong to `{}`", self.origin))
        }
    }

    /// The client data in the serialisation of WebAuthn L3 §5.8.1.1.
    fn client_data(&self, ceremony: &str, challenge: &str) -> Vec<u8> {
        let behaviour = &self.behaviour;
        let string = |text: &str| Value::from(text).to_string();
        let mut members = vec![
            ("type", string(behaviour.ceremony.as_deref().unwrap_or(ceremony))),
            ("challenge", string(challenge)),
            ("origin", string(behaviour.origin.as_deref().unwrap_or(&self.origin))),
        ];
        members.extend(behaviour.cross_origin.map(|is| ("crossOrigin", is.to_string())));
        members.extend(behaviour.top_origin.as_deref().map(|origin| ("topOrigin", string(origin))));
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    /// RP id hash, flags and counter.
    fn fixed_data(&self, rp_id: &str, flags: u8, counter: u32) -> Vec<u8> {
        let behaviour = &self.behaviour;
        let bits = [
            (behaviour.user_present, 0x01),
            (behaviour.user_verified, 0x04),
            (behaviour.backup_eligible, 0x08),
            (behaviour.backup_state, 0x10),
        ];
        let flags = bits.iter().filter(|(set, _)| *set).fold(flags | behaviour.extra_flags, |all, (_, bit)| all | bit);
        let rp_id = behaviour.rp_id.as_deref().unwrap_or(rp_id);
        let mut data = Digest::of(rp_id.as_bytes()).as_bytes().to_vec();
        data.push(flags);
        data.extend_from_slice(&counter.to_be_bytes());
        data
    }

    fn attested_data(&self, rp_id: &str, credential_id: &[u8], key: &SigningKey) -> Result<Vec<u8>, String> {
        let length = u16::try_from(credential_id.len()).map_err(|_| "the credential id is too long".to_owned())?;
        let mut data = self.fixed_data(rp_id, 0x40, 0);
        data.extend_from_slice(&self.behaviour.aaguid);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(credential_id);
        data.extend_from_slice(&self.cose_key(key)?);
        data.extend_from_slice(&self.behaviour.trailing);
        Ok(data)
    }

    fn cose_key(&self, key: &SigningKey) -> Result<Vec<u8>, String> {
        let point = key.verifying_key().to_sec1_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else {
            return Err("the key has no coordinates".to_owned());
        };
        let members: [(i64, Cbor); 5] = [
            (1, Cbor::Integer(2)),
            (3, Cbor::Integer(self.behaviour.algorithm.into())),
            (-1, Cbor::Integer(1)),
            (-2, Cbor::Bytes(x.to_vec())),
            (-3, Cbor::Bytes(y.to_vec())),
        ];
        let map: BTreeMap<Cbor, Cbor> = members.into_iter().map(|(label, value)| (label.into(), value)).collect();
        serde_cbor_2::to_vec(&map).map_err(|e| e.to_string())
    }

    fn attest(&self, key: &SigningKey, authenticator_data: &[u8], client_data: &[u8]) -> Result<Vec<u8>, String> {
        let mut statement = BTreeMap::new();
        let format = match &self.behaviour.attestation {
            Attestation::None => "none",
            Attestation::Named(format) => format,
            Attestation::PackedSelf => {
                statement.insert(Cbor::Text("alg".to_owned()), Cbor::Integer(self.behaviour.algorithm.into()));
                let signature = sign(key, authenticator_data, client_data);
                statement.insert(Cbor::Text("sig".to_owned()), Cbor::Bytes(signature));
                "packed"
            }
        };
        let members = [
            ("fmt", Cbor::Text(format.to_owned())),
            ("attStmt", Cbor::Map(statement)),
            ("authData", Cbor::Bytes(authenticator_data.to_vec())),
        ];
        let map: BTreeMap<Cbor, Cbor> =
            members.into_iter().map(|(name, value)| (Cbor::Text(name.to_owned()), value)).collect();
        serde_cbor_2::to_vec(&map).map_err(|e| e.to_string())
    }

    fn new_key(&mut self) -> Result<SigningKey, String> {
        // A scalar out of range comes once in 2^32 draws; more than a few mean a source that is not random.
        for _ in 0..8 {
            let mut scalar = [0; 32];
            (self.random)(&mut scalar);
            if let Ok(key) = SigningKey::from_slice(&scalar) {
                return Ok(key);
            }
        }
        Err("the source of random bytes gives no usable key".to_owned())
    }
}

fn sign(key: &SigningKey, authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    let signed = [authenticator_data, Digest::of(client_data).as_bytes()].concat();
    let signature: DerSignature = key.sign(&signed);
    signature.as_bytes().to_vec()
}

fn public_key(options: &Value) -> Result<&Value, String> {
    options.get("publicKey").ok_or_else(|| "TypeError: the options have no `publicKey`".to_owned())
}

fn text<'a>(options: &'a Value, path: &str) -> Result<&'a str, String> {
    options.pointer(path).and_then(Value::as_str).ok_or_else(|| format!("TypeError: the options have no `{path}`"))
}

/// The ids of a list of credential descriptors; none where there is no list.
fn ids(options: &Value, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let listed = options.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    listed.iter().map(|descriptor| decode(text(descriptor, "/id")?)).collect()
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| format!("TypeError: `{text}` is not base64url"))
}
