//! What integration tests stand on: a real server over a real SQLite file, a simulated GitLab, people with passkeys.
//! In: rules and a clock's hand. Out: answers as they came over the wire, and the log as it lies on the disk.
//! Implements nothing of its own: it speaks HTTP/1.1 and WebAuthn as clients do.
//! Never looks into the server but through its socket, its console and its database file.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on must say where"
)]

pub mod application;
pub mod clients;
pub mod devices;
pub mod diagnostics;
pub mod exchange;
pub mod gitlab;
pub mod hostile;
pub mod https;
pub mod ledger;
pub mod maker;
pub mod person;
pub mod push;
pub mod rotation;
pub mod rules;
pub mod server;
pub mod wire;

pub use gitlab::{JobToken, gitlab, other};
pub use ledger::{Logged, Snapshot, refused, rejected};
pub use person::Person;
pub use server::{NOW, Options, Server, URL, collector};
pub use wire::Answer;
