//! Signatures, keys, wrapping, digests, randomness and the files that keep secrets.
//! In: bytes, files, chance. Out: verified claims, signed tokens and notes, wrapped keys.
//! Implements JOSE (RFC 7515 to 7518, 7638) over josekit, Ed25519 over ring.
//! Never decides who may have what, and never talks to the network.

pub mod certificate; // until when the server's own certificate is good
pub mod client_keys; // keys of clients: their assertions and proofs of possession
pub mod files; // secrets on disk: modes, owners, atomic writes
pub mod high_water; // the two-slot file beside the master key
pub mod jwk; // an issuer's keys, read without tolerance; thumbprints
pub mod jwt; // the job token: unverified, then verified
pub mod log_key; // the Ed25519 key that signs checkpoints
pub mod master_key; // wraps what the store keeps
pub mod random; // the only caller of the system's randomness
pub mod signing; // the keys that sign issued tokens
pub mod web_push; // messages that only one browser can read

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod vectors;

use std::path::{Path, PathBuf};

/// What went wrong with a key, a file or the machine's randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes ({0}); nothing can be made without them")]
    Random(String),
    /// A file that is not as it must be.
    #[error("`{}` {problem}; {cure}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do next.
        cure: String,
    },
    /// A JWK set that cannot be read.
    #[error("the JWK set cannot be used: {0}")]
    KeySet(String),
    /// A key that cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(String),
    /// A signature could not be made.
    #[error("signing failed: {0}")]
    Sign(String),
    /// The master key cannot be used.
    #[error("the master key cannot be used: {0}")]
    MasterKey(String),
    /// The command that prints the master key failed; a key service may be away.
    #[error("the master key cannot be had: `master_key_command` {0}")]
    MasterKeyCommand(String),
    /// Something wrapped cannot be opened.
    #[error("`{context}` cannot be unwrapped: {problem}")]
    Unwrap {
        /// What it was wrapped as.
        context: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A note that cannot be signed.
    #[error("the note cannot be signed: {0}")]
    Note(&'static str),
}

impl CryptoError {
    fn file(path: &Path, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into(), cure: cure.into() }
    }

    fn key(problem: impl std::fmt::Display) -> Self {
        Self::Key(problem.to_string())
    }
}
