//! OAuth's words: errors, the exchange's parameters, the checks and their order.
pub mod error_code;
