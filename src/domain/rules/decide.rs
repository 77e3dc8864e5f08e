//! Deciding: which rule a job falls under, and whether people have signed enough.
//! In: rules, a job, the audiences asked, what the store knows, the time. Out: `Verdict` with every check.
//! Implements DESIGN §4 and §5 step 3.
//! Never guesses: an absent claim never matches, and what cannot be evaluated refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::set::{Rules, SealedRule};
use super::{Allow, ApprovalTerms, Approver, Check, Excluded, Facts, Outcome, Refusal, Require, Rule, Trace, Verdict};
use crate::domain::assurance::Acr;
use crate::domain::ids::{Audience, PersonId};
use crate::domain::job::Job;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;

/// The verdict over a job, with the checks of the rule that it fell under or that came nearest. Pure and total: asked
/// twice, it answers the same.
#[must_use]
pub fn decide(rules: &Rules, job: &Job, asked: &[Audience], facts: &Facts, now: Timestamp) -> Verdict {
    let (answer, trace) = rules.matching(job, asked);
    verdict(answer, trace, job, facts, now)
}

/// As `decide`, with every check of every rule that was looked at.
#[must_use]
pub fn explain(rules: &Rules, job: &Job, asked: &[Audience], facts: &Facts, now: Timestamp) -> Verdict {
    let (answer, _) = rules.matching(job, asked);
    verdict(answer, rules.trace(job, asked), job, facts, now)
}

fn verdict(
    answer: Result<Arc<SealedRule>, Refusal>,
    mut trace: Trace,
    job: &Job,
    facts: &Facts,
    now: Timestamp,
) -> Verdict {
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
                let counted = count(&eligible, allow, facts, checks);
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
        if let Some(fault) = &facts.starter_fault {
            let refusal = fault.refusal();
            checks.push(check("starter", "one known person", Some(refusal.code.as_str().to_owned()), false));
            return Err(refusal);
        }
        let found = facts.starter.as_ref().map(ToString::to_string);
        checks.push(check("starter", "a known person", found, facts.starter.is_some()));
        let Some(starter) = &facts.starter else {
            let what = "the rule excludes whoever started the job, and that GitLab user is tied to no person here";
            return Err(Refusal::new(ErrorCode::StarterNotLinked, what));
        };
        // Nobody's own word makes a starter known; it only takes away whoever gave it.
        people.retain(|person| person != starter && !facts.proved.contains(person));
    }
    Ok(people)
}

/// The signatures that count, oldest first: one a person, and one a key whoever it belongs to.
fn count(eligible: &BTreeSet<PersonId>, allow: &Allow, facts: &Facts, checks: &mut Vec<Check>) -> Vec<Approver> {
    let demanded = allow.acr.unwrap_or(Acr::Phr);
    let misses = |one: &Approver| allow.device_policy.as_ref().is_some_and(|policy| policy.miss(&one.device).is_some());
    let mut counted: Vec<Approver> = Vec::new();
    for one in &facts.approvals {
        let fault = if one.void {
            Some("void: the person or the key was suspended since")
        } else if !eligible.contains(&one.person) {
            Some("not among those who may sign now")
        } else if one.acr < demanded {
            Some("below the level that the rule demands")
        } else if misses(one) {
            Some("with a device that the rule's policy does not take")
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
    eligible(terms, facts, &mut checks).map(|people| count(&people, allow, facts, &mut checks)).unwrap_or_default()
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
mod properties;
#[cfg(test)]
mod tests;
