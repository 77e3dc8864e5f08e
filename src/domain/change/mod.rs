//! A change: a proposed act about one person, or other rules. An immutable record, what it does in words, what it weighs.
//! In: who proposes what, and until when it may be signed. Out: `Change`, whose canonical form admins sign.
//! Implements DESIGN §6 (statements of admins), §11.
//! Never takes effect by itself: `standing` says when it does, and a use case does it.

pub mod authority;
pub mod standing;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ChangeId, Digest, GroupName, IssuerName, PersonId};
use crate::domain::people::Role;
use crate::domain::people::email::Email;
use crate::domain::time::Timestamp;

/// A proposed act; never changes once made. Read as canonical bytes only, which leaves no member unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The link id.
    pub id: ChangeId,
    /// Our issuer URL.
    pub issuer: String,
    /// Who proposes it.
    pub by: Proposer,
    /// When.
    pub at: Timestamp,
    /// The last moment at which a signature counts.
    pub sign_by: Timestamp,
    /// What it is about, and does.
    #[serde(flatten)]
    pub about: About,
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum About {
    /// A person.
    Person(Concern),
    /// The rules in force.
    Rules {
        /// Which follow which.
        rules: OtherRules,
    },
}

/// An act about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// Whom it concerns.
    pub person: PersonId,
    /// What that person is called, as the page shows it.
    pub name: String,
    /// What it does.
    pub act: Act,
}

/// Rules that are to be in force in place of those that are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRules {
    /// SHA-256 over the digests of the rules in force, in order.
    pub before: Digest,
    /// The same of those that are to be.
    pub after: Digest,
    /// How many rules are new.
    pub added: u32,
    /// How many say something else.
    pub changed: u32,
    /// How many are asked before or after others than so far.
    pub moved: u32,
    /// How many are gone.
    pub removed: u32,
}

/// Who proposes a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proposer {
    /// The server itself: its console, or the files of its rules.
    Console,
    /// An admin, on a page, in a session. Proposing is no signature.
    Person(PersonId),
}

/// Whose a GitLab user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// The person's own.
    Person,
    /// A bot's, for which the person answers.
    Bot,
}

/// What a change does to its person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Adds the person and lets them make a passkey.
    Invite {
        /// Groups to join.
        groups: BTreeSet<GroupName>,
        /// What they may do.
        role: Role,
        /// SHA-256 of the enrolment link's secret.
        invitation: Digest,
    },
    /// Puts the person into a group.
    Join {
        /// Which.
        group: GroupName,
    },
    /// Takes the person out of a group.
    Leave {
        /// Which.
        group: GroupName,
    },
    /// Gives the person another role.
    Role {
        /// Which.
        role: Role,
    },
    /// Says what the person's e-mail address is: tools that they sign in to may go by it.
    Email {
        /// The address; none takes it away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Email>,
    },
    /// Ends what the person may do, at once.
    Suspend,
    /// Lets a suspended person in again.
    Restore,
    /// Takes a passkey away.
    RemovePasskey {
        /// SHA-256 of its public key.
        credential: Digest,
    },
    /// Ties a user of an issuer to the person.
    Link {
        /// Whose user.
        issuer: IssuerName,
        /// The user's number.
        user_id: String,
        /// The person's own user, or a bot's.
        owner: LinkKind,
    },
    /// Unties a user of an issuer.
    Unlink {
        /// Whose user.
        issuer: IssuerName,
        /// The user's number.
        user_id: String,
    },
    /// Says that a passkey made after a recovery is the person's: its rest is over.
    Vouch {
        /// SHA-256 of its public key.
        credential: Digest,
    },
    /// Lets a person who lost every passkey make a new one.
    Recover {
        /// SHA-256 of the enrolment link's secret.
        invitation: Digest,
    },
}

/// What an act asks before it takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// One admin's signature.
    Light,
    /// The person is let in by one admin's signature; groups and role wait for a second, or for the delay.
    Staged,
    /// A second admin's signature, or one and the delay.
    Heavy,
    /// Several admins' signatures and then a rest in which it can be stopped.
    Recovery,
    /// Several admins' signatures.
    Vouch,
    /// As many admins' signatures as the operator wants for rules, and never fewer.
    Rules,
}

