//! FLOOR 0, pure: values in, values out; no async, clock, chance, I/O or diagnostics.
pub mod assurance;
pub mod bundle;
pub mod canonical;
pub mod ids;
pub mod job;
pub mod log;
pub mod nearest;
pub mod oauth;
pub mod request;
pub mod rules;
pub mod statement;
pub mod time;
pub mod token;
pub mod verified;
