//! Job tokens for tests: a whole deploy job of a current GitLab, and ways to change one thing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Job;
use super::gitlab::{IssuerTerms, parse};
use crate::domain::ids::{Digest, IssuerName};
use crate::domain::rules::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::verified::{RawClaims, Verified};

pub(crate) const GITLAB: &str = "https://gitlab.shop.example";
pub(crate) const US: &str = "https://sign.shop.example";
/// Five seconds after the deploy job's `iat`.
pub(crate) const NOW: i64 = 1_795_430_405;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// A deploy job on a protected branch.
pub(crate) fn deploy() -> Map<String, Value> {
    let value = json!({
        "project_id": "4711", "project_path": "shop/api", "namespace_id": "310", "namespace_path": "shop",
        "user_id": "88", "user_login": "mara", "user_email": "mara@shop.example", "user_access_level": "maintainer",
        "job_project_id": "4711", "job_project_path": "shop/api", "job_namespace_id": "310",
        "job_namespace_path": "shop", "pipeline_id": "90210", "pipeline_source": "push", "job_id": "555123",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
        "groups_direct": ["shop", "platform/sre"], "environment": "production", "environment_protected": "true",
        "deployment_tier": "production", "environment_action": "start", "job_source": "push", "runner_id": 17,
        "runner_environment": "self-hosted", "sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
        "project_visibility": "private",
        "user_identities": [{"provider": "openid_connect", "extern_uid": "pmq4zx7k2hv5ntr3b"}],
        "ci_config_ref_uri": "gitlab.shop.example/shop/api//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
        "jti": "6c0b3f0e-2f56-4a0e-8a51-7f7b0e2f9a10", "iss": GITLAB, "iat": NOW - 5, "nbf": NOW - 10,
        "exp": NOW + 3595, "sub": "project_path:shop/api:ref_type:branch:ref:main", "aud": US,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// The deploy job with these claims changed; `null` takes one out.
pub(crate) fn changed(changes: &Value) -> Map<String, Value> {
    let mut claims = deploy();
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// A fork's merge-request pipeline, running in the parent.
pub(crate) fn fork() -> Map<String, Value> {
    changed(&json!({
        "project_id": "9002", "project_path": "mallory/api", "namespace_id": "666", "namespace_path": "mallory",
        "pipeline_source": "merge_request_event", "ref_protected": "false", "ref": "patch-1"
    }))
}

pub(crate) fn verified(claims: Map<String, Value>) -> Verified<RawClaims> {
    let header = json!({"alg": "RS256", "kid": "k", "typ": "JWT"}).as_object().cloned().unwrap_or_default();
    Verified::after_checking_the_signature(RawClaims { claims, header, token_sha256: Digest::of(b"token") })
}

pub(crate) fn issuer(name: &str) -> IssuerName {
    IssuerName::parse(name).unwrap()
}

pub(crate) fn terms() -> IssuerTerms {
    IssuerTerms {
        name: issuer("gitlab"),
        url: GITLAB.to_owned(),
        our_url: US.to_owned(),
        legacy: BTreeSet::new(),
        identity_provider: None,
        projects: None,
        namespaces: None,
    }
}

pub(crate) fn read(claims: Map<String, Value>) -> Result<Job, Refusal> {
    parse(&verified(claims), &terms(), now())
}

/// The job that a token with these changes is.
pub(crate) fn job(changes: &Value) -> Job {
    read(changed(changes)).unwrap()
}