impl Act {
    /// What it asks. Whatever gives somebody more, or says who started a job, needs more than one admin.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::Invite { groups, role: Role::Member, .. } if groups.is_empty() => Weight::Light,
            Self::Invite { .. } => Weight::Staged,
            Self::Leave { .. } | Self::Suspend | Self::RemovePasskey { .. } => Weight::Light,
            Self::Join { .. }
            | Self::Role { .. }
            | Self::Email { .. }
            | Self::Restore
            | Self::Link { .. }
            | Self::Unlink { .. } => Weight::Heavy,
            Self::Vouch { .. } => Weight::Vouch,
            Self::Recover { .. } => Weight::Recovery,
        }
    }

    /// As the log and the store spell it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Invite { .. } => "invite",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Role { .. } => "role",
            Self::Email { .. } => "email",
            Self::Suspend => "suspend",
            Self::Restore => "restore",
            Self::RemovePasskey { .. } => "remove-passkey",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::Vouch { .. } => "vouch",
            Self::Recover { .. } => "recover",
        }
    }

    /// What it does to somebody called `name`, as an instruction: `add Tom Ahl to release-managers`.
    #[must_use]
    pub fn words(&self, name: &str) -> String {
        match self {
            Self::Invite { groups, role, .. } => {
                let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
                let of = if groups.is_empty() { String::new() } else { format!(" of {}", groups.join(", ")) };
                match (role, of.is_empty()) {
                    (Role::Member, _) => format!("invite {name} as a member{of}"),
                    (role, true) => format!("invite {name} as {}", role.with_article()),
                    (role, false) => format!("invite {name} as {} and a member{of}", role.with_article()),
                }
            }
            Self::Join { group } => format!("add {name} to {group}"),
            Self::Leave { group } => format!("take {name} out of {group}"),
            Self::Role { role } => format!("make {name} {}", role.with_article()),
            Self::Email { address: Some(address) } => format!("say that the e-mail address of {name} is {address}"),
            Self::Email { address: None } => format!("say that {name} has no e-mail address"),
            Self::Suspend => format!("suspend {name}"),
            Self::Restore => format!("let {name} in again"),
            Self::RemovePasskey { .. } => format!("remove a passkey of {name}"),
            Self::Link { issuer, user_id, owner: LinkKind::Person } => {
                format!("say that user {user_id} of {issuer} is {name}")
            }
            Self::Link { issuer, user_id, owner: LinkKind::Bot } => {
                format!("say that user {user_id} of {issuer} is a bot for which {name} answers")
            }
            Self::Unlink { issuer, user_id } => format!("say that user {user_id} of {issuer} is not {name} any more"),
            Self::Vouch { .. } => format!("vouch for the new passkey of {name}"),
            Self::Recover { .. } => format!("let {name} make a new passkey after losing all others"),
        }
    }
}

impl Concern {
    /// What it does, as an instruction: `add Tom Ahl to release-managers`.
    #[must_use]
    pub fn words(&self) -> String {
        self.act.words(&self.name)
    }
}

impl OtherRules {
    /// In how many rules the sets differ.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.added.saturating_add(self.changed).saturating_add(self.moved).saturating_add(self.removed)
    }

    /// What it does, as an instruction: `put other rules in force (1 added, 2 changed)`.
    #[must_use]
    pub fn words(&self) -> String {
        let counts =
            [(self.added, "added"), (self.changed, "changed"), (self.moved, "moved"), (self.removed, "removed")];
        let counts: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        format!("put other rules in force ({})", counts.join(", "))
    }
}

impl Change {
    /// What it does, as an instruction: `add Tom Ahl to release-managers`.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.about {
            About::Person(concern) => concern.words(),
            About::Rules { rules } => rules.words(),
        }
    }

    /// The same words, for those to whom nobody is named: `add somebody to release-managers`.
    #[must_use]
    pub fn words_without_name(&self) -> String {
        match &self.about {
            About::Person(concern) => concern.act.words("somebody"),
            About::Rules { rules } => rules.words(),
        }
    }

    /// The act about a person, where it is one.
    #[must_use]
    pub const fn concern(&self) -> Option<&Concern> {
        match &self.about {
            About::Person(concern) => Some(concern),
            About::Rules { .. } => None,
        }
    }

    /// Whom it concerns, where that is somebody.
    #[must_use]
    pub fn person(&self) -> Option<&PersonId> {
        self.concern().map(|concern| &concern.person)
    }

    /// What it asks before it takes effect.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match &self.about {
            About::Person(concern) => concern.act.weight(),
            About::Rules { .. } => Weight::Rules,
        }
    }

    /// Whether somebody becomes an admin by it.
    #[must_use]
    pub const fn makes_an_admin(&self) -> bool {
        matches!(
            self.concern(),
            Some(Concern { act: Act::Role { role: Role::Admin } | Act::Invite { role: Role::Admin, .. }, .. })
        )
    }

    /// As the store spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.about {
            About::Person(concern) => concern.act.kind(),
            About::Rules { .. } => "rules",
        }
    }
}
