//! The inventory: every claim of GitLab's job tokens and how it is checked.
//! In: verified claims, the terms of their issuer, the time. Out: `Job`, or the refusal with the claim named.
//! Implements GitLab's ID tokens and RFC 7519; DESIGN §5 step 2.
//! Never coerces a claim, never refuses an unknown one: GitLab adds some with most releases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::legacy::Legacy;
use super::{Job, identity, validity};
use crate::domain::ids::IssuerName;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;
use crate::domain::time::{Timestamp, humane};
use crate::domain::verified::{RawClaims, Verified};

/// Longest claim, in bytes of text.
pub const MAX_CLAIM: usize = 2 * 1024;
/// Longest id, in digits: GitLab's are 64-bit.
pub const MAX_ID_DIGITS: usize = 19;

/// What we hold an issuer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerTerms {
    /// Its short name.
    pub name: IssuerName,
    /// `iss`, byte for byte.
    pub url: String,
    /// Our issuer URL: the only `aud`, byte for byte.
    pub our_url: String,
    /// Removed job tokens that are accepted all the same.
    pub legacy: BTreeSet<Legacy>,
    /// The name under which it signs its users in through us, as `user_identities` has it; `None` where it does not.
    pub identity_provider: Option<String>,
    /// Ids of projects whose jobs are admitted; with `namespaces` absent too, all are.
    pub projects: Option<BTreeSet<String>>,
    /// Ids of namespaces whose jobs are admitted.
    pub namespaces: Option<BTreeSet<String>>,
}

impl IssuerTerms {
    /// Whether an `iss` can be this issuer's: its URL, or for `CI_JOB_JWT` its bare host.
    #[must_use]
    pub fn has_iss(&self, iss: &str) -> bool {
        iss == self.url || (self.legacy.contains(&Legacy::JwtV1) && super::legacy::is_host_of(iss, &self.url))
    }

    /// The same for tokens that are made for another purpose of ours; the removed ones name no purpose.
    #[must_use]
    pub fn with_audience(&self, audience: &str) -> Self {
        Self { our_url: audience.to_owned(), legacy: BTreeSet::new(), ..self.clone() }
    }
}

/// How a claim is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Checked by the checks of the token itself (`validity`), and no business of rules.
    Registered,
    /// The one audience, checked there too; rules may name it (and are warned).
    Audience,
    /// Digits in a string.
    Id,
    /// Digits in a string, or `""` where there is none.
    IdOrEmpty,
    /// Exactly `"true"` or `"false"`.
    Flag,
    /// Text; an empty one that is not required is as if absent.
    Text,
    /// A JSON number; in any other form it is as if absent.
    Number,
    /// A list of texts, kept as its JSON; a rule fits where one item does.
    List,
    /// Known, and of no use to rules.
    Ignored,
}

/// How often GitLab sends a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Always; a token without it is no job token.
    Required,
    /// With every job of a current GitLab.
    Usually,
    /// With some jobs.
    Sometimes,
}

/// One line of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// GitLab's name for it.
    pub name: &'static str,
    /// How it is checked.
    pub form: Form,
    /// How often it is there.
    pub sent: Sent,
    /// JSON `null` stands for absence.
    pub nullable: bool,
}

impl Claim {
    /// Whether a rule may match it.
    #[must_use]
    pub const fn is_matchable(&self) -> bool {
        !matches!(self.form, Form::Registered | Form::Ignored)
    }

    /// Whether a token may carry it.
    #[must_use]
    pub const fn is_forwardable(&self) -> bool {
        self.is_matchable() && !matches!(self.form, Form::List)
    }
}

const fn claim(name: &'static str, form: Form, sent: Sent) -> Claim {
    Claim { name, form, sent, nullable: false }
}

const fn nullable(name: &'static str, form: Form, sent: Sent) -> Claim {
    Claim { name, form, sent, nullable: true }
}

