//! FLOOR 0, pure: what jobs, rules, requests, statements, tokens, the log and bundles are.
//! In: values, the time among them. Out: values.
//! Implements DESIGN §2 to §7; each module names its standard.
//! Never waits, reads a clock, draws chance, touches a file or the network, or writes diagnostics.

pub mod assurance;
pub mod bundle;
pub mod canonical;
pub mod change;
pub mod ids;
pub mod job;
pub mod keys;
pub mod log;
pub mod nearest;
pub mod network;
pub mod oauth;
pub mod people;
pub mod push;
pub mod request;
pub mod rules;
pub mod session;
pub mod statement;
pub mod time;
pub mod token;
pub mod verified;
