//! Decides a request: a person signs yes or no with a passkey.
//! In: a link id, then a browser's answer. Out: a ceremony over the canonical statement, then the recorded decision.
//! Implements DESIGN §6, WebAuthn L3 §7.2.
//! Never takes a statement from the client, and never uses a challenge twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::crypto::random;
use crate::domain::canonical::Bytes;
use crate::domain::ids::{PersonId, RequestId};
use crate::domain::log::entry::{Event, JobFields};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::standing::Mark;
use crate::domain::rules::Refusal;
use crate::domain::statement::{Approval, Choice, MAX_REASON_CHARS, Statement, challenge};
use crate::passkeys::PasskeyError;
use crate::passkeys::assertion::Verification;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::requests::{DecisionRow, RequestRow};
use crate::store::{StoreError, Unit};

use super::ceremony::{Asked, Ceremony, assertion_document, mismatch};
use super::course::refusal;
use super::entitled::{entitled, still_open, unchanged};
use super::push_requests::PushJob;
use super::refuse::{append_person_refusal, logged};
use super::suspend_passkey::suspend;
use super::{AppError, Countersign};

/// What a person asks to sign.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Yes or no.
    pub choice: Choice,
    /// Why not.
    pub reason: Option<String>,
    /// Whose passkeys to look for, where none was offered.
    pub user: Option<String>,
}

/// What was recorded.
#[derive(Debug)]
pub struct Decided {
    /// Who.
    pub person: PersonId,
    /// What.
    pub choice: Choice,
    /// The log entry.
    pub entry: u64,
}

/// Random bytes of a ceremony's id.
const CEREMONY_ID: usize = 16;

impl Intent {
    /// Checks a reason: at most `MAX_REASON_CHARS`, no control characters; only a denial has one.
    pub fn checked(self) -> Result<Self, Refusal> {
        let Some(reason) = &self.reason else { return Ok(self) };
        if self.choice == Choice::Approve {
            return Err(refusal(ErrorCode::ParameterInvalid, "only a denial has a reason"));
        }
        if reason.chars().count() > MAX_REASON_CHARS || reason.chars().any(char::is_control) {
            let text = format!("a reason has at most {MAX_REASON_CHARS} characters and no control characters");
            return Err(refusal(ErrorCode::ParameterInvalid, text));
        }
        Ok(Self { reason: self.reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()), ..self })
    }
}

impl Countersign {
    /// A link that names nothing costs a read, never a write.
    fn find_request(&self, id: &RequestId) -> Result<RequestRow, AppError> {
        self.store.read(|reader| reader.request(id)?.ok_or_else(unknown_request))
    }

    /// Starts a ceremony over a decision.
    pub async fn begin_decision(&self, id: &RequestId, intent: Intent) -> Result<Ceremony, AppError> {
        // A clock that is wrong would say "too late", or put a wrong time into what is signed.
        self.steady_now()?;
        self.settle_changes_if_possible().await;
        let intent = intent.checked()?;
        self.find_request(id)?;
        let listed = intent.user.as_deref().map(|name| self.keys_of_name(name)).transpose()?;
        let ceremony = random::text::<CEREMONY_ID>()?;
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (request_id, ceremony_id, choice) = (id.clone(), ceremony.clone(), intent.choice);
        let (rules, vouching) = (self.rules(), self.vouching.clone());
        let asked = self
            .store
            .write(move |unit| -> Result<Asked, AppError> {
                let row = unit.reader().request(&request_id)?.ok_or_else(unknown_request)?;
                if choice == Choice::Approve && !unchanged(&rules.rules, &row) {
                    return Err(refusal(ErrorCode::RuleChanged, "the rule changed after this request was made").into());
                }
                let (now, trusted) = (unit.now(), vouching.in_unit_or_busy(&unit.reader())?);
                still_open(&unit.reader(), &row, (choice, &trusted), now)?;
                let statement = Statement::Approval(Approval {
                    decision: choice,
                    nonce,
                    at: now,
                    request: row.request,
                    reason: intent.reason,
                });
                let statement = statement.to_bytes()?;
                let of = CeremonyFor::Id(request_id.to_string());
                unit.start_ceremony(CeremonyKind::Approval, (&ceremony_id, &of), (&statement, listed.as_deref()))?;
                Ok(Asked { statement, listed })
            })
            .await?;
        self.ask_to_sign(ceremony, asked)
    }

    /// Finishes a ceremony: verifies the assertion over the server's own statement, then records the decision.
    pub async fn finish_decision(&self, id: &RequestId, ceremony: &str, response: &Value) -> Result<Decided, AppError> {
        self.steady_now()?;
        let row = self.find_request(id)?;
        let asked = self.take(CeremonyKind::Approval, ceremony, Some(CeremonyFor::Id(id.to_string()))).await?;
        let Ok(Statement::Approval(approval)) = Statement::from_bytes(&asked.statement) else {
            return Err(mismatch("this ceremony is not over a decision"));
        };
        let (passkey, person) = self.passkey_of(response)?;
        let verified = match self.is_signed((&passkey, &person), &asked, response) {
            // The signature was good: this is the key or its copy, and that stays in the log.
            Err(error @ PasskeyError::CounterRolledBack { .. }) => {
                let refusal = refusal(error.code(), error.to_string());
                let refused = self.refuse_copy(row, passkey, refusal).await;
                self.tell_copy(&person, &refused);
                return Err(refused);
            }
            verified => verified?,
        };
        let decided = self.record_decision(approval, asked.statement, passkey, verified).await;
        // Also where the answer is no: the request may have been found to be over.
        self.waiting.wake(id);
        if decided.is_ok() {
            self.push(PushJob::Over(id.clone()));
        }
        decided
    }

