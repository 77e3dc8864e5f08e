//! Suspends a passkey: its counter went back, or its owner did not sign what it signed.
//! In: the passkey and why. Out: it signs nothing any more, its sessions are over, the log says so, admins are told.
//! Implements SCREENS ("Not you? Report"), WebAuthn L3 §6.1.1.
//! Never brings a passkey back.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::Digest;
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::passkeys::PasskeyError;
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::people::PersonRow;
use crate::store::{Reader, StoreError, Unit};

use super::apply_change::active_passkeys;
use super::grants::end_of_passkey;
use super::refuse::logged;
use super::use_session::{actor, freshly};
use super::{AppError, Countersign};

/// A passkey that may be in other hands, and whose it is.
#[derive(Debug, Clone)]
pub struct InDoubt {
    /// The passkey.
    pub passkey: PasskeyRow,
    /// Its owner.
    pub person: PersonRow,
}

/// A passkey's living ones that it admitted, and those that they admitted: whoever held it may have made them.
fn admitted_by(reader: &Reader<'_>, passkey: &PasskeyRow) -> Result<Vec<PasskeyRow>, StoreError> {
    let living: Vec<_> =
        reader.passkeys_of(&passkey.person)?.into_iter().filter(|row| row.suspended.is_none()).collect();
    let (mut found, mut of) = (Vec::<PasskeyRow>::new(), vec![passkey.id]);
    while let Some(id) = of.pop() {
        for row in living.iter().filter(|row| row.admitted_by == Some(id)) {
            of.push(row.id);
            found.push(row.clone());
        }
    }
    Ok(found)
}

/// Suspends a passkey, unless that was done already, and with one that is in doubt those that it admitted; the index of
/// its entry where one was written.
pub(super) fn suspend(
    unit: &mut Unit<'_>,
    passkey: &PasskeyRow,
    why: SuspendedWhy,
    session: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    let entry = suspend_one(unit, passkey, why, session)?;
    if entry.is_some() && why != SuspendedWhy::Removed {
        for row in admitted_by(&unit.reader(), passkey)? {
            suspend_one(unit, &row, why, session)?;
        }
    }
    Ok(entry)
}

fn suspend_one(
    unit: &mut Unit<'_>,
    passkey: &PasskeyRow,
    why: SuspendedWhy,
    session: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    let known = unit.reader().passkey_row(passkey.id)?;
    if known.is_none_or(|row| row.suspended.is_some() && why != SuspendedWhy::Removed) {
        return Ok(None);
    }
    let entry = unit.append(Event::Passkey {
        outcome: why.as_str().to_owned(),
        person: passkey.person.clone(),
        credential: passkey.public_key_sha256,
        enrolment: None,
        admitted_by: None,
        added: Some(passkey.entry),
        session,
        evidence: BTreeMap::new(),
    })?;
    end_of_passkey(unit, &passkey.person, passkey.id)?;
    unit.suspend_passkey(passkey.id, why)?;
    Ok(Some(entry))
}

impl Countersign {
    /// The refusal of a signature that was good while its counter went back: the passkey is suspended.
    pub(super) async fn suspect(&self, person: &PersonRow, passkey: PasskeyRow, error: PasskeyError) -> AppError {
        let suspended = self.store.write(move |unit| suspend(unit, &passkey, SuspendedWhy::Copied, None)).await;
        let refused = match (suspended, AppError::from(error)) {
            (Ok(entry), AppError::Refused { refusal, .. }) => logged(refusal, entry),
            (Ok(_), fault) => fault,
            (Err(fault), _) => fault.into(),
        };
        self.tell_copy(person, &refused);
        refused
    }

    /// "Not you? Report": suspends the passkey that signed, at once. To report another one, or all that are left, takes a
    /// fresh touch: whoever finds a page open locks nobody out.
    pub async fn report_passkey(&self, session: Option<Digest>, id: i64) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        let reported = self
            .store
            .write(move |unit| -> Result<_, AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let passkey = unit.reader().passkey_row(id)?.filter(|row| row.person == me.person.id);
                let passkey = passkey
                    .ok_or_else(|| AppError::refused(ErrorCode::NotFound, "there is no such passkey of yours"))?;
                let gone: BTreeSet<_> = admitted_by(&unit.reader(), &passkey)?.into_iter().map(|row| row.id).collect();
                let mut left = active_passkeys(&unit.reader(), &me.person.id)?.into_iter();
                let is_last = !left.any(|row| row.id != passkey.id && !gone.contains(&row.id));
                if is_last || passkey.id != me.passkey.id {
                    freshly(&me)?;
                }
                let entry = suspend(unit, &passkey, SuspendedWhy::Reported, Some(me.session.entry))?;
                Ok(entry.map(|entry| (me.person, entry)))
            })
            .await?;
        if let Some((person, entry)) = reported {
            self.tell_report(&person, entry);
        }
        Ok(())
    }

    /// Passkeys that may be in other hands, newest first: what admins are told.
    pub fn passkeys_in_doubt(&self) -> Result<Vec<InDoubt>, AppError> {
        self.store.read(|reader| {
            let mut found = Vec::new();
            for passkey in reader.passkeys_in_doubt()? {
                if let Some(person) = reader.person(&passkey.person)? {
                    found.push(InDoubt { passkey, person });
                }
            }
            Ok(found)
        })
    }
}
