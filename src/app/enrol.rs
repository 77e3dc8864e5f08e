//! Enrols a passkey: from a one-time link to a key that may sign.
//! In: a link's secret, then a browser's answer. Out: a ceremony bound to person and invitation, then the passkey.
//! Implements DESIGN §6 (`registration`), §11, WebAuthn L3 §7.1.
//! Never says for whom a dead link was.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crypto::random;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::canonical::Bytes;
use crate::domain::change::authority::Authority;
use crate::domain::ids::{Digest, GroupName};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::session::SessionLimits;
use crate::domain::statement::{Registration, Statement, challenge};
use crate::domain::time::{RECOVERED_RESTS, SECOND_PASSKEY, Timestamp};
use crate::passkeys::attestation::judge;
use crate::passkeys::registration;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::passkeys::PasskeyRow;
use crate::store::people::{InvitationRow, PersonRow};
use crate::store::{Reader, StoreError};

use super::add_passkey::{
    AdmittedBy, NamedBy, NewPasskey, ask_for_passkey, device_name, meets_policies, passkey_name, unknown_so_far,
    write_passkey,
};
use super::apply_change::{active_passkeys, groups_to_be};
use super::ceremony::{Asked, Ceremony, mismatch};
use super::known::judged;
use super::use_session::living;
use super::{AppError, Countersign};

/// Most passkeys that one invitation admits.
pub const MAX_PASSKEYS_A_LINK: usize = 5;

/// What the first page shows.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// Whom the link is for.
    pub person: PersonRow,
    /// Who invited.
    pub invited_by: String,
    /// Until when the link works.
    pub expires: Timestamp,
    /// The groups that it admits to.
    pub groups: Vec<GroupName>,
    /// Passkeys so far.
    pub passkeys: usize,
    /// What device policies ask of a new one, as a sentence; `None` where any will do.
    pub policy: Option<String>,
}

/// Why a link is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLink {
    /// Somebody made a passkey with it.
    Used(Timestamp),
    /// Declined or replaced.
    Ended(Timestamp),
    /// Too old.
    Expired(Timestamp),
    /// Never given.
    Unknown,
}

/// Why a link's first page is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoWelcome {
    /// The link is dead.
    Dead(DeadLink),
    /// The link is for somebody else than whoever is signed in, who is called so.
    SomebodyElse(String),
}

/// A passkey that was added.
#[derive(Debug)]
pub struct Enrolled {
    /// The person's passkeys, this one included.
    pub count: usize,
    /// Its name.
    pub name: String,
    /// The name is the client's word.
    pub claimed: bool,
    /// The maker vouches for the name.
    pub proven: bool,
    /// It may be copied to other devices.
    pub synced: bool,
    /// Why it proves no hardware; `None` where it does.
    pub no_hardware: Option<String>,
    /// The secret of the session that may add a second passkey; only with the first.
    pub session: Option<String>,
    /// The log entry.
    pub entry: u64,
}

/// What a link's holder brings: the secret, and the session's where a first passkey exists.
#[derive(Debug, Clone)]
pub struct LinkHolder {
    /// SHA-256 of the link's secret.
    pub link: Digest,
    /// SHA-256 of the session's secret.
    pub session: Option<Digest>,
    /// SHA-256 of the secret of whoever is signed in in this browser.
    pub signed_in: Option<Digest>,
}

fn dead(link: DeadLink) -> AppError {
    let text = match link {
        DeadLink::Ended(_) => "this link was ended".to_owned(),
        DeadLink::Used(at) => format!("this link was used on {}", at.dated()),
        DeadLink::Expired(_) => "this link has expired".to_owned(),
        DeadLink::Unknown => "this link is not known here".to_owned(),
    };
    AppError::refused(ErrorCode::LinkSpent, text)
}

/// Whether the link still admits, for its holder.
fn alive(row: Option<InvitationRow>, holder: &LinkHolder, now: Timestamp) -> Result<InvitationRow, DeadLink> {
    let row = row.ok_or(DeadLink::Unknown)?;
    match row.ended {
        None if now <= row.expires => Ok(row),
        None => Err(DeadLink::Expired(row.expires)),
        Some(ended) => {
            let same = holder.session.is_some() && row.session_sha256 == holder.session;
            if same && row.session_until.is_some_and(|until| now <= until) {
                Ok(row)
            } else if row.session_until.is_some() {
                Err(DeadLink::Used(ended))
            } else {
                Err(DeadLink::Ended(ended))
            }
        }
    }
}

