//! Device policies: which passkeys are good enough, by what is proven of them.
//! In: a policy, a passkey's device. Out: what it misses, and what would do.
//! Implements DESIGN §11 (device policies); several policies apply all at once, so the strictest wins.
//! Never takes an unproven word: what a policy demands of a model needs the proof of its maker.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::evidence::{Aaguid, Attestation, Certification, KeyProtection, Method, Proof, Standing};

/// Most models that a policy lists.
pub const MAX_POLICY_AAGUIDS: usize = 200;

/// A policy. Its canonical JSON is part of every rule that names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePolicy {
    /// Its name.
    pub name: String,
    /// Only these models; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub aaguids: BTreeSet<Aaguid>,
    /// At least certified to this level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certification: Option<Certification>,
    /// At least validated to this overall level of FIPS 140, 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fips: Option<u8>,
    /// The model keeps keys in all of these ways.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub key_protection: BTreeSet<KeyProtection>,
    /// The model verifies its user in none but these ways.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub verification: BTreeSet<Method>,
    /// Only devices of their own, such as security keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub roaming: bool,
    /// The maker must vouch.
    pub attestation: bool,
    /// Keys that can be copied are taken.
    pub synced: bool,
}

/// A passkey's device, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// What its attestation proved.
    pub attestation: Attestation,
    /// How its model stands today.
    pub standing: Standing,
    /// Its key may be copied.
    pub synced: bool,
    /// Whatever admitted it proved no hardware, so its maker's proof counts for no signature.
    pub admitted_by_weaker: bool,
}

/// What a device misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Of which policy.
    pub policy: String,
    /// What, as a clause: `its key can be copied`.
    pub what: String,
    /// What would do, as a request: `use a hardware security key`.
    pub cure: String,
}

impl Device {
    /// What is proven of its model, and holds today.
    fn proven(&self) -> Option<&Proof> {
        match (&self.attestation, self.standing) {
            (Attestation::Proven(proof), Standing::Good | Standing::VerificationBypassed)
                if !self.admitted_by_weaker =>
            {
                Some(proof)
            }
            _ => None,
        }
    }
}

impl DevicePolicy {
    /// Whether it asks for what only a maker's proof can show.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        !self.aaguids.is_empty()
            || self.certification.is_some()
            || self.fips.is_some()
            || !self.key_protection.is_empty()
            || !self.verification.is_empty()
            || self.roaming
            || !self.synced
    }

    /// What a device misses of it; `None` where it is good enough.
    #[must_use]
    pub fn miss(&self, device: &Device) -> Option<Miss> {
        let miss = |what: &str| {
            Some(Miss { policy: self.name.clone(), what: what.to_owned(), cure: format!("use {}", self.wanted()) })
        };
        if device.synced && !self.synced {
            return miss("its key can be copied to other devices");
        }
        if !self.attestation && !self.needs_proof() {
            return None;
        }
        let Some(proof) = device.proven() else {
            return miss(match (&device.attestation, device.standing) {
                (Attestation::None, _) => "it sent no proof from its maker",
                (Attestation::SelfAttested, _) => "it vouched for itself alone",
                (Attestation::Proven(_), Standing::Compromised) => "its model is revoked or compromised",
                (Attestation::Proven(_), _) if device.admitted_by_weaker => "it was added under a weaker passkey",
                _ => "no maker that this server trusts vouches for it",
            });
        };
        let model = &proof.model;
        if !self.aaguids.is_empty() && !self.aaguids.contains(&proof.aaguid) {
            return miss("its model is not on the list");
        }
        if self.certification.is_some_and(|least| model.certification.is_none_or(|level| level < least)) {
            return miss("its model is not certified to that level");
        }
        if self.fips.is_some_and(|least| model.fips.is_none_or(|level| level < least)) {
            return miss("its model is not validated to that level of FIPS 140");
        }
        if !self.key_protection.is_subset(&model.key_protection) {
            return miss("its model does not keep keys in that way");
        }
        if !self.verification.is_empty() {
            let mut ways = model.verifying().peekable();
            let other = device.standing == Standing::VerificationBypassed || ways.peek().is_none();
            if other || !ways.all(|methods| methods.is_subset(&self.verification)) {
                return miss("its model does not verify its user in that way alone");
            }
        }
        if self.roaming && !model.roaming {
            return miss("its model is not a device of its own");
        }
        None
    }

    /// What would do, as a noun phrase.
    #[must_use]
    pub fn wanted(&self) -> String {
        let mut wanted = if self.roaming || self.key_protection.contains(&KeyProtection::Hardware) {
            "a hardware security key".to_owned()
        } else if self.synced {
            "a phone, laptop or security key".to_owned()
        } else {
            "a security key, or a device that keeps its keys to itself".to_owned()
        };
        if self.attestation {
            wanted.push_str(" with proof from its maker");
        }
        if let Some(level) = self.certification {
            wanted.extend([", certified to FIDO ", level.as_str(), " or higher"]);
        }
        if let Some(level) = self.fips {
            wanted.extend([", validated to FIPS 140 level ", &level.to_string(), " or higher"]);
        }
        if !self.aaguids.is_empty() {
            wanted.push_str(", of a model on the list");
        }
        wanted
    }
}

/// The first policy that a new passkey's device misses. Whatever admits it is held against its signatures, not here.
pub fn first_miss<'a>(policies: impl IntoIterator<Item = &'a DevicePolicy>, device: &Device) -> Option<Miss> {
    let device = Device { admitted_by_weaker: false, ..device.clone() };
    policies.into_iter().find_map(|policy| policy.miss(&device))
}

#[cfg(test)]
mod tests;