/// Every claim that GitLab sends.
pub const INVENTORY: &[Claim] = &[
    claim("iss", Form::Registered, Sent::Required),
    claim("jti", Form::Registered, Sent::Required),
    claim("iat", Form::Registered, Sent::Required),
    claim("exp", Form::Registered, Sent::Required),
    claim("nbf", Form::Registered, Sent::Usually),
    nullable("aud", Form::Audience, Sent::Usually),
    claim("sub", Form::Text, Sent::Usually),
    claim("target_audience", Form::Ignored, Sent::Sometimes),
    claim("project_id", Form::Id, Sent::Required),
    claim("project_path", Form::Text, Sent::Required),
    claim("namespace_id", Form::Id, Sent::Required),
    claim("namespace_path", Form::Text, Sent::Required),
    claim("job_project_id", Form::Id, Sent::Usually),
    claim("job_project_path", Form::Text, Sent::Usually),
    claim("job_namespace_id", Form::Id, Sent::Usually),
    claim("job_namespace_path", Form::Text, Sent::Usually),
    claim("user_id", Form::IdOrEmpty, Sent::Usually),
    nullable("user_login", Form::Text, Sent::Usually),
    nullable("user_email", Form::Text, Sent::Usually),
    nullable("user_access_level", Form::Text, Sent::Usually),
    nullable("user_identities", Form::Ignored, Sent::Sometimes),
    claim("pipeline_id", Form::Id, Sent::Required),
    claim("pipeline_source", Form::Text, Sent::Required),
    claim("job_id", Form::Id, Sent::Required),
    claim("ref", Form::Text, Sent::Required),
    claim("ref_type", Form::Text, Sent::Required),
    nullable("ref_path", Form::Text, Sent::Usually),
    claim("ref_protected", Form::Flag, Sent::Required),
    nullable("groups_direct", Form::List, Sent::Sometimes),
    claim("environment", Form::Text, Sent::Sometimes),
    claim("environment_protected", Form::Flag, Sent::Sometimes),
    nullable("deployment_tier", Form::Text, Sent::Sometimes),
    nullable("environment_action", Form::Text, Sent::Sometimes),
    nullable("runner_id", Form::Number, Sent::Usually),
    nullable("runner_environment", Form::Text, Sent::Usually),
    claim("sha", Form::Text, Sent::Usually),
    nullable("ci_config_ref_uri", Form::Text, Sent::Sometimes),
    nullable("ci_config_sha", Form::Text, Sent::Sometimes),
    claim("project_visibility", Form::Text, Sent::Usually),
    nullable("job_source", Form::Text, Sent::Usually),
    nullable("job_config", Form::Ignored, Sent::Sometimes),
];

/// The line of a claim.
#[must_use]
pub fn inventory(name: &str) -> Option<&'static Claim> {
    INVENTORY.iter().find(|claim| claim.name == name)
}

/// Reads a verified token as a job.
///
/// # Errors
/// The first check that fails, in the order of DESIGN §5 step 2.
pub fn parse(verified: &Verified<RawClaims>, terms: &IssuerTerms, now: Timestamp) -> Result<Job, Refusal> {
    let raw = verified.get();
    validity::check_kind_of_token(&raw.header, &raw.claims)?;
    let found: Vec<_> = INVENTORY.iter().map(|row| (row, raw.claims.get(row.name))).collect();
    if let Some((missing, _)) = found.iter().find(|(row, value)| row.sent == Sent::Required && value.is_none()) {
        let what = format!("the token has no `{}`, which every job token has", missing.name);
        return Err(Refusal::new(ErrorCode::NotAJobToken, what));
    }
    let kind = validity::check_issuer_and_audience(&raw.claims, terms)?;
    let times = validity::check_times(&raw.claims, now)?;
    let mut claims = read_claims(&found)?;
    if let Some(provider) = &terms.identity_provider
        && let Some(person) = identity::person_of(&raw.claims, provider)?
    {
        claims.insert(identity::IDENTITY.to_owned(), person.to_string());
        claims.insert(identity::IDENTITY_PROVIDER.to_owned(), provider.clone());
    }
    let unknown_claims = unknown(&raw.claims, &found);
    let job = Job {
        issuer: terms.name.clone(),
        kind,
        token_sha256: raw.token_sha256,
        jti: validity::jti(&raw.claims)?,
        issued_at: times.issued_at,
        expires_at: times.expires_at,
        claims,
        unknown_claims,
    };
    check_where_it_runs(&job)?;
    check_admission(&job, terms)?;
    Ok(job)
}

/// Reads a verified token that the log keeps: as `parse`, but judged by the time at which it was made, since it may be
/// long over. The audience and the issuer are checked as they were then.
///
/// # Errors
/// As `parse`.
pub fn from_log(
    verified: &Verified<RawClaims>,
    name: &IssuerName,
    issuer_url: &str,
    our_url: &str,
    identity_provider: Option<&str>,
) -> Result<Job, Refusal> {
    let terms = IssuerTerms {
        name: name.clone(),
        url: issuer_url.to_owned(),
        our_url: our_url.to_owned(),
        legacy: BTreeSet::from([Legacy::JwtV1, Legacy::JwtV2]),
        identity_provider: identity_provider.map(str::to_owned),
        projects: None,
        namespaces: None,
    };
    let made = verified.get().claims.get("iat").and_then(Value::as_i64).unwrap_or_default();
    parse(verified, &terms, Timestamp::from_seconds(made))
}

/// The age of a job token at its first call.
///
/// # Errors
/// `token_too_old`, with the age.
pub fn check_age(job: &Job, now: Timestamp, max_age: Duration) -> Result<(), Refusal> {
    let age = now.since(job.issued_at);
    if age <= max_age {
        return Ok(());
    }
    let what = format!(
        "the job token is {} old at its first call; {} is the most",
        humane(Duration::from_secs(age.as_secs())),
        humane(max_age)
    );
    Err(Refusal::new(ErrorCode::TokenTooOld, what))
}

