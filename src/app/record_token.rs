//! Records a token: claims, entry and spent job token in the writer's unit, before anything is signed.
//! In: a verified call and what `course` found, inside the unit. Out: the issued row.
//! Implements DESIGN §5.4, §6, §7.
//! Never signs: the signature comes after the commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::domain::assurance::evidence::{Attestation, Today};
use crate::domain::assurance::models::Trusted;
use crate::domain::canonical;
use crate::domain::ids::Digest;
use crate::domain::job::Job;
use crate::domain::log::entry::Event;
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::request::Access;
use crate::domain::rules::MAX_RULES;
use crate::domain::time::Timestamp;
use crate::domain::token::claims::{self, ApprovalClaims, Issue, SignedBy};
use crate::store::Unit;
use crate::store::requests::DecisionRow;
use crate::store::tokens::{IssuedRow, TokenUseRow};

use super::ask::intake;
use super::course::{Call, Issuing};
use super::exchange::{binding, not_evaluable};
use super::known::assurance_of;
use super::refuse::job_fields;
use super::{AppError, Signer};

/// What an issue needs of the server.
#[derive(Clone)]
pub struct Minting {
    /// Our issuer URL.
    pub our_issuer: String,
    /// Where the evidence has rules already.
    pub kept_rules: Arc<KeptRules>,
    /// Who vouches for passkeys.
    pub trusted: Arc<Trusted>,
    /// The log entry with the keys that verified the job token.
    pub issuer_keys: u64,
}

/// Where the evidence has a rule.
#[derive(Debug, Clone, Copy)]
pub struct KeptRule {
    /// The rule's digest.
    rule: Digest,
    /// The salted digest of the document.
    kept: Digest,
}

/// Where the evidence has the rules of tokens that nobody was asked for, so that each is kept once a process and not
/// once a token. What an entry says of the rule is in clear beside it, so that the same digest twice tells nothing.
#[derive(Debug, Default)]
pub struct KeptRules(Mutex<HashMap<Digest, Digest>>);

impl KeptRules {
    fn get(&self, rule: &Digest) -> Option<Digest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(rule).copied()
    }

    /// Remembers what is committed.
    pub fn keep(&self, kept: Option<KeptRule>) {
        let Some(KeptRule { rule, kept }) = kept else { return };
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= MAX_RULES {
            rules.clear();
        }
        rules.insert(rule, kept);
    }
}

/// The `log` claim: where the token's entry is.
pub fn log_claim(origin: &str, index: u64) -> Value {
    json!({ "origin": origin, "index": index })
}

/// Records a token; `signer` is who signs inside this unit.
pub fn record(
    unit: &mut Unit<'_>,
    minting: &Minting,
    signer: &Signer,
    (call, token): (&Call, &SubjectToken),
    issuing: &Issuing,
) -> Result<(IssuedRow, Option<KeptRule>), AppError> {
    let (kid, signing_key) = (signer.key.kid().clone(), signer.entry);
    let counted = issuing.request.as_ref().map(|(_, counted)| counted.as_slice()).unwrap_or_default();
    let made = make_claims(unit, minting, call, issuing, counted)?;
    let mut evidence = BTreeMap::new();
    let mut kept_rule = None;
    if let Some(today) = today(counted, &minting.trusted) {
        let document = canonical::to_bytes(&today)?;
        evidence.insert("standing".to_owned(), unit.put_evidence_of_next("standing", &document, None)?);
    }
    let (asked, token_intake) = if let Some((row, _)) = &issuing.request {
        (Some(row.entry), None)
    } else {
        let rule = issuing.rule.digest();
        let kept = match minting.kept_rules.get(&rule) {
            Some(kept) => kept,
            None => unit.put_evidence("rule", issuing.rule.canonical(), None)?,
        };
        evidence.insert("rule".to_owned(), kept);
        kept_rule = Some(KeptRule { rule, kept });
        evidence
            .insert("job_token".to_owned(), unit.put_evidence_of_next("job_token", token.expose().as_bytes(), None)?);
        (None, Some(intake(call, &issuing.list, minting.issuer_keys)))
    };
    let entry = unit.append(Event::Token {
        jti: made.jti.clone(),
        audience: issuing.audience.clone(),
        exp: made.exp,
        kid: kid.clone(),
        signing_key,
        claims_sha256: Digest::of(&made.bytes),
        job: job_fields(&call.job),
        rule: issuing.rule.digest(),
        asked,
        intake: token_intake,
        decisions: counted.iter().map(|decision| decision.entry).collect::<BTreeSet<_>>(),
        evidence,
    })?;
    if issuing.bind {
        let bound = TokenUseRow {
            token_sha256: call.job.token_sha256,
            audiences: issuing.list.clone(),
            request: None,
            collector: call.collector,
        };
        unit.bind_token(&binding(call), &bound)?;
    }
    let row = IssuedRow {
        jti: made.jti,
        audience: issuing.audience.clone(),
        request: issuing.request.as_ref().map(|(row, _)| row.request.id.clone()),
        collector: call.collector,
        claims: made.bytes,
        kid,
        exp: made.exp,
        entry,
    };
    unit.insert_issued(&binding(call), &row)?;
    Ok((row, kept_rule))
}

