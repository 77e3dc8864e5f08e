//! Keeps a person's own passkeys: shows, names, removes, and adds another with the word of one that is there.
//! In: a session, and for adding or removing a fresh one. Out: rows; a registration ceremony bound to person and passkey.
//! Implements DESIGN §6 (`registration`), SCREENS (My passkeys), ATTACKS 52, 62.
//! Never removes the last passkey, and never lets a new one approve before its owner could notice it.

use serde_json::Value;

use crate::crypto::random;
use crate::domain::assurance::Assurance;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::canonical::Bytes;
use crate::domain::ids::{Digest, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::statement::{Registration, Statement, challenge};
use crate::domain::time::Timestamp;
use crate::passkeys::attestation::judge;
use crate::passkeys::registration;
use crate::store::Reader;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};

use super::add_passkey::{
    AdmittedBy, NamedBy, NewPasskey, ask_for_passkey, device_name, meets_policies, passkey_name, unknown_so_far,
    write_passkey,
};
use super::apply_change::active_passkeys;
use super::ceremony::{Asked, Ceremony, mismatch};
use super::entitled::may_approve;
use super::known::judged;
use super::suspend_passkey::suspend;
use super::use_session::{SignedIn, actor, fresh_actor};
use super::{AppError, Countersign};

/// Most passkeys of a person; what a link admits is counted apart.
pub const MAX_PASSKEYS_OF_PERSON: usize = 20;

/// A passkey of one's own, and what it can prove.
#[derive(Debug, Clone)]
pub struct OwnPasskey {
    /// The row.
    pub row: PasskeyRow,
    /// What its next signature would prove.
    pub assurance: Assurance,
}

/// A passkey that was added in a session.
#[derive(Debug)]
pub struct AddedPasskey {
    /// Its name.
    pub name: String,
    /// The name is the client's word.
    pub claimed: bool,
    /// It may be copied to other devices.
    pub synced: bool,
    /// From when on it may approve.
    pub approves_from: Timestamp,
    /// The log entry.
    pub entry: u64,
}

/// One that works stays; and for one that may approve another one that may: whoever added one a moment ago does not take
/// the owner's away.
fn stays_able(passkey: &PasskeyRow, left: &[PasskeyRow], now: Timestamp) -> Result<(), AppError> {
    let refused = |text: &str, cure: &str| Err(AppError::refused(ErrorCode::LastPasskey, text).with_hint(cure));
    if left.is_empty() {
        return refused("this is your only passkey", "add another passkey first");
    }
    let able = |row: &PasskeyRow| may_approve(row, now).is_ok();
    if passkey.suspended.is_none() && able(passkey) && !left.iter().any(able) {
        let text = "your other passkeys are too new to stand in for this one";
        return refused(text, "remove it once another one may approve: an hour after it was added");
    }
    Ok(())
}

fn own(reader: &Reader<'_>, me: &SignedIn, id: i64) -> Result<PasskeyRow, AppError> {
    let found = reader.passkey_row(id)?;
    let mine = found.filter(|row| row.person == me.person.id && row.suspended_why != Some(SuspendedWhy::Removed));
    mine.ok_or_else(|| AppError::refused(ErrorCode::NotFound, "there is no such passkey of yours"))
}

impl Countersign {
    /// A person's passkeys, oldest first.
    pub fn passkeys_of(&self, person: &PersonId) -> Result<Vec<OwnPasskey>, AppError> {
        let now = self.clock.now();
        let (rows, trusted) = (self.store.read(|reader| reader.passkeys_of(person))?, self.trusted());
        let own = rows.into_iter().map(|row| {
            let at = row.last_used.unwrap_or(now);
            let assurance = judged(&trusted, (row.registered, row.registered), &row.vouched, at);
            OwnPasskey { row, assurance }
        });
        Ok(own.collect())
    }

