//! Keeps the devices on which a person asked to be told: asks for one, lists them, stops them.
//! In: a session, what its browser gave. Out: rows, each with its entry.
//! Implements DESIGN §11 (being told), W3C Push API.
//! Never takes a service that the operator does not talk to, and never tells anybody an address.

use std::collections::BTreeMap;

use crate::crypto::master_key::MasterKey;
use crate::crypto::web_push::{VapidKey, seal};
use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::push::{Service, Subscription};
use crate::store::push::PushRow;
use crate::store::{StoreError, Unit};

use super::use_session::{SignedIn, actor, log_time};
use super::{AppError, Countersign};

/// Devices on which one person is told; another one takes the place of the oldest.
pub const MAX_PUSHES_OF_PERSON: usize = 5;

/// What wrapped keys of this kind are wrapped for.
const PURPOSE: &str = "push";

/// A device that is told, as its owner sees it.
#[derive(Debug, Clone)]
pub struct OwnPush {
    /// The row.
    pub row: PushRow,
    /// Names the address, so that the browser behind it knows its own.
    pub digest: Digest,
}

/// An entry about a device: `push_began`, `push_stopped`, `push_gone`.
fn note(
    unit: &mut Unit<'_>,
    outcome: &str,
    person: &PersonId,
    (passkey, session): (u64, u64),
) -> Result<u64, StoreError> {
    unit.append(Event::Session {
        outcome: outcome.to_owned(),
        person: person.clone(),
        passkey,
        started: Some(session),
        why: None,
        evidence: BTreeMap::new(),
    })
}

/// Stops a device, with its entry.
pub(super) fn stop(unit: &mut Unit<'_>, row: &PushRow, outcome: &str) -> Result<(), StoreError> {
    let passkey = unit.reader().passkey_row(row.passkey)?.map_or(0, |key| key.entry);
    note(unit, outcome, &row.person, (passkey, row.session))?;
    unit.delete_push(row.id)
}

impl Countersign {
    /// With the key that says to push services who sends, where anybody is told so; made where there is none.
    pub(super) async fn with_push_key(mut self, master_key: &MasterKey) -> Result<Self, AppError> {
        if self.settings.push.is_none() {
            return Ok(self);
        }
        let key = if let Some(wrapped) = self.store.read(|reader| reader.push_key())? {
            let secret = master_key.unwrap(&wrapped, PURPOSE)?;
            VapidKey::from_secret_json(std::str::from_utf8(&secret).map_err(AppError::internal)?)?
        } else {
            let key = VapidKey::generate()?;
            let wrapped = master_key.wrap(key.to_secret_json()?.as_bytes(), PURPOSE)?;
            self.store.write(move |unit| unit.insert_push_key(&wrapped)).await?;
            key
        };
        self.push_key = Some(key);
        Ok(self)
    }

    /// The public key that browsers subscribe with; `None` where nobody is told so.
    pub fn push_key(&self) -> Option<&str> {
        self.push_key.as_ref().map(VapidKey::public)
    }

    /// The devices on which a person is told.
    pub fn pushes_of(&self, person: &PersonId) -> Result<Vec<OwnPush>, AppError> {
        let wall = self.clock.now();
        let rows = self.store.read(|reader| reader.pushes_of(person, log_time(reader, wall)?))?;
        Ok(rows.into_iter().map(|row| OwnPush { digest: row.subscription.digest(), row }).collect())
    }

    /// Tells whoever is signed in on this device from now on.
    ///
    /// # Errors
    /// What the browser gave is not taken.
    pub async fn begin_push(&self, session: Option<Digest>, subscription: Subscription) -> Result<(), AppError> {
        let refused = |what: &str| AppError::refused(ErrorCode::ParameterInvalid, what);
        let services: &[Service] = self.settings.push.as_ref().map(|push| &*push.services).unwrap_or_default();
        if self.push_key.is_none() {
            return Err(refused("nobody is told on devices here").with_hint("ask the operator: [push] enabled = true"));
        }
        if !services.iter().any(|service| service.serves(&subscription)) {
            let text = "this browser's push service is not one that this server talks to";
            return Err(refused(text).with_hint("use another browser, or ask the operator: `services` of [push]"));
        }
        // What cannot be sealed for is not kept.
        if seal(b"", &subscription.key, &subscription.auth).is_err() {
            return Err(refused("the browser's key is not one"));
        }
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let SignedIn { session, person, passkey, now } = actor(unit, session.as_ref(), limits)?;
                let old = unit.reader().pushes_of(&person.id, now)?;
                let known = old.iter().filter(|row| row.subscription.digest() != subscription.digest());
                let known: Vec<_> = known.collect();
                let over = (known.len() + 1).saturating_sub(MAX_PUSHES_OF_PERSON);
                for row in known.into_iter().take(over) {
                    stop(unit, row, "push_stopped")?;
                }
                let entry = note(unit, "push_began", &person.id, (passkey.entry, session.entry))?;
                Ok(unit.insert_push(&PushRow {
                    id: 0,
                    person: person.id,
                    passkey: passkey.id,
                    session: session.entry,
                    subscription,
                    device: session.device,
                    created: now,
                    entry,
                })?)
            })
            .await
    }

    /// Tells nobody on one of one's own devices any more.
    ///
    /// # Errors
    /// There is no such device of theirs.
    pub async fn stop_push(&self, session: Option<Digest>, id: i64) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let row = unit.reader().push(id)?.filter(|row| row.person == me.person.id);
                let row =
                    row.ok_or_else(|| AppError::refused(ErrorCode::NotFound, "there is no such device of yours"))?;
                Ok(stop(unit, &row, "push_stopped")?)
            })
            .await
    }

    /// A push service said that a device is gone.
    pub(super) fn forget_push(&self, id: i64) -> Result<(), AppError> {
        self.store.write_blocking(move |unit| -> Result<(), AppError> {
            match unit.reader().push(id)? {
                Some(row) => Ok(stop(unit, &row, "push_gone")?),
                None => Ok(()),
            }
        })
    }
}
