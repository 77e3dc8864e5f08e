//! The course of a call: what an exchange must do next, given all that is known.
//! In: a verified job, what it asks, what the store knows, the rules, the log's time. Out: `Course`.
//! Implements DESIGN §5 (several audiences, once, waiting), the order of its refusals included.
//! Never reads or writes: the same function answers on a reader and decides inside the writer's unit.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{Audience, Digest};
use crate::domain::job::{Job, gitlab};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::standing::{Mark, Standing, standing};
use crate::domain::rules::compile::Rules;
use crate::domain::rules::decide::{decide, explain};
use crate::domain::rules::set::SealedRule;
use crate::domain::rules::{Outcome, Refusal, Trace};
use crate::domain::statement::Choice;
use crate::domain::time::{LEEWAY, Timestamp};
use crate::store::requests::{DecisionRow, RequestRow};
use crate::store::tokens::{IssuedRow, TokenUseRow};

use super::ask::job_record;
use super::known::{Known, KnownRequest, approval_terms};
use super::possession::Proven;

/// Most open requests of one job.
pub const MAX_OPEN_OF_JOB: usize = 8;
/// Default of the most open requests of one project.
pub const MAX_OPEN_OF_PROJECT: u64 = 100;
/// Default of the most open requests of one rule.
pub const MAX_OPEN_OF_RULE: u64 = 10_000;

/// A verified call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The job; shared, since the writer judges the call again.
    pub job: Arc<Job>,
    /// What it asks for.
    pub asked: Vec<Audience>,
    /// SHA-256 of the collector that it brought.
    pub collector: Option<Digest>,
    /// The proof whose key the collector is, where it is a key.
    pub proven: Option<Proven>,
}

/// Limits that configuration may move.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// How old a job token may be at its first call.
    pub max_token_age: Duration,
    /// Open requests of a project.
    pub open_of_project: u64,
    /// Open requests of a rule.
    pub open_of_rule: u64,
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Course {
    /// The same claims again, signed again.
    Repeat(Box<IssuedRow>),
    /// Issue a token for this audience.
    Issue(Box<Issuing>),
    /// Make a request and ask people.
    Open {
        /// The rule.
        rule: Arc<SealedRule>,
    },
    /// Bind this job token to a request that the same collector made with another token of the job.
    Join(Box<RequestRow>),
    /// People are being asked.
    Pending {
        /// The request.
        row: Box<RequestRow>,
        /// Signatures that count.
        signed: u32,
        /// Signatures that are needed.
        needed: u32,
    },
    /// No, and the request moves to `mark` where it has not.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// The transition that comes with it.
        transition: Option<(Box<RequestRow>, Mark)>,
    },
}

/// Everything that an issue needs.
#[derive(Debug, Clone)]
pub struct Issuing {
    /// The rule.
    pub rule: Arc<SealedRule>,
    /// For whom.
    pub audience: Audience,
    /// Everything that the job token's `jti` is bound to.
    pub list: Vec<Audience>,
    /// This call binds the job token to the list.
    pub bind: bool,
    /// The request and the decisions that count, oldest first, where people were asked.
    pub request: Option<(RequestRow, Vec<DecisionRow>)>,
}

/// A refusal in one line.
pub fn refusal(code: ErrorCode, description: impl Into<String>) -> Refusal {
    Refusal::new(code, description)
}

fn refuse(code: ErrorCode, description: impl Into<String>) -> Course {
    Course::Refuse { refusal: refusal(code, description), transition: None }
}

/// What the call must do next.
pub fn course(call: &Call, known: &Known, rules: &Rules, limits: &CallLimits, now: Timestamp) -> Course {
    // A denial closes the job for every audience, whoever asks.
    if let Some(denied) = known.requests.iter().find(|known| known.row.mark == Mark::Denied) {
        let reason = denied.decisions.iter().find(|d| d.choice == Choice::Deny).and_then(|d| d.reason.clone());
        let text = reason.map_or_else(
            || "a person denied this job".to_owned(),
            |reason| format!("a person denied this job: {reason}"),
        );
        return refuse(ErrorCode::DeniedByPerson, text);
    }
    // It may have been used in the part of the log that is lost.
    // Its `iat` is the issuer's clock, which may be ahead of ours (relies on INVARIANT(leeway)).
    if known.resumed.is_some_and(|resumed| call.job.issued_at <= resumed + LEEWAY) {
        return refuse(ErrorCode::TokenTooOld, "this job token is not younger than the log's last restore");
    }
    match &known.bound {
        Some(bound) => bound_course(call, known, bound, rules, now),
        None => first_course(call, known, rules, limits, now),
    }
}

fn same_list(asked: &[Audience], list: &[Audience]) -> bool {
    asked.len() == list.len() && asked.iter().all(|audience| list.contains(audience))
}

