//! Members of entries that several places make: a job's numeric ids, what asking fixes, what a job token's release depends
//! on, what became of a grant.
//! In: values of a verified job token, of a request, of a grant. Out: members of entries.
//! Implements DESIGN §7 (a closed list of clear fields).
//! Never holds a name, a login or a path.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, ClientId, Digest, IssuerName, PersonId};
use crate::domain::log::entry::EvidenceDigests;
use crate::domain::oauth::grant::{GrantEnd, IssuedToken};
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;

/// Numeric ids of a job, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFields {
    /// Short name of the issuer.
    pub issuer: IssuerName,
    /// Project in which the job runs.
    pub job_project_id: String,
    /// Pipeline.
    pub pipeline_id: String,
    /// Job.
    pub job_id: String,
}

/// What asking fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// SHA-256 of the canonical request.
    pub request_sha256: Digest,
    /// The rule's digest.
    pub rule: Digest,
    /// The last moment at which a signature counts.
    pub decide_by: Timestamp,
    /// What the job token's release depends on.
    pub intake: Intake,
    /// Index of the entry that ties the job's user to a person, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starter: Option<u64>,
    /// Indices of the entries by which people proved with a pipeline that the job's user is theirs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub proved: BTreeSet<u64>,
}

/// A job token that was taken in: it leaves in a bundle once every audience has its token, or past its `exp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// Audiences that the job token's `jti` is bound to.
    pub audiences: Vec<Audience>,
    /// The job token's `exp`.
    pub job_token_exp: Timestamp,
    /// Index of the entry with the issuer's keys.
    pub issuer_keys: u64,
}

/// What a person gave to a client, the tokens that came of it, and its end; or a client's own tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFields {
    /// `started`, `issued`, `revoked` (one token, by its client), `ended`, `consented`, `consent_withdrawn`, `denied`
    /// (to a device), or `all_ended` (to a client, by an admin or the console; an entry for each follows).
    pub outcome: String,
    /// To whom.
    pub client: ClientId,
    /// Who gave it; a client's own tokens are nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// Index of the entry that started it; not where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u64>,
    /// Index of the entry that started the session in which it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Index of the entry that added the passkey that signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<u64>,
    /// What was allowed.
    #[serde(default, skip_serializing_if = "Scopes::is_empty")]
    pub scopes: Scopes,
    /// The services that it may be used at, beside ourselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Audience>,
    /// What was issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<IssuedToken>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<GrantEnd>,
    /// The documents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: EvidenceDigests,
}

impl GrantFields {
    /// Nothing but what happened, and to which client.
    #[must_use]
    pub fn new(outcome: &str, client: ClientId) -> Self {
        Self {
            outcome: outcome.to_owned(),
            client,
            person: None,
            grant: None,
            session: None,
            passkey: None,
            scopes: Scopes::default(),
            resources: Vec::new(),
            tokens: Vec::new(),
            why: None,
            evidence: EvidenceDigests::new(),
        }
    }
}
