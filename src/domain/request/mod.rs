//! The request: one job waiting for people. An immutable record, and the state it is in.
//! In: a job, the rule it matched, what is asked. Out: `Request`, whose canonical form people sign.
//! Implements DESIGN §6.
//! Never holds a login, a name or an e-mail address.

pub mod standing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, Code, Digest, RequestId, RuleName};
use crate::domain::time::Timestamp;

/// What a rule requires of humans, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Plain federation: nobody.
    None,
    /// Distinct people sign this very job.
    Approval,
}

impl Presence {
    /// As the token spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Approval => "approval",
        }
    }
}

/// One token that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Who the token is for.
    pub audience: Audience,
    /// The token's `sub`.
    pub sub: String,
    /// The token's lifetime in seconds.
    pub lifetime: u64,
    /// How many tokens may be issued for this audience.
    pub tokens: u32,
    /// AWS roles that the token is pinned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// What was required of humans.
    pub presence: Presence,
}

/// The rule that a request was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleRef {
    /// Its name.
    pub name: RuleName,
    /// SHA-256 of its canonical form.
    pub sha256: Digest,
}

/// One job waiting for people; never changes once made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The link id.
    pub id: RequestId,
    /// Our issuer URL.
    pub issuer: String,
    /// For comparing with the job log.
    pub code: Code,
    /// SHA-256 of the collector that the first call fixed.
    pub collector: Digest,
    /// The last moment at which a signature counts.
    pub decide_by: Timestamp,
    /// The last moment at which the job may collect.
    pub use_by: Timestamp,
    /// The job: `issuer` (short name), `token_sha256`, and claims by GitLab's names (`JOB_MEMBERS` where the job has
    /// them, and whatever else the rule matches, forwards or names in a template).
    pub job: BTreeMap<String, String>,
    /// The tokens asked for, in the order asked.
    pub access: Vec<Access>,
    /// The rule.
    pub rule: RuleRef,
}

/// Claims that every request records where the job has them.
pub const JOB_MEMBERS: &[&str] = &[
    "job_project_id",
    "project_id",
    "project_path",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "sha",
    "ref",
    "ref_type",
    "ref_protected",
    "environment",
    "user_id",
    "runner_environment",
    // Whom GitLab signs the user in as through us, where the issuer's configuration says so.
    "identity",
    "identity_provider",
];

impl Request {
    /// A member of the job record.
    #[must_use]
    pub fn job_claim(&self, name: &str) -> Option<&str> {
        self.job.get(name).map(String::as_str)
    }

    /// The code comes from another project than the one in which the job runs.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        matches!((self.job_claim("job_project_id"), self.job_claim("project_id")), (Some(a), Some(b)) if a != b)
    }

    /// The path of the project in which the job runs, where `said` beside this record, or the record, has it. `project_path`
    /// is where the code comes from: it names that project only where the two are one.
    #[must_use]
    pub fn project_path<'a>(&'a self, said: Option<&'a str>) -> Option<&'a str> {
        let own = || self.job_claim("project_path").filter(|_| !self.is_fork());
        said.or_else(|| self.job_claim("job_project_path")).or_else(own)
    }

    /// The audiences, in the order asked.
    pub fn audiences(&self) -> impl Iterator<Item = &Audience> {
        self.access.iter().map(|access| &access.audience)
    }
}
