//! OAuth's words: the exchange's parameters and every error that it can answer with.
//! In: form parameters. Out: a checked exchange, or the error that says what is wrong with it.
//! Implements RFC 6749 §5.2 and RFC 8693 §2.
//! Never chooses a status or a wording for the wire: `http/problem.rs` does.

pub mod error_code;
pub mod exchange;
pub mod link_form;
