//! The server's answers, over real sockets and a real database; the modules mirror the URLs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say where"
)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod applications;
mod approval;
mod authorize;
mod clients;
mod conformance;
mod device;
mod discovery;
mod evidence;
mod grants;
mod home;
mod keys;
mod logout;
mod metadata;
mod notices;
mod people;
mod push;
mod routes;
mod token;
mod waiting;
