//! Assurance: what an authentication proves, as `amr`, `acr`, `auth_time`, and why not more.
//! In: what an authenticator signed, and what is proven of its model. Out: values that never over-claim.
//! Implements RFC 8176, OpenID EAP ACR Values 1.0, facts of WebAuthn L3 §6.1; the table of docs/amr.md.
//! Never trusts what was not signed in this ceremony, nor a model that no chain of certificates proves.

pub mod evidence;
pub mod models;
pub mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use evidence::{Attestation, Evidence, KeyProtection, Method, Model, Standing};

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

    /// Reads the spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Phr, Self::Phrh].into_iter().find(|level| level.as_str() == text)
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

/// Why `hwk` or `mfa` is absent; the first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The key may be copied, or might be when it was made.
    BackupEligible,
    /// It came without a statement of its maker.
    NoAttestation,
    /// Its statement is signed by itself.
    SelfAttestation,
    /// No certificate that we trust stands above its statement.
    ChainUntrusted,
    /// Its model is known to be broken.
    Status,
    /// Its model does not keep keys in hardware.
    SoftwareKey,
    /// Nobody but the device says that it verified its user.
    UvUnattested,
    /// Whatever admitted it was weaker.
    AdmittedByWeaker,
}

impl Reason {
    /// As `amr_missing` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackupEligible => "backup_eligible",
            Self::NoAttestation => "no_attestation",
            Self::SelfAttestation => "self_attestation",
            Self::ChainUntrusted => "chain_untrusted",
            Self::Status => "status",
            Self::SoftwareKey => "software_key",
            Self::UvUnattested => "uv_unattested",
            Self::AdmittedByWeaker => "admitted_by_weaker",
        }
    }

    /// As a page and a terminal say it, after `not hwk: ` or `not mfa: `; `None` for a word that is not one of these.
    #[must_use]
    pub fn sentence(word: &str) -> Option<&'static str> {
        let all = [
            (Self::BackupEligible, "the key can be copied to other devices"),
            (Self::NoAttestation, "the key sent no attestation"),
            (Self::SelfAttestation, "the key vouched for itself alone"),
            (Self::ChainUntrusted, "no maker that this server trusts vouches for the key"),
            (Self::Status, "the key's model is known to be broken"),
            (Self::SoftwareKey, "the key's model does not keep keys in hardware"),
            (Self::UvUnattested, "nobody but the device says that it checked its user"),
            (Self::AdmittedByWeaker, "the key was added under a weaker one"),
        ];
        all.into_iter().find(|(reason, _)| reason.as_str() == word).map(|(_, sentence)| sentence)
    }
}

/// What a verified ceremony of a passkey proves.
///
/// | evidence | `amr` | `acr` |
/// | --- | --- | --- |
/// | any verified ceremony | `pop user` | `phr` |
/// | backup eligible, now or at registration | `pop swk user` | `phr` |
/// | no attestation, self attestation, a chain that is not trusted | `pop user` | `phr` |
/// | proven model, clean today, keys in hardware alone | `pop hwk user` | `phrh` |
/// | proven model, keys (also) in software | `pop swk user` | `phr` |
/// | proven hardware whose model verifies users | `+ mfa` | `phrh` |
/// | … by PIN or pattern alone, by fingerprint, face or voice alone | `+ pin`, `fpt`, `face`, `vbm` | `phrh` |
/// | verification that nobody attests, where the operator trusts it | `+ mfa` | as without |
///
/// A passkey never carries more than what admitted it.
#[must_use]
pub fn assess(evidence: &Evidence<'_>, auth_time: Timestamp) -> Assurance {
    let hardware = hardware(evidence);
    let verified = verified(evidence, hardware);
    let mut amr = BTreeSet::from([POP, USER]);
    if copyable(evidence) || (hardware == Err(Reason::SoftwareKey) && says_software(evidence.attestation)) {
        amr.insert(SWK);
    }
    let weaker = |capped: bool| if capped { Err(Reason::AdmittedByWeaker) } else { Ok(()) };
    let cap = evidence.admitted;
    let hwk = hardware.and_then(|_| weaker(cap.is_some_and(|cap| cap.acr < Acr::Phrh)));
    let mfa = verified.and_then(|attested| weaker(cap.is_some_and(|cap| !cap.mfa)).map(|()| attested));
    let mut amr_missing = BTreeMap::new();
    match hwk {
        Ok(()) => drop(amr.insert(HWK)),
        Err(reason) => drop(amr_missing.insert(HWK.to_owned(), reason.as_str().to_owned())),
    }
    match mfa {
        Ok(attested) => {
            amr.insert(MFA);
            amr.extend(attested.filter(|_| hwk.is_ok()).and_then(only_method));
        }
        Err(reason) => drop(amr_missing.insert(MFA.to_owned(), reason.as_str().to_owned())),
    }
    let acr = if hwk.is_ok() { Acr::Phrh } else { Acr::Phr };
    Assurance { amr: amr.into_iter().map(str::to_owned).collect(), acr, auth_time, amr_missing }
}

