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

/// `amr`: proof of possession of a key, hardware or software unspecified (OpenID EAP ACR Values 1.0).
const POP: &str = "pop";
/// `amr`: user presence test (RFC 8176 §2).
const USER: &str = "user";
/// `amr`: software-secured key (RFC 8176 §2). A lower bound for a key that may be copied.
const SWK: &str = "swk";
/// `amr`: hardware-secured key (RFC 8176 §2).
const HWK: &str = "hwk";
/// `amr`: multiple factors (RFC 8176 §2).
const MFA: &str = "mfa";

/// What a verified ceremony of a passkey proves: `facts` are of this ceremony, `registered` of its registration.
///
/// No attestation counts here, so neither `hwk` nor `mfa` is reached, and one reason holds for both: the first that
/// applies of `backup_eligible` and `no_attestation`. `uv_unattested` would be the reason for `mfa` only where
/// hardware is proven and verification is not; before that point the missing proof of hardware comes first.
#[must_use]
pub fn assess(facts: &AuthenticatorFacts, registered: &AuthenticatorFacts, auth_time: Timestamp) -> Assurance {
    let copyable = facts.backup_eligible || registered.backup_eligible;
    let mut amr = BTreeSet::from([POP.to_owned(), USER.to_owned()]);
    if copyable {
        amr.insert(SWK.to_owned());
    }
    let reason = if copyable { "backup_eligible" } else { "no_attestation" };
    let amr_missing = [HWK, MFA].map(|value| (value.to_owned(), reason.to_owned())).into();
    Assurance { amr, acr: Acr::Phr, auth_time, amr_missing }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(backup_eligible: bool, backup_state: bool) -> AuthenticatorFacts {
        AuthenticatorFacts { backup_eligible, backup_state, counter: 1 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn amr(assurance: &Assurance) -> Vec<&str> {
        assurance.amr.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_device_bound_key_without_attestation_proves_possession_and_touch() {
        let proven = assess(&facts(false, false), &facts(false, false), at(7));
        assert_eq!(amr(&proven), ["pop", "user"]);
        assert_eq!((proven.acr, proven.auth_time), (Acr::Phr, at(7)));
        assert_eq!(proven.amr_missing["hwk"], "no_attestation");
        assert_eq!(proven.amr_missing["mfa"], "no_attestation");
    }

    #[test]
    fn a_key_that_is_or_was_backup_eligible_is_a_software_key() {
        for (now, then) in [(true, true), (true, false), (false, true)] {
            let proven = assess(&facts(now, false), &facts(then, false), at(7));
            assert_eq!(amr(&proven), ["pop", "swk", "user"]);
            assert_eq!(proven.acr, Acr::Phr);
            assert_eq!(proven.amr_missing["hwk"], "backup_eligible");
        }
    }

    proptest! {
        #[test]
        fn attack_059_without_attestation_neither_hwk_nor_phrh(now: (bool, bool), then: (bool, bool), counter: u32) {
            let this = AuthenticatorFacts { counter, ..facts(now.0, now.1) };
            let proven = assess(&this, &facts(then.0, then.1), at(0));
            prop_assert!(["hwk", "mfa", "pin", "fpt", "face"].iter().all(|value| !proven.amr.contains(*value)));
            prop_assert_eq!(proven.acr, Acr::Phr);
            prop_assert!(proven.amr_missing.contains_key("hwk") && proven.amr_missing.contains_key("mfa"));
        }
    }
}
