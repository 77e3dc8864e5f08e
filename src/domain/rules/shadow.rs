//! Shadowed rules: those that can never be reached because an earlier one takes all their jobs.
//! In: compiled rules in the order of their files. Out: an error for each shadowed one.
//! Implements DESIGN §4's order: deny rules first, then the first that fits.
//! Never calls a rule shadowed that some job could reach.

use std::collections::HashMap;

use super::compile::RuleError;
use super::source::Source;
use super::{Effect, Rule};

/// The claim by which most rules differ; rules are compared only where it could be the same.
const BUCKET: &str = "job_project_id";

pub(super) fn shadowed(rules: &[(Rule, &Source)]) -> Vec<RuleError> {
    let is_deny = |rule: &Rule| matches!(rule.effect, Effect::Deny(_));
    let ordered = rules.iter().filter(|(rule, _)| is_deny(rule)).chain(rules.iter().filter(|(rule, _)| !is_deny(rule)));
    let mut earlier: HashMap<Option<&str>, Vec<&(Rule, &Source)>> = HashMap::new();
    let mut errors = Vec::new();
    for entry in ordered {
        let (rule, source) = entry;
        let project = rule.matches.get(BUCKET).map(super::pattern::Pattern::as_str);
        let candidates = earlier.get(&None).into_iter().chain(project.and_then(|id| earlier.get(&Some(id)))).flatten();
        if let Some((first, place)) = candidates.into_iter().find(|(first, _)| covers(first, rule)) {
            let how = if is_deny(first) { "denies" } else { "takes" };
            let what = format!(
                "it can never apply: the rule \"{}\" ({}:{}) {how} all its jobs",
                first.name, place.file, place.line
            );
            let hint = Some("take one of the two out, narrow the other, or change their order".to_owned());
            let (file, line) = (source.file.clone(), source.line);
            errors.push(RuleError { file, line, rule: Some(rule.name.to_string()), what, hint });
        }
        earlier.entry(project).or_default().push(entry);
    }
    errors
}

/// Every job and list of audiences that `later` takes, `first` takes before it.
fn covers(first: &Rule, later: &Rule) -> bool {
    let issuer = first.issuer.is_none() || first.issuer == later.issuer;
    let fork = first.fork.is_none() || first.fork == later.fork;
    let claims =
        || first.matches.iter().all(|(name, wide)| later.matches.get(name).is_some_and(|narrow| wide.covers(narrow)));
    issuer && fork && effects(first, later) && claims()
}

fn effects(first: &Rule, later: &Rule) -> bool {
    match (&first.effect, &later.effect) {
        (Effect::Deny(_), _) => true,
        (Effect::Allow(_), Effect::Deny(_)) => false,
        (Effect::Allow(wide), Effect::Allow(narrow)) => {
            // An allowing rule takes merge-request pipelines only where it names their source.
            let merge_requests = first.matches.contains_key("pipeline_source")
                || !later.matches.get("pipeline_source").is_some_and(|source| source.matches("merge_request_event"));
            merge_requests && narrow.audience.iter().all(|audience| wide.audience.contains(audience))
        }
    }
}
