//! Uses a session: who is signed in, until when, and how fresh that is.
//! In: a cookie's secret, or its digest inside a unit. Out: the person and the passkey that they signed in with.
//! Implements DESIGN §10; a suspended person or passkey ends the session at once, since each use is judged.
//! Never believes a session that a reader saw a moment ago: whatever changes something judges again in its own unit.

use crate::domain::assurance::Assurance;
use crate::domain::assurance::models::Trusted;
use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::Role;
use crate::domain::session::{SessionEnd, SessionLimits};
use crate::domain::time::Timestamp;
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;
use crate::store::sessions::SessionRow;
use crate::store::{Reader, StoreError, Unit};

use super::known::judged;
use super::{AppError, Countersign, grants};

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: SessionRow,
    /// Who.
    pub person: PersonRow,
    /// The passkey that they signed in with.
    pub passkey: PasskeyRow,
    /// The log's time at which this was judged.
    pub now: Timestamp,
}

impl SignedIn {
    /// Whether the touch is young enough to add or remove a passkey.
    pub fn is_fresh(&self) -> bool {
        self.session.times.is_fresh(self.now)
    }

    /// Whether they may look at the admin's pages: admins and auditors, by what they are now.
    pub const fn sees_administration(&self) -> bool {
        !matches!(self.person.role(), Role::Member)
    }

    /// Whether they may propose changes about people: admins alone, by what they are now.
    ///
    /// # Errors
    /// An auditor looks, and proposes nothing; for a member there is nothing to see.
    pub fn may_propose(&self) -> Result<(), AppError> {
        match self.person.role() {
            Role::Admin => Ok(()),
            Role::Auditor => Err(AppError::refused(ErrorCode::NotAnAdmin, "an auditor looks, and proposes nothing")),
            Role::Member => {
                Err(AppError::refused(ErrorCode::NotFound, "there is no such page, or it is not yours to see"))
            }
        }
    }

    /// What the touch that began the session proved, by today's knowledge.
    pub fn assurance(&self, trusted: &Trusted) -> Assurance {
        let facts = (self.session.facts, self.passkey.registered);
        judged(trusted, facts, &self.passkey.vouched, self.session.times.started)
    }
}

/// The digest under which a cookie's secret is kept.
pub fn session_digest(secret: &str) -> Digest {
    Digest::of(secret.as_bytes())
}

/// Whoever asks for what needs a session has none that lives.
pub fn not_signed_in() -> AppError {
    AppError::refused(ErrorCode::SignInNeeded, "you are not signed in (any more)")
}

/// Judges a session at `now`.
pub(super) fn living(
    reader: &Reader<'_>,
    secret_sha256: &Digest,
    limits: SessionLimits,
    now: Timestamp,
) -> Result<Option<SignedIn>, StoreError> {
    let Some(session) = reader.session(secret_sha256)?.filter(|row| row.times.lives(limits, now)) else {
        return Ok(None);
    };
    let person = reader.person(&session.person)?.filter(|row| row.suspended.is_none());
    let passkey = reader.passkey_row(session.passkey)?.filter(|row| row.suspended.is_none());
    Ok(person.zip(passkey).map(|(person, passkey)| SignedIn { session, person, passkey, now }))
}

/// Who does what a page asked for, judged in the unit that does it; the use is noted.
pub(super) fn actor(
    unit: &mut Unit<'_>,
    secret_sha256: Option<&Digest>,
    limits: SessionLimits,
) -> Result<SignedIn, AppError> {
    let now = unit.now();
    let found = match secret_sha256 {
        Some(digest) => living(&unit.reader(), digest, limits, now)?,
        None => None,
    };
    let signed_in = found.ok_or_else(not_signed_in)?;
    unit.note_session(&signed_in.session.secret_sha256)?;
    Ok(signed_in)
}

/// As `actor`, for what only an admin may ask. Whoever may not even look is told that there is nothing.
pub(super) fn admin_actor(
    unit: &mut Unit<'_>,
    secret_sha256: Option<&Digest>,
    limits: SessionLimits,
) -> Result<SignedIn, AppError> {
    let signed_in = actor(unit, secret_sha256, limits)?;
    signed_in.may_propose()?;
    Ok(signed_in)
}

/// As `actor`, for what wants a fresh touch.
pub(super) fn fresh_actor(
    unit: &mut Unit<'_>,
    secret_sha256: Option<&Digest>,
    limits: SessionLimits,
) -> Result<SignedIn, AppError> {
    let signed_in = actor(unit, secret_sha256, limits)?;
    freshly(&signed_in)?;
    Ok(signed_in)
}

/// Refuses a session whose touch is too old for this.
pub(super) fn freshly(signed_in: &SignedIn) -> Result<(), AppError> {
    if signed_in.is_fresh() {
        Ok(())
    } else {
        Err(AppError::refused(ErrorCode::SignInStale, "you signed in too long ago for this"))
    }
}

