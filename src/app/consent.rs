//! What people allow applications: agreed to, remembered, listed, taken back.
//! In: a request and who agrees; or a session and a client. Out: entries and rows of one unit; what a person allowed.
//! Implements OpenID Connect Core §3.1.2.4, DESIGN §10 (consent, revocable), ATTACKS 72.
//! Never lets an application keep what was taken back: its grants end with the consent.

use std::collections::BTreeMap;

use crate::domain::ids::{ClientId, Digest, PersonId, SessionId};
use crate::domain::log::entry::{Event, GrantFields};
use crate::domain::oauth::authorize::AuthorizationRequest;
use crate::domain::oauth::client::{Client, Consent};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::grant::GrantEnd;
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;
use crate::store::authorizations::ConsentRow;
use crate::store::{StoreError, Unit};

use super::use_session::{SignedIn, actor, living, log_time};
use super::{AppError, Countersign, grants};

/// An application that a person signed in to, or agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnApplication {
    /// Which.
    pub client: ClientId,
    /// What people read; its id where it is not configured any more.
    pub name: String,
    /// What was agreed to and is remembered.
    pub allowed: Option<Scopes>,
    /// The sign-ins that still count.
    pub sign_ins: Vec<OwnSignIn>,
}

/// A sign-in to an application that still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSignIn {
    /// When it was.
    pub at: Timestamp,
    /// The browser, where it hangs on a session.
    pub device: Option<String>,
    /// It goes on while the person is away.
    pub offline: bool,
    /// It was given to a device, not to this browser.
    pub on_device: bool,
}

/// Writes what a person agreed to into the log, and remembers it where the operator wants that.
pub(super) fn agree(
    unit: &mut Unit<'_>,
    (request, client): (&AuthorizationRequest, &Client),
    me: &SignedIn,
) -> Result<(), StoreError> {
    let (person, scopes) = (me.person.id.clone(), request.told(client));
    let client_id = client.id.clone();
    let entry = unit.append(Event::Grant(GrantFields {
        person: Some(person.clone()),
        session: Some(me.session.entry),
        passkey: Some(me.passkey.entry),
        scopes: scopes.clone(),
        resources: request.resources.clone(),
        ..GrantFields::new("consented", client_id.clone())
    }))?;
    if client.consent != Consent::Once || client.asks_each_time(&request.redirect_uri) {
        return Ok(());
    }
    let before = unit.reader().consent(&person, &client_id)?.map(|row| row.scopes).unwrap_or_default();
    unit.put_consent(&ConsentRow { person, client: client_id, scopes: before.and(&scopes), entry })
}

impl Countersign {
    /// The names of the applications that are signed in to in a session, in their order.
    pub fn applications_in(&self, session: &SessionId) -> Result<Vec<String>, AppError> {
        let grants = self.store.read(|reader| reader.grants_of_session(session))?;
        let mut names: Vec<_> = grants.into_iter().map(|grant| self.name_of(&grant.client)).collect();
        names.sort_by_key(|name| name.to_lowercase());
        names.dedup();
        Ok(names)
    }

    /// What people read of a client; its id where it is not configured any more.
    fn name_of(&self, client: &ClientId) -> String {
        self.clients.find(client).map_or_else(|| client.to_string(), |one| one.name.clone())
    }

    /// The applications that a person signed in to or agreed to, by name.
    pub fn applications_of(&self, person: &PersonId) -> Result<Vec<OwnApplication>, AppError> {
        let (wall, limits) = (self.clock.now(), self.settings.sessions);
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let mut found: BTreeMap<ClientId, OwnApplication> = BTreeMap::new();
            let new = |client: &ClientId| OwnApplication {
                client: client.clone(),
                name: self.name_of(client),
                allowed: None,
                sign_ins: Vec::new(),
            };
            for row in reader.consents_of(person)? {
                found.entry(row.client.clone()).or_insert_with(|| new(&row.client)).allowed = Some(row.scopes);
            }
            for row in reader.grants_of_person(person)?.into_iter().filter(|row| now <= row.ends) {
                let session = reader.session_of_sid(&row.sid)?;
                let session = session.map(|session| living(reader, &session.secret_sha256, limits, now));
                let session = session.transpose()?.flatten();
                if !row.offline && session.is_none() {
                    continue;
                }
                let device = session.filter(|_| !row.offline).map(|session| session.session.device);
                let sign_in = OwnSignIn { at: row.created, device, offline: row.offline, on_device: row.device };
                found.entry(row.client.clone()).or_insert_with(|| new(&row.client)).sign_ins.push(sign_in);
            }
            let mut list: Vec<_> = found.into_values().collect();
            list.sort_by_key(|one| one.name.to_lowercase());
            Ok(list)
        })
    }

    /// Takes back what an application was allowed: it is forgotten, and everything that it was given ends.
    pub async fn forget_application(&self, session: Option<Digest>, client: &str) -> Result<(), AppError> {
        self.steady_now()?;
        let limits = self.settings.sessions;
        let nothing = || AppError::refused(ErrorCode::NotFound, "you have no such application");
        let client = ClientId::parse(client).map_err(|_| nothing())?;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let person = &me.person.id;
                let remembered = unit.delete_consent(person, &client)?;
                if remembered {
                    unit.append(Event::Grant(GrantFields {
                        person: Some(person.clone()),
                        session: Some(me.session.entry),
                        ..GrantFields::new("consent_withdrawn", client.clone())
                    }))?;
                }
                let mut given = unit.reader().grants_of_person(person)?;
                given.retain(|row| row.client == client);
                for row in &given {
                    grants::end(unit, row, GrantEnd::ConsentWithdrawn)?;
                }
                if remembered || !given.is_empty() { Ok(()) } else { Err(nothing()) }
            })
            .await
    }
}
