//! Signs a change, or refuses it: an admin's passkey over the whole record.
//! In: a link id, then a browser's answer. Out: a ceremony over the canonical statement, then the recorded signature.
//! Implements DESIGN §6, §11, WebAuthn L3 §7.2.
//! Never takes a statement from the client, and never uses a challenge twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::crypto::random;
use crate::domain::assurance::evidence::Admission;
use crate::domain::canonical::Bytes;
use crate::domain::change::About;
use crate::domain::change::standing::{Moment, Signature, Standing, Terms, admits, standing};
use crate::domain::ids::{ChangeId, PersonId, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;
use crate::domain::statement::{Choice, Countersignature, Statement};
use crate::domain::time::Timestamp;
use crate::passkeys::PasskeyError;
use crate::passkeys::assertion::Verification;
use crate::store::Unit;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::changes::{ChangeRow, ChangeState};
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};

use super::apply_change;
use super::ceremony::{Asked, Ceremony, assertion_document, mismatch, put_documents};
use super::course::refusal;
use super::entitled::{is_known, may_approve};
use super::known::judged;
use super::refuse::{Admit, logged};
use super::settle_changes::{follow, refuse, stands};
use super::suspend_passkey::suspend;
use super::{AppError, Countersign};

/// What a signature did.
#[derive(Debug)]
pub struct Signed {
    /// Who.
    pub person: PersonId,
    /// For, or against.
    pub choice: Choice,
    /// When the change takes effect by itself, where it does.
    pub from: Option<Timestamp>,
    /// The log entry of the signature.
    pub entry: u64,
}

/// A change that cannot be found.
pub fn unknown_change() -> AppError {
    AppError::refused(ErrorCode::NotFound, "there is no such change")
}

impl Countersign {
    /// Starts a ceremony over a change. With a user name the browser is told which keys to look for.
    ///
    /// # Errors
    /// There is no such change, or it is over.
    pub async fn begin_signature(
        &self,
        id: &ChangeId,
        (choice, user): (Choice, Option<&str>),
    ) -> Result<Ceremony, AppError> {
        self.steady_now()?;
        self.settle_changes().await?;
        self.store.read(|reader| reader.change(id)?.ok_or_else(unknown_change))?;
        let listed = user.map(|name| self.keys_of_name(name)).transpose()?;
        let ceremony = random::text::<16>()?;
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (change_id, ceremony_id, terms) = (id.clone(), ceremony.clone(), self.settings.people);
        let asked = self.store.write(move |unit| -> Result<Asked, AppError> {
            let row = unit.reader().change(&change_id)?.ok_or_else(unknown_change)?;
            still_open(stands(&unit.reader(), &row, &terms, unit.now())?)?;
            let statement =
                Statement::Change(Countersignature { decision: choice, nonce, at: unit.now(), change: row.change });
            let statement = statement.to_bytes()?;
            let of = CeremonyFor::Id(change_id.to_string());
            unit.start_ceremony(CeremonyKind::Change, (&ceremony_id, &of), (&statement, listed.as_deref()))?;
            Ok(Asked { statement, listed })
        });
        self.ask_to_sign(ceremony, asked.await?)
    }

