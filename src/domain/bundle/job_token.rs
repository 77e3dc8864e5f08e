//! The job of a bundle: from its token under the issuer's keys, or, while that is withheld, from the signed request.
//! In: the token and the keys as they were fetched. Out: the job as far as it is told.
//! Implements DESIGN §7: a job token is withheld while another audience may still be collected.
//! Never judges by the verifier's clock whether a token is still withheld: the newest entry does.

use serde_json::Value;

use crate::domain::canonical;
use crate::domain::ids::{Digest, IssuerName};
use crate::domain::job::identity::IDENTITY_PROVIDER;
use crate::domain::job::{Job, JobTokenKind, gitlab};
use crate::domain::log::entry::EvidenceDigests;
use crate::domain::request::Request;
use crate::domain::time::{LEEWAY, Timestamp};

use super::case::Case;
use super::roles::TokenPart;
use super::steps::Steps;

/// The evidence of an issuer's keys.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerKeysDocument {
    issuer: String,
    name: IssuerName,
    jwks: Value,
}

/// What a bundle tells of the job.
pub(super) struct JobSeen {
    /// `None` where only the withheld token would tell.
    pub(super) job: Option<Job>,
}

impl Case<'_> {
    /// The job, from the token where it is here, else from the signed request.
    pub(super) fn job_token(&self, request: Option<&Request>, steps: &mut Steps) -> Option<JobSeen> {
        let token = match self.roles.token_part() {
            Ok(token) => token,
            Err(text) => return steps.run("job token", Err(text)),
        };
        let keys = steps.run("issuer keys", self.issuer_keys(&token))?;
        let (evidence, intake) = match &self.roles.asked {
            Some(part) => (part.evidence, &part.asked.intake),
            None => (token.evidence, token.intake?),
        };
        let here = evidence.get("job_token").is_some_and(|digest| self.bundle.evidence.contains_key(digest));
        let due = self.roles.newest.time > intake.job_token_exp + LEEWAY || intake.audiences.len() == 1;
        if here || due {
            let read = self.read_job_token(request, evidence, &keys, intake.job_token_exp);
            return steps.run("job token", read.map(|(job, text)| (JobSeen { job: Some(job) }, text)));
        }
        let job = match request.map(|request| job_of(request, intake.job_token_exp)).transpose() {
            Ok(job) => job,
            Err(text) => return steps.run("job token", Err(text)),
        };
        let until = intake.job_token_exp;
        steps.skip("job token", format!("withheld until {until}: another audience may still be collected"));
        Some(JobSeen { job })
    }

    fn issuer_keys(&self, token: &TokenPart<'_>) -> Result<(Vec<u8>, String), String> {
        let (name, evidence) = self.roles.issuer_keys;
        let document: IssuerKeysDocument = self.read(evidence, "keys")?;
        if document.name != *name || token.job.issuer != *name {
            return Err("the keys are another issuer's".to_owned());
        }
        let jwks = canonical::to_bytes(&document.jwks).map_err(|error| error.to_string())?;
        Ok((jwks, format!("of {}, as this server fetched them", document.issuer)))
    }

    fn read_job_token(
        &self,
        request: Option<&Request>,
        evidence: &EvidenceDigests,
        jwks: &[u8],
        exp: Timestamp,
    ) -> Result<(Job, String), String> {
        let token_entry = self.roles.token_part()?;
        let token = self.document(evidence, "job_token")?;
        let verified = self.signatures.job_token(&token.text, jwks)?;
        let (name, keys) = self.roles.issuer_keys;
        let document: IssuerKeysDocument = self.read(keys, "keys")?;
        // Whether the issuer signs its users in through us is the request's word, which people signed.
        let provider = request.and_then(|request| request.job_claim(IDENTITY_PROVIDER));
        let job = gitlab::from_log(&verified, name, &document.issuer, self.roles.genesis.issuer, provider)
            .map_err(|refusal| refusal.description)?;
        if job.expires_at != exp {
            return Err("the job token's `exp` is not the one that was logged".to_owned());
        }
        let entry = token_entry.job;
        let named = entry.issuer == job.issuer
            && entry.job_project_id == job.job_project_id()
            && entry.pipeline_id == job.pipeline_id()
            && entry.job_id == job.job_id();
        if !named {
            return Err("the token's entry names another job than the job token".to_owned());
        }
        if let Some(request) = request {
            let same = request.job.iter().all(|(member, value)| match member.as_str() {
                "issuer" => value == job.issuer.as_str(),
                "token_sha256" => *value == job.token_sha256.to_string(),
                _ => job.claim(member) == Some(value),
            });
            if !same {
                return Err("the job token says something else than the request".to_owned());
            }
        }
        let text = format!("signed by {}, says what the request says", document.issuer);
        Ok((job, text))
    }
}

/// The job as the signed request tells it, while the job token is withheld.
fn job_of(request: &Request, exp: Timestamp) -> Result<Job, String> {
    let mut claims = request.job.clone();
    let issuer = claims.remove("issuer").ok_or("the request names no issuer")?;
    let token = claims.remove("token_sha256").ok_or("the request names no job token")?;
    Ok(Job {
        issuer: IssuerName::parse(&issuer).map_err(|error| error.to_string())?,
        kind: JobTokenKind::IdToken,
        token_sha256: Digest::parse(&token).map_err(|error| error.to_string())?,
        jti: String::new(),
        issued_at: exp,
        expires_at: exp,
        claims,
        unknown_claims: Vec::new(),
    })
}
