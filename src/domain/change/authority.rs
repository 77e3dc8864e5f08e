//! On whose word something was done about somebody, as the documents beside the log spell it.
//! In: the console, or the log entry of a change. Out: `console`, `change:17`; and back.
//! Implements DESIGN §7: whatever leaves in a proof names a change by its entry.
//! Never spells a change's link id: whoever has that may open its page.

use std::fmt;

/// On whose word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The server's console.
    Console,
    /// The change that was proposed in this log entry.
    Change(u64),
    /// A passkey that was made after a recovery, in place of all others.
    Recovery,
}

impl Authority {
    /// Reads the one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let authority = match text {
            "console" => Self::Console,
            "recovery" => Self::Recovery,
            other => Self::Change(other.strip_prefix("change:")?.parse().ok()?),
        };
        (authority.to_string() == text).then_some(authority)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Change(entry) => write!(f, "change:{entry}"),
            Self::Recovery => f.write_str("recovery"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_one_spelling() {
        for authority in [Authority::Console, Authority::Recovery, Authority::Change(0), Authority::Change(18_204)] {
            assert_eq!(Authority::parse(&authority.to_string()), Some(authority));
        }
        assert_eq!(Authority::Change(17).to_string(), "change:17");
        for wrong in ["", "Console", "change:", "change:017", "change:+17", "change:-1", "change: 17", "change:1.0"] {
            assert_eq!(Authority::parse(wrong), None, "{wrong}");
        }
    }
}
