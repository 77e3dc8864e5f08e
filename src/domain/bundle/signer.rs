//! A person's signature in a bundle: what was signed, by which key, whose it is, and the groups that count.
//! In: a decision and the documents that it names. Out: a `Signer`.
//! Implements DESIGN §6: an approval over exactly this request, by a key enrolled before.
//! Never takes a name, a key or a group from anything but a logged document.

use std::collections::BTreeSet;

use crate::domain::assurance::evidence::{
    Attestation, Evidence, KeyProtection, Proof, Source, Standing, Today, Vouched,
};
use crate::domain::assurance::policy::Device;
use crate::domain::assurance::{Assurance, AuthenticatorFacts, assess};
use crate::domain::change::authority::Authority;
use crate::domain::ids::{ChangeId, Digest, GroupName, PersonId};
use crate::domain::request::Request;
use crate::domain::statement::{Choice, Statement, challenge};
use crate::domain::time::Timestamp;
use crate::domain::token::claims::SignedBy;

use super::case::Case;
use super::roles::DecisionPart;
use super::signatures::{AssertionEvidence, RegisteredKey, RegistrationEvidence};
use super::steps::Steps;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipDocument {
    act: String,
    by: String,
    groups: Vec<GroupName>,
    person: PersonId,
}

/// A signature that was checked.
pub(super) struct Signer {
    pub(super) person: PersonId,
    pub(super) key: RegisteredKey,
    pub(super) facts: AuthenticatorFacts,
    pub(super) vouched: Vouched,
    pub(super) standing: Standing,
    pub(super) trust_unattested_uv: bool,
    pub(super) at: Timestamp,
    pub(super) statement: Digest,
    pub(super) groups: Vec<GroupName>,
}

impl Case<'_> {
    pub(super) fn signer(&self, request: &Request, decision: &DecisionPart<'_>, steps: &mut Steps) -> Option<Signer> {
        let statement = steps.run("statement", self.statement(request, decision))?;
        let key = steps.run("enrolment", self.enrolment(decision))?;
        let vouched = self.attested(decision, steps)?;
        let today = match self.today() {
            Ok(today) => today,
            Err(error) => steps.run("standing", Err(error))?,
        };
        let facts = steps.run("assertion", self.assertion(decision, statement, &key))?;
        let groups = steps.run("membership", self.membership(decision))?;
        if let Attestation::Proven(proof) = &vouched.attestation {
            steps.skip("model", words_of(proof));
        }
        let standing = today.keys.get(&key.sha256).copied().unwrap_or_default();
        let trust_unattested_uv = today.trust_unattested_uv;
        let (person, at) = (decision.person.clone(), decision.time);
        Some(Signer { person, key, facts, vouched, standing, trust_unattested_uv, at, statement, groups })
    }

    /// What the passkey's entry says that its attestation proved; a proof is checked as far as the file can carry it.
    fn attested(&self, decision: &DecisionPart<'_>, steps: &mut Steps) -> Option<Vouched> {
        if decision.passkey.evidence.contains_key("attestation") {
            let read = self.vouched(decision);
            let capped = |(vouched, text): (Vouched, String)| {
                has_its_cap(decision.passkey.admitted_by, &vouched).map(|()| (vouched, text))
            };
            steps.run("attestation", read.and_then(capped))
        } else {
            let vouched = Vouched::default();
            match has_its_cap(decision.passkey.admitted_by, &vouched) {
                Ok(()) => Some(vouched),
                Err(error) => steps.run("attestation", Err(error)),
            }
        }
    }

    fn vouched(&self, decision: &DecisionPart<'_>) -> Result<(Vouched, String), String> {
        let passkey = &decision.passkey;
        let vouched: Vouched = self.read(passkey.evidence, "attestation")?;
        let statement = self.document(passkey.evidence, "statement")?;
        let answer: RegistrationEvidence = self.read(passkey.evidence, "registration")?;
        let challenge = challenge(statement.text.as_bytes());
        self.signatures.attestation(self.place(), challenge, &answer, &vouched.attestation, passkey.time)?;
        is_within_its_source(&vouched.attestation)?;
        let text = match &vouched.attestation {
            Attestation::None => "none".to_owned(),
            Attestation::SelfAttested => "by the key itself".to_owned(),
            Attestation::Untrusted { why } => format!("not trusted: {why}"),
            Attestation::Proven(proof) => {
                format!("holds up to the certificate {} of model {}", Digest::of(&proof.anchor.0), proof.aaguid)
            }
        };
        Ok((vouched, text))
    }

    /// What the token's entry says was known on its day.
    fn today(&self) -> Result<Today, String> {
        let evidence = self.roles.token_part()?.evidence;
        if evidence.contains_key("standing") { self.read(evidence, "standing") } else { Ok(Today::default()) }
    }

    fn statement(&self, request: &Request, decision: &DecisionPart<'_>) -> Result<(Digest, String), String> {
        let document = self.document(decision.evidence, "statement")?;
        let bytes = document.text.as_bytes();
        match Statement::from_bytes(bytes).map_err(|error| error.to_string())? {
            Statement::Approval(approval) => {
                if approval.decision != Choice::Approve {
                    return Err("the statement denies".to_owned());
                }
                if approval.request != *request {
                    return Err("the statement is over another request".to_owned());
                }
                Ok((challenge(bytes), "\"approve\", over exactly this request".to_owned()))
            }
            Statement::Registration(_) => Err("the statement is over a registration".to_owned()),
            Statement::Change(_) => Err("the statement is over a change".to_owned()),
            Statement::Link(_) => Err("the statement is over a GitLab user".to_owned()),
            Statement::Device(_) => Err("the statement is over a device".to_owned()),
        }
    }

    fn enrolment(&self, decision: &DecisionPart<'_>) -> Result<(RegisteredKey, String), String> {
        let passkey = &decision.passkey;
        let statement = self.document(passkey.evidence, "statement")?;
        let Ok(Statement::Registration(registration)) = Statement::from_bytes(statement.text.as_bytes()) else {
            return Err("the registration's statement is of another type".to_owned());
        };
        let admitted = match passkey.admitted_by {
            None => registration.invitation.as_ref() == Some(passkey.invitation) && registration.admitted_by.is_none(),
            Some(by) => registration.admitted_by.as_ref() == Some(by) && registration.invitation.is_none(),
        };
        let same = registration.person == *passkey.person
            && passkey.person == decision.person
            && passkey.person == passkey.invited
            && registration.issuer == self.roles.genesis.issuer;
        if !same || !admitted {
            return Err("the passkey was registered for another person or invitation".to_owned());
        }
        self.document(passkey.invitation_evidence, "invitation")?;
        let answer: RegistrationEvidence = self.read(passkey.evidence, "registration")?;
        let key = self.signatures.registration(self.place(), challenge(statement.text.as_bytes()), &answer)?;
        if key.sha256 != *passkey.credential {
            return Err("the registered key is not the one that the log names".to_owned());
        }
        let text = format!("person {} (name not disclosed), key enrolled {}", passkey.person, passkey.time.day_month());
        Ok((key, text))
    }

    fn assertion(
        &self,
        decision: &DecisionPart<'_>,
        statement: Digest,
        key: &RegisteredKey,
    ) -> Result<(AuthenticatorFacts, String), String> {
        let answer: AssertionEvidence = self.read(decision.evidence, "assertion")?;
        if answer.credential_id.0 != key.credential_id {
            return Err("the answer names another credential".to_owned());
        }
        let facts = self.signatures.assertion(self.place(), statement, &key.public_key, &answer)?;
        if facts.backup_eligible != key.facts.backup_eligible {
            return Err("backup eligibility changed since the enrolment".to_owned());
        }
        Ok((facts, "signed by that key, user present and verified".to_owned()))
    }

    fn membership(&self, decision: &DecisionPart<'_>) -> Result<(Vec<GroupName>, String), String> {
        let (joined, person, evidence) = decision.membership;
        let document: MembershipDocument = self.read(evidence, "act")?;
        if document.act != "joined"
            || !is_known_authority(&document.by, joined)
            || document.person != *person
            || person != decision.person
        {
            return Err("the membership is another person's".to_owned());
        }
        let groups: Vec<_> = document.groups.iter().map(ToString::to_string).collect();
        let text = format!("of {}", groups.join(", "));
        Ok((document.groups, text))
    }
}

