//! Looks: what the admin's pages show, for the console too, so that both ways see the same.
//! In: what is looked at. Out: the same values that the pages draw.
//! Implements DESIGN §12, SCREENS' Admin.
//! Never changes anything, and never waits long for an issuer.

use serde::{Deserialize, Serialize};

use super::list_clients::ClientLine;
use super::list_issuers::IssuerLine;
use super::list_keys::KeysSeen;
use super::list_refusals::RefusalsSeen;
use super::list_requests::RequestsSeen;
use super::list_rules::RulesSeen;
use super::show_client::ClientSeen;
use super::show_health::Health;
use super::{AppError, Countersign};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// How the server is.
    Health,
    /// The rules in force, from this one on (counted from 1).
    Rules {
        /// The first.
        first: usize,
    },
    /// Refused tokens.
    Refusals {
        /// Those before this log entry.
        before: Option<u64>,
    },
    /// The issuers.
    Issuers,
    /// The clients.
    Clients,
    /// One client.
    Client {
        /// Its id.
        id: String,
    },
    /// Our keys.
    Keys,
    /// What waits now.
    Requests,
}

/// What there is to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// How the server is.
    Health(Box<Health>),
    /// The rules in force.
    Rules(Box<RulesSeen>),
    /// Refused tokens.
    Refusals(RefusalsSeen),
    /// The issuers.
    Issuers(Vec<IssuerLine>),
    /// The clients.
    Clients(Vec<ClientLine>),
    /// One client.
    Client(Box<ClientSeen>),
    /// Our keys.
    Keys(Box<KeysSeen>),
    /// What waits now.
    Requests(RequestsSeen),
}

impl Countersign {
    /// Looks.
    pub fn sight(&self, look: &Look) -> Result<Sight, AppError> {
        Ok(match look {
            Look::Health => Sight::Health(Box::new(self.health()?)),
            Look::Rules { first } => Sight::Rules(Box::new(self.list_rules(*first)?)),
            Look::Refusals { before } => Sight::Refusals(self.list_refusals(*before)?),
            Look::Issuers => Sight::Issuers(self.list_issuers()?),
            Look::Clients => Sight::Clients(self.list_clients()?),
            Look::Client { id } => Sight::Client(Box::new(self.show_client(id)?)),
            Look::Keys => Sight::Keys(Box::new(self.list_keys()?)),
            Look::Requests => Sight::Requests(self.list_requests()?),
        })
    }
}
