//! The attack list over real sockets and a real database: each test is named by its entry.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say where"
)]

#[path = "../support/mod.rs"]
mod support;
