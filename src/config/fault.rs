//! What is wrong with a configuration: every fault at once, each with its cure.
//! In: places and sentences. Out: `Fault`, `ConfigError`.
//! Implements DESIGN §12 (unknown keys are errors with line and nearest name).
//! Never shows a value that came from a `_FILE` variable.

use std::fmt;

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of a file.
    Line(String, usize),
    /// A file as a whole.
    File(String),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub origin: Origin,
    /// What, in one sentence, lower-case start, no full stop.
    pub what: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.what)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.faults))]
pub struct ConfigError {
    /// Every fault, in the order of the file.
    pub faults: Vec<Fault>,
}

impl ConfigError {
    /// An error of these faults, put in order.
    #[must_use]
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|left, right| left.origin.cmp(&right.origin));
        Self { faults }
    }

    /// An error of one fault.
    #[must_use]
    pub fn one(origin: Origin, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { faults: vec![Fault { origin, what: what.into(), cure: cure.into() }] }
    }
}

fn sentence(faults: &[Fault]) -> String {
    match faults {
        [] => "the configuration cannot be used".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}