fn bound_course(call: &Call, known: &Known, bound: &TokenUseRow, rules: &Rules, now: Timestamp) -> Course {
    if bound.token_sha256 != call.job.token_sha256 {
        return refuse(ErrorCode::TokenSpent, "another job token with the same `jti` was used before");
    }
    if !call.asked.iter().all(|audience| bound.audiences.contains(audience)) {
        return refuse(ErrorCode::TokenSpent, "this job token is bound to other audiences");
    }
    if call.asked.len() > 1 && !same_list(&call.asked, &bound.audiences) {
        return refuse(ErrorCode::AudienceNotInRequest, "several audiences of the request, but not all");
    }
    let request = bound.request.as_ref().and_then(|id| known.requests.iter().find(|k| k.row.request.id == *id));
    match (request, &bound.request) {
        (Some(request), _) => request_course(call, known, request, rules, now),
        (None, None) => federated_course(call, known, bound, rules, now),
        (None, Some(_)) => refuse(ErrorCode::TokenSpent, "this job token belongs to another request"),
    }
}

/// The next token of a list that nobody had to approve.
fn federated_course(call: &Call, known: &Known, bound: &TokenUseRow, rules: &Rules, now: Timestamp) -> Course {
    if bound.collector.is_some() && bound.collector != call.collector {
        return refuse(ErrorCode::OtherCollector, "another collector made the first call");
    }
    let Some(audience) = target(&call.asked, &bound.audiences) else {
        return refuse(ErrorCode::AudienceNotInRequest, "this audience is not on the list");
    };
    if let Some(issued) = known.issued.iter().find(|issued| issued.audience == audience) {
        if bound.collector.is_some() && now < issued.exp {
            return Course::Repeat(Box::new(issued.clone()));
        }
        return refuse(ErrorCode::TokenSpent, "this job token has had its token for this audience");
    }
    match decide(rules, &call.job, &bound.audiences, &known.facts(&[]), now).outcome {
        Outcome::Issue { rule, .. } if approval_terms(&rule).is_none() => Course::Issue(Box::new(Issuing {
            rule,
            audience,
            list: bound.audiences.clone(),
            bind: false,
            request: None,
        })),
        Outcome::Refuse(refusal) => Course::Refuse { refusal, transition: None },
        Outcome::Issue { .. } | Outcome::Ask { .. } => {
            refuse(ErrorCode::RuleChanged, "the rule changed since this job token's first call")
        }
    }
}

/// The audience that a call is answered for: the one it names, or the list's first.
fn target(asked: &[Audience], list: &[Audience]) -> Option<Audience> {
    match asked {
        [one] => list.contains(one).then(|| one.clone()),
        _ => list.first().cloned(),
    }
}

fn first_course(call: &Call, known: &Known, rules: &Rules, limits: &CallLimits, now: Timestamp) -> Course {
    if let Err(refusal) = gitlab::check_age(&call.job, now, limits.max_token_age) {
        return Course::Refuse { refusal, transition: None };
    }
    if let Some(request) = known.overlapping(call) {
        let list: Vec<_> = request.row.request.audiences().cloned().collect();
        if call.asked.len() > 1 && !same_list(&call.asked, &list) {
            return refuse(ErrorCode::AudienceNotInRequest, "this job asked for some of these audiences already");
        }
        if call.collector != Some(request.row.request.collector) {
            return stranger(request, now);
        }
        if !says_the_same(&call.job, &request.row) {
            return refuse(ErrorCode::TokenSpent, "this job token says something else than the request of its job");
        }
        return Course::Join(Box::new(request.row.clone()));
    }
    match decide(rules, &call.job, &call.asked, &known.facts(&[]), now).outcome {
        Outcome::Refuse(refusal) => Course::Refuse { refusal, transition: None },
        Outcome::Issue { rule, .. } => match call.asked.first() {
            Some(audience) => Course::Issue(Box::new(Issuing {
                rule,
                audience: audience.clone(),
                list: call.asked.clone(),
                bind: true,
                request: None,
            })),
            None => refuse(ErrorCode::ParameterMissing, "the parameter `audience` is missing"),
        },
        Outcome::Ask { rule, .. } => {
            if call.collector.is_none() {
                return refuse(ErrorCode::CollectorRequired, "people must approve this, so the call needs a collector");
            }
            let open = known.requests.iter().filter(|k| k.row.mark == Mark::Open && now <= k.row.request.use_by);
            if open.count() >= MAX_OPEN_OF_JOB
                || known.open_of_project >= limits.open_of_project
                || known.open_of_rule >= limits.open_of_rule
            {
                return refuse(
                    ErrorCode::RateLimited,
                    "too many requests of this job, project or rule wait for people",
                );
            }
            Course::Open { rule }
        }
    }
}

/// Somebody who is not the collector: before the issue that makes the request contested.
fn stranger(request: &KnownRequest, now: Timestamp) -> Course {
    let refusal = refusal(ErrorCode::OtherCollector, "another collector made this request");
    let contest = request.row.mark == Mark::Open && request.issued.is_empty() && now <= request.row.request.use_by;
    let transition = contest.then(|| (Box::new(request.row.clone()), Mark::Contested));
    Course::Refuse { refusal, transition }
}

