//! Asks people: makes the request that waits for them.
//! In: a verified call and the rule it matched, inside the writer's unit. Out: the request's row.
//! Implements DESIGN §5, §6.
//! Never asks twice for one audience of a job: the store's key forbids it.

use std::collections::BTreeMap;

use crate::domain::ids::{Audience, Code, RequestId};
use crate::domain::job::Job;
use crate::domain::log::entry::{Asked, Event, Intake};
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::request::standing::Mark;
use crate::domain::request::{JOB_MEMBERS, Request, RuleRef};
use crate::domain::rules::set::SealedRule;
use crate::domain::rules::{Allow, Rule};
use crate::domain::time::{Timestamp, USE_BY_AFTER_DECIDE_BY};
use crate::domain::token::claims;
use crate::domain::token::rehearsal::rehearse;
use crate::store::Unit;
use crate::store::requests::RequestRow;
use crate::store::tokens::TokenUseRow;

use super::AppError;
use super::course::{Call, refusal};
use super::exchange::{binding, hashed, not_evaluable};
use super::known::{Known, approval_terms};
use super::record_token::Minting;
use super::refuse::job_fields;
use crate::domain::oauth::error_code::ErrorCode;

/// Claims that only the page shows, as GitLab's word; they are not signed.
pub const DISPLAY_MEMBERS: &[&str] = &["user_login", "user_access_level", "job_project_path"];

/// Makes a request, binds the job token to it, and logs it.
pub fn open_request(
    unit: &mut Unit<'_>,
    minting: &Minting,
    call: &Call,
    token: &SubjectToken,
    rule: &SealedRule,
    known: &Known,
) -> Result<RequestRow, AppError> {
    let request = make(unit, minting, call, rule)?;
    let (request_bytes, request_sha256) = hashed(&request)?;
    let starter = known.starters.link.as_ref();
    let evidence = BTreeMap::from([
        ("request".to_owned(), unit.put_evidence_of_next("request", &request_bytes, None)?),
        ("rule".to_owned(), unit.put_evidence_of_next("rule", rule.canonical(), None)?),
        (
            "job_token".to_owned(),
            unit.put_evidence_of_next("job_token", token.expose().as_bytes(), starter.map(|link| &link.person))?,
        ),
    ]);
    let entry = unit.append(Event::Request {
        outcome: "asked".to_owned(),
        request: request.id.clone(),
        job: job_fields(&call.job),
        asked: Some(Asked {
            request_sha256,
            rule: rule.digest(),
            decide_by: request.decide_by,
            intake: intake(call, &call.asked, minting.issuer_keys),
            starter: starter.map(|link| link.entry),
            proved: known.starters.proved.iter().map(|row| row.entry).collect(),
        }),
        evidence,
    })?;
    let row = RequestRow {
        rule: Rule::clone(rule),
        issuer: call.job.issuer.clone(),
        display: display(&call.job),
        mark: Mark::Open,
        created: unit.now(),
        token_exp: call.job.expires_at,
        entry,
        ended_by: None,
        request,
    };
    unit.insert_request(&row)?;
    let bound = TokenUseRow {
        token_sha256: call.job.token_sha256,
        audiences: call.asked.clone(),
        request: Some(row.request.id.clone()),
        collector: Some(row.request.collector),
    };
    unit.bind_token(&binding(call), &bound)?;
    Ok(row)
}

/// What the release of a job token depends on.
pub fn intake(call: &Call, audiences: &[Audience], issuer_keys: u64) -> Intake {
    Intake { audiences: audiences.to_vec(), job_token_exp: call.job.expires_at, issuer_keys }
}

fn make(unit: &mut Unit<'_>, minting: &Minting, call: &Call, rule: &SealedRule) -> Result<Request, AppError> {
    let terms = approval_terms(rule).ok_or_else(|| not_evaluable("the rule asks nobody"))?;
    let collector = call.collector.ok_or_else(|| {
        refusal(ErrorCode::CollectorRequired, "people must approve this, so the call needs a collector")
    })?;
    let (decide_by, use_by) = deadlines(unit.now(), terms.within(), call.job.expires_at);
    let access: Vec<_> =
        call.asked.iter().map(|audience| claims::access(&call.job, rule, audience)).collect::<Result<_, _>>()?;
    // Nobody is asked for what could not be issued afterwards.
    access.iter().try_for_each(|access| rehearse(&minting.our_issuer, &call.job, rule, access))?;
    Ok(Request {
        id: RequestId::from_random(unit.random()?),
        issuer: minting.our_issuer.clone(),
        code: Code::from_random(unit.random()?),
        collector,
        decide_by,
        use_by,
        job: job_record(&call.job, rule),
        access,
        rule: RuleRef { name: rule.name.clone(), sha256: rule.digest() },
    })
}

/// `decide_by` and `use_by`: neither beyond the job token's `exp`.
fn deadlines(now: Timestamp, within: std::time::Duration, job_token_exp: Timestamp) -> (Timestamp, Timestamp) {
    let decide_by = (now + within).min(job_token_exp);
    (decide_by, (decide_by + USE_BY_AFTER_DECIDE_BY).min(job_token_exp))
}

/// The job as people sign it.
pub fn job_record(job: &Job, rule: &Rule) -> BTreeMap<String, String> {
    let mut record = BTreeMap::from([
        ("issuer".to_owned(), job.issuer.to_string()),
        ("token_sha256".to_owned(), job.token_sha256.to_string()),
    ]);
    let issued = rule.allow().map(Allow::issued_claims).unwrap_or_default();
    let named = JOB_MEMBERS.iter().copied();
    let matched = rule.matches.keys().map(String::as_str);
    let issued = issued.iter().map(String::as_str);
    for name in named.chain(matched).chain(issued) {
        if let Some(value) = job.claim(name) {
            record.insert(name.to_owned(), value.to_owned());
        }
    }
    record
}

fn display(job: &Job) -> String {
    let mut shown: serde_json::Map<String, serde_json::Value> = DISPLAY_MEMBERS
        .iter()
        .filter_map(|name| job.claim(name).map(|value| ((*name).to_owned(), value.into())))
        .collect();
    shown.insert("iat".to_owned(), job.issued_at.seconds().into());
    serde_json::Value::Object(shown).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_deadline_outlives_the_job_token() {
        let now = Timestamp::from_seconds(1000);
        let far = Timestamp::from_seconds(100_000);
        let (decide_by, use_by) = deadlines(now, Duration::from_mins(15), far);
        assert_eq!((decide_by.seconds(), use_by.seconds()), (1900, 2200));
        let near = Timestamp::from_seconds(1500);
        assert_eq!(deadlines(now, Duration::from_mins(15), near), (near, near));
    }
}
