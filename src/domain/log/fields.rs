//! What entries about jobs share: the job's numeric ids, what asking fixes, what a job token's release depends on.
//! In: values of a verified job token and of a request. Out: members of entries.
//! Implements DESIGN §7 (a closed list of clear fields).
//! Never holds a name, a login or a path.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, Digest, IssuerName};
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
