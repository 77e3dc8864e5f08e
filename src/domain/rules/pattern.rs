//! (being written)
use serde::{Deserialize, Serialize};
/// A pattern over a whole string: exact, or glob with `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(String);
