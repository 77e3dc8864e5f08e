//! The job: what a verified job token says, as an immutable value.
//! In: verified claims. Out: `Job`. One file an issuer's inventory of claims.
//! Implements the claims of GitLab's ID tokens (DESIGN §5.2).
//! Never coerces: a claim in another form is refused.

pub mod foreign;
pub mod gitlab;
pub mod identity;
pub mod legacy;
mod validity;

#[cfg(test)]
pub(crate) mod samples;

use std::collections::BTreeMap;

use crate::domain::ids::{Digest, IssuerName};
use crate::domain::time::Timestamp;

/// Which of GitLab's job tokens this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobTokenKind {
    /// `id_tokens:`, the only one accepted by default.
    IdToken,
    /// `CI_JOB_JWT_V2`, removed in GitLab 17.0, by configuration only.
    JwtV2,
    /// `CI_JOB_JWT` (V1), removed in GitLab 17.0, by configuration only.
    JwtV1,
}

/// What a verified job token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Short name of the issuer that signed.
    pub issuer: IssuerName,
    /// Which token.
    pub kind: JobTokenKind,
    /// SHA-256 of the token's signing input (RFC 7515 §5.1), so that one token has one digest.
    pub token_sha256: Digest,
    /// The token's `jti`.
    pub jti: String,
    /// The token's `iat`.
    pub issued_at: Timestamp,
    /// The token's `exp`.
    pub expires_at: Timestamp,
    /// Every known job claim that rules may match and tokens may forward, as text, by GitLab's name.
    /// Flags are `true` or `false`, ids are digits. A claim that is absent or `null` is not here. Beside them `identity` and
    /// `identity_provider`, which no rule may name.
    pub claims: BTreeMap<String, String>,
    /// Names of claims that the inventory does not list; accepted and counted.
    pub unknown_claims: Vec<String>,
}

impl Job {
    /// A claim as text.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> &str {
        // INVARIANT(required claims): the inventory puts every required claim here or refuses the token.
        self.claim(name).unwrap_or_default()
    }

    /// Id of the project in which the job runs (`project_id` stands in on old instances).
    #[must_use]
    pub fn job_project_id(&self) -> &str {
        self.claim("job_project_id").unwrap_or_else(|| self.required("project_id"))
    }

    /// Id of the project that the code comes from.
    #[must_use]
    pub fn project_id(&self) -> &str {
        self.required("project_id")
    }

    /// Id of the job.
    #[must_use]
    pub fn job_id(&self) -> &str {
        self.required("job_id")
    }

    /// Id of the pipeline.
    #[must_use]
    pub fn pipeline_id(&self) -> &str {
        self.required("pipeline_id")
    }

    /// The person whom GitLab signs the user in as through us, where the configuration says that it does.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        self.claim(identity::IDENTITY)
    }

    /// The code comes from another project than the one the job runs in.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        self.job_project_id() != self.project_id()
    }

    /// The path of the project in which the job runs, where the token has it; a fork's own path is another's.
    #[must_use]
    pub fn project_path(&self) -> Option<&str> {
        self.claim("job_project_path").or_else(|| self.claim("project_path").filter(|_| !self.is_fork()))
    }

    /// GitLab's id of the user who started the job; `None` where the job has no user.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.claim("user_id").filter(|id| !id.is_empty())
    }
}
