//! The rule of a bundle, decided again: the same verdict and the same claims must follow from what was proven.
//! In: the rule's text, the job, the signers. Out: the decisions that count, and claims equal to those logged.
//! Implements DESIGN §4 and §6 over again, by the same functions that issued the token.
//! Never takes the log's word for what can be computed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::canonical;
use crate::domain::change::LinkKind;
use crate::domain::ids::{Digest, IssuerName, Kid, PersonId};
use crate::domain::job::Job;
use crate::domain::job::identity::IDENTITY;
use crate::domain::log::entry::JobFields;
use crate::domain::oauth::exchange::key_collector;
use crate::domain::people::proof::BY_PIPELINE;
use crate::domain::request::{Access, Request};
use crate::domain::rules::compile::Rules;
use crate::domain::rules::decide::decide;
use crate::domain::rules::{Approver, Effect, Facts, Outcome, Require, Rule};
use crate::domain::time::Timestamp;
use crate::domain::token::claims::{self, ApprovalClaims, Issue};

use super::case::Case;
use super::roles::{AskedPart, TiePart};
use super::signer::{Signer, is_known_authority, signed_by};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkDocument {
    by: String,
    issuer: IssuerName,
    /// Only where the user is a bot's: then the person answers for it, and counts as the starter.
    #[serde(default, rename = "owner")]
    _owner: Option<LinkKind>,
    person: PersonId,
    user_id: String,
}

/// Who counts as the starter of a job.
#[derive(Default)]
pub(super) struct Starters {
    /// The one whom the console or admins say it is.
    known: Option<PersonId>,
    /// Those who say so themselves.
    proved: BTreeSet<PersonId>,
}

