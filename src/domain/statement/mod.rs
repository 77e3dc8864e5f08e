//! The statement: what a passkey signs, as canonical bytes, and the challenge over them.
//! In: a request, a decision, a nonce, the time. Out: `Statement`, its RFC 8785 bytes, their SHA-256.
//! Implements DESIGN §6 and WebAuthn L3 §13.4.3 (unpredictable challenges: the nonce).
//! Never hashes anything that is not a typed statement.

use serde::{Deserialize, Serialize};

use crate::domain::canonical::{self, Bytes, CanonicalError};
use crate::domain::change::Change;
use crate::domain::ids::{Digest, GroupName, PersonId};
use crate::domain::oauth::device::DeviceRequest;
use crate::domain::people::proof::LinkedUser;
use crate::domain::request::Request;
use crate::domain::time::Timestamp;

/// Longest reason that a person may give, in characters.
pub const MAX_REASON_CHARS: usize = 200;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The job gets its tokens.
    Approve,
    /// The job never gets them.
    Deny,
}

impl Choice {
    /// As the statement spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// What a passkey signs. The `type` member is the domain tag: no two kinds share bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Statement {
    /// A decision over a request.
    #[serde(rename = "countersign/approval/v1")]
    Approval(Approval),
    /// A new passkey, bound to a person and to what admits it: an invitation, or another passkey.
    #[serde(rename = "countersign/registration/v1")]
    Registration(Registration),
    /// A signature for a change, or against it.
    #[serde(rename = "countersign/change/v1")]
    Change(Countersignature),
    /// A person says that a GitLab user is theirs, after a pipeline of that user brought their code.
    #[serde(rename = "countersign/link/v1")]
    Link(Link),
    /// A person allows a device to have what its application asked for.
    #[serde(rename = "countersign/device/v1")]
    Device(DeviceStatement),
}

/// A person allows a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatement {
    /// 32 random bytes.
    pub nonce: Bytes,
    /// When the server made this statement.
    pub at: Timestamp,
    /// Our issuer URL.
    pub issuer: String,
    /// Who allows it.
    pub person: PersonId,
    /// What was asked, whole.
    pub device: DeviceRequest,
}

/// A person says whose GitLab user somebody is: their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// 32 random bytes.
    pub nonce: Bytes,
    /// When the server made this statement.
    pub at: Timestamp,
    /// Our issuer URL.
    pub issuer: String,
    /// Whose user it is.
    pub person: PersonId,
    /// Whom GitLab named, and where.
    pub user: LinkedUser,
}

/// A signature for a change, or against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Countersignature {
    /// Yes or no.
    pub decision: Choice,
    /// 32 random bytes.
    pub nonce: Bytes,
    /// When the server made this statement.
    pub at: Timestamp,
    /// The change, whole.
    pub change: Change,
}

/// A decision over a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Yes or no.
    pub decision: Choice,
    /// 32 random bytes.
    pub nonce: Bytes,
    /// When the server made this statement.
    pub at: Timestamp,
    /// The request, whole.
    pub request: Request,
    /// Why not, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A new passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// 32 random bytes.
    pub nonce: Bytes,
    /// When the server made this statement.
    pub at: Timestamp,
    /// Our issuer URL.
    pub issuer: String,
    /// Whose passkey it becomes.
    pub person: PersonId,
    /// SHA-256 of the invitation's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Digest>,
    /// SHA-256 of the public key of the passkey that admits it, where no invitation does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_by: Option<Digest>,
    /// The groups that the invitation named, or those of the person.
    pub groups: Vec<GroupName>,
}

impl Statement {
    /// The bytes that are hashed into the challenge and kept as evidence.
    ///
    /// # Errors
    /// A value without canonical form, which no statement made here has.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// Reads a statement back, canonical bytes only.
    ///
    /// # Errors
    /// Anything that we would have written differently.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::from_bytes(bytes)
    }
}

/// The WebAuthn challenge of a statement: SHA-256 of its canonical bytes.
#[must_use]
pub fn challenge(statement: &[u8]) -> Digest {
    Digest::of(statement)
}

#[cfg(test)]
mod tests;
