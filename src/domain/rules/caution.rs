//! Cautions: rules that load and may mean more than their author thinks.
//! In: a compiled rule and where it stands. Out: warnings.
//! Implements what studies of cloud trust policies found: names that move, claims that the job chooses.
//! Never refuses a rule; that is the compiler's.

use super::compile::Notes;
use super::conditions::PLACES;
use super::source::Source;
use super::{Require, Rule};
use crate::domain::job::gitlab::{Form, Sent, inventory};

pub(super) fn warn(rule: &Rule, source: &Source, notes: &mut Notes<'_>) {
    let line_of = |name: &str| {
        let typed = source.matches.as_ref().and_then(|at| at.value.claims.iter().find(|(claim, _)| claim == name));
        typed.map_or(source.line, |(_, at)| at.line)
    };
    for (name, pattern) in &rule.matches {
        let line = line_of(name);
        for sentence in pattern.warnings() {
            notes.warning(line, format!("`{name} = \"{pattern}\"`: {sentence}"), "an exact text is safer");
        }
        if let Some(why) = weakness(name, pattern.as_str()) {
            notes.warning(line, format!("`{name}` {why}"), "do not rest authority on it alone");
        }
    }
    if let Some(name) = only_by_path(rule) {
        let what = format!("the project is matched by `{name}` alone, and paths can be renamed and registered anew");
        notes.warning(line_of(name), what, "match `job_project_id` or `job_namespace_id`");
    }
    warn_allowing(rule, source, notes);
}

fn warn_allowing(rule: &Rule, source: &Source, notes: &mut Notes<'_>) {
    let Some(allow) = rule.allow() else { return };
    let has = |name: &str| rule.matches.contains_key(name);
    if rule.fork == Some(true) && !PLACES.iter().any(|name| name.starts_with("job_") && has(name)) {
        let what = "the rule is for forks, but does not say in which project the job runs";
        notes.warning(source.line, what, "match `job_project_id`");
    }
    let guarded = ["ref_protected", "environment_protected", "ref", "ref_path"].into_iter().any(has);
    if allow.require == Require::None && !guarded {
        let what = "nobody approves, and every branch of the project can run such a job";
        notes.warning(source.line, what, "match `ref_protected = \"true\"`");
    }
    for name in &allow.token.forward {
        if matches!(name.as_str(), "user_login" | "user_email") {
            let what = format!("`{name}` names a person to whoever sees the token");
            notes.warning(source.line, what, "forward `user_id`");
        }
        if inventory(name).is_some_and(|claim| claim.sent == Sent::Sometimes) && !has(name) {
            let what = format!("not every job has `{name}`, and those without it are refused");
            notes.warning(source.line, what, "match it too, or do not forward it");
        }
    }
}

/// What is wrong with a claim as authority.
fn weakness(name: &str, pattern: &str) -> Option<&'static str> {
    match name {
        "sub" => Some("is composed by the project's own settings"),
        "aud" => Some("is chosen by the job, and always ours here"),
        "groups_direct" => Some("holds paths, which move, and is absent for people of more than 200 groups"),
        "runner_environment" | "runner_id" => Some("says which runner took the job, not who controls it"),
        "ci_config_ref_uri" | "ci_config_sha" => Some("can point into another project"),
        "pipeline_source" if matches!(pattern, "api" | "trigger" | "pipeline") => {
            Some("of this kind needs a token only, and no person")
        }
        _ if name.starts_with("user_") => {
            Some("says who started the job by GitLab's word, not that a person is present")
        }
        _ if inventory(name).is_some_and(|claim| claim.form == Form::Number) => Some("is not an identity"),
        _ => None,
    }
}

fn only_by_path(rule: &Rule) -> Option<&'static str> {
    let place =
        |end: &str| PLACES.iter().find(|name| name.ends_with(end) && rule.matches.contains_key(**name)).copied();
    if place("_id").is_some() { None } else { place("_path") }
}