fn request_course(call: &Call, known: &Known, request: &KnownRequest, rules: &Rules, now: Timestamp) -> Course {
    let row = &request.row;
    if call.collector != Some(row.request.collector) {
        return stranger(request, now);
    }
    match row.mark {
        Mark::Contested => return refuse(ErrorCode::RequestContested, "somebody else tried to collect this token"),
        Mark::Voided => return refuse(ErrorCode::RuleChanged, "the rule changed after this request was made"),
        Mark::Denied => return refuse(ErrorCode::DeniedByPerson, "a person denied this job"),
        Mark::Open | Mark::Collected | Mark::Expired => {}
    }
    let list: Vec<_> = row.request.audiences().cloned().collect();
    let Some(audience) = target(&call.asked, &list) else {
        return refuse(ErrorCode::AudienceNotInRequest, "this audience is not in the request");
    };
    if let Some(issued) = request.issued.iter().find(|issued| issued.audience == audience) {
        if now < issued.exp {
            return Course::Repeat(Box::new(issued.clone()));
        }
        return refuse(ErrorCode::TokenSpent, "the token for this audience was issued and has expired");
    }
    let judged = match judge(call, known, request, rules, now) {
        Ok(judged) => judged,
        Err(course) => return *course,
    };
    match standing(&row.request, row.mark, judged.counted.is_some(), now) {
        Standing::Waiting => {
            Course::Pending { row: Box::new(row.clone()), signed: judged.signed, needed: judged.needed }
        }
        Standing::Approved => Course::Issue(Box::new(Issuing {
            rule: judged.rule,
            audience,
            list,
            bind: false,
            request: Some((row.clone(), judged.counted.unwrap_or_default())),
        })),
        Standing::Expired => Course::Refuse {
            refusal: refusal(
                ErrorCode::RequestExpired,
                format!("this request ended at {} UTC", row.request.decide_by.hour_minute()),
            ),
            transition: (row.mark == Mark::Open).then(|| (Box::new(row.clone()), Mark::Expired)),
        },
        Standing::Collected | Standing::Denied | Standing::Contested | Standing::Voided => {
            refuse(ErrorCode::TokenSpent, "this request has ended")
        }
    }
}

/// Another token of a job serves its request only where it says all that people sign, and no more.
fn says_the_same(job: &Job, row: &RequestRow) -> bool {
    let mut said = job_record(job, &row.rule);
    said.extend(row.request.job.get("token_sha256").map(|first| ("token_sha256".to_owned(), first.clone())));
    said == row.request.job
}

/// What the rule says of a request now.
struct Judged {
    rule: Arc<SealedRule>,
    /// The decisions that count, once they are enough.
    counted: Option<Vec<DecisionRow>>,
    signed: u32,
    needed: u32,
}

fn judge(
    call: &Call,
    known: &Known,
    request: &KnownRequest,
    rules: &Rules,
    now: Timestamp,
) -> Result<Judged, Box<Course>> {
    let row = &request.row;
    let list: Vec<_> = row.request.audiences().cloned().collect();
    let verdict = decide(rules, &call.job, &list, &known.facts(&request.decisions), now);
    let judged = match verdict.outcome {
        Outcome::Refuse(refusal) if refusal.code == ErrorCode::NoRuleMatches => return Err(Box::new(voided(row))),
        Outcome::Refuse(refusal) if refusal.code == ErrorCode::AudienceNotAllowed => return Err(Box::new(voided(row))),
        Outcome::Refuse(refusal) => return Err(Box::new(Course::Refuse { refusal, transition: None })),
        Outcome::Issue { rule, counted } => {
            let signed = u32::try_from(counted.len()).unwrap_or(u32::MAX);
            let counts = |decision: &&DecisionRow| {
                decision.choice == Choice::Approve && counted.iter().any(|one| one.person == decision.person)
            };
            let counted = request.decisions.iter().filter(counts).cloned().collect();
            Judged { rule, counted: Some(counted), signed, needed: signed }
        }
        Outcome::Ask { rule, signed, needed } => Judged { rule, counted: None, signed, needed },
    };
    if judged.rule.digest() != row.request.rule.sha256 {
        return Err(Box::new(voided(row)));
    }
    Ok(judged)
}

fn voided(row: &RequestRow) -> Course {
    Course::Refuse {
        refusal: refusal(ErrorCode::RuleChanged, "the rule changed after this request was made"),
        transition: (row.mark == Mark::Open).then(|| (Box::new(row.clone()), Mark::Voided)),
    }
}

/// The trace of a call, for explaining it.
pub fn trace(call: &Call, known: &Known, rules: &Rules, now: Timestamp) -> (Outcome, Trace) {
    let decisions = known.overlapping(call).map(|request| request.decisions.clone()).unwrap_or_default();
    let verdict = explain(rules, &call.job, &known.list(call), &known.facts(&decisions), now);
    (verdict.outcome, verdict.trace)
}
