//! Deciding: which rule a job falls under, and whether people have signed enough.
//! In: rules, a job, the audiences asked, what the store knows, the time. Out: `Verdict` with every check.
//! Implements DESIGN §4 and §5 step 3.
//! Never guesses: an absent claim never matches, and what cannot be evaluated refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::conditions::PLACES;
use super::explain::{nearest, shown};
use super::pattern::Pattern;
use super::set::{Rules, SealedRule};
use super::{
    ApprovalTerms, Approver, Check, Effect, Excluded, Facts, Outcome, Refusal, Require, Rule, RuleTrace, Trace, Verdict,
};
use crate::domain::assurance::Acr;
use crate::domain::ids::{Audience, PersonId};
use crate::domain::job::Job;
use crate::domain::job::gitlab::{Form, inventory};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;

const MERGE_REQUEST: &str = "merge_request_event";

impl Rules {
    /// The rule that the job falls under for these audiences: deny rules first, then the first that fits.
    pub fn matching(&self, job: &Job, asked: &[Audience]) -> (Result<Arc<SealedRule>, Refusal>, Trace) {
        let mut trace = Trace::default();
        let mut other_audiences = None;
        for rule in self.iter() {
            let mut checks = conditions(rule, job);
            let mut fits = checks.last().is_none_or(|check| check.passed);
            if let (true, Some(allow)) = (fits, rule.allow()) {
                fits = check_audience(&allow.audience, asked, &mut checks);
                if !fits && other_audiences.is_none() {
                    other_audiences = Some(rule);
                }
            }
            let deny = matches!(rule.effect, Effect::Deny(_));
            trace.rules.push(RuleTrace { rule: rule.name.clone(), deny, checks });
            if !fits {
                continue;
            }
            let answer = match &rule.effect {
                Effect::Deny(sentence) => {
                    let what = format!("the rule \"{}\" refuses this job: {sentence}", rule.name);
                    Err(Refusal::new(ErrorCode::DeniedByRule, what).by(&rule.name))
                }
                Effect::Allow(_) => Ok(Arc::clone(rule)),
            };
            return (answer, trace);
        }
        let refusal = other_audiences.map_or_else(|| no_rule(&trace, job), |rule| wrong_audience(rule, asked));
        (Err(refusal), trace)
    }
}

/// The verdict over a job. Pure and total: asked twice, it answers the same.
#[must_use]
pub fn decide(rules: &Rules, job: &Job, asked: &[Audience], facts: &Facts, now: Timestamp) -> Verdict {
    let (answer, mut trace) = rules.matching(job, asked);
    let outcome = match answer {
        Err(refusal) => Outcome::Refuse(refusal),
        Ok(rule) => {
            let mut checks = Vec::new();
            let outcome = judge(&rule, job, facts, now, &mut checks);
            if let Some(last) = trace.rules.last_mut() {
                last.checks.append(&mut checks);
            }
            outcome
        }
    };
    Verdict { outcome, trace }
}

fn check(subject: impl Into<String>, wanted: impl Into<String>, found: Option<String>, passed: bool) -> Check {
    Check { subject: subject.into(), wanted: wanted.into(), found, passed }
}

/// Each condition until the first that fails: issuer, places, fork, then the others by name.
fn conditions(rule: &Rule, job: &Job) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |one: Check| {
        let passed = one.passed;
        checks.push(one);
        passed
    };
    let _ = rule.issuer.as_ref().is_none_or(|wanted| {
        add(check("issuer", wanted.as_str(), Some(job.issuer.to_string()), *wanted == job.issuer))
    }) && PLACES
        .iter()
        .all(|name| rule.matches.get(*name).is_none_or(|pattern| add(claim_check(name, pattern, job))))
        && rule.fork.is_none_or(|wanted| {
            add(check("fork", wanted.to_string(), Some(job.is_fork().to_string()), wanted == job.is_fork()))
        })
        && (!hides_merge_requests(rule, job)
            || add(check("pipeline_source", "not a merge request", Some(MERGE_REQUEST.to_owned()), false)))
        && rule
            .matches
            .iter()
            .filter(|(name, _)| !PLACES.contains(&name.as_str()))
            .all(|(name, pattern)| add(claim_check(name, pattern, job)));
    checks
}

/// Anyone who may open a merge request starts its pipeline, so a rule must say that it means those too.
fn hides_merge_requests(rule: &Rule, job: &Job) -> bool {
    rule.allow().is_some()
        && !rule.matches.contains_key("pipeline_source")
        && job.claim("pipeline_source") == Some(MERGE_REQUEST)
}

