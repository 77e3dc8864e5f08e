//! (being written)
pub mod authenticator;
