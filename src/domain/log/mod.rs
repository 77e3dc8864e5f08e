//! The tamper-evident log's format and mathematics: entries, Merkle tree, checkpoints, signed notes.
//! In: bytes. Out: hashes, proofs, notes, and verdicts over them.
//! Implements RFC 6962 §2.1 hashing, C2SP signed-note and tlog-checkpoint.
//! Never signs and never stores.

pub mod anchor;
pub mod checkpoint;
pub mod entry;
pub mod evidence;
pub mod fields;
pub mod high_water;
mod kinds;
pub mod merkle;
pub mod note;