fn find(
    reader: &Reader<'_>,
    (holder, limits): (&LinkHolder, SessionLimits),
    now: Timestamp,
) -> Result<(InvitationRow, PersonRow), AppError> {
    let row = alive(reader.invitation(&holder.link)?, holder, now).map_err(dead)?;
    let person = reader.person(&row.person)?.filter(|person| person.suspended.is_none());
    let person = person.ok_or_else(|| dead(DeadLink::Unknown))?;
    match somebody_else(reader, (holder, limits), &person, now)? {
        None => Ok((row, person)),
        // Not whose link it is: whoever is signed in does not know that yet.
        Some(other) => {
            let text = format!("you are signed in as {}, and this link is for somebody else", other.name);
            Err(AppError::refused(ErrorCode::SomebodyElse, text))
        }
    }
}

/// Whoever is signed in in the holder's browser, where that is not the person whom the link is for.
fn somebody_else(
    reader: &Reader<'_>,
    (holder, limits): (&LinkHolder, SessionLimits),
    person: &PersonRow,
    now: Timestamp,
) -> Result<Option<PersonRow>, StoreError> {
    let session = holder.signed_in.map(|digest| living(reader, &digest, limits, now)).transpose()?.flatten();
    Ok(session.map(|session| session.person).filter(|signed_in| signed_in.id != person.id))
}

impl Countersign {
    /// What a link's first page shows; `Err` inside where it is not shown.
    pub fn welcome(&self, holder: &LinkHolder) -> Result<Result<Welcome, NoWelcome>, AppError> {
        let (now, limits) = (self.clock.now(), self.settings.sessions);
        self.store.read(|reader| {
            let row = match alive(reader.invitation(&holder.link)?, holder, now) {
                Ok(row) => row,
                Err(dead) => return Ok(Err(NoWelcome::Dead(dead))),
            };
            let Some(person) = reader.person(&row.person)?.filter(|person| person.suspended.is_none()) else {
                return Ok(Err(NoWelcome::Dead(DeadLink::Unknown)));
            };
            if let Some(other) = somebody_else(reader, (holder, limits), &person, now)? {
                return Ok(Err(NoWelcome::SomebodyElse(other.name)));
            }
            let groups: Vec<_> = reader.memberships(&person.id)?.into_keys().collect();
            let passkeys = active_passkeys(reader, &person.id)?.len();
            let to_be: Vec<_> = groups_to_be(reader, &person.id)?.into_iter().collect();
            let asked = self.settings.devices.policies_for(&to_be);
            let asked: Vec<_> = asked.map(|one| format!("Policy {}: {}.", one.name, one.wanted())).collect();
            let policy = (!asked.is_empty()).then(|| asked.join(" "));
            Ok(Ok(Welcome { person, invited_by: row.invited_by, expires: row.expires, groups, passkeys, policy }))
        })
    }

    /// A dead link costs a read, never a write.
    fn find_link(&self, holder: &LinkHolder) -> Result<(), AppError> {
        let (now, limits) = (self.clock.now(), self.settings.sessions);
        self.store.read(|reader| find(reader, (holder, limits), now).map(|_| ()))
    }

    /// Starts a registration.
    pub async fn begin_enrolment(&self, holder: LinkHolder) -> Result<Ceremony, AppError> {
        self.settle_changes_if_possible().await;
        self.find_link(&holder)?;
        let id = random::text::<16>()?;
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (ceremony, issuer, limits) = (id.clone(), self.settings.url.clone(), self.settings.sessions);
        let started = self.store.write(move |unit| -> Result<_, AppError> {
            let now = unit.now();
            let (row, person) = find(&unit.reader(), (&holder, limits), now)?;
            let groups = unit.reader().memberships(&person.id)?.into_keys().collect();
            let known: Vec<_> =
                active_passkeys(&unit.reader(), &person.id)?.into_iter().map(|key| key.credential_id).collect();
            if row.ended.is_some() && known.len() >= MAX_PASSKEYS_A_LINK {
                return Err(AppError::refused(ErrorCode::LinkSpent, "this link has admitted enough passkeys"));
            }
            let statement = Statement::Registration(Registration {
                nonce,
                at: now,
                issuer,
                person: person.id.clone(),
                invitation: Some(row.secret_sha256),
                admitted_by: None,
                groups,
            });
            let bytes = statement.to_bytes()?;
            let of = CeremonyFor::Secret(row.secret_sha256);
            unit.start_ceremony(CeremonyKind::Registration, (&ceremony, &of), (&bytes, None))?;
            Ok((bytes, person, known))
        });
        let (statement, person, known) = started.await?;
        ask_for_passkey(&self.relying_party, id, statement, &person, &known)
    }

