//! What the store knows about a call, read in one snapshot.
//! In: a reader, the rules, a call. Out: `Known`, and what `decide` needs of it.
//! Implements DESIGN §5: read facts, then decide.
//! Never decides, and never writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::assurance::evidence::{Evidence, Vouched};
use crate::domain::assurance::models::Trusted;
use crate::domain::assurance::policy::Device;
use crate::domain::assurance::{Assurance, AuthenticatorFacts, assess};
use crate::domain::ids::{Audience, GroupName, PersonId};
use crate::domain::rules::compile::Rules;
use crate::domain::rules::{Approver, Effect, Facts, Require, Rule};
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;
use crate::store::requests::{DecisionRow, RequestRow};
use crate::store::tokens::{IssuedRow, TokenUseRow};
use crate::store::{Reader, StoreError};

use super::course::Call;
use super::starters::{Starters, starters};

/// A request of the job, with all that hangs on it.
#[derive(Debug, Clone)]
pub struct KnownRequest {
    /// The record and its state.
    pub row: RequestRow,
    /// What people decided.
    pub decisions: Vec<DecisionRow>,
    /// What was issued for it.
    pub issued: Vec<IssuedRow>,
}

/// What the store knows about a call.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What the job token's `jti` is bound to.
    pub bound: Option<TokenUseRow>,
    /// Every request of the job.
    pub requests: Vec<KnownRequest>,
    /// What was issued for this job token.
    pub issued: Vec<IssuedRow>,
    /// Members of the groups that the rule names.
    pub groups: BTreeMap<GroupName, BTreeSet<PersonId>>,
    /// Who counts as the starter.
    pub starters: Starters,
    /// Open requests of the project.
    pub open_of_project: u64,
    /// Open requests of the rule.
    pub open_of_rule: u64,
    /// When the log last went on after a restore.
    pub resumed: Option<Timestamp>,
    /// Who vouches for passkeys.
    pub trusted: Arc<Trusted>,
}

impl Known {
    /// The whole list that this call belongs to: the bound one, a request's, or the one asked.
    pub(super) fn list(&self, call: &Call) -> Vec<Audience> {
        if let Some(bound) = &self.bound {
            return bound.audiences.clone();
        }
        match self.overlapping(call) {
            Some(known) => known.row.request.audiences().cloned().collect(),
            None => call.asked.clone(),
        }
    }

    pub(super) fn overlapping(&self, call: &Call) -> Option<&KnownRequest> {
        self.requests.iter().find(|known| known.row.request.audiences().any(|one| call.asked.contains(one)))
    }

    pub(super) fn facts(&self, decisions: &[DecisionRow]) -> Facts {
        Facts {
            groups: self.groups.clone(),
            starter: self.starters.known().cloned(),
            starter_fault: self.starters.fault(),
            proved: self.starters.proved_people(),
            approvals: approvers(decisions, &self.trusted),
        }
    }
}

/// What a ceremony of a passkey proves by today's knowledge.
pub fn judged(
    trusted: &Trusted,
    (facts, registered): (AuthenticatorFacts, AuthenticatorFacts),
    vouched: &Vouched,
    at: Timestamp,
) -> Assurance {
    let evidence = Evidence {
        facts,
        registered,
        attestation: &vouched.attestation,
        standing: trusted.standing(&vouched.attestation),
        trust_unattested_uv: trusted.unattested_uv,
        admitted: vouched.admitted,
    };
    assess(&evidence, at)
}

/// The device of a passkey, as policies see it today.
pub fn device_of(
    trusted: &Trusted,
    (facts, registered): (AuthenticatorFacts, AuthenticatorFacts),
    vouched: &Vouched,
) -> Device {
    Device {
        attestation: vouched.attestation.clone(),
        standing: trusted.standing(&vouched.attestation),
        synced: facts.backup_eligible || registered.backup_eligible,
        admitted_by_weaker: vouched.is_admitted_by_weaker(),
    }
}

/// Judges a decision by today's knowledge.
pub fn assurance_of(decision: &DecisionRow, trusted: &Trusted) -> Assurance {
    judged(trusted, (decision.facts, decision.registered), &decision.vouched, decision.at)
}

/// The approvals among decisions, as `decide` takes them.
pub fn approvers(decisions: &[DecisionRow], trusted: &Trusted) -> Vec<Approver> {
    decisions
        .iter()
        .filter(|decision| decision.choice == Choice::Approve)
        .map(|decision| Approver {
            person: decision.person.clone(),
            credential: decision.public_key_sha256,
            acr: assurance_of(decision, trusted).acr,
            device: device_of(trusted, (decision.facts, decision.registered), &decision.vouched),
            at: decision.at,
            void: decision.void,
        })
        .collect()
}

/// The terms of an approval rule, where the rule is one.
pub fn approval_terms(rule: &Rule) -> Option<&crate::domain::rules::ApprovalTerms> {
    match &rule.effect {
        Effect::Allow(allow) => match &allow.require {
            Require::Approval(terms) => Some(terms),
            Require::None => None,
        },
        Effect::Deny(_) => None,
    }
}

/// Reads members of the groups that a rule names.
pub fn groups_of(reader: &Reader<'_>, rule: &Rule) -> Result<BTreeMap<GroupName, BTreeSet<PersonId>>, StoreError> {
    let mut groups = BTreeMap::new();
    if let Some(terms) = approval_terms(rule) {
        for group in &terms.of {
            groups.insert(group.clone(), reader.members(group)?);
        }
    }
    Ok(groups)
}

/// Reads what is known about a call.
pub fn know(
    reader: &Reader<'_>,
    (rules, trusted): (&Rules, &Arc<Trusted>),
    call: &Call,
    now: Timestamp,
) -> Result<Known, StoreError> {
    let job = &call.job;
    let bound = reader.token_use(&job.issuer, &job.jti)?;
    let mut requests = Vec::new();
    for row in reader.requests_of_job(&job.issuer, job.job_id())? {
        let decisions = reader.decisions(&row.request.id)?;
        let issued = reader.issued_for_request(&row.request.id)?;
        requests.push(KnownRequest { row, decisions, issued });
    }
    let issued = if bound.is_some() { reader.issued_for_token(&job.issuer, &job.jti)? } else { Vec::new() };
    let mut known = Known { bound, requests, issued, resumed: reader.resumed()?, ..Known::default() };
    known.trusted = Arc::clone(trusted);
    if let Some(rule) = rules.allowing(job, &known.list(call)) {
        known.groups = groups_of(reader, rule)?;
        if approval_terms(rule).is_some() {
            known.starters = starters(reader, &job.issuer, job.user_id(), job.identity())?;
            if known.bound.is_none() {
                known.open_of_project = reader.open_requests_of_project(&job.issuer, job.job_project_id(), now)?;
                known.open_of_rule = reader.open_requests_of_rule(&rule.name, now)?;
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests;
