//! The commands, as an operator types them: the real binary, a fresh folder, a cleaned environment.
//! In: arguments. Out: what stands on stdout and stderr, the exit code, what lies on the disk.
//! Implements DESIGN §12's exit codes.
//! Never calls a use case directly, but to make a state that no command makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say where"
)]

mod attack_007;
mod attack_080;
mod attack_082;
mod attack_092;
mod attack_093;
mod attack_094;
mod attack_096;
mod attack_097;
mod attack_098;
#[path = "../support/https.rs"]
mod https;
mod init;
mod keys;
mod log;
mod look;
#[path = "../support/maker.rs"]
mod maker;
mod metadata;
mod people;
mod serve;
mod support;
