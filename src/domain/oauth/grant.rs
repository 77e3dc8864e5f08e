//! A grant (RFC 6749 §1.3): what one authorization began, a family of tokens of one person for one client; and its end.
//! In: reasons. Out: words of log entries.
//! Implements RFC 6749 §1.3, §10.4, RFC 9700 §4.14.
//! Never the standing approval of DESIGN §2, which is a permit.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

/// Why a grant was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantEnd {
    /// The session in which it was given was ended.
    SignedOut,
    /// Its client gave its token back (RFC 7009).
    Revoked,
    /// A code or a refresh token came a second time.
    Replayed,
    /// Its person took back what they had consented to.
    ConsentWithdrawn,
    /// Its person had too many; the oldest ends.
    TooMany,
    /// Its person or passkey was suspended, removed or reported.
    Suspended,
    /// An admin, or the console, ended everything that people gave to its client.
    ByAdmin,
}

impl GrantEnd {
    /// As the log and the store spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::Replayed => "replayed",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::TooMany => "too_many",
            Self::Suspended => "suspended",
            Self::ByAdmin => "by_admin",
        }
    }
}

/// A token that was issued, as its entry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedToken {
    /// `access`, `id` or `refresh`.
    pub typ: TokenKind,
    /// Its `jti`; a refresh token has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// SHA-256 of its canonical claims; of a refresh token, of itself.
    pub sha256: Digest,
    /// Its end.
    pub exp: Timestamp,
}

/// What kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// RFC 9068.
    Access,
    /// OpenID Connect Core 1.0 §2.
    Id,
    /// RFC 6749 §1.5.
    Refresh,
}
