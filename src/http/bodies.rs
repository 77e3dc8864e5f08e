//! What our pages send about passkeys, wherever the page is.
//! In: JSON. Out: its members, and no others.
//! Implements WebAuthn L3 §5.1 (an answer as `toJSON` gives it).
//! Never reads what an authenticator says: `passkeys` does.

use serde::Deserialize;
use serde_json::Value;

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyBody {}

/// A browser's answer to a ceremony.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyBody {
    /// The ceremony's id.
    pub ceremony: String,
    /// What the browser answered.
    pub response: Value,
}

/// Where a browser takes messages, as `PushSubscription.toJSON` gives it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// Its address.
    pub endpoint: String,
    /// Its public key.
    pub p256dh: String,
    /// Its authentication secret.
    pub auth: String,
}

/// A name for a passkey.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameBody {
    /// As its owner calls it.
    pub name: String,
}