/// Who may put people into groups and tie them to users in the entry `index`: the console, or a change that admins signed
/// before. Older documents name a change by its link id.
pub(super) fn is_known_authority(by: &str, index: u64) -> bool {
    match Authority::parse(by) {
        Some(Authority::Console) => true,
        Some(Authority::Change(proposed)) => proposed < index,
        Some(Authority::Recovery) => false,
        None => ChangeId::parse(by).is_ok(),
    }
}

/// A passkey that another one admitted carries no more than that one did, so its verdict must say how much.
fn has_its_cap(admitted_by: Option<&Digest>, vouched: &Vouched) -> Result<(), String> {
    if admitted_by.is_some() && vouched.admitted.is_none() {
        return Err("a passkey admitted it, and the log does not say at which level".to_owned());
    }
    Ok(())
}

/// What whoever vouches can say at all: the operator that keys are in hardware, and nothing else.
fn is_within_its_source(attestation: &Attestation) -> Result<(), String> {
    match attestation {
        Attestation::Proven(proof) if matches!(proof.source, Source::Configured(_)) => {
            let hardware = BTreeSet::from([KeyProtection::Hardware]);
            if proof.model.verification.is_empty() && proof.model.key_protection == hardware {
                Ok(())
            } else {
                Err("a root of the operator's proves that keys are in hardware, and the log has it prove more"
                    .to_owned())
            }
        }
        _ => Ok(()),
    }
}

/// What no file can carry: whoever vouches for the certificate signs megabytes at once.
fn words_of(proof: &Proof) -> String {
    let says = match &proof.source {
        Source::Metadata(number) => format!("FIDO's metadata no. {number}"),
        Source::Configured(name) => format!("the operator's configuration (\"{name}\")"),
    };
    let name = &proof.model.name;
    format!("that {says} lists this certificate for \"{name}\" and held nothing against it is the log's word")
}

impl Signer {
    pub(super) fn assurance(&self) -> Assurance {
        let evidence = Evidence {
            facts: self.facts,
            registered: self.key.facts,
            attestation: &self.vouched.attestation,
            standing: self.standing,
            trust_unattested_uv: self.trust_unattested_uv,
            admitted: self.vouched.admitted,
        };
        assess(&evidence, self.at)
    }

    pub(super) fn device(&self) -> Device {
        Device {
            attestation: self.vouched.attestation.clone(),
            standing: self.standing,
            synced: self.facts.backup_eligible || self.key.facts.backup_eligible,
            admitted_by_weaker: self.vouched.is_admitted_by_weaker(),
        }
    }

    /// Its model is proven.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.vouched.attestation, Attestation::Proven(_))
    }
}

pub(super) fn signed_by(signer: &Signer) -> SignedBy {
    SignedBy {
        person: signer.person.clone(),
        assurance: signer.assurance(),
        credential: signer.key.sha256,
        statement: signer.statement,
    }
}

#[cfg(test)]
mod tests;
