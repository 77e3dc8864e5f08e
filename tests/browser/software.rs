//! Passkeys that both software and Chromium's virtual authenticator can hold.
//! In: what the software drew by chance. Out: the passkey as WebDriver takes it.
//! Implements WebDriver's `add credential` (WebAuthn L3 §11.5).
//! Never knows a server.

use std::sync::{Arc, Mutex};

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::crypto::random;
use data_encoding::BASE64URL_NOPAD;
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};

pub type Drawn = Arc<Mutex<Vec<u8>>>;

/// A software authenticator that remembers what it drew: first its private key, then the credential's id.
pub fn software(url: &str) -> (SoftAuthenticator, Drawn) {
    let drawn = Drawn::default();
    let kept = Arc::clone(&drawn);
    let draw = Box::new(move |bytes: &mut [u8]| {
        random::fill(bytes).unwrap();
        kept.lock().unwrap().extend_from_slice(bytes);
    });
    (SoftAuthenticator::new(url, draw), drawn)
}

/// A passkey as WebDriver's `add credential` takes it (WebAuthn L3 §11.5).
pub fn credential(drawn: &[u8], user_handle: &str) -> Value {
    let (scalar, id) = drawn.split_at(32);
    let key = p256::SecretKey::from_slice(scalar).unwrap().to_pkcs8_der().unwrap();
    json!({
        "credentialId": BASE64URL_NOPAD.encode(id),
        "isResidentCredential": true,
        "rpId": "localhost",
        "privateKey": BASE64URL_NOPAD.encode(key.as_bytes()),
        "userHandle": user_handle,
        "signCount": 1,
    })
}

/// The same passkey in a key that holds no account: no browser can offer it without its id.
pub fn without_account(credential: &Value) -> Value {
    let mut credential = credential.clone();
    credential["isResidentCredential"] = json!(false);
    credential.as_object_mut().unwrap().remove("userHandle");
    credential
}

/// A passkey that no server knows.
pub fn stranger() -> Value {
    let drawn = random::bytes::<64>().unwrap();
    credential(&drawn, &BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap()))
}
