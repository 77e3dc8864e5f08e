//! OAuth's words: the exchange's parameters and every error that it can answer with.
pub mod error_code;
pub mod exchange;
