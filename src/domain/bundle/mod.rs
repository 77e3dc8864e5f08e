//! The proof bundle: the file that proves one issued token offline.
//! In: bytes of a `bundle.json`. Out: its parts, or what is wrong with its form.
//! Implements DESIGN §7; media type `application/vnd.countersign.proof+json`.
//! Never holds a value that no log entry binds.

mod case;
mod job_token;
mod proof;
pub mod report;
mod roles;
mod ruling;
pub mod signatures;
mod signer;
mod steps;
pub mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::canonical::{self, Bytes, CanonicalError};
use crate::domain::ids::Digest;

/// The version tag.
pub const TYPE: &str = "countersign/bundle/v1";
/// Largest bundle that is read, in bytes.
pub const MAX_BUNDLE: usize = 4 * 1024 * 1024;

/// The parts of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// `TYPE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The signed checkpoint, a C2SP signed note.
    pub checkpoint: String,
    /// Entries of the log, ascending, each with its proof in the checkpoint's tree.
    pub entries: Vec<BundledEntry>,
    /// Documents that the entries name, by salted digest.
    pub evidence: BTreeMap<Digest, Document>,
    /// The issued token's claims, without `log`.
    pub claims: Map<String, Value>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledEntry {
    /// Its index.
    pub index: u64,
    /// The leaf's exact text.
    pub entry: String,
    /// Hashes from the leaf to the root, the leaf's sibling first.
    pub proof: Vec<Digest>,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The HMAC key.
    pub salt: Bytes,
    /// The document, as it was hashed.
    pub text: String,
}

impl Bundle {
    /// Reads a bundle without tolerance.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanonicalError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(CanonicalError::Shape(format!("larger than {MAX_BUNDLE} bytes")));
        }
        let value = canonical::strict_value(bytes)?;
        let bundle: Self = serde_json::from_value(value).map_err(|error| CanonicalError::Shape(error.to_string()))?;
        if bundle.kind == TYPE { Ok(bundle) } else { Err(CanonicalError::Shape(format!("the type is not `{TYPE}`"))) }
    }
}
