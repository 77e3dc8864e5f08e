//! Why a ceremony's answer is refused.
//! In: what was found. Out: a sentence and the stable code.
//! Implements the refusals of WebAuthn L3 §7.1 and §7.2.
//! Never carries key material or a whole answer, only short excerpts.

use webauthn_rs_core::error::WebauthnError;

use crate::domain::oauth::error_code::ErrorCode;

/// Longest excerpt of an answer in a message, in characters.
pub const MAX_SHOWN: usize = 120;

/// An answer that is refused, or a relying party that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The RP id and the origin do not belong together.
    #[error("the RP id `{rp_id}` does not fit `{origin}`; use the host of an https URL, or a parent domain of it")]
    RpIdUnfit {
        /// As configured.
        rp_id: String,
        /// As configured.
        origin: String,
    },
    /// A name that authenticators cannot show.
    #[error("the account name must have 1 to {} characters; shorten it", super::registration::MAX_ACCOUNT_NAME)]
    AccountName,
    /// Not what a browser sends.
    #[error("the passkey's answer is malformed ({0}); reload the page and touch the key again")]
    Malformed(&'static str),
    /// `type` of the client data is another ceremony's.
    #[error("the answer is for `{found}`, not for `{wanted}`; reload the page and touch the key again")]
    CeremonyType {
        /// What the client data says.
        found: String,
        /// What this ceremony is.
        wanted: &'static str,
    },
    /// The challenge is not the one of this statement.
    #[error("what was signed is not what was asked; reload the page and compare again")]
    StatementMismatch,
    /// For callers: no such ceremony, or one that is over.
    #[error("the ceremony is unknown or over; reload the page and touch the key again")]
    ChallengeUnknown,
    /// Signed at another origin.
    #[error("the passkey was used at `{found}`; open the link at `{wanted}`")]
    OriginWrong {
        /// What the client data says.
        found: String,
        /// Ours.
        wanted: String,
    },
    /// Signed in a frame inside another site.
    #[error("the passkey was used inside another site's page; open the link in a tab of its own")]
    CrossOrigin,
    /// The authenticator signed for another RP id.
    #[error("the passkey belongs to another site; open the link at this server's own address")]
    RpIdWrong,
    /// UP is not set.
    #[error("the passkey was not touched; touch it when it blinks")]
    UserNotPresent,
    /// UV is not set.
    #[error("the passkey did not verify its user; use one that asks for a PIN, a fingerprint or a face")]
    UserNotVerified,
    /// BS without BE, or BE is not what it was at registration.
    #[error("the passkey contradicts itself about being backed up; use another passkey")]
    BackupFlags,
    /// The signature counter did not grow: there may be two copies of the key.
    #[error("the passkey's counter went from {stored} to {found}: it may have been copied; tell an admin")]
    CounterRolledBack {
        /// At the last use.
        stored: u32,
        /// Now.
        found: u32,
    },
    /// The signature does not verify.
    #[error("the passkey's signature is not valid; reload the page and touch the key again")]
    SignatureInvalid,
    /// The attestation does not verify.
    #[error("the passkey's attestation is not valid ({0}); use another passkey")]
    AttestationInvalid(String),
    /// The user handle is absent, or another person's.
    #[error("the passkey does not belong to the person it names; use another passkey")]
    UserHandleWrong,
    /// The credential is not the stored one, or (for callers) not stored at all.
    #[error("the passkey is not enrolled here; use one that is")]
    PasskeyUnknown,
    /// For callers: the credential is enrolled already.
    #[error("the passkey is enrolled already; use another one")]
    PasskeyKnown,
    /// The policy does not admit such a passkey.
    #[error("the passkey does not meet the policy: {0}; use another passkey")]
    PolicyNotMet(String),
    /// What the store holds is not what was put there.
    #[error("the stored passkey cannot be read; check the database")]
    StoredCredential,
    /// The WebAuthn library does not take the state that we build for it.
    #[error("the WebAuthn library does not understand our state; report this with the version")]
    Library,
}

impl PasskeyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::RpIdUnfit { .. } | Self::OriginWrong { .. } | Self::CrossOrigin | Self::RpIdWrong => {
                ErrorCode::OriginWrong
            }
            Self::AccountName => ErrorCode::ParameterInvalid,
            Self::StatementMismatch => ErrorCode::StatementMismatch,
            Self::ChallengeUnknown => ErrorCode::ChallengeUnknown,
            Self::UserNotVerified => ErrorCode::UvRequired,
            Self::PasskeyUnknown => ErrorCode::PasskeyUnknown,
            Self::PasskeyKnown => ErrorCode::PasskeyKnown,
            Self::PolicyNotMet(_) => ErrorCode::PolicyNotMet,
            Self::StoredCredential | Self::Library => ErrorCode::Internal,
            Self::Malformed(_)
            | Self::CeremonyType { .. }
            | Self::UserNotPresent
            | Self::BackupFlags
            | Self::CounterRolledBack { .. }
            | Self::SignatureInvalid
            | Self::AttestationInvalid(_)
            | Self::UserHandleWrong => ErrorCode::AssertionInvalid,
        }
    }

    /// What the library found that our own checks, which run before it, had let pass.
    pub(super) fn from_library(error: &WebauthnError) -> Self {
        match error {
            WebauthnError::InvalidClientDataType => Self::Malformed("type"),
            WebauthnError::MismatchedChallenge => Self::StatementMismatch,
            WebauthnError::CredentialCrossOrigin | WebauthnError::InvalidRPOrigin => Self::CrossOrigin,
            WebauthnError::InvalidRPIDHash => Self::RpIdWrong,
            WebauthnError::UserNotPresent => Self::UserNotPresent,
            WebauthnError::UserNotVerified => Self::UserNotVerified,
            WebauthnError::CredentialBackupEligibilityInconsistent | WebauthnError::CredentialMayNotBeHardwareBound => {
                Self::BackupFlags
            }
            WebauthnError::CredentialNotFound => Self::PasskeyUnknown,
            WebauthnError::AttestationNotSupported => Self::PolicyNotMet("its attestation format is unknown".into()),
            WebauthnError::CredentialAlteredAlgFromRequest => {
                Self::PolicyNotMet("its algorithm was not offered".into())
            }
            WebauthnError::AuthenticationFailure | WebauthnError::SignatureInvalid => Self::SignatureInvalid,
            other => Self::AttestationInvalid(shown(&other.to_string())),
        }
    }
}

/// A short excerpt without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_SHOWN).collect()
}
