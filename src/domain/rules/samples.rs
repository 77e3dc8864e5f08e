//! Rules for tests.

use super::compile::{Loaded, RuleError, Rules};
use crate::domain::ids::{Audience, IssuerName};

/// A whole deploy rule and a deny rule.
pub(crate) const DEPLOY: &str = r#"
[[rule]]
name     = "production deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"], count = 1, not = ["starter"], within = "15m" } }
acr      = "phr"
token    = { lifetime = "10m", forward = ["pipeline_id", "job_id", "sha"] }
aws      = { roles = ["arn:aws:iam::111122223333:role/deploy"], tags = ["gitlab_job_id", "acr"], source_identity = "{approver}" }

[[rule]]
name = "never from forks"
match = { fork = true }
deny  = "Deploy from the project itself."
"#;

pub(crate) fn compile(text: &str, issuers: &[&str]) -> Result<Loaded, Vec<RuleError>> {
    let issuers: Vec<_> = issuers.iter().map(|name| IssuerName::parse(name).unwrap()).collect();
    Rules::compile(&[("rules.toml".to_owned(), text.to_owned())], &issuers, &[])
}

/// Rules that must compile, with the one issuer `gitlab`.
pub(crate) fn rules(text: &str) -> Rules {
    match compile(text, &["gitlab"]) {
        Ok(loaded) => loaded.rules,
        Err(errors) => panic!("{errors:#?}"),
    }
}

/// A rule for project 4711 that asks nobody, with more conditions.
pub(crate) fn open_rule(conditions: &str) -> String {
    format!(
        "[[rule]]\nname = \"open\"\nmatch = {{ job_project_id = \"4711\", environment = \"production\"{conditions} }}\n\
         audience = [\"vault\"]\nrequire = \"none\"\n"
    )
}

pub(crate) fn audience(text: &str) -> Audience {
    Audience::parse(text).unwrap()
}
