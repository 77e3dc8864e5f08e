//! What the operator decided, as the use cases need it.
//! In: checked values from `config`. Out: one plain struct.
//! Implements DESIGN §12.
//! Never read from a file here.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::change::standing::Terms;
use crate::domain::ids::IssuerName;
use crate::domain::job::gitlab::IssuerTerms;

use super::course::CallLimits;

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our issuer URL, exactly as tokens spell it.
    pub url: String,
    /// The WebAuthn RP id; never changes.
    pub rp_id: String,
    /// The log's origin, `<host>/log`.
    pub origin: String,
    /// Where state lives.
    pub directory: PathBuf,
    /// The longest time that a call is held.
    pub wait_limit: Duration,
    /// Limits of the exchange.
    pub limits: CallLimits,
    /// When changes take effect.
    pub people: Terms,
    /// Those whose job tokens we accept.
    pub issuers: Vec<IssuerSettings>,
    /// This is a demo.
    pub demo: bool,
}

/// One issuer.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// What its tokens must look like.
    pub terms: IssuerTerms,
    /// Where its keys may be beside its own origin: `host` or `host:port`.
    pub jwks_host: Option<String>,
    /// A pinned JWKS, instead of fetching.
    pub pinned_jwks: Option<Vec<u8>>,
    /// A CA of its own.
    pub ca_file: Option<PathBuf>,
    /// It may live at a private address.
    pub allow_private: bool,
    /// How long cached keys serve while it cannot be reached.
    pub stale_use: Duration,
}

impl Settings {
    /// The issuer of a short name.
    pub fn issuer(&self, name: &IssuerName) -> Option<&IssuerSettings> {
        self.issuers.iter().find(|issuer| issuer.terms.name == *name)
    }

    /// The host of our URL, with its port where it has one.
    pub fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest.split('/').next().unwrap_or(rest))
    }
}