    /// Finishes a ceremony: verifies the assertion over the server's own statement, then records what it does.
    ///
    /// # Errors
    /// The answer is not a signature, or not one that counts; then nothing changed.
    pub async fn finish_signature(&self, id: &ChangeId, ceremony: &str, response: &Value) -> Result<Signed, AppError> {
        self.steady_now()?;
        self.settle_changes().await?;
        self.store.read(|reader| reader.change(id)?.ok_or_else(unknown_change))?;
        let asked = self.take(CeremonyKind::Change, ceremony, Some(CeremonyFor::Id(id.to_string()))).await?;
        let Ok(Statement::Change(signed)) = Statement::from_bytes(&asked.statement) else {
            return Err(mismatch("this ceremony is not over a change"));
        };
        let change = signed.change.clone();
        let (passkey, person) = self.passkey_of(response)?;
        let verified = self.is_signed((&passkey, &person), &asked, response);
        let now = self.clock.monotonic();
        let rejected = Rejected { change: id.clone(), passkey: passkey.entry, by: passkey.person.clone() };
        let verified = match verified {
            Err(error @ PasskeyError::CounterRolledBack { .. }) => {
                let refusal = refusal(error.code(), error.to_string());
                let admit = self.refusals.admit_copy(&passkey.person, now);
                let code = refusal.code;
                let ended = self.store.write(move |unit| -> Result<_, AppError> {
                    let entry = rejected.append(unit, code, admit)?;
                    suspend(unit, &passkey, SuspendedWhy::Copied, None)?;
                    Ok(entry)
                });
                let entry = ended.await?;
                let refused = logged(refusal, entry);
                self.tell_copy(&person, &refused);
                return Err(refused);
            }
            verified => verified?,
        };
        let (refusals, next_due) = (Arc::clone(&self.refusals), Arc::clone(&self.next_due));
        let (terms, vouching) = (self.settings.people, self.vouching.clone());
        let outcome = self.store.write(move |unit| -> Result<Result<_, (Refusal, Option<u64>)>, AppError> {
            let row = unit.reader().change(&signed.change.id)?.ok_or_else(unknown_change)?;
            if row.change != signed.change {
                return Err(refusal(ErrorCode::StatementMismatch, "the statement is not over this change").into());
            }
            let trusted = vouching.in_unit_or_busy(&unit.reader())?;
            match judge(unit, &row, signed.decision, &passkey, &terms) {
                Ok(()) => {
                    let facts = (verified.facts, passkey.registered);
                    let proved = (&judged(&trusted, facts, &passkey.vouched, unit.now())).into();
                    let (choice, statement) = (signed.decision, asked.statement);
                    let made = Made { choice, statement, passkey, verified, proved };
                    let (signed, voided) = record(unit, &row, made, &terms)?;
                    next_due.set(unit.reader().next_due()?);
                    Ok(Ok((signed, voided)))
                }
                Err(AppError::Refused { refusal, .. }) => {
                    let admit = refusals.admit_person(&passkey.person, now);
                    let entry = rejected.append(unit, refusal.code, admit)?;
                    Ok(Err((refusal, entry)))
                }
                Err(fault) => Err(fault),
            }
        });
        // Rolled back, it may have told of a next one that is later than the true one.
        let outcome = outcome.await.inspect_err(|_| self.next_due.set(Some(Timestamp::from_millis(0))));
        let (signed, voided) = outcome?.map_err(|(refusal, entry)| logged(refusal, entry))?;
        if let Some(from) = signed.from {
            self.tell_delay(&change, from);
        }
        for request in &voided {
            self.waiting.wake(request);
        }
        if let About::Rules { .. } = &change.about {
            // If this call ends here, the next exchange finds that the log has other rules than memory.
            self.catch_up_rules().await;
            if self.store.read(|reader| reader.change(id))?.is_some_and(|row| row.state == ChangeState::Done) {
                self.tell_done(&change);
            }
        }
        Ok(signed)
    }
}

fn still_open(standing: Standing) -> Result<(), AppError> {
    match standing {
        Standing::Waiting { .. } | Standing::Delayed { .. } => Ok(()),
        Standing::Due => Err(AppError::refused(ErrorCode::AlreadyDecided, "this change is in effect")),
        Standing::Refused => Err(AppError::refused(ErrorCode::AlreadyDecided, "this change was refused")),
        Standing::Expired => Err(AppError::refused(ErrorCode::ChangeOver, "too late: this change has ended")),
    }
}

