//! Begins and ends grants: what a person gives to a client, each with its log entry.
//! In: who is signed in, what a checked request asks, a code's digest. Out: rows and entries of one unit of work.
//! Implements RFC 6749 §4.1.2, §10.4, DESIGN §10; what ends a session or a passkey ends its grants at once.
//! Never decides whether somebody may sign in to a client: `authorize` does, and `judge_grant` at each use.

use crate::domain::assurance::{Acr, AuthenticatorFacts};
use crate::domain::ids::{Audience, ClientId, Digest, Kid, PersonId, SessionId};
use crate::domain::log::entry::{Event, EvidenceDigests, GrantFields};
use crate::domain::oauth::grant::GrantEnd;
use crate::domain::oauth::logout::LogoutNotice;
use crate::domain::oauth::scope::{OFFLINE_ACCESS, Scopes, WantedClaims};
use crate::domain::session::SessionLimits;
use crate::domain::time::{CODE, OFFLINE_ABSOLUTE, Timestamp};
use crate::store::grants::{CodeRow, GrantRow, MAX_GRANTS_OF_PERSON};
use crate::store::passkeys::PasskeyRow;
use crate::store::{StoreError, Unit};

use super::AppError;
use super::use_session::SignedIn;

/// What an authorization gives.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// To whom.
    pub client: ClientId,
    /// The level that was demanded: the client's, or what the request called essential.
    pub acr: Acr,
    /// What was allowed.
    pub scopes: Scopes,
    /// The resource servers that access tokens may be meant for.
    pub resources: Vec<Audience>,
    /// The key to which the code is bound (RFC 9449 §10).
    pub dpop_jkt: Option<Kid>,
    /// What the ID token repeats.
    pub nonce: Option<String>,
    /// Claims beside those of the scopes.
    pub claims: WantedClaims,
}

/// The touch that a grant stands on.
pub(super) struct Touch<'a> {
    /// Which passkey.
    pub passkey: &'a PasskeyRow,
    /// What its authenticator said.
    pub facts: AuthenticatorFacts,
    /// When.
    pub at: Timestamp,
    /// It was over what a device asks, and these documents show it.
    pub device: Option<EvidenceDigests>,
}

impl<'a> Touch<'a> {
    /// The one that began the session.
    pub const fn of(me: &'a SignedIn) -> Self {
        Self { passkey: &me.passkey, facts: me.session.facts, at: me.session.times.started, device: None }
    }
}

/// The code that a client redeems.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// Its SHA-256.
    pub sha256: Digest,
    /// What it must be redeemed with.
    pub redirect_uri: String,
    /// BASE64URL(SHA-256(verifier)).
    pub code_challenge: String,
}

/// Begins a grant of whoever is signed in by their session alone, and keeps its code.
pub(super) fn begin_with_code(
    unit: &mut Unit<'_>,
    me: &SignedIn,
    new: NewGrant,
    code: NewCode,
    limits: SessionLimits,
) -> Result<(), AppError> {
    let client = new.client.clone();
    let grant = begin(unit, (me, Touch::of(me)), new, limits)?;
    Ok(unit.insert_code(&CodeRow {
        code_sha256: code.sha256,
        grant,
        client,
        redirect_uri: code.redirect_uri,
        code_challenge: code.code_challenge,
        ends: unit.now() + CODE,
        used: None,
    })?)
}

