//! The issued token: a verdict and its evidence become claims.
//! In: a job, the rule it falls under, people's signatures. Out: claims, each target's limits kept.
//! Implements DESIGN §6.
//! Never takes what a job token says about people.

pub mod aws;
pub mod claims;
pub mod rehearsal;
pub mod template;