    /// A key signed whose counter went back: this is the key, or its copy. It ends, and the log says so.
    async fn refuse_copy(&self, row: RequestRow, passkey: PasskeyRow, refusal: Refusal) -> AppError {
        let admit = self.refusals.admit_copy(&passkey.person, self.clock.monotonic());
        let code = refusal.code;
        let refused = self.store.write(move |unit| -> Result<_, StoreError> {
            let entry = append_person_refusal(unit, &row, &passkey.person, code, admit)?;
            suspend(unit, &passkey, SuspendedWhy::Copied, None)?;
            Ok(entry)
        });
        match refused.await {
            Ok(entry) => logged(refusal, entry),
            Err(fault) => fault.into(),
        }
    }

    async fn record_decision(
        &self,
        approval: Approval,
        statement: Vec<u8>,
        passkey: PasskeyRow,
        verified: Verification,
    ) -> Result<Decided, AppError> {
        let (rules, vouching) = (self.rules(), self.vouching.clone());
        let (refusals, now) = (Arc::clone(&self.refusals), self.clock.monotonic());
        let outcome = self
            .store
            .write(move |unit| -> Result<Result<Decided, (Refusal, Option<u64>)>, AppError> {
                let row = unit.reader().request(&approval.request.id)?.ok_or_else(unknown_request)?;
                if row.request != approval.request {
                    return Err(mismatch("the statement is not over this request"));
                }
                let trusted = vouching.in_unit_or_busy(&unit.reader())?;
                let judged = entitled(unit, (&rules.rules, &trusted), &row, approval.decision, &passkey, &verified);
                match judged {
                    Ok(membership) => {
                        let signed = Signed { approval, statement, passkey, verified, membership };
                        Ok(Ok(write_decision(unit, &row, signed)?))
                    }
                    Err(AppError::Refused { refusal, .. }) => {
                        // What was seen to be over stays over, whatever the clock does.
                        match refusal.code {
                            ErrorCode::RuleChanged if row.mark == Mark::Open => end(unit, &row, Mark::Voided)?,
                            ErrorCode::RequestExpired if row.mark == Mark::Open => end(unit, &row, Mark::Expired)?,
                            _ => {}
                        }
                        let admit = refusals.admit_person(&passkey.person, now);
                        let entry = append_person_refusal(unit, &row, &passkey.person, refusal.code, admit)?;
                        Ok(Err((refusal, entry)))
                    }
                    Err(fault) => Err(fault),
                }
            })
            .await?;
        outcome.map_err(|(refusal, entry)| logged(refusal, entry))
    }
}

fn unknown_request() -> AppError {
    AppError::refused(ErrorCode::NotFound, "there is no such request")
}

struct Signed {
    approval: Approval,
    statement: Vec<u8>,
    passkey: PasskeyRow,
    verified: Verification,
    membership: Option<u64>,
}

fn write_decision(unit: &mut Unit<'_>, row: &RequestRow, signed: Signed) -> Result<Decided, AppError> {
    let Signed { approval, statement, passkey, verified, membership } = signed;
    let person = passkey.person.clone();
    let assertion = assertion_document(&passkey, &verified)?;
    let evidence = BTreeMap::from([
        ("statement".to_owned(), unit.put_evidence_of_next("statement", &statement, Some(&person))?),
        ("assertion".to_owned(), unit.put_evidence_of_next("assertion", &assertion, Some(&person))?),
    ]);
    let entry = unit.append(Event::Decision {
        outcome: approval.decision,
        person: person.clone(),
        request: row.request.id.clone(),
        asked: row.entry,
        passkey: passkey.entry,
        membership,
        evidence,
    })?;
    unit.insert_decision(
        &row.request.id,
        &DecisionRow {
            person: person.clone(),
            choice: approval.decision,
            passkey: passkey.id,
            public_key_sha256: passkey.public_key_sha256,
            statement_sha256: challenge(&statement),
            facts: verified.facts,
            registered: passkey.registered,
            vouched: passkey.vouched,
            void: false,
            reason: approval.reason,
            at: unit.now(),
            entry,
        },
    )?;
    unit.update_passkey(passkey.id, &verified.credential)?;
    if approval.decision == Choice::Deny {
        unit.end_request(&row.request.id, Mark::Denied, entry)?;
    }
    Ok(Decided { person, choice: approval.decision, entry })
}

/// The numeric ids of a request's job.
pub fn fields(row: &RequestRow) -> JobFields {
    let claim = |name: &str| row.request.job_claim(name).unwrap_or_default().to_owned();
    JobFields {
        issuer: row.issuer.clone(),
        job_project_id: row.request.job_claim("job_project_id").map_or_else(|| claim("project_id"), str::to_owned),
        pipeline_id: claim("pipeline_id"),
        job_id: claim("job_id"),
    }
}

pub(super) fn end(unit: &mut Unit<'_>, row: &RequestRow, mark: Mark) -> Result<(), StoreError> {
    let entry = unit.append(Event::Request {
        outcome: mark.as_str().to_owned(),
        request: row.request.id.clone(),
        job: fields(row),
        asked: None,
        evidence: BTreeMap::new(),
    })?;
    unit.end_request(&row.request.id, mark, entry)
}
