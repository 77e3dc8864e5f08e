//! What is known of a passkey beside its signature: who vouched for it, which model it is, how that model stands today.
//! In: nothing by itself; `passkeys` judges statements, `models` the day. Out: values that `assess` takes.
//! Implements WebAuthn L3 §6.5.4 and FIDO Metadata Statement 3 as far as claims depend on them.
//! Never holds a verdict that the log does not: each stands in the evidence of an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Acr, Assurance, AuthenticatorFacts};
use crate::domain::canonical::Bytes;
use crate::domain::ids::Digest;

/// All that a level follows from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was signed in this ceremony.
    pub facts: AuthenticatorFacts,
    /// What was signed when the passkey was made.
    pub registered: AuthenticatorFacts,
    /// What its attestation proved then.
    pub attestation: &'a Attestation,
    /// How its model stands today.
    pub standing: Standing,
    /// The operator believes every device that says it verified its user.
    pub trust_unattested_uv: bool,
    /// The most that it may carry.
    pub admitted: Option<Admission>,
}

/// The verdict over a registration's attestation, as it was judged then.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Attestation {
    /// There was none.
    #[default]
    None,
    /// Signed with the new key itself.
    SelfAttested,
    /// Signed by a certificate under no root that we trusted.
    Untrusted {
        /// What was missing, in a few words.
        why: String,
    },
    /// Signed under a root that stood for this model.
    Proven(Box<Proof>),
}

/// What a trusted chain proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The model, as the statement signs it.
    pub aaguid: Aaguid,
    /// The certificate that the chain ends in or under, DER.
    pub anchor: Bytes,
    /// Who says that this certificate stands for the model.
    pub source: Source,
    /// What that source said of the model.
    pub model: Model,
    /// Serial numbers of the chain's certificates below the anchor, the signer's first; one of them may be revoked later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// Who says that a root stands for a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The FIDO Metadata Service, in the blob of this number.
    Metadata(u64),
    /// The operator, under this name.
    Configured(String),
}

/// What is said of a model of authenticators.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// How it keeps keys.
    pub key_protection: BTreeSet<KeyProtection>,
    /// How it verifies users: any of these, each all of its methods together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verification: Vec<BTreeSet<Method>>,
    /// The level to which it is certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certification: Option<Certification>,
    /// The overall level of FIPS 140 to which it is validated, 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fips: Option<u8>,
    /// It is a device of its own, never part of the one that it is used at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub roaming: bool,
}

impl Model {
    /// The alternatives that verify a user, each as its verifying methods.
    pub fn verifying(&self) -> impl Iterator<Item = BTreeSet<Method>> + '_ {
        let verifies = |method: &Method| !matches!(method, Method::None | Method::PresenceInternal);
        self.verification
            .iter()
            .map(move |all| all.iter().copied().filter(verifies).collect::<BTreeSet<_>>())
            .filter(|methods| !methods.is_empty())
    }

    /// Whether both verify users in the same ways.
    #[must_use]
    pub fn verifies_as(&self, other: &Self) -> bool {
        self.verifying().collect::<BTreeSet<_>>() == other.verifying().collect()
    }
}

/// How a model keeps keys (FIDO Registry of Predefined Values §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProtection {
    /// In software.
    Software,
    /// In hardware.
    Hardware,
    /// In a trusted execution environment.
    Tee,
    /// In a secure element.
    SecureElement,
    /// With the relying party, wrapped.
    RemoteHandle,
    /// A word that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How a model verifies its user (FIDO Registry of Predefined Values §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A touch, by anybody.
    PresenceInternal,
    /// A fingerprint.
    FingerprintInternal,
    /// A passcode typed at the authenticator.
    PasscodeInternal,
    /// A voice.
    VoiceprintInternal,
    /// A face.
    FaceprintInternal,
    /// A place.
    LocationInternal,
    /// An eye.
    EyeprintInternal,
    /// A drawn pattern.
    PatternInternal,
    /// A hand.
    HandprintInternal,
    /// A passcode typed elsewhere.
    PasscodeExternal,
    /// A pattern drawn elsewhere.
    PatternExternal,
    /// Nothing.
    None,
    /// Everything at once.
    All,
    /// A word that this version does not know.
    #[serde(other)]
    Unknown,
}

/// FIDO's levels of certification, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Certification {
    /// Certified to work, or to level 1.
    L1,
    /// Level 1 plus.
    #[serde(rename = "L1plus")]
    L1Plus,
    /// Level 2.
    L2,
    /// Level 2 plus.
    #[serde(rename = "L2plus")]
    L2Plus,
    /// Level 3.
    L3,
    /// Level 3 plus.
    #[serde(rename = "L3plus")]
    L3Plus,
}

impl Certification {
    /// The level of a word: `L1`, `L1plus`, …
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "L1" => Self::L1,
            "L1plus" => Self::L1Plus,
            "L2" => Self::L2,
            "L2plus" => Self::L2Plus,
            "L3" => Self::L3,
            "L3plus" => Self::L3Plus,
            _ => return None,
        })
    }

    /// As people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L1Plus => "L1plus",
            Self::L2 => "L2",
            Self::L2Plus => "L2plus",
            Self::L3 => "L3",
            Self::L3Plus => "L3plus",
        }
    }
}

/// How a proven model stands today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing is known against it.
    Good,
    /// Its verification of users can be got round.
    VerificationBypassed,
    /// Its keys, or those that vouch for it, are compromised, or it is revoked.
    Compromised,
    /// Whoever vouched for it is not listed (any more).
    #[default]
    Unlisted,
}

/// What admitted a passkey; it never carries more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The level of whoever let it in.
    pub acr: Acr,
    /// Whether that was by several factors.
    pub mfa: bool,
}

impl From<&Assurance> for Admission {
    fn from(by: &Assurance) -> Self {
        Self { acr: by.acr, mfa: by.amr.contains("mfa") }
    }
}

/// What a passkey's entry in the log keeps beside its registration: evidence `attestation`. Absent, there was none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// The verdict.
    pub attestation: Attestation,
    /// What admitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admission>,
}

impl Vouched {
    /// Whether what admitted it proved no hardware, so that it proves none either.
    #[must_use]
    pub fn is_admitted_by_weaker(&self) -> bool {
        self.admitted.is_some_and(|admitted| admitted.acr < Acr::Phrh)
    }
}

/// What was known on the day of a token, of its keys: evidence `standing` of its entry. Absent, nothing was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Today {
    /// How the models of proven keys stood, by the keys' SHA-256.
    pub keys: BTreeMap<Digest, Standing>,
    /// Whether verification that nobody attests counted.
    pub trust_unattested_uv: bool,
}

/// The id of a model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Aaguid(pub [u8; 16]);

impl Aaguid {
    /// Reads 32 hexadecimal digits with or without the four hyphens of a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(at, _)| at);
        if !matches!(hyphens.collect::<Vec<_>>().as_slice(), [] | [8, 13, 18, 23]) {
            return None;
        }
        let digits = text.to_ascii_lowercase().replace('-', "");
        HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Aaguid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Aaguid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no AAGUID"))
    }
}
