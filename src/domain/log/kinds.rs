//! What kind an event is, and which documents it names.
//! In: an event. Out: its kind as entries spell it; its evidence.
//! Implements DESIGN §7 (kinds).
//! Never leaves a kind out: there is no `_` arm.

use super::entry::{Event, EvidenceDigests};

impl Event {
    /// The evidence that the entry names.
    #[must_use]
    pub fn evidence(&self) -> Option<&EvidenceDigests> {
        match self {
            Self::Genesis { .. }
            | Self::Restored { .. }
            | Self::Clock { .. }
            | Self::Metadata { .. }
            | Self::Grant(_) => None,
            Self::IssuerKeys { evidence, .. }
            | Self::Rules { evidence, .. }
            | Self::SigningKey { evidence, .. }
            | Self::Person { evidence, .. }
            | Self::Enrolment { evidence, .. }
            | Self::Passkey { evidence, .. }
            | Self::Session { evidence, .. }
            | Self::Link { evidence, .. }
            | Self::Admin { evidence, .. }
            | Self::Change { evidence, .. }
            | Self::Request { evidence, .. }
            | Self::Decision { evidence, .. }
            | Self::Token { evidence, .. }
            | Self::Refusal { evidence, .. } => Some(evidence),
        }
    }

    /// The kind, as the entry spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Restored { .. } => "restored",
            Self::Clock { .. } => "clock",
            Self::IssuerKeys { .. } => "issuer-keys",
            Self::Metadata { .. } => "metadata",
            Self::Rules { .. } => "rules",
            Self::SigningKey { .. } => "signing-key",
            Self::Person { .. } => "person",
            Self::Enrolment { .. } => "enrolment",
            Self::Passkey { .. } => "passkey",
            Self::Session { .. } => "session",
            Self::Link { .. } => "link",
            Self::Admin { .. } => "admin",
            Self::Change { .. } => "change",
            Self::Request { .. } => "request",
            Self::Decision { .. } => "decision",
            Self::Token { .. } => "token",
            Self::Grant(_) => "grant",
            Self::Refusal { .. } => "refusal",
        }
    }
}
