//! The issued token: a verdict and its evidence become claims.
pub mod aws;
pub mod claims;
pub mod template;