/// Whether this passkey's signature counts now, in the writer's savepoint.
fn judge(
    unit: &Unit<'_>,
    row: &ChangeRow,
    choice: Choice,
    passkey: &PasskeyRow,
    terms: &Terms,
) -> Result<(), AppError> {
    let reader = unit.reader();
    is_known(&reader, passkey)?;
    let signatures = reader.change_signatures(&row.change.id)?;
    let council = reader.council()?;
    let standing = stands(&reader, row, terms, unit.now())?;
    admits(&row.change, &signatures, &council, (&passkey.person, choice), standing, unit.now())
        .map_err(|(code, text)| AppError::refused(code, text))?;
    if choice == Choice::Approve {
        may_approve(passkey, unit.now())?;
        // What cannot be done any more is not signed for.
        if row.state == ChangeState::Open {
            apply_change::possible(&reader, &row.change)?;
        }
    }
    Ok(())
}

/// A signature that does not count, as the log has it.
struct Rejected {
    change: ChangeId,
    by: PersonId,
    passkey: u64,
}

impl Rejected {
    fn append(self, unit: &mut Unit<'_>, code: ErrorCode, admit: Admit) -> Result<Option<u64>, AppError> {
        let (Admit::Log(_), Some(row)) = (admit, unit.reader().change(&self.change)?) else { return Ok(None) };
        let entry = unit.append(Event::Change {
            outcome: "rejected".to_owned(),
            change: None,
            person: row.change.person().cloned(),
            by: Some(self.by),
            session: None,
            passkey: Some(self.passkey),
            proposed: Some(row.entry),
            effective: None,
            fault: Some(code),
            evidence: BTreeMap::new(),
        })?;
        Ok(Some(entry))
    }
}

struct Made {
    choice: Choice,
    statement: Vec<u8>,
    passkey: PasskeyRow,
    verified: Verification,
    proved: Admission,
}

/// Records a signature, and does what follows from it.
fn record(
    unit: &mut Unit<'_>,
    row: &ChangeRow,
    made: Made,
    terms: &Terms,
) -> Result<(Signed, Vec<RequestId>), AppError> {
    let Made { choice, statement, passkey, verified, proved } = made;
    let (id, person) = (&row.change.id, passkey.person.clone());
    let assertion = assertion_document(&passkey, &verified)?;
    let documents =
        [("statement", statement.as_slice(), row.change.person()), ("assertion", &assertion, Some(&person))];
    let evidence = put_documents(unit, &documents)?;
    // Judged with the new signature, so that its entry says when the change takes effect.
    let signature = Signature { person: person.clone(), choice, at: unit.now() };
    let mut signatures = unit.reader().change_signatures(id)?;
    signatures.push(signature.clone());
    // A delay goes on only where one runs by signatures that count still.
    let runs = match stands(&unit.reader(), row, terms, unit.now())? {
        Standing::Delayed { from, .. } => Some(from),
        _ => None,
    };
    let moment = (Moment::Signed(runs), unit.now());
    let now_stands = standing(&row.change, &signatures, &unit.reader().council()?, terms, moment);
    let effective = match now_stands {
        Standing::Due => Some(unit.now()),
        Standing::Delayed { from, .. } => Some(from),
        _ => None,
    };
    let entry = unit.append(Event::Change {
        outcome: if choice == Choice::Approve { "signed" } else { "refused" }.to_owned(),
        change: None,
        person: row.change.person().cloned(),
        by: Some(person.clone()),
        session: None,
        passkey: Some(passkey.entry),
        proposed: Some(row.entry),
        effective,
        fault: None,
        evidence,
    })?;
    unit.insert_change_signature(id, &signature, (passkey.id, &proved), entry)?;
    unit.update_passkey(passkey.id, &verified.credential)?;
    let voided = if choice == Choice::Deny {
        refuse(unit, row, entry)?;
        Vec::new()
    } else {
        follow(unit, row, now_stands)?
    };
    let from = match now_stands {
        Standing::Delayed { from, .. } => Some(from),
        _ => None,
    };
    Ok((Signed { person, choice, from, entry }, voided))
}
