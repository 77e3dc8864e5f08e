//! The predecessors of ID tokens: `CI_JOB_JWT` and `CI_JOB_JWT_V2`, removed in GitLab 17.0.
//! In: `iss`, `aud` and `sub` of a verified token, the terms of its issuer. Out: which predecessor it is, if one.
//! Implements what old GitLab put into them; accepted by configuration only.
//! Never takes a token that names us as audience for one of these.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::JobTokenKind;
use super::gitlab::IssuerTerms;

/// A removed job token that configuration may admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Legacy {
    /// `CI_JOB_JWT`: `iss` is the bare host, there is no `aud`.
    #[serde(rename = "CI_JOB_JWT")]
    JwtV1,
    /// `CI_JOB_JWT_V2`: `aud` is the issuer's own URL.
    #[serde(rename = "CI_JOB_JWT_V2")]
    JwtV2,
}

impl Legacy {
    /// Reads the name of the variable that held it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "CI_JOB_JWT" | "CI_JOB_JWT_V1" => Some(Self::JwtV1),
            "CI_JOB_JWT_V2" => Some(Self::JwtV2),
            _ => None,
        }
    }
}

/// Which predecessor this is, among those that the issuer's configuration admits. `audience` is the token's one
/// audience, `None` where it has none.
pub(super) fn kind(claims: &Map<String, Value>, audience: Option<&str>, terms: &IssuerTerms) -> Option<JobTokenKind> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let iss = text("iss")?;
    if let Some(aud) = audience {
        let admitted = terms.legacy.contains(&Legacy::JwtV2) && aud != terms.our_url;
        return (admitted && aud == terms.url && iss == terms.url).then_some(JobTokenKind::JwtV2);
    }
    let admitted = terms.legacy.contains(&Legacy::JwtV1) && is_host_of(iss, &terms.url);
    let sub = text("job_id").map(|id| format!("job_{id}"));
    (admitted && text("sub") == sub.as_deref()).then_some(JobTokenKind::JwtV1)
}

/// Whether `iss` is the bare host of an issuer's URL.
pub(super) fn is_host_of(iss: &str, url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.host_str() == Some(iss))
}