/// What was known on this day of the keys that count, where anything was.
fn today(counted: &[DecisionRow], trusted: &Trusted) -> Option<Today> {
    let proven = counted.iter().filter(|decision| matches!(decision.vouched.attestation, Attestation::Proven(_)));
    let keys = proven.map(|decision| (decision.public_key_sha256, trusted.standing(&decision.vouched.attestation)));
    let today = Today { keys: keys.collect(), trust_unattested_uv: trusted.unattested_uv && !counted.is_empty() };
    (today != Today::default()).then_some(today)
}

/// The job with the `exp` of the token that made the request: another token of the job may collect, but what is issued
/// follows from what is in the log.
fn job_that_people_signed<'a>(call: &'a Call, issuing: &Issuing) -> Cow<'a, Job> {
    let mut job = Cow::Borrowed(call.job.as_ref());
    if let Some((row, _)) = &issuing.request {
        job.to_mut().expires_at = row.token_exp;
    }
    job
}

struct Made {
    jti: String,
    exp: Timestamp,
    bytes: Vec<u8>,
}

fn make_claims(
    unit: &mut Unit<'_>,
    minting: &Minting,
    call: &Call,
    issuing: &Issuing,
    counted: &[DecisionRow],
) -> Result<Made, AppError> {
    let jti = data_encoding::BASE64URL_NOPAD.encode(&unit.random::<16>()?);
    let access: Access = match &issuing.request {
        // What people signed is what is issued.
        Some((row, _)) => {
            let found = row.request.access.iter().find(|access| access.audience == issuing.audience);
            found.cloned().ok_or_else(|| not_evaluable("the request does not name this audience"))?
        }
        None => claims::access(&call.job, &issuing.rule, &issuing.audience)?,
    };
    let approval = match &issuing.request {
        Some((row, _)) => Some(ApprovalClaims {
            id: &row.request.id,
            request_sha256: canonical::digest(&row.request)?,
            by: counted
                .iter()
                .map(|decision| SignedBy {
                    person: decision.person.clone(),
                    assurance: assurance_of(decision, &minting.trusted),
                    credential: decision.public_key_sha256,
                    statement: decision.statement_sha256,
                })
                .collect(),
        }),
        None => None,
    };
    let job = job_that_people_signed(call, issuing);
    let made = claims::build(&Issue {
        our_issuer: &minting.our_issuer,
        job: &job,
        rule: &issuing.rule,
        access: &access,
        jti: &jti,
        jkt: call.proven.as_ref().map(|proven| &proven.jkt),
        now: unit.now(),
        approval,
    })?;
    let exp = made.get("exp").and_then(Value::as_i64).map(Timestamp::from_seconds);
    let exp = exp.ok_or_else(|| AppError::internal("the claims have no `exp`"))?;
    Ok(Made { jti, exp, bytes: canonical::value_to_bytes(&Value::Object(made))? })
}