/// Ends a session, with its entry.
pub(super) fn end(unit: &mut Unit<'_>, row: &SessionRow, passkey: u64, why: SessionEnd) -> Result<(), StoreError> {
    unit.append(Event::Session {
        outcome: "ended".to_owned(),
        person: row.person.clone(),
        passkey,
        started: Some(row.entry),
        why: Some(why),
        evidence: std::collections::BTreeMap::new(),
    })?;
    // Whoever leaves a browser is not told there any more; a session that only grew old says nothing about that.
    if matches!(why, SessionEnd::SignedOut | SessionEnd::Elsewhere) {
        unit.delete_pushes_of_session(row.entry)?;
    }
    unit.end_session(&row.secret_sha256)?;
    match why {
        // Whoever signs in anew goes on with what they gave to tools, or gives it up: `sign_in` says which. What only
        // rested too long was not left: tools go on until the last moment that the session was given.
        SessionEnd::Renewed | SessionEnd::TooOld => Ok(()),
        SessionEnd::SignedOut | SessionEnd::Elsewhere | SessionEnd::TooMany => grants::end_of_session(unit, &row.sid),
    }
}

impl Countersign {
    /// Who is signed in with this cookie, if anybody. A clock that stepped judges nobody.
    pub fn signed_in(&self, secret: &str) -> Result<Option<SignedIn>, AppError> {
        let (limits, wall) = (self.settings.sessions, self.steady_now()?);
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            Ok(living(reader, &session_digest(secret), limits, now)?)
        })
    }

    /// Notes that a session was used, once a minute: a page that renews itself does not call this.
    pub async fn note_use(&self, signed_in: &SignedIn) -> Result<(), AppError> {
        if !signed_in.session.times.is_to_be_noted(signed_in.now) {
            return Ok(());
        }
        let digest = signed_in.session.secret_sha256;
        Ok(self.store.write(move |unit| unit.note_session(&digest)).await?)
    }

    /// A session that was seen to be over by time stays over, whatever the clock does afterwards.
    pub async fn note_end(&self, secret: &str) -> Result<(), AppError> {
        let (digest, limits) = (session_digest(secret), self.settings.sessions);
        // What is ended, or never was, costs a read.
        if self.store.read(|reader| reader.session(&digest))?.is_none_or(|row| row.times.ended.is_some()) {
            return Ok(());
        }
        let ended = self.store.write(move |unit| -> Result<(), StoreError> {
            let now = unit.now();
            match unit.reader().session(&digest)? {
                Some(row) if row.times.ended.is_none() && !row.times.lives(limits, now) => {
                    let passkey = unit.reader().passkey_row(row.passkey)?.map_or(0, |key| key.entry);
                    end(unit, &row, passkey, SessionEnd::TooOld)
                }
                _ => Ok(()),
            }
        });
        Ok(ended.await?)
    }

    /// The living sessions of a person, oldest first.
    pub fn sessions_of(&self, person: &PersonId) -> Result<Vec<SignedIn>, AppError> {
        let (limits, wall) = (self.settings.sessions, self.clock.now());
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let mut living_ones = Vec::new();
            for row in reader.sessions_of(person)? {
                living_ones.extend(living(reader, &row.secret_sha256, limits, now)?);
            }
            Ok(living_ones)
        })
    }

    /// Signs out: this session, or every one of its person.
    pub async fn sign_out(&self, session: Option<Digest>, everywhere: bool) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                if everywhere {
                    end_others(unit, &me, limits, None)?;
                }
                Ok(end(unit, &me.session, me.passkey.entry, SessionEnd::SignedOut)?)
            })
            .await
    }

    /// Ends another session of the same person, named by its entry.
    pub async fn end_session_of_mine(&self, session: Option<Digest>, entry: u64) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                if end_others(unit, &me, limits, Some(entry))? == 0 {
                    return Err(AppError::refused(ErrorCode::NotFound, "there is no such session of yours"));
                }
                Ok(())
            })
            .await
    }
}

/// Ends the living sessions of a person beside this one: all, or the one of that entry. How many those were.
fn end_others(
    unit: &mut Unit<'_>,
    me: &SignedIn,
    limits: SessionLimits,
    only: Option<u64>,
) -> Result<usize, StoreError> {
    let mut ended = 0;
    for row in unit.reader().sessions_of(&me.person.id)? {
        let named = only.is_none_or(|entry| entry == row.entry) && row.entry != me.session.entry;
        if named && let Some(other) = living(&unit.reader(), &row.secret_sha256, limits, me.now)? {
            end(unit, &other.session, other.passkey.entry, SessionEnd::Elsewhere)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// The log's time for a reader: the wall's, but never before the newest entry's.
pub(super) fn log_time(reader: &Reader<'_>, wall: Timestamp) -> Result<Timestamp, StoreError> {
    Ok(reader.last_time()?.map_or(wall, |last| last.max(wall)))
}
