//! OAuth's words: clients, scopes, grants, the exchange's parameters and every error that can be answered.
//! In: form parameters. Out: a checked call, or the error that says what is wrong with it.
//! Implements RFC 6749, RFC 8693 §2, OpenID Connect Core 1.0.
//! Never chooses a status or a wording for the wire: `http/problem.rs` does.

pub mod authorize;
pub mod client;
pub mod client_auth;
pub mod device;
pub mod dpop;
pub mod error_code;
pub mod exchange;
pub mod form;
pub mod grant;
pub mod link_form;
pub mod logout;
pub mod pkce;
pub mod refresh;
pub mod scope;
pub mod token_form;
pub mod tokens;
