//! The claims of an issued token: what the job, the rule and the signatures give, and nothing else.
//! In: a job, its rule, what was asked, the evidence of people's signatures. Out: claims without `log`.
//! Implements DESIGN §6, RFC 7519 §4.1, RFC 7800 §3.1 and RFC 9449 §6.1 (`cnf`), OpenID Connect Core §2 (`acr`, `amr`, `auth_time`).
//! Never copies a claim about people from the job token; never writes `null`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::aws::{self, AwsError};
use super::template::{Template, percent_encode};
use crate::domain::assurance::{Acr, Assurance};
use crate::domain::ids::{Audience, Digest, Kid, PersonId, RequestId};
use crate::domain::job::Job;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::{Access, Presence};
use crate::domain::rules::{Allow, AwsTerms, Refusal, Require, Rule};
use crate::domain::time::Timestamp;

/// Longest `sub`, in bytes: what Google's `google.subject` takes.
pub const MAX_SUB: usize = 127;

/// What a token is made of.
#[derive(Debug, Clone)]
pub struct Issue<'a> {
    /// Our issuer URL.
    pub our_issuer: &'a str,
    /// The job.
    pub job: &'a Job,
    /// The rule that it falls under.
    pub rule: &'a Rule,
    /// What was asked, as `access` gave it.
    pub access: &'a Access,
    /// The token's id.
    pub jti: &'a str,
    /// The thumbprint of the key that collects it, where a key does.
    pub jkt: Option<&'a Kid>,
    /// The log's time.
    pub now: Timestamp,
    /// Who signed, where the rule requires it.
    pub approval: Option<ApprovalClaims<'a>>,
}

/// The approval that a token carries.
#[derive(Debug, Clone)]
pub struct ApprovalClaims<'a> {
    /// The request.
    pub id: &'a RequestId,
    /// SHA-256 of its canonical form.
    pub request_sha256: Digest,
    /// Those whose signatures count.
    pub by: Vec<SignedBy>,
}

/// One person's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// Who.
    pub person: PersonId,
    /// What the signature proves.
    pub assurance: Assurance,
    /// SHA-256 of the public key.
    pub credential: Digest,
    /// SHA-256 of the statement.
    pub statement: Digest,
}

/// What a job asks for when it asks for one audience: shown to people and signed by them.
///
/// # Errors
/// `rule_not_evaluable` where `sub` cannot be made of this job; `audience_not_allowed`.
pub fn access(job: &Job, rule: &Rule, audience: &Audience) -> Result<Access, Refusal> {
    let allow = allowing(rule)?;
    if !allow.audience.contains(audience) {
        let what = format!("the rule \"{}\" matches, but not for the audience `{audience}`", rule.name);
        return Err(Refusal::new(ErrorCode::AudienceNotAllowed, what).by(&rule.name));
    }
    let sub = sub(job, rule, allow)?;
    let aws = aws_terms(allow, audience);
    if sub.len() > MAX_SUB || (aws.is_some() && sub.len() < aws::MIN_SUB) {
        let what = format!("the token's `sub` would have {} bytes; {MAX_SUB} is the most", sub.len());
        return Err(not_evaluable(rule, what).with_hint("state a shorter token.sub in the rule"));
    }
    Ok(Access {
        audience: audience.clone(),
        sub,
        lifetime: allow.token.lifetime,
        tokens: 1,
        roles: aws.map(|terms| terms.roles.clone()).unwrap_or_default(),
        presence: allow.presence(),
    })
}

