//! The command line of `people`.
//! In: arguments. Out: `PeopleArgs`.
//! Implements DESIGN §11, §12.
//! Never takes a secret.

use clap::{Subcommand, ValueEnum};

/// `people`.
#[derive(Debug, clap::Args)]
pub struct PeopleArgs {
    /// Do nothing yet: print a link where admins sign for it
    #[arg(long, global = true)]
    pub propose: bool,
    /// What to do
    #[command(subcommand)]
    pub command: PeopleCommand,
}

/// A role, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Signs what groups allow
    Member,
    /// Looks, and signs nothing
    Auditor,
    /// Signs changes about people too
    Admin,
}

/// `people …`.
#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Print a one-time link with which somebody makes a passkey
    Invite {
        /// The person's name, as others know it
        name: String,
        /// A group to join; may repeat
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// Make them an admin
        #[arg(long, conflicts_with = "role")]
        admin: bool,
        /// What they may do beside what groups allow [else member]
        #[arg(long, value_name = "ROLE")]
        role: Option<RoleArg>,
    },
    /// Put a person into a group
    Join {
        /// The person's id, or name
        person: String,
        /// The group
        group: String,
    },
    /// Take a person out of a group
    Leave {
        /// The person's id, or name
        person: String,
        /// The group
        group: String,
    },
    /// Give a person another role
    Role {
        /// The person's id, or name
        person: String,
        /// The role
        role: RoleArg,
    },
    /// End what a person may do, at once
    Suspend {
        /// The person's id, or name
        person: String,
    },
    /// Let a suspended person in again
    Restore {
        /// The person's id, or name
        person: String,
    },
    /// Take a passkey of a person away
    RemovePasskey {
        /// The person's id, or name
        person: String,
        /// The first digits of the passkey's digest, as `people show` has them
        passkey: String,
    },
    /// Tie a person to a GitLab user
    Link {
        /// The person's id, or name
        person: String,
        /// The issuer's short name
        #[arg(long, value_name = "ISSUER")]
        issuer: String,
        /// The user's number in that GitLab
        #[arg(long, value_name = "N")]
        user_id: String,
        /// The user is a bot, for which the person answers
        #[arg(long)]
        bot: bool,
    },
    /// Untie a GitLab user from whoever it is tied to
    Unlink {
        /// From this person, where several say that the user is theirs
        #[arg(long, value_name = "PERSON")]
        person: Option<String>,
        /// The issuer's short name
        #[arg(long, value_name = "ISSUER")]
        issuer: String,
        /// The user's number in that GitLab
        #[arg(long, value_name = "N")]
        user_id: String,
    },
    /// Say that a passkey made after a recovery is the person's, so that it may sign at once
    Vouch {
        /// The person's id, or name
        person: String,
        /// The first digits of the passkey's digest, as `people show` has them
        passkey: String,
    },
    /// Let a person who lost every passkey make a new one; at once it needs the master key
    Recover {
        /// The person's id, or name
        person: String,
    },
    /// Set the e-mail address that tools are told, or clear it
    Email {
        /// The person's id, or name
        person: String,
        /// The address; without it there is none any more
        address: Option<String>,
    },
    /// List people, groups and passkeys
    List,
    /// Show one person, with their passkeys
    Show {
        /// The person's id, or name
        person: String,
    },
    /// List the changes that wait for admins
    Changes,
}
