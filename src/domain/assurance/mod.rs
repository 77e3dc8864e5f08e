//! Assurance: what an authentication proves, as `amr`, `acr`, `auth_time`, and why not more.
//! In: what an authenticator signed. Out: values that never over-claim.
//! Implements RFC 8176, OpenID EAP ACR Values 1.0, facts of WebAuthn L3 §6.1.
//! Never trusts what was not signed in this ceremony.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// OpenID EAP ACR Values 1.0, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acr {
    /// Phishing-resistant.
    Phr,
    /// Phishing-resistant, hardware-protected.
    Phrh,
}

impl Acr {
    /// As the claim spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phr => "phr",
            Self::Phrh => "phrh",
        }
    }
}

impl fmt::Display for Acr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one verified ceremony's signed bytes say. UP, UV, origin, RP id and signature were checked before one exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticatorFacts {
    /// BE: the key may be copied to other devices (WebAuthn L3 §6.1.3).
    pub backup_eligible: bool,
    /// BS: it has been.
    pub backup_state: bool,
    /// The signature counter.
    pub counter: u32,
}

/// What an authentication proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assurance {
    /// Authentication methods, sorted (RFC 8176).
    pub amr: BTreeSet<String>,
    /// The level reached.
    pub acr: Acr,
    /// When the person signed.
    pub auth_time: Timestamp,
    /// Why a stronger value is absent: `{"hwk": "no_attestation"}`.
    pub amr_missing: BTreeMap<String, String>,
}