/// The claims of the token, without `log`.
///
/// # Errors
/// `rule_not_evaluable` where the rule names what the job or the approval lacks, or AWS would refuse;
/// `token_expired` where the job token leaves no lifetime.
pub fn build(input: &Issue<'_>) -> Result<Map<String, Value>, Refusal> {
    let (job, rule, access) = (input.job, input.rule, input.access);
    let allow = allowing(rule)?;
    let iat = input.now.seconds();
    let lifetime = allow.token.lifetime.min(access.lifetime);
    let exp = iat.saturating_add(i64::try_from(lifetime).unwrap_or(0)).min(job.expires_at.seconds());
    if exp <= iat {
        let what = "the job token has expired, and no token outlives it";
        return Err(Refusal::new(ErrorCode::TokenExpired, what).by(&rule.name));
    }
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(input.our_issuer));
    put("aud", json!(access.audience));
    put("sub", json!(access.sub));
    put("iat", json!(iat));
    put("nbf", json!(iat));
    put("exp", json!(exp));
    put("jti", json!(input.jti));
    put("presence", json!(allow.presence().as_str()));
    if let Some(jkt) = input.jkt {
        put("cnf", json!({ "jkt": jkt }));
    }
    match (&allow.require, &input.approval) {
        (Require::None, None) => {}
        (Require::Approval(terms), Some(approval)) => {
            check_signatures(rule, terms.count, allow.acr, approval)?;
            put_people(&mut claims, allow.acr, approval);
        }
        (Require::None, Some(_)) | (Require::Approval(_), None) => {
            return Err(not_evaluable(rule, "the approval is not the one that the rule requires"));
        }
    }
    for name in &allow.token.forward {
        let Some(text) = claim(job, name) else {
            let what = format!("the rule forwards `{name}`, which the job does not have");
            return Err(
                not_evaluable(rule, what).with_hint(format!("match `{name}` in the rule, or do not forward it"))
            );
        };
        claims.insert(format!("gitlab_{name}"), json!(text));
    }
    if let Some(terms) = aws_terms(allow, &access.audience) {
        put_aws(&mut claims, terms, access, input)?;
    }
    Ok(claims)
}

fn allowing(rule: &Rule) -> Result<&Allow, Refusal> {
    rule.allow().ok_or_else(|| not_evaluable(rule, "the rule does not allow"))
}

fn not_evaluable(rule: &Rule, what: impl AsRef<str>) -> Refusal {
    Refusal::new(
        ErrorCode::RuleNotEvaluable,
        format!("the rule \"{}\" cannot be evaluated: {}", rule.name, what.as_ref()),
    )
    .by(&rule.name)
}

fn aws_terms<'a>(allow: &'a Allow, audience: &Audience) -> Option<&'a AwsTerms> {
    allow.aws.as_ref().filter(|terms| terms.audience == *audience)
}

/// `sub`, of the rule's template or `<issuer>:<job_project_id>[:fork:<project_id>]:env:<environment>:<presence>[:<acr>]`.
fn sub(job: &Job, rule: &Rule, allow: &Allow) -> Result<String, Refusal> {
    let lacking = |name: &str| {
        let what = format!("its `sub` names `{name}`, which the job does not have");
        not_evaluable(rule, what).with_hint(format!("match `{name}` in the rule, or state another token.sub"))
    };
    if let Some(text) = &allow.token.sub {
        let template = Template::parse(text).map_err(|error| not_evaluable(rule, error.to_string()))?;
        let filled = template.fill(|name| slot(name, job, allow).map(|value| percent_encode(&value)));
        return filled.map_err(|name| lacking(&name));
    }
    let environment = job.claim("environment").ok_or_else(|| lacking("environment"))?;
    let mut parts = vec![job.issuer.to_string(), percent_encode(job.job_project_id())];
    if job.is_fork() {
        parts.extend(["fork".to_owned(), percent_encode(job.project_id())]);
    }
    parts.extend(["env".to_owned(), percent_encode(environment), allow.presence().as_str().to_owned()]);
    parts.extend(allow.acr.map(|acr| acr.to_string()));
    Ok(parts.join(":"))
}

/// What a placeholder stands for, apart from `{approver}`, which nobody knows before people have signed.
fn slot(name: &str, job: &Job, allow: &Allow) -> Option<String> {
    match name {
        "issuer" => Some(job.issuer.to_string()),
        "presence" => Some(allow.presence().as_str().to_owned()),
        "acr" => allow.acr.map(|acr| acr.to_string()),
        name => claim(job, name).map(str::to_owned),
    }
}

/// A claim of the job; `project_id` stands in on instances that do not say where a job runs.
fn claim<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    if name == "job_project_id" { Some(job.job_project_id()) } else { job.claim(name) }
}

/// `decide` has counted already; a caller that hands in less gets nothing.
fn check_signatures(
    rule: &Rule,
    count: u32,
    demanded: Option<Acr>,
    approval: &ApprovalClaims<'_>,
) -> Result<(), Refusal> {
    let people: BTreeSet<_> = approval.by.iter().map(|one| &one.person).collect();
    let keys: BTreeSet<_> = approval.by.iter().map(|one| one.credential).collect();
    let needed = usize::try_from(count.max(1)).unwrap_or(usize::MAX);
    if people.len() < needed || keys.len() < needed || people.len() != approval.by.len() {
        return Err(not_evaluable(rule, "fewer people signed than it requires"));
    }
    if demanded.is_none_or(|demanded| approval.by.iter().any(|one| one.assurance.acr < demanded)) {
        return Err(not_evaluable(rule, "a signature does not reach the level that it demands"));
    }
    Ok(())
}

