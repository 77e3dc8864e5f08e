//! What people are, apart from what they do: their roles and their names.
//! In: names and words from outside. Out: values that are well formed.
//! Implements DESIGN §11.
//! Never decides anything by a name.

pub mod email;
pub mod name;
pub mod proof;

use serde::{Deserialize, Serialize};

/// What a person may do beside what groups allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs what groups allow.
    Member,
    /// Looks, and signs nothing.
    Auditor,
    /// Signs changes too.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Member, Self::Auditor, Self::Admin];

    /// As documents and the command line spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// With its article, for sentences.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Member => "a member",
            Self::Auditor => "an auditor",
            Self::Admin => "an admin",
        }
    }

    /// Reads the spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}
