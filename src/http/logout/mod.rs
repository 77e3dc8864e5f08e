//! Signing out at a client's wish: the endpoint that clients name, and the page that asks.
//! In: a client's parameters. Out: HTML, or the way back to the client.
//! Implements OpenID Connect RP-Initiated Logout 1.0.
//! Never signs anybody out without their word, unless their own session's client asks.

pub mod endpoints;
pub mod view;