fn put_people(claims: &mut Map<String, Value>, demanded: Option<Acr>, approval: &ApprovalClaims<'_>) {
    let by = &approval.by;
    let amr = common_methods(by);
    let missing = missing_methods(by, &amr);
    if let Some(acr) = demanded {
        claims.insert("acr".to_owned(), json!(acr));
    }
    if !amr.is_empty() {
        claims.insert("amr".to_owned(), json!(amr));
    }
    if let Some(oldest) = by.iter().map(|one| one.assurance.auth_time).min() {
        claims.insert("auth_time".to_owned(), json!(oldest.seconds()));
    }
    if !missing.is_empty() {
        claims.insert("amr_missing".to_owned(), json!(missing));
    }
    claims.insert("approver".to_owned(), json!(approver(by)));
    let signers: Vec<_> = by
        .iter()
        .map(|one| {
            json!({
                "sub": one.person,
                "amr": one.assurance.amr,
                "acr": one.assurance.acr,
                "auth_time": one.assurance.auth_time.seconds(),
                "credential": one.credential,
                "statement": one.statement,
            })
        })
        .collect();
    let value = json!({ "id": approval.id, "request": approval.request_sha256, "by": signers });
    claims.insert("approval".to_owned(), value);
}

/// What every signature proves.
fn common_methods(by: &[SignedBy]) -> BTreeSet<String> {
    let mut all = by.iter().map(|one| &one.assurance.amr);
    let first = all.next().cloned().unwrap_or_default();
    all.fold(first, |common, amr| common.intersection(amr).cloned().collect())
}

/// Why a stronger method is absent, by the first signer who lacks it.
fn missing_methods(by: &[SignedBy], amr: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut missing = BTreeMap::new();
    for (method, reason) in by.iter().flat_map(|one| &one.assurance.amr_missing) {
        if !amr.contains(method) {
            missing.entry(method.clone()).or_insert_with(|| reason.clone());
        }
    }
    missing
}

/// The ids of the signers, sorted, joined by `+`.
fn approver(by: &[SignedBy]) -> String {
    let ids: BTreeSet<_> = by.iter().map(|one| one.person.as_str()).collect();
    ids.into_iter().collect::<Vec<_>>().join("+")
}

fn put_aws(
    claims: &mut Map<String, Value>,
    terms: &AwsTerms,
    access: &Access,
    input: &Issue<'_>,
) -> Result<(), Refusal> {
    let refused = |error: AwsError| not_evaluable(input.rule, error.to_string());
    if !terms.tags.is_empty() {
        let mut tags = Map::new();
        for name in &terms.tags {
            let Some(text) = claims.get(name).and_then(Value::as_str) else {
                return Err(not_evaluable(input.rule, format!("its tag `{name}` names a claim that the token lacks")));
            };
            tags.insert(name.clone(), json!([aws::tag_value(name, text).map_err(refused)?]));
        }
        claims.insert("https://aws.amazon.com/tags".to_owned(), json!({ "principal_tags": tags }));
    }
    if let Some(text) = &terms.source_identity {
        let filled = source_identity(text, input)?;
        aws::check_source_identity(&filled).map_err(refused)?;
        claims.insert("https://aws.amazon.com/source_identity".to_owned(), json!(filled));
    }
    if !access.roles.is_empty() {
        claims.insert("https://aws.amazon.com/roles".to_owned(), json!(access.roles));
    }
    Ok(())
}

fn source_identity(text: &str, input: &Issue<'_>) -> Result<String, Refusal> {
    let allow = allowing(input.rule)?;
    let template = Template::parse(text).map_err(|error| not_evaluable(input.rule, error.to_string()))?;
    let people = input.approval.as_ref().filter(|_| allow.presence() == Presence::Approval);
    let filled = template.fill(|name| match name {
        // Our own ids and `+`: AWS takes them as they are.
        "approver" => people.map(|approval| approver(&approval.by)),
        name => slot(name, input.job, allow).map(|value| aws::source_identity_part(&value)),
    });
    filled.map_err(|name| not_evaluable(input.rule, format!("its source identity names `{name}`, which is not there")))
}

#[cfg(test)]
mod tests;
