//! Does what a change's time has come for: with its last signature, or by time alone.
//! In: a change and where it stands, inside the writer's unit. Out: its effect, its entries, the next one that is due.
//! Implements DESIGN §11: delays are judged by the log's time, at use.
//! Never starts by a clock: whoever calls next finds it done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::change::About;
use crate::domain::change::standing::{Moment, Standing, Terms, lets_in, standing};
use crate::domain::ids::RequestId;
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;
use crate::store::changes::{ChangeRow, ChangeState};
use crate::store::{Reader, StoreError, Unit};

use super::apply_change::{self, Applied, Word};
use super::put_rules::put_signed;
use super::{AppError, Countersign};

/// When the next change takes effect by itself, in milliseconds; a hint, the store knows. Set inside units, so that it
/// follows their order; where one was rolled back, the next call asks the store.
#[derive(Debug)]
pub struct NextDue(AtomicI64);

impl NextDue {
    /// As the store has it.
    pub fn new(due: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(due.map_or(i64::MAX, Timestamp::millis)))
    }

    pub(super) fn set(&self, due: Option<Timestamp>) {
        self.0.store(due.map_or(i64::MAX, Timestamp::millis), Ordering::Relaxed);
    }

    fn has_come(&self, now: Timestamp) -> bool {
        now.millis() >= self.0.load(Ordering::Relaxed)
    }
}

/// Where a change stands now, by its signatures and those who are admins now.
pub fn stands(reader: &Reader<'_>, row: &ChangeRow, terms: &Terms, now: Timestamp) -> Result<Standing, StoreError> {
    Ok(match row.state {
        ChangeState::Done => Standing::Due,
        ChangeState::Refused | ChangeState::Failed => Standing::Refused,
        ChangeState::Voided | ChangeState::Withdrawn => Standing::Expired,
        ChangeState::Open | ChangeState::Admitted => {
            let signatures = reader.change_signatures(&row.change.id)?;
            standing(&row.change, &signatures, &reader.council()?, terms, (Moment::Seen(row.due), now))
        }
    })
}

impl Countersign {
    /// As `settle_changes`, for calls that go on without: late, a change gives nobody anything.
    pub async fn settle_changes_if_possible(&self) {
        if let Err(error) = self.settle_changes().await {
            tracing::error!(%error, "changes that are due could not be done");
        }
    }

    /// Does every change whose time has come; costs a comparison where there is none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn settle_changes(&self) -> Result<(), AppError> {
        if !self.next_due.has_come(self.clock.now()) || self.clock.step().is_some() {
            return Ok(());
        }
        // In a box of its own: each exchange asks, and one that is held would keep room for it.
        Box::pin(self.settle_due()).await
    }

    async fn settle_due(&self) -> Result<(), AppError> {
        let (terms, next_due) = (self.settings.people, Arc::clone(&self.next_due));
        let settled = self.store.write(move |unit| -> Result<_, AppError> {
            let (mut voided, mut done) = (Vec::new(), Vec::new());
            for row in unit.reader().due_changes(unit.now())? {
                voided.extend(settle(unit, &row, &terms)?);
                let after = unit.reader().change(&row.change.id)?;
                done.extend(after.filter(|row| row.state == ChangeState::Done).map(|row| row.change));
            }
            next_due.set(unit.reader().next_due()?);
            Ok((voided, done))
        });
        match settled.await {
            Ok((voided, done)) => {
                for request in &voided {
                    self.waiting.wake(request);
                }
                for change in &done {
                    self.tell_done(change);
                }
                Ok(())
            }
            Err(error) => {
                // It is still to be done.
                self.next_due.set(Some(self.clock.now()));
                Err(error)
            }
        }
    }
}

/// Somebody said no: the change ends, and with it whoever it let in.
pub(super) fn refuse(unit: &mut Unit<'_>, row: &ChangeRow, entry: u64) -> Result<(), AppError> {
    if let (ChangeState::Admitted, Some(person)) = (row.state, row.change.person()) {
        apply_change::shut_out(unit, person, row)?;
    }
    Ok(unit.end_change(&row.change.id, ChangeState::Refused, entry)?)
}

/// Does what a standing allows; the requests that ended with it.
pub(super) fn follow(unit: &mut Unit<'_>, row: &ChangeRow, stands: Standing) -> Result<Vec<RequestId>, AppError> {
    let (change, word) = (&row.change, Word::Change(row));
    let admitted = row.state == ChangeState::Admitted;
    match stands {
        Standing::Due => {
            let Applied { voided, .. } = match &change.about {
                About::Person(concern) => apply_change::apply(unit, concern, word, admitted)?,
                About::Rules { rules } => {
                    put_signed(unit, rules, row.entry)?;
                    Applied::default()
                }
            };
            let entry = note(unit, row, "done", None)?;
            unit.end_change(&change.id, ChangeState::Done, entry)?;
            Ok(voided)
        }
        Standing::Delayed { from, .. } => {
            if let (Some(concern), true, false) = (change.concern(), lets_in(change, stands), admitted) {
                apply_change::admit(unit, concern, word)?;
                note(unit, row, "admitted", None)?;
                unit.admit_change(&change.id)?;
            }
            unit.set_change_due(&change.id, Some(from))?;
            Ok(Vec::new())
        }
        Standing::Waiting { .. } | Standing::Refused | Standing::Expired => {
            unit.set_change_due(&change.id, None)?;
            Ok(Vec::new())
        }
    }
}

/// A change whose time has come by itself: done, put off where those who signed are admins no more, or failed.
fn settle(unit: &mut Unit<'_>, row: &ChangeRow, terms: &Terms) -> Result<Vec<RequestId>, AppError> {
    let stands = stands(&unit.reader(), row, terms, unit.now())?;
    match follow(unit, row, stands) {
        // Nothing was written: what keeps it from being done is found before the first entry.
        Err(AppError::Refused { refusal, .. }) => {
            let entry = note(unit, row, "failed", Some(refusal.code))?;
            unit.end_change(&row.change.id, ChangeState::Failed, entry)?;
            Ok(Vec::new())
        }
        done => done,
    }
}

pub(super) fn note(
    unit: &mut Unit<'_>,
    row: &ChangeRow,
    outcome: &str,
    fault: Option<ErrorCode>,
) -> Result<u64, AppError> {
    Ok(unit.append(Event::Change {
        outcome: outcome.to_owned(),
        change: None,
        person: row.change.person().cloned(),
        by: None,
        session: None,
        passkey: None,
        proposed: Some(row.entry),
        effective: None,
        fault,
        evidence: BTreeMap::new(),
    })?)
}