    /// Finishes a registration: verifies, then adds the passkey and spends the link in one unit.
    pub async fn finish_enrolment(
        &self,
        holder: LinkHolder,
        ceremony: &str,
        response: &Value,
    ) -> Result<Enrolled, AppError> {
        self.steady_now()?;
        self.find_link(&holder)?;
        let of = Some(CeremonyFor::Secret(holder.link));
        let Asked { statement, .. } = self.take(CeremonyKind::Registration, ceremony, of).await?;
        let Ok(Statement::Registration(_)) = Statement::from_bytes(&statement) else {
            return Err(mismatch("this ceremony is not over a registration"));
        };
        let registered = registration::finish(&self.relying_party, challenge(&statement), response)?;
        let (vouching, devices) = (self.vouching.clone(), self.settings.devices.clone());
        let session = random::text::<32>()?;
        let (session_sha256, limits) = (Digest::of(session.as_bytes()), self.settings.sessions);
        let enrolled = self.store.write(move |unit| -> Result<_, AppError> {
            let now = unit.now();
            let (row, person) = find(&unit.reader(), (&holder, limits), now)?;
            unknown_so_far(&unit.reader(), &registered)?;
            // Ceremonies may have been started side by side.
            if row.ended.is_some() && active_passkeys(&unit.reader(), &person.id)?.len() >= MAX_PASSKEYS_A_LINK {
                return Err(AppError::refused(ErrorCode::LinkSpent, "this link has admitted enough passkeys"));
            }
            let first = row.ended.is_none();
            let trusted = vouching.in_unit_or_busy(&unit.reader())?;
            let attestation = judge(&registered.statement, &trusted, now);
            // It never carries more than the statement of the admins who let its owner in.
            let vouched = Vouched { attestation, admitted: row.admitted };
            meets_policies(&unit.reader(), &person.id, (&devices, &trusted), (&registered, &vouched))?;
            let proves = judged(&trusted, (registered.facts, registered.facts), &vouched, now);
            let no_hardware = proves.amr_missing.get("hwk").cloned();
            let (name, named_by) = device_name(&registered, &vouched.attestation);
            let passkey = NewPasskey { registered: &registered, vouched: &vouched, name: &name };
            let before = active_passkeys(&unit.reader(), &person.id)?;
            // It carries what admitted it, which was no passkey of this person's.
            let rests_until = row.recovery.as_ref().map(|_| now + RECOVERED_RESTS);
            let admission = AdmittedBy { enrolment: Some(row.entry), rests_until, ..AdmittedBy::default() };
            let entry = write_passkey(unit, &admission, &person, &statement, &passkey)?;
            if first && row.recovery.is_some() {
                retire(unit, &person, before)?;
            }
            if first {
                unit.end_invitation(&row.secret_sha256, Some((&session_sha256, now + SECOND_PASSKEY)))?;
            }
            let count = active_passkeys(&unit.reader(), &person.id)?.len();
            let enrolled = Enrolled {
                count,
                name,
                claimed: named_by == NamedBy::Client,
                proven: named_by == NamedBy::Maker,
                synced: registered.facts.backup_eligible,
                no_hardware,
                session: first.then_some(session),
                entry,
            };
            Ok((person, enrolled))
        });
        let (person, enrolled) = enrolled.await?;
        self.tell_passkey(&person.id, &person.name, enrolled.entry);
        Ok(enrolled)
    }

    /// "I am not that person": ends the link, and the log says so.
    pub async fn decline_enrolment(&self, holder: LinkHolder) -> Result<(), AppError> {
        self.steady_now()?;
        self.find_link(&holder)?;
        let limits = self.settings.sessions;
        let declined = self.store.write(move |unit| -> Result<_, AppError> {
            let now = unit.now();
            let (row, person) = find(&unit.reader(), (&holder, limits), now)?;
            if row.ended.is_some() {
                return Err(dead(DeadLink::Ended(now)));
            }
            let entry = unit.append(Event::Enrolment {
                outcome: "declined".to_owned(),
                person: person.id.clone(),
                invitation: row.secret_sha256,
                expires: row.expires,
                evidence: BTreeMap::new(),
            })?;
            unit.end_invitation(&row.secret_sha256, None)?;
            Ok((person, entry))
        });
        let (person, entry) = declined.await?;
        self.tell_decline(&person, entry);
        Ok(())
    }

    /// Names the newest passkey of the enrolment session.
    pub async fn name_passkey(&self, holder: LinkHolder, name: &str) -> Result<(), AppError> {
        let name = passkey_name(name)?;
        self.find_link(&holder)?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let now = unit.now();
                let (row, person) = find(&unit.reader(), (&holder, limits), now)?;
                let newest = unit.reader().passkeys_of(&person.id)?.pop();
                match newest {
                    Some(key) if row.ended.is_some() => Ok(unit.rename_passkey(key.id, &name)?),
                    _ => Err(AppError::refused(ErrorCode::NotFound, "there is no passkey to name yet")),
                }
            })
            .await
    }
}

/// After a recovery the lost passkeys are somebody else's, as far as anybody knows.
fn retire(unit: &mut crate::store::Unit<'_>, person: &PersonRow, lost: Vec<PasskeyRow>) -> Result<(), AppError> {
    for key in lost {
        super::apply_change::remove_passkey(unit, &person.id, &key, Authority::Recovery)?;
    }
    Ok(())
}