    /// Names a passkey of one's own.
    pub async fn rename_own_passkey(&self, session: Option<Digest>, id: i64, name: &str) -> Result<(), AppError> {
        let name = passkey_name(name)?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let passkey = own(&unit.reader(), &me, id)?;
                Ok(unit.rename_passkey(passkey.id, &name)?)
            })
            .await
    }

    /// Removes a passkey of one's own; the last one that works stays. The credential ids of those that are kept, suspended ones
    /// too, which may come back: what a browser need not forget.
    pub async fn remove_own_passkey(&self, session: Option<Digest>, id: i64) -> Result<Vec<Vec<u8>>, AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<_, AppError> {
                let me = fresh_actor(unit, session.as_ref(), limits)?;
                let passkey = own(&unit.reader(), &me, id)?;
                let mut left = active_passkeys(&unit.reader(), &me.person.id)?;
                left.retain(|row| row.id != passkey.id);
                stays_able(&passkey, &left, me.now)?;
                suspend(unit, &passkey, SuspendedWhy::Removed, Some(me.session.entry))?;
                let kept = unit.reader().passkeys_of(&me.person.id)?;
                Ok(kept.into_iter().map(|row| row.credential_id).collect())
            })
            .await
    }

    /// Starts the registration of another passkey.
    pub async fn begin_adding_passkey(&self, session: Option<Digest>) -> Result<Ceremony, AppError> {
        self.steady_now()?;
        let id = random::text::<16>()?;
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (ceremony, issuer, limits) = (id.clone(), self.settings.url.clone(), self.settings.sessions);
        let started = self.store.write(move |unit| -> Result<_, AppError> {
            let me = fresh_actor(unit, session.as_ref(), limits)?;
            room_for_one(&unit.reader(), &me.person.id)?;
            let known = unit.reader().passkeys_of(&me.person.id)?.into_iter().map(|row| row.credential_id);
            let known: Vec<_> = known.collect();
            let groups = unit.reader().memberships(&me.person.id)?.into_keys().collect();
            let statement = Statement::Registration(Registration {
                nonce,
                at: unit.now(),
                issuer,
                person: me.person.id.clone(),
                invitation: None,
                admitted_by: Some(me.passkey.public_key_sha256),
                groups,
            });
            let bytes = statement.to_bytes()?;
            let of = CeremonyFor::Secret(me.session.secret_sha256);
            unit.start_ceremony(CeremonyKind::Addition, (&ceremony, &of), (&bytes, None))?;
            Ok((bytes, me.person, known))
        });
        let (statement, person, known) = started.await?;
        ask_for_passkey(&self.relying_party, id, statement, &person, &known)
    }

    /// Finishes it: verifies, then adds the passkey with its entry.
    pub async fn finish_adding_passkey(
        &self,
        session: Option<Digest>,
        ceremony: &str,
        response: &Value,
    ) -> Result<AddedPasskey, AppError> {
        self.steady_now()?;
        let of = session.map(CeremonyFor::Secret);
        let Asked { statement, .. } = self.take(CeremonyKind::Addition, ceremony, of).await?;
        let Ok(Statement::Registration(said)) = Statement::from_bytes(&statement) else {
            return Err(mismatch("this ceremony is not over a registration"));
        };
        let registered = registration::finish(&self.relying_party, challenge(&statement), response)?;
        let limits = self.settings.sessions;
        let (vouching, devices) = (self.vouching.clone(), self.settings.devices.clone());
        let (person, added) = self
            .store
            .write(move |unit| -> Result<_, AppError> {
                let me = fresh_actor(unit, session.as_ref(), limits)?;
                if said.person != me.person.id || said.admitted_by != Some(me.passkey.public_key_sha256) {
                    return Err(mismatch("this ceremony is of another person or passkey"));
                }
                unknown_so_far(&unit.reader(), &registered)?;
                room_for_one(&unit.reader(), &me.person.id)?;
                let trusted = vouching.in_unit_or_busy(&unit.reader())?;
                let attestation = judge(&registered.statement, &trusted, me.now);
                // It never carries more than the sign-in under which it was added.
                let admitted = Some((&me.assurance(&trusted)).into());
                let vouched = Vouched { attestation, admitted };
                meets_policies(&unit.reader(), &me.person.id, (&devices, &trusted), (&registered, &vouched))?;
                let admission = AdmittedBy {
                    by: Some(me.passkey.clone()),
                    session: Some(me.session.entry),
                    // One that rests lends its rest.
                    rests_until: me.passkey.rests_until,
                    ..AdmittedBy::default()
                };
                let (name, named_by) = device_name(&registered, &vouched.attestation);
                let passkey = NewPasskey { registered: &registered, vouched: &vouched, name: &name };
                let entry = write_passkey(unit, &admission, &me.person, &statement, &passkey)?;
                let claimed = named_by == NamedBy::Client;
                let row = unit.reader().passkey(&registered.credential_id)?;
                let approves_from = row.map_or(me.now, |row| row.approves_from());
                let synced = registered.facts.backup_eligible;
                Ok((me.person, AddedPasskey { name, claimed, synced, approves_from, entry }))
            })
            .await?;
        self.tell_passkey(&person.id, &person.name, added.entry);
        Ok(added)
    }
}

fn room_for_one(reader: &Reader<'_>, person: &PersonId) -> Result<(), AppError> {
    if reader.passkeys_of(person)?.len() < MAX_PASSKEYS_OF_PERSON {
        return Ok(());
    }
    let text = format!("a person has at most {MAX_PASSKEYS_OF_PERSON} passkeys");
    Err(AppError::refused(ErrorCode::PasskeysEnough, text))
}
