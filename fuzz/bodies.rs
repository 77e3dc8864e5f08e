//! What each fuzz target does: reads bytes as one parser would, and holds what it accepts to its own words.
//! In: any bytes. Out: whether they were accepted; a panic where a parser broke its promise.
//! Implements nothing of the product: the targets of `fuzz/fuzz_targets` and `tests/corpus.rs` call the same functions.
//! Never part of a binary that is shipped, and never reaches past the library's public functions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a fault is told here, and the names say what the bodies are"
)]

#[path = "bodies/formats.rs"]
mod formats;
#[path = "bodies/logs.rs"]
mod logs;
#[path = "bodies/passkeys.rs"]
mod passkeys;
#[path = "bodies/push.rs"]
mod push;
#[path = "bodies/settings.rs"]
mod settings;
#[path = "bodies/tokens.rs"]
mod tokens;

pub use formats::{pattern, strict_json};
pub use logs::{bundle, checkpoint, entry, high_water, note, statement, verifier_key};
pub use passkeys::{attestation_object, authenticator_data, browser_answer, client_data, cose_key};
pub use push::push_subscription;
pub use settings::{config, rules};
pub use tokens::{discovery, exchange_form, job_token, jwks};

/// Whether the bytes were accepted.
pub type Body = fn(&[u8]) -> bool;

/// Every target by its name: that of its file, its folder of seeds and its function.
pub const ALL: &[(&str, Body)] = &[
    ("attestation_object", attestation_object),
    ("authenticator_data", authenticator_data),
    ("browser_answer", browser_answer),
    ("bundle", bundle),
    ("checkpoint", checkpoint),
    ("client_data", client_data),
    ("config", config),
    ("cose_key", cose_key),
    ("discovery", discovery),
    ("entry", entry),
    ("exchange_form", exchange_form),
    ("high_water", high_water),
    ("job_token", job_token),
    ("jwks", jwks),
    ("note", note),
    ("pattern", pattern),
    ("push_subscription", push_subscription),
    ("rules", rules),
    ("statement", statement),
    ("strict_json", strict_json),
    ("verifier_key", verifier_key),
];

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