/// Begins a grant of whoever is signed in; the person's oldest grant ends where there are too many.
pub(super) fn begin(
    unit: &mut Unit<'_>,
    (me, touch): (&SignedIn, Touch<'_>),
    new: NewGrant,
    limits: SessionLimits,
) -> Result<u64, AppError> {
    make_room(unit, &me.person.id)?;
    let now = unit.now();
    let entry = unit.append(Event::Grant(GrantFields {
        person: Some(me.person.id.clone()),
        session: Some(me.session.entry),
        passkey: Some(touch.passkey.entry),
        scopes: new.scopes.clone(),
        resources: new.resources.clone(),
        evidence: touch.device.clone().unwrap_or_default(),
        ..GrantFields::new("started", new.client.clone())
    }))?;
    let offline = new.scopes.has(OFFLINE_ACCESS);
    let session_ends = me.session.times.ends.min(me.session.times.started + limits.absolute);
    unit.insert_grant(&GrantRow {
        entry,
        client: new.client,
        person: me.person.id.clone(),
        sid: me.session.sid.clone(),
        session: me.session.entry,
        passkey: touch.passkey.id,
        facts: touch.facts,
        auth_time: touch.at,
        acr: new.acr,
        scopes: new.scopes,
        resources: new.resources,
        dpop_jkt: new.dpop_jkt,
        nonce: new.nonce,
        claims: new.claims,
        offline,
        device: touch.device.is_some(),
        created: now,
        ends: if offline { now + OFFLINE_ABSOLUTE } else { session_ends },
        ended: None,
    })?;
    Ok(entry)
}

fn make_room(unit: &mut Unit<'_>, person: &PersonId) -> Result<(), StoreError> {
    let open = unit.reader().grants_of_person(person)?;
    let over = (open.len() + 1).saturating_sub(MAX_GRANTS_OF_PERSON);
    for row in open.iter().take(over) {
        end(unit, row, GrantEnd::TooMany)?;
    }
    Ok(())
}

/// Ends a grant with its entry; one that was ended before stays as it was.
pub(super) fn end(unit: &mut Unit<'_>, row: &GrantRow, why: GrantEnd) -> Result<(), StoreError> {
    if !unit.end_grant(row.entry, why)? {
        return Ok(());
    }
    unit.append(Event::Grant(GrantFields {
        person: Some(row.person.clone()),
        grant: Some(row.entry),
        why: Some(why),
        ..GrantFields::new("ended", row.client.clone())
    }))?;
    Ok(())
}

/// Ends what was given in a session that ended, but for what was meant to outlive it.
pub(super) fn end_of_session(unit: &mut Unit<'_>, sid: &SessionId) -> Result<(), StoreError> {
    tell_session(unit, sid)?;
    for row in unit.reader().grants_of_session(sid)? {
        if !row.offline {
            end(unit, &row, GrantEnd::SignedOut)?;
        }
    }
    Ok(())
}

/// Has every client told that was given something in a session: also one whose grant ended before, since the session that
/// the client made of it goes on at the client.
fn tell_session(unit: &mut Unit<'_>, sid: &SessionId) -> Result<(), StoreError> {
    for row in unit.reader().grants_ever_of_session(sid)? {
        tell(unit, &row)?;
    }
    Ok(())
}

/// Has a client told that the session of a grant ended (Back-Channel Logout 1.0 §2.7); what is meant to outlive the session
/// does, and its client is told all the same.
fn tell(unit: &mut Unit<'_>, row: &GrantRow) -> Result<(), StoreError> {
    let told = LogoutNotice { client: row.client.clone(), person: row.person.clone(), sid: row.sid.clone() };
    if !unit.insert_logout_notice(&told)? {
        tracing::warn!(client = %row.client, "too many clients wait to be told of logouts; this one is not");
    }
    Ok(())
}

/// Ends everything that a person gave; their sessions still live.
pub(super) fn end_of_person(unit: &mut Unit<'_>, person: &PersonId) -> Result<(), StoreError> {
    // Sessions that are over told their clients when they ended.
    for session in unit.reader().sessions_of(person)? {
        tell_session(unit, &session.sid)?;
    }
    for row in unit.reader().grants_of_person(person)? {
        tell(unit, &row)?;
        end(unit, &row, GrantEnd::Suspended)?;
    }
    Ok(())
}

/// Ends everything that was given with a passkey of a person; its sessions still live.
pub(super) fn end_of_passkey(unit: &mut Unit<'_>, person: &PersonId, passkey: i64) -> Result<(), StoreError> {
    for session in unit.reader().sessions_of(person)?.iter().filter(|session| session.passkey == passkey) {
        tell_session(unit, &session.sid)?;
    }
    for row in unit.reader().grants_of_passkey(passkey)? {
        tell(unit, &row)?;
        end(unit, &row, GrantEnd::Suspended)?;
    }
    Ok(())
}
