//! The mark of a checked signature.
//! In: what a verifier checked. Out: a value that only a verifier could make.
//! Implements RFC 7515 §5.2's order: verify first, read afterwards.
//! Never made anywhere but in `crypto/jwt.rs`; `tests/architecture.rs` counts the callers.

/// A value whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The one constructor. Its one caller is `crypto/jwt.rs`.
    #[must_use]
    pub const fn after_checking_the_signature(value: T) -> Self {
        Self(value)
    }

    /// What was checked.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }
}

/// A job token's payload and what identifies the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawClaims {
    /// The payload, read without tolerance for duplicate members.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// The protected header, likewise.
    pub header: serde_json::Map<String, serde_json::Value>,
    /// SHA-256 of the signing input (RFC 7515 §5.1).
    pub token_sha256: crate::domain::ids::Digest,
}