/// A line of the inventory and what the token says there.
type Found<'a> = (&'static Claim, Option<&'a Value>);

/// Names that the inventory does not list, in order. Nearly every token has none, which the count tells.
fn unknown(raw: &Map<String, Value>, found: &[Found<'_>]) -> Vec<String> {
    if found.iter().filter(|(_, value)| value.is_some()).count() == raw.len() {
        return Vec::new();
    }
    let mut names: Vec<_> = raw.keys().filter(|name| inventory(name).is_none()).cloned().collect();
    names.sort_unstable();
    names
}

fn read_claims(found: &[Found<'_>]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut claims = BTreeMap::new();
    for (row, value) in found {
        let Some(value) = value else { continue };
        if row.nullable && value.is_null() {
            continue;
        }
        if let Some(text) = read_claim(row, value)? {
            claims.insert(row.name.to_owned(), text);
        }
    }
    Ok(claims)
}

fn read_claim(row: &Claim, value: &Value) -> Result<Option<String>, Refusal> {
    match (row.form, value) {
        (Form::Registered | Form::Ignored, _) => Ok(None),
        (Form::Audience, Value::Array(items)) => match items.as_slice() {
            [one] => text(row, one).map(Some),
            _ => Err(bad(row, "is not one text")),
        },
        (Form::Id, Value::String(id)) if is_id(id) => Ok(Some(id.clone())),
        (Form::Id, _) => Err(bad(row, "is not an id: digits in a string")),
        (Form::IdOrEmpty, Value::String(id)) if id.is_empty() => Ok(None),
        (Form::IdOrEmpty, Value::String(id)) if is_id(id) => Ok(Some(id.clone())),
        (Form::IdOrEmpty, _) => Err(bad(row, "is neither an id (digits in a string) nor the empty string")),
        (Form::Flag, Value::String(flag)) if flag == "true" || flag == "false" => Ok(Some(flag.clone())),
        (Form::Flag, _) => Err(bad(row, "is neither the string `true` nor the string `false`")),
        (Form::Number, value) => Ok(value.as_u64().map(|number| number.to_string())),
        (Form::List, Value::Array(items)) => {
            let items = items.iter().map(|item| text(row, item)).collect::<Result<Vec<_>, _>>()?;
            Ok((!items.is_empty()).then(|| Value::from(items).to_string()))
        }
        (Form::List, _) => Err(bad(row, "is not a list")),
        (Form::Text, Value::String(text)) if text.is_empty() && row.sent != Sent::Required => Ok(None),
        (Form::Text | Form::Audience, value) => text(row, value).map(Some),
    }
}

fn text(row: &Claim, value: &Value) -> Result<String, Refusal> {
    let Value::String(text) = value else { return Err(bad(row, "is not text")) };
    check_text(row.name, text)?;
    Ok(text.clone())
}

pub(super) fn check_text(name: &str, text: &str) -> Result<(), Refusal> {
    let what = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > MAX_CLAIM {
        format!("is {} bytes long; {MAX_CLAIM} is the most", text.len())
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else if text.chars().any(reorders) {
        "holds a character that changes the direction of text".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::new(ErrorCode::BadClaimType, format!("the claim `{name}` {what}")))
}

/// The explicit controls of Unicode's bidirectional algorithm (UAX #9 §2): what holds one reads as something else.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn bad(row: &Claim, what: &str) -> Refusal {
    Refusal::new(ErrorCode::BadClaimType, format!("the claim `{}` {what}", row.name))
}

/// An id as GitLab writes it: digits without leading zero.
#[must_use]
pub fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_DIGITS
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0')
}

/// On an instance that does not say where a job runs, a fork's merge-request pipeline looks like the project's own.
fn check_where_it_runs(job: &Job) -> Result<(), Refusal> {
    if job.claim("job_project_id").is_some() || job.claim("pipeline_source") != Some("merge_request_event") {
        return Ok(());
    }
    let what = "the token of this merge-request pipeline does not say in which project it runs (`job_project_id`)";
    Err(Refusal::new(ErrorCode::NotAJobToken, what)
        .with_hint("run the job in a branch pipeline, or upgrade GitLab to 18.4 or later"))
}

fn check_admission(job: &Job, terms: &IssuerTerms) -> Result<(), Refusal> {
    if terms.projects.is_none() && terms.namespaces.is_none() {
        return Ok(());
    }
    let project = terms.projects.as_ref().is_some_and(|ids| ids.contains(job.job_project_id()));
    // A fork's `namespace_id` is not the one in which the job runs.
    let namespace = job.claim("job_namespace_id").or_else(|| job.claim("namespace_id").filter(|_| !job.is_fork()));
    if project || namespace.zip(terms.namespaces.as_ref()).is_some_and(|(id, ids)| ids.contains(id)) {
        return Ok(());
    }
    let what = format!("jobs of project {} are not admitted here", job.job_project_id());
    Err(Refusal::new(ErrorCode::NotAdmitted, what))
}

#[cfg(test)]
mod tests;