fn claim_check(name: &str, pattern: &Pattern, job: &Job) -> Check {
    // On old instances `project_id` stands in, as it does in every other place.
    let found = if name == "job_project_id" { Some(job.job_project_id()) } else { job.claim(name) };
    let is_list = inventory(name).is_some_and(|claim| claim.form == Form::List);
    let passed = found.is_some_and(|text| if is_list { any_item(pattern, text) } else { pattern.matches(text) });
    check(name, pattern.as_str(), found.map(str::to_owned), passed)
}

fn any_item(pattern: &Pattern, json: &str) -> bool {
    let items: Vec<String> = serde_json::from_str(json).unwrap_or_default();
    items.iter().any(|item| pattern.matches(item))
}

fn check_audience(allowed: &[Audience], asked: &[Audience], checks: &mut Vec<Check>) -> bool {
    let passed = !asked.is_empty() && asked.iter().all(|audience| allowed.contains(audience));
    let join = |list: &[Audience]| list.iter().map(Audience::as_str).collect::<Vec<_>>().join(" ");
    checks.push(check("audience", join(allowed), (!asked.is_empty()).then(|| join(asked)), passed));
    passed
}

fn wrong_audience(rule: &Rule, asked: &[Audience]) -> Refusal {
    let allowed = rule.allow().map(|allow| allow.audience.as_slice()).unwrap_or_default();
    let what = match asked.iter().find(|audience| !allowed.contains(audience)) {
        Some(audience) => format!("the rule \"{}\" matches this job, but not for the audience `{audience}`", rule.name),
        None => "no audience was asked for".to_owned(),
    };
    Refusal::new(ErrorCode::AudienceNotAllowed, what).by(&rule.name)
}

/// Names the nearest rule, unless it is one for other projects: their rules are none of this job's business.
fn no_rule(trace: &Trace, job: &Job) -> Refusal {
    let refusal = |what: &str| Refusal::new(ErrorCode::NoRuleMatches, what);
    let near =
        nearest(trace).filter(|(_, check)| check.subject != "issuer" && !PLACES.contains(&check.subject.as_str()));
    let Some((rule, check)) = near else {
        let project = job.job_project_id();
        return refusal("no rule matches this job")
            .because(format!("none is for its project ({project})"))
            .with_hint(format!("add a rule that matches job_project_id = \"{project}\""));
    };
    let found = check.found.as_deref().map_or_else(|| "no such claim".to_owned(), shown);
    let nearest =
        format!("nearest: \"{}\" wants {} {}, the job has {found}", rule.rule, check.subject, shown(&check.wanted));
    let answer = refusal("no rule matches this job").because(nearest).by(&rule.rule);
    match cure(check, job) {
        Some(cure) => answer.with_hint(cure),
        None => answer,
    }
}

fn cure(check: &Check, job: &Job) -> Option<String> {
    let of_job = |name: &str| job.claim(name).map(|text| text.escape_debug().to_string());
    match check.subject.as_str() {
        "ref_protected" if check.wanted == "true" => Some(match (of_job("ref"), of_job("ref_type").as_deref()) {
            (Some(name), Some("tag")) => format!("run the job on a protected tag, or protect `{name}` in GitLab"),
            (Some(name), _) => format!("run the job on a protected branch, or protect `{name}` in GitLab"),
            (None, _) => "run the job on a protected branch".to_owned(),
        }),
        "environment" => {
            Some(format!("give the job `environment: {}`, or add a rule for its own", check.wanted.escape_debug()))
        }
        "fork" if check.wanted == "false" => Some("run the job in the project itself, not from a fork".to_owned()),
        "pipeline_source" if job.claim("pipeline_source") == Some(MERGE_REQUEST) => Some(
            "run the job in a branch pipeline; a rule must name `pipeline_source` to take merge requests".to_owned(),
        ),
        _ => None,
    }
}

/// What an allowing rule that fits requires of people.
fn judge(rule: &Arc<SealedRule>, job: &Job, facts: &Facts, now: Timestamp, checks: &mut Vec<Check>) -> Outcome {
    let Some(allow) = rule.allow() else {
        let what = format!("the rule \"{}\" does not allow", rule.name);
        return Outcome::Refuse(Refusal::new(ErrorCode::RuleNotEvaluable, what).by(&rule.name));
    };
    if now >= job.expires_at {
        checks.push(check("exp", format!("after {now}"), Some(job.expires_at.to_string()), false));
        let ago = now.since(job.expires_at).as_secs();
        let what = format!("the job token expired {ago} s ago, and no token outlives it");
        return Outcome::Refuse(Refusal::new(ErrorCode::TokenExpired, what).by(&rule.name));
    }
    match &allow.require {
        Require::None => Outcome::Issue { rule: Arc::clone(rule), counted: Vec::new() },
        Require::Approval(terms) => match eligible(terms, facts, checks) {
            Err(refusal) => Outcome::Refuse(refusal.by(&rule.name)),
            Ok(eligible) => {
                let counted = count(&eligible, allow.acr.unwrap_or(Acr::Phr), facts, checks);
                weigh(rule, terms, &eligible, counted, checks)
            }
        },
    }
}

