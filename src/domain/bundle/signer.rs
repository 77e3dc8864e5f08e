//! A person's signature in a bundle: what was signed, by which key, whose it is, and the groups that count.
//! In: a decision and the documents that it names. Out: a `Signer`.
//! Implements DESIGN §6: an approval over exactly this request, by a key enrolled before.
//! Never takes a name, a key or a group from anything but a logged document.

use crate::domain::assurance::{AuthenticatorFacts, assess};
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
    pub(super) at: Timestamp,
    pub(super) statement: Digest,
    pub(super) groups: Vec<GroupName>,
}

impl Case<'_> {
    pub(super) fn signer(&self, request: &Request, decision: &DecisionPart<'_>, steps: &mut Steps) -> Option<Signer> {
        let statement = steps.run("statement", self.statement(request, decision))?;
        let key = steps.run("enrolment", self.enrolment(decision))?;
        let facts = steps.run("assertion", self.assertion(decision, statement, &key))?;
        let groups = steps.run("membership", self.membership(decision))?;
        Some(Signer { person: decision.person.clone(), key, facts, at: decision.time, statement, groups })
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
        }
    }

    fn enrolment(&self, decision: &DecisionPart<'_>) -> Result<(RegisteredKey, String), String> {
        let passkey = &decision.passkey;
        let statement = self.document(passkey.evidence, "statement")?;
        let Ok(Statement::Registration(registration)) = Statement::from_bytes(statement.text.as_bytes()) else {
            return Err("the registration's statement is of another type".to_owned());
        };
        let same = registration.person == *passkey.person
            && passkey.person == decision.person
            && passkey.person == passkey.invited
            && registration.invitation == *passkey.invitation
            && registration.issuer == self.roles.genesis.issuer;
        if !same {
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
        let (person, evidence) = decision.membership;
        let document: MembershipDocument = self.read(evidence, "act")?;
        if document.act != "joined"
            || !is_known_source(&document.by)
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

/// Who may put people into groups and tie them to users: the console, or a change that admins signed.
pub(super) fn is_known_source(by: &str) -> bool {
    by == "console" || ChangeId::parse(by).is_ok()
}

pub(super) fn signed_by(signer: &Signer) -> SignedBy {
    SignedBy {
        person: signer.person.clone(),
        assurance: assess(&signer.facts, &signer.key.facts, signer.at),
        credential: signer.key.sha256,
        statement: signer.statement,
    }
}
