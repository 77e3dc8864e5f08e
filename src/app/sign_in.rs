//! Signs in: a passkey answers a random challenge, and a session begins.
//! In: nothing, or a user name; then a browser's answer. Out: a ceremony; then the secret of a new session.
//! Implements DESIGN §6 (a sign-in's challenge comes from a table of its own), §10, WebAuthn L3 §7.2, ATTACKS 61, 72.
//! Never tells whether somebody exists, and never goes on with a session that was there before.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crypto::random;
use crate::domain::ids::{Digest, PersonId, SessionId};
use crate::domain::log::entry::Event;
use crate::domain::network::Network;
use crate::domain::session::{SessionEnd, SessionTimes};
use crate::domain::time::CEREMONY;
use crate::passkeys::PasskeyError;
use crate::passkeys::assertion::{self, Verification};
use crate::store::passkeys::PasskeyRow;
use crate::store::sessions::{NewSignIn, SessionRow, SignInRow};
use crate::store::{StoreError, Unit};

use super::ceremony::{assertion_document, challenge_unknown, stored, verified};
use super::entitled::is_known;
use super::grants::end_of_session;
use super::keep_authorization::note_sign_in;
use super::use_session::{end, living, session_digest};
use super::{AppError, Countersign};

/// Most sessions of a person; another one ends the oldest.
pub const MAX_SESSIONS_OF_PERSON: usize = 20;

/// A sign-in that a browser may answer.
#[derive(Debug)]
pub struct SignIn {
    /// Its id, named when it is finished.
    pub id: String,
    /// Options for `navigator.credentials.get`.
    pub options: Value,
}

/// What a browser wants to sign in with, and for what.
#[derive(Debug, Clone, Copy)]
pub struct SignInWish<'a> {
    /// Whose keys to look for, where none was offered.
    pub user: Option<&'a str>,
    /// The id of the authorization request that it is for; none where it is for our own pages.
    pub request: Option<&'a str>,
    /// Where the browser is.
    pub from: Network,
}

/// A session that began.
pub struct Begun {
    /// The cookie's secret; nobody else has it.
    pub secret: String,
    /// Who.
    pub person: PersonId,
    /// The log entry.
    pub entry: u64,
}

/// Where and over what a browser signs in.
#[derive(Debug, Clone)]
pub struct Browser {
    /// What it calls itself, as a hint for people.
    pub device: String,
    /// The session that it had before.
    pub before: Option<Digest>,
}

impl Countersign {
    /// Starts a sign-in. With a user name the browser is told which keys to look for, for those that hold no account.
    pub async fn begin_sign_in(&self, wish: SignInWish<'_>) -> Result<SignIn, AppError> {
        self.steady_now()?;
        let listed = wish.user.map(|name| self.keys_of_name(name)).transpose()?;
        let id = random::text::<16>()?;
        let challenge = Digest::from_bytes(random::bytes::<32>()?);
        let allow = listed.clone().unwrap_or_default();
        let request = wish.request.map(|id| Digest::of(id.as_bytes()));
        let new = NewSignIn { id: id.clone(), challenge, listed, request, network: wish.from };
        self.store.write_new(move |unit| unit.start_sign_in(&new)).await?;
        Ok(SignIn { id, options: assertion::options(&self.relying_party, challenge, &allow) })
    }

    /// Finishes a sign-in: verifies, then begins a session in one unit with its entry.
    pub async fn finish_sign_in(&self, ceremony: &str, response: &Value, browser: Browser) -> Result<Begun, AppError> {
        self.steady_now()?;
        let SignInRow { challenge, listed, request, .. } = self.take_sign_in(ceremony).await?;
        let (passkey, person) = self.passkey_of(response)?;
        let stored = stored(&passkey, &person);
        let asked = (challenge, listed.as_deref());
        let verified = match verified(&self.relying_party, asked, &stored, response) {
            Err(error @ PasskeyError::CounterRolledBack { .. }) => {
                return Err(self.suspect(&person, passkey, error).await);
            }
            verified => verified?,
        };
        let secret = random::text::<32>()?;
        let digest = session_digest(&secret);
        let (limits, person) = (self.settings.sessions, person.id);
        let entry = self.store.write(move |unit| -> Result<u64, AppError> {
            is_known(&unit.reader(), &passkey)?;
            let now = unit.now();
            // What that browser had before: it may have grown too old meanwhile.
            let before = browser.before.map(|digest| unit.reader().session(&digest)).transpose()?.flatten();
            let mut sid = SessionId::from_random(unit.random()?);
            if let Some(before) = &before
                && let Some(old) = living(&unit.reader(), &before.secret_sha256, limits, now)?
            {
                end(unit, &old.session, old.passkey.entry, SessionEnd::Renewed)?;
                // A stronger sign-in of the same person is the same session to the tools that they are signed in to.
                if old.person.id == passkey.person {
                    sid = old.session.sid;
                } else {
                    end_of_session(unit, &old.session.sid)?;
                }
            }
            make_room(unit, &passkey)?;
            let times = SessionTimes { started: now, last_used: now, ends: now + limits.absolute, ended: None };
            let entry = begin(unit, &passkey, &verified, (digest, times, browser.device, sid))?;
            if let Some(request) = request {
                note_sign_in(unit, &request, entry)?;
            }
            if let Some(before) = before {
                unit.hand_on_pushes(&passkey.person, before.entry, entry)?;
            }
            Ok(entry)
        });
        let entry = entry.await?;
        Ok(Begun { secret, person, entry })
    }

    async fn take_sign_in(&self, ceremony: &str) -> Result<SignInRow, AppError> {
        let ceremony = ceremony.to_owned();
        let taken = self.store.write(move |unit| -> Result<_, StoreError> {
            let now = unit.now();
            Ok(unit.take_sign_in(&ceremony)?.filter(|row| now.since(row.started) <= CEREMONY))
        });
        taken.await?.ok_or_else(challenge_unknown)
    }
}

/// Ends the oldest session where a person has as many as they may.
fn make_room(unit: &mut Unit<'_>, passkey: &PasskeyRow) -> Result<(), StoreError> {
    let open = unit.reader().sessions_of(&passkey.person)?;
    let over = (open.len() + 1).saturating_sub(MAX_SESSIONS_OF_PERSON);
    for row in open.iter().take(over) {
        let entry = unit.reader().passkey_row(row.passkey)?.map_or(passkey.entry, |key| key.entry);
        end(unit, row, entry, SessionEnd::TooMany)?;
    }
    Ok(())
}

fn begin(
    unit: &mut Unit<'_>,
    passkey: &PasskeyRow,
    verified: &Verification,
    (secret_sha256, times, device, sid): (Digest, SessionTimes, String, SessionId),
) -> Result<u64, AppError> {
    let person = passkey.person.clone();
    let document = assertion_document(passkey, verified)?;
    let assertion = unit.put_evidence("assertion", &document, Some(&person))?;
    let entry = unit.append(Event::Session {
        outcome: "started".to_owned(),
        person: person.clone(),
        passkey: passkey.entry,
        started: None,
        why: None,
        evidence: BTreeMap::from([("assertion".to_owned(), assertion)]),
    })?;
    let passkey_id = passkey.id;
    let facts = verified.facts;
    unit.insert_session(&SessionRow { secret_sha256, person, passkey: passkey_id, facts, times, device, entry, sid })?;
    unit.update_passkey(passkey_id, &verified.credential)?;
    Ok(entry)
}
