//! Suspends a passkey: its counter went back, or its owner did not sign what it signed.
//! In: the passkey and why. Out: it signs nothing any more, its sessions are over, the log says so, admins are told.
//! Implements SCREENS ("Not you? Report"), WebAuthn L3 §6.1.1.
//! Never brings a passkey back.

use std::collections::BTreeMap;

use crate::domain::ids::Digest;
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::passkeys::PasskeyError;
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::people::PersonRow;
use crate::store::{StoreError, Unit};

use super::refuse::logged;
use super::use_session::actor;
use super::{AppError, Countersign};

/// A passkey that may be in other hands, and whose it is.
#[derive(Debug, Clone)]
pub struct InDoubt {
    /// The passkey.
    pub passkey: PasskeyRow,
    /// Its owner.
    pub person: PersonRow,
}

/// Suspends a passkey, unless that was done already; the entry's index where one was written.
pub(super) fn suspend(
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

    /// "Not you? Report": suspends the passkey that signed, at once.
    pub async fn report_passkey(&self, session: Option<Digest>, id: i64) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let passkey = unit.reader().passkey_row(id)?.filter(|row| row.person == me.person.id);
                let passkey = passkey
                    .ok_or_else(|| AppError::refused(ErrorCode::NotFound, "there is no such passkey of yours"))?;
                suspend(unit, &passkey, SuspendedWhy::Reported, Some(me.session.entry))?;
                Ok(())
            })
            .await
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
