//! Proof by pipeline: a person's code in a pipeline that a GitLab user starts by hand.
//! In: random bits, what a job brings, the verified job. Out: the code, and what GitLab says of whoever ran it.
//! Implements DESIGN §11 (proof by pipeline).
//! Never more than a reason to exclude: whoever has a code may give it to another user.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{Digest, IssuerName};
use crate::domain::job::Job;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;
use crate::domain::time::Timestamp;

/// The `pipeline_source` of a pipeline that somebody starts with GitLab's own button.
pub const BY_HAND: &str = "web";
/// On whose word, in the document of a link that a person proved.
pub const BY_PIPELINE: &str = "pipeline";
/// Letters of a code between two hyphens.
const GROUP: usize = 4;

/// The only `aud` of a token that brings a code: no exchange takes it, and what the exchange takes brings no code.
#[must_use]
pub fn audience(our_url: &str) -> String {
    format!("{our_url}/link")
}

/// The code that a person brings into a pipeline: 80 random bits, used once, kept hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode(String);

impl LinkCode {
    /// The code made of 80 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 10]) -> Self {
        let text = BASE32_NOPAD.encode(&bits);
        let groups: Vec<_> = text.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
        Self(groups.join("-"))
    }

    /// Reads a code in the one spelling that we write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bits = BASE32_NOPAD.decode(text.replace('-', "").as_bytes()).ok()?;
        Some(Self::from_random(bits.try_into().ok()?)).filter(|code| code.0 == text)
    }

    /// The code itself, for the one page that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its SHA-256, the only form that is kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode(redacted)")
    }
}

/// Whom GitLab names, and where: what a person signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedUser {
    /// Short name of the issuer.
    pub issuer: IssuerName,
    /// The user's number.
    pub user_id: String,
    /// The project in which the job ran.
    pub job_project_id: String,
    /// The pipeline.
    pub pipeline_id: String,
    /// The job.
    pub job_id: String,
    /// SHA-256 of the token's signing input.
    pub token_sha256: Digest,
}

/// Whom a verified job shows to have brought a code that was made at `made`.
///
/// # Errors
/// The pipeline was not started by hand, or is older than the code, or has no user.
pub fn shown_by(job: &Job, made: Timestamp) -> Result<LinkedUser, Refusal> {
    let source = job.claim("pipeline_source").unwrap_or_default();
    if source != BY_HAND {
        let what = format!("this pipeline was not started by hand: its `pipeline_source` is not `{BY_HAND}`");
        return Err(Refusal::new(ErrorCode::NotByHand, what));
    }
    // Whole seconds are all that `iat` has. There is no leeway: a token from before the code was meant for something else.
    if job.issued_at.seconds() < made.seconds() {
        let what = "this job is older than the code that it brings, by GitLab's clock";
        return Err(Refusal::new(ErrorCode::TokenTooOld, what).with_hint("start a new pipeline by hand"));
    }
    let user_id = job.user_id().ok_or_else(|| Refusal::new(ErrorCode::NotByHand, "this job has no user"))?;
    Ok(LinkedUser {
        issuer: job.issuer.clone(),
        user_id: user_id.to_owned(),
        job_project_id: job.job_project_id().to_owned(),
        pipeline_id: job.pipeline_id().to_owned(),
        job_id: job.job_id().to_owned(),
        token_sha256: job.token_sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::samples::{job, now};
    use serde_json::json;

    #[test]
    fn a_code_has_80_bits_and_one_spelling() {
        let code = LinkCode::from_random([0xff; 10]);
        assert_eq!(code.expose(), "7777-7777-7777-7777");
        assert_eq!(LinkCode::parse("7777-7777-7777-7777"), Some(code.clone()));
        for other in ["7777777777777777", "7777-7777-7777-777", "77777-777-7777-7777", "aaaa-AAAA-AAAA-AAAA", "", "-"] {
            assert_eq!(LinkCode::parse(other), None, "{other}");
        }
        assert_eq!(format!("{code:?}"), "LinkCode(redacted)");
    }

    #[test]
    fn only_a_pipeline_by_hand_that_is_younger_than_the_code_shows_a_user() {
        let by_hand = |claims| job(&claims);
        let iat = by_hand(json!({ "pipeline_source": "web" })).issued_at;
        let user = shown_by(&by_hand(json!({ "pipeline_source": "web" })), iat).unwrap();
        assert_eq!((user.issuer.as_str(), user.user_id.as_str()), ("gitlab", "88"));
        for source in ["push", "webide", "api", "schedule", "trigger", "pipeline", "WEB", "web "] {
            let refused = shown_by(&by_hand(json!({ "pipeline_source": source })), iat).unwrap_err();
            assert_eq!(refused.code, ErrorCode::NotByHand, "{source}");
        }
        let late = shown_by(&by_hand(json!({ "pipeline_source": "web" })), iat + std::time::Duration::from_secs(1));
        assert_eq!(late.unwrap_err().code, ErrorCode::TokenTooOld);
        let nobody = shown_by(&by_hand(json!({ "pipeline_source": "web", "user_id": "" })), iat);
        assert_eq!(nobody.unwrap_err().code, ErrorCode::NotByHand);
        assert!(iat <= now());
    }
}