impl Case<'_> {
    pub(super) fn rule(&self, request: Option<&Request>) -> Result<Rule, String> {
        let token = self.roles.token_part()?;
        let evidence = self.roles.asked.as_ref().map_or(token.evidence, |part| part.evidence);
        let document = self.document(evidence, "rule")?;
        let rule: Rule = canonical::from_bytes(document.text.as_bytes()).map_err(|error| format!("`rule`: {error}"))?;
        let digest = Digest::of(document.text.as_bytes());
        if digest != *token.rule || request.is_some_and(|request| request.rule.sha256 != digest) {
            return Err("the rule is not the one that the token was issued under".to_owned());
        }
        if request.is_some_and(|request| request.rule.name != rule.name) {
            return Err("the request names another rule".to_owned());
        }
        Ok(rule)
    }

    pub(super) fn starter(&self, request: Option<&Request>, rule: &Rule) -> Result<(Starters, String), String> {
        let Some((part, request)) = self.roles.asked.as_ref().zip(request) else {
            return Ok((Starters::default(), "nobody was asked".to_owned()));
        };
        let mut proved = BTreeSet::new();
        for tie in &part.proved {
            self.is_of_the_jobs_user(*tie, part, request, |by| by == BY_PIPELINE)?;
            proved.insert(tie.person.clone());
        }
        let identity = request.job_claim(IDENTITY).map(PersonId::parse).transpose();
        let identity = identity.map_err(|_| "the request's identity is no person's id".to_owned())?;
        proved.extend(identity.clone());
        let excluded = matches!(&rule.effect, Effect::Allow(allow)
            if matches!(&allow.require, Require::Approval(terms) if !terms.not.is_empty()));
        let Some(tie) = part.starter else {
            if excluded {
                return Err("the rule excludes the starter, and nothing says who that is".to_owned());
            }
            return Ok((Starters { known: None, proved }, "the rule does not ask who started the job".to_owned()));
        };
        self.is_of_the_jobs_user(tie, part, request, |by| is_known_authority(by, tie.index))?;
        if excluded && identity.is_some_and(|identity| identity != *tie.person) {
            return Err("the log ties the job's user to one person, and GitLab signs it in as another".to_owned());
        }
        let person = tie.person.clone();
        let text = format!("person {person} started the job");
        Ok((Starters { known: Some(person), proved }, text))
    }

    fn is_of_the_jobs_user(
        &self,
        tie: TiePart<'_>,
        part: &AskedPart<'_>,
        request: &Request,
        is_source: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let link: LinkDocument = self.read(tie.evidence, "link")?;
        let same = is_source(&link.by)
            && link.person == *tie.person
            && link.issuer == *tie.issuer
            && *tie.issuer == part.job.issuer
            && request.job_claim("user_id") == Some(link.user_id.as_str());
        if same { Ok(()) } else { Err("the starter's link is another user's".to_owned()) }
    }

    pub(super) fn decides(
        &self,
        rule: &Rule,
        job: &Job,
        request: Option<&Request>,
        facts: &Facts,
    ) -> Result<(Vec<Approver>, String), String> {
        let token = self.roles.token_part()?;
        let asked = match (request, token.intake) {
            (Some(request), _) => request.audiences().cloned().collect(),
            (None, Some(intake)) => intake.audiences.clone(),
            (None, None) => vec![token.audience.clone()],
        };
        let rules = Rules::from_rules(vec![rule.clone()]).map_err(|error| error.to_string())?;
        let verdict = decide(&rules, job, &asked, facts, self.roles.token.time);
        match verdict.outcome {
            Outcome::Issue { rule, counted } => {
                let text = format!("\"{}\" says yes to these values", rule.name);
                Ok((counted, text))
            }
            Outcome::Ask { signed, needed, .. } => Err(format!("{signed} of {needed} signatures count")),
            Outcome::Refuse(refusal) => Err(refusal.description),
        }
    }

    pub(super) fn claims(
        &self,
        rule: &Rule,
        job: &Job,
        request: Option<&Request>,
        counted: &[Approver],
        signers: &[Signer],
    ) -> Result<String, String> {
        let token = self.roles.token_part()?;
        let access: Access = match request {
            Some(request) => {
                let found = request.access.iter().find(|access| access.audience == *token.audience);
                found.cloned().ok_or("the request does not name the token's audience")?
            }
            None => claims::access(job, rule, token.audience).map_err(|refusal| refusal.description)?,
        };
        if signers.len() != counted.len() {
            return Err("the token's entry names decisions that do not count".to_owned());
        }
        let approval = request
            .map(|request| -> Result<_, String> {
                Ok(ApprovalClaims {
                    id: &request.id,
                    request_sha256: canonical::digest(request).map_err(|error| error.to_string())?,
                    by: signers.iter().map(signed_by).collect(),
                })
            })
            .transpose()?;
        let jkt = self.bound_key(request)?;
        let built = claims::build(&Issue {
            our_issuer: self.roles.genesis.issuer,
            job,
            rule,
            access: &access,
            jti: token.jti,
            jkt: jkt.as_ref(),
            now: self.roles.token.time,
            approval,
        })
        .map_err(|refusal| refusal.description)?;
        let built = canonical::to_bytes(&built).map_err(|error| error.to_string())?;
        if built != self.claims_as_logged()? {
            return Err("the claims do not follow from the rule and the signatures".to_owned());
        }
        let expires = self.bundle.claims.get("exp").and_then(Value::as_i64).map(Timestamp::from_seconds);
        if expires != Some(token.exp) || token.job != self.job_fields(token.job) {
            return Err("the token's entry and its claims differ".to_owned());
        }
        if token.intake.is_some_and(|intake| !intake.audiences.contains(token.audience)) {
            return Err("the token's audience is not one that its entry says was asked for".to_owned());
        }
        Ok(format!("follow from the rule and the signatures, for {}", token.audience))
    }

    /// The key that the token is bound to: where people were asked, one that their request says may collect. Nobody else
    /// signed for it.
    fn bound_key(&self, request: Option<&Request>) -> Result<Option<Kid>, String> {
        let Some(cnf) = self.bundle.claims.get("cnf") else { return Ok(None) };
        let jkt = cnf.get("jkt").and_then(Value::as_str).and_then(|text| Kid::parse(text).ok());
        let jkt = jkt.ok_or("the claim `cnf` names no key")?;
        if request.is_some_and(|request| request.collector != key_collector(&jkt)) {
            return Err("the token is bound to another key than the request says may collect".to_owned());
        }
        Ok(Some(jkt))
    }

    /// The claims' canonical bytes, which the token's entry holds the digest of.
    pub(super) fn claims_as_logged(&self) -> Result<Vec<u8>, String> {
        let given = canonical::to_bytes(&self.bundle.claims).map_err(|error| error.to_string())?;
        if Digest::of(&given) == *self.roles.token_part()?.claims_sha256 {
            Ok(given)
        } else {
            Err("the claims are not those that were logged".to_owned())
        }
    }

    fn job_fields<'b>(&'b self, own: &'b JobFields) -> &'b JobFields {
        self.roles.asked.as_ref().map_or(own, |part| part.job)
    }
}

/// What `decide` needs, from what was proven.
pub(super) fn facts(rule: &Rule, signers: &[Signer], starters: Starters) -> Facts {
    let mut facts = Facts { starter: starters.known, proved: starters.proved, ..Facts::default() };
    if let Effect::Allow(allow) = &rule.effect
        && let Require::Approval(terms) = &allow.require
    {
        for group in &terms.of {
            let members = signers.iter().filter(|signer| signer.groups.contains(group)).map(|s| s.person.clone());
            facts.groups.insert(group.clone(), members.collect());
        }
    }
    facts.approvals = signers
        .iter()
        .map(|signer| Approver {
            person: signer.person.clone(),
            credential: signer.key.sha256,
            acr: signer.assurance().acr,
            device: signer.device(),
            at: signer.at,
            void: false,
        })
        .collect();
    facts
}