/// Who may sign: members of the named groups, less those excluded.
fn eligible(terms: &ApprovalTerms, facts: &Facts, checks: &mut Vec<Check>) -> Result<BTreeSet<PersonId>, Refusal> {
    let mut people = BTreeSet::new();
    for group in &terms.of {
        let members = facts.groups.get(group);
        let number = members.map_or(0, BTreeSet::len);
        checks.push(check(format!("group {group}"), "members", Some(number.to_string()), number > 0));
        people.extend(members.into_iter().flatten().cloned());
    }
    if people.is_empty() {
        let names: Vec<_> = terms.of.iter().map(|group| format!("`{group}`")).collect();
        let what = format!("nobody can approve: {} has no members", names.join(", "));
        let first = terms.of.first().map_or_else(|| "GROUP".to_owned(), ToString::to_string);
        return Err(Refusal::new(ErrorCode::GroupEmpty, what)
            .with_hint(format!("put people into the group: `countersign people invite NAME --group {first}`")));
    }
    if terms.not.contains(&Excluded::Starter) {
        let found = facts.starter.as_ref().map(ToString::to_string);
        checks.push(check("starter", "a known person", found, facts.starter.is_some()));
        let Some(starter) = &facts.starter else {
            let what = "the rule excludes whoever started the job, and that GitLab user is tied to no person here";
            return Err(Refusal::new(ErrorCode::StarterNotLinked, what));
        };
        people.remove(starter);
    }
    Ok(people)
}

/// The signatures that count, oldest first: one a person, and one a key whoever it belongs to.
fn count(eligible: &BTreeSet<PersonId>, demanded: Acr, facts: &Facts, checks: &mut Vec<Check>) -> Vec<Approver> {
    let mut counted: Vec<Approver> = Vec::new();
    for one in &facts.approvals {
        let fault = if one.void {
            Some("void: the person or the key was suspended since")
        } else if !eligible.contains(&one.person) {
            Some("not among those who may sign now")
        } else if one.acr < demanded {
            Some("below the level that the rule demands")
        } else if counted.iter().any(|other| other.person == one.person) {
            Some("signed already")
        } else if counted.iter().any(|other| other.credential == one.credential) {
            Some("the same key signed already")
        } else {
            None
        };
        let found = fault.map_or_else(|| one.acr.to_string(), str::to_owned);
        checks.push(check(format!("signature of {}", one.person), demanded.to_string(), Some(found), fault.is_none()));
        if fault.is_none() {
            counted.push(one.clone());
        }
    }
    counted
}

/// The signatures that count under a rule now, oldest first; none where nobody may sign.
#[must_use]
pub fn counting(rule: &Rule, facts: &Facts) -> Vec<Approver> {
    let Some(allow) = rule.allow() else { return Vec::new() };
    let Require::Approval(terms) = &allow.require else { return Vec::new() };
    let mut checks = Vec::new();
    eligible(terms, facts, &mut checks)
        .map(|people| count(&people, allow.acr.unwrap_or(Acr::Phr), facts, &mut checks))
        .unwrap_or_default()
}

fn weigh(
    rule: &Arc<SealedRule>,
    terms: &ApprovalTerms,
    eligible: &BTreeSet<PersonId>,
    counted: Vec<Approver>,
    checks: &mut Vec<Check>,
) -> Outcome {
    let people = u32::try_from(eligible.len()).unwrap_or(u32::MAX);
    if people < terms.count {
        checks.push(check("people who may sign", terms.count.to_string(), Some(people.to_string()), false));
    }
    let signed = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    // A rule that asks for nobody's signature is one that no compiler made.
    let needed = terms.count.max(1);
    checks.push(check("signatures", needed.to_string(), Some(signed.to_string()), signed >= needed));
    let rule = Arc::clone(rule);
    if signed >= needed { Outcome::Issue { rule, counted } } else { Outcome::Ask { rule, signed, needed } }
}

#[cfg(test)]
mod tests;