fn copyable(evidence: &Evidence<'_>) -> bool {
    evidence.facts.backup_eligible || evidence.registered.backup_eligible
}

fn says_software(attestation: &Attestation) -> bool {
    matches!(attestation, Attestation::Proven(proof) if proof.model.key_protection.contains(&KeyProtection::Software))
}

/// The model that keeps this key in hardware, where that is proven.
fn hardware<'a>(evidence: &Evidence<'a>) -> Result<&'a Model, Reason> {
    if copyable(evidence) {
        return Err(Reason::BackupEligible);
    }
    let proof = match evidence.attestation {
        Attestation::None => return Err(Reason::NoAttestation),
        Attestation::SelfAttested => return Err(Reason::SelfAttestation),
        Attestation::Untrusted { .. } => return Err(Reason::ChainUntrusted),
        Attestation::Proven(proof) => proof,
    };
    match evidence.standing {
        Standing::Unlisted => return Err(Reason::ChainUntrusted),
        Standing::Compromised => return Err(Reason::Status),
        Standing::Good | Standing::VerificationBypassed => {}
    }
    let kept = &proof.model.key_protection;
    if kept.contains(&KeyProtection::Hardware) && !kept.contains(&KeyProtection::Software) {
        Ok(&proof.model)
    } else {
        Err(Reason::SoftwareKey)
    }
}

/// Whether verification of the user counts: by the model that verifies, or on the operator's word without one.
fn verified<'a>(evidence: &Evidence<'_>, hardware: Result<&'a Model, Reason>) -> Result<Option<&'a Model>, Reason> {
    let broken = matches!(evidence.standing, Standing::Compromised | Standing::VerificationBypassed);
    let attested = match hardware {
        Ok(_) if evidence.standing == Standing::VerificationBypassed => Err(Reason::Status),
        Ok(model) if model.verifying().next().is_some() => Ok(Some(model)),
        Ok(_) => Err(Reason::UvUnattested),
        Err(reason) => Err(reason),
    };
    if attested.is_err() && evidence.trust_unattested_uv && !broken { Ok(None) } else { attested }
}

/// The `amr` of the one way in which a model can verify its user; none where there are several.
fn only_method(model: &Model) -> Option<&'static str> {
    let methods: BTreeSet<Method> = model.verifying().flatten().collect();
    let all = |allowed: &[Method]| !methods.is_empty() && methods.iter().all(|method| allowed.contains(method));
    if all(&[Method::PasscodeInternal, Method::PasscodeExternal, Method::PatternInternal]) {
        Some("pin")
    } else if all(&[Method::FingerprintInternal]) {
        Some("fpt")
    } else if all(&[Method::FaceprintInternal]) {
        Some("face")
    } else if all(&[Method::VoiceprintInternal]) {
        Some("vbm")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
