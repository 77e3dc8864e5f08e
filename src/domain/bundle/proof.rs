//! The first steps of a proof: the checkpoint is the log's, the entries are in its tree, the documents are theirs.
//! In: a bundle, the pinned key. Out: decoded entries and the tree that holds them.
//! Implements C2SP signed-note and tlog-checkpoint, RFC 6962 §2.1.1.
//! Never takes the key from the bundle.

use std::collections::BTreeMap;

use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::Entry;
use crate::domain::log::evidence::evidence_digest;
use crate::domain::log::merkle::{leaf_hash, verify_inclusion};
use crate::domain::log::note::{SignedNote, VerifierKey, open};

use super::Bundle;
use super::signatures::Signatures;

/// The checkpoint under the pinned key. Lines of other keys are refused: nothing would bind them.
pub(super) fn checkpoint(
    bundle: &Bundle,
    key: &VerifierKey,
    signatures: &dyn Signatures,
) -> Result<Checkpoint, String> {
    let note = SignedNote::parse(&bundle.checkpoint).map_err(|error| error.to_string())?;
    if note.signatures.len() != 1 {
        return Err("the checkpoint must carry exactly the log's signature".to_owned());
    }
    let verify = |public: &[u8; 32], message: &[u8], signature: &[u8]| signatures.note(public, message, signature);
    let text = open(&bundle.checkpoint, key, &verify).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(&text).map_err(|error| error.to_string())?;
    if checkpoint.origin != key.name() {
        return Err("the checkpoint's origin is not the key's name".to_owned());
    }
    Ok(checkpoint)
}

/// Every entry, included in the tree, at the index that it names itself.
pub(super) fn inclusion(bundle: &Bundle, checkpoint: &Checkpoint) -> Result<BTreeMap<u64, Entry>, String> {
    let mut entries = BTreeMap::new();
    let mut last = None;
    for bundled in &bundle.entries {
        let index = bundled.index;
        if last.is_some_and(|last| last >= index) {
            return Err(format!("entry {index} is out of order"));
        }
        last = Some(index);
        let leaf = leaf_hash(bundled.entry.as_bytes());
        verify_inclusion(&leaf, index, checkpoint.size, &bundled.proof, &checkpoint.root)
            .map_err(|error| format!("entry {index}: {error}"))?;
        let entry = Entry::from_bytes(bundled.entry.as_bytes()).map_err(|error| format!("entry {index}: {error}"))?;
        if entry.seq != index {
            return Err(format!("entry {index} says that it is entry {}", entry.seq));
        }
        entries.insert(index, entry);
    }
    Ok(entries)
}

/// Every document has the digest that it stands under, and some entry names it.
pub(super) fn documents(bundle: &Bundle, entries: &BTreeMap<u64, Entry>) -> Result<(), String> {
    let named: std::collections::BTreeSet<_> =
        entries.values().filter_map(|entry| entry.event.evidence()).flat_map(BTreeMap::values).collect();
    for (digest, document) in &bundle.evidence {
        let salt: [u8; 32] =
            document.salt.0.as_slice().try_into().map_err(|_| format!("the salt of {digest} is not 32 bytes"))?;
        if evidence_digest(&salt, document.text.as_bytes()) != *digest {
            return Err(format!("document {digest} is not what the log recorded"));
        }
        if !named.contains(digest) {
            return Err(format!("document {digest} is named by no entry"));
        }
    }
    Ok(())
}
