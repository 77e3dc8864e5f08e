//! A person types a device's code, reads what is asked, and allows it with a touch, or denies it.
//! In: a session, a code; then the page's id, a browser's answer. Out: the page's id, what to show; a grant, or a denial.
//! Implements RFC 8628 §3.3, §5.4, WebAuthn L3 §7.2, ATTACKS 77.
//! Never gives anything for a session alone, nor to anybody but the session in which the code was typed.

use std::sync::Arc;

use serde_json::Value;

use crate::crypto::random;
use crate::domain::assurance::models::Trusted;
use crate::domain::canonical::Bytes;
use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::{Event, GrantFields};
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::device::standing::Standing;
use crate::domain::oauth::device::{DeviceRequest, UserCode};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::{OFFLINE_ACCESS, Scopes, WantedClaims};
use crate::domain::statement::{DeviceStatement, Statement};
use crate::domain::time::Timestamp;
use crate::passkeys::assertion::Verification;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::devices::DeviceRow;
use crate::store::passkeys::PasskeyRow;
use crate::store::{Reader, StoreError, Unit};

use super::ceremony::{Asked, Ceremony, assertion_document, mismatch, put_documents};
use super::entitled::is_known;
use super::find_passkey::keys_of;
use super::grants::{NewGrant, Touch, begin};
use super::known::{device_of, judged};
use super::use_session::{SignedIn, actor, log_time};
use super::{AppError, Countersign};

/// What a device asks, for whoever typed its code.
#[derive(Debug, Clone)]
pub struct SeenDevice {
    /// What is asked.
    pub request: DeviceRequest,
    /// Where that stands.
    pub standing: Standing,
    /// By whom.
    pub client: Arc<Client>,
    /// The person is in none of the groups that may.
    pub outside: bool,
    /// The log's time.
    pub now: Timestamp,
}

/// A code that was used, is over, or never was: which of these, is told to nobody.
fn unknown_code() -> AppError {
    AppError::refused(ErrorCode::UserCodeUnknown, "no device waits with this code")
}

fn over() -> AppError {
    AppError::refused(ErrorCode::DeviceOver, "this request of a device is over")
}

/// The client of a request, as far as it still may have what it asked for.
fn client_of(clients: &[Arc<Client>], request: &DeviceRequest) -> Option<Arc<Client>> {
    let may = |client: &&Arc<Client>| {
        client.id == request.client
            && client.may(GrantType::DeviceCode)
            && request.scopes.within(&client.scopes)
            && request.resources.iter().all(|resource| client.resources.contains(resource))
    };
    clients.iter().find(may).cloned()
}

/// What is open on a page of this session.
fn opened(
    reader: &Reader<'_>,
    clients: &[Arc<Client>],
    (page, session): (&Digest, &Digest),
) -> Result<(DeviceRow, Arc<Client>), AppError> {
    // Somebody else's page, and one that never was, are the same to whoever asks.
    let row = reader.device_of_page(page)?.filter(|row| row.session.as_ref() == Some(session)).ok_or_else(over)?;
    let client = client_of(clients, &row.request).ok_or_else(over)?;
    Ok((row, client))
}

/// What can still be decided.
fn waiting(
    unit: &Unit<'_>,
    clients: &[Arc<Client>],
    page: &Digest,
    me: &SignedIn,
) -> Result<(DeviceRow, Arc<Client>), AppError> {
    let found = opened(&unit.reader(), clients, (page, &me.session.secret_sha256))?;
    if found.0.standing.is_open(unit.now()) { Ok(found) } else { Err(over()) }
}

fn is_outside(reader: &Reader<'_>, client: &Client, person: &PersonId) -> Result<bool, StoreError> {
    Ok(!client.admits(reader.memberships(person)?.keys()))
}

fn may_allow(reader: &Reader<'_>, client: &Client, me: &SignedIn) -> Result<(), AppError> {
    if is_outside(reader, client, &me.person.id)? {
        let text = "only members of certain groups may sign in to this application, and you are in none of them";
        return Err(AppError::refused(ErrorCode::NotInGroups, text));
    }
    Ok(())
}

impl Countersign {
    /// Opens the page of the device that shows this code, in this session alone; the id of that page.
    pub async fn find_device(&self, session: Option<Digest>, code: &UserCode) -> Result<String, AppError> {
        let wall = self.steady_now()?;
        let code = code.digest();
        // A code that nobody waits with costs a read.
        self.store.read(|reader| -> Result<(), AppError> {
            let now = log_time(reader, wall)?;
            reader.device_of_code(&code, now)?.map(|_| ()).ok_or_else(unknown_code)
        })?;
        let page = random::text::<16>()?;
        let (page_sha256, limits) = (Digest::of(page.as_bytes()), self.settings.sessions);
        let clients = self.clients.clone();
        let opened = self.store.write(move |unit| -> Result<(), AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            let row = unit.reader().device_of_code(&code, unit.now())?.ok_or_else(unknown_code)?;
            client_of(&clients.all(), &row.request).ok_or_else(unknown_code)?;
            Ok(unit.open_device(&row.request.id, &me.session.secret_sha256, &page_sha256)?)
        });
        opened.await?;
        Ok(page)
    }

    /// What is asked on a page of this person's session.
    pub fn look_at_device(&self, me: &SignedIn, page: &str) -> Result<SeenDevice, AppError> {
        let page = Digest::of(page.as_bytes());
        self.store.read(|reader| {
            let (row, client) = opened(reader, &self.clients.all(), (&page, &me.session.secret_sha256))?;
            let outside = is_outside(reader, &client, &me.person.id)?;
            Ok(SeenDevice { request: row.request, standing: row.standing, client, outside, now: me.now })
        })
    }

    /// Starts the touch that allows it.
    pub async fn begin_device(&self, session: Option<Digest>, page: &str) -> Result<Ceremony, AppError> {
        self.steady_now()?;
        let (id, page) = (random::text::<16>()?, Digest::of(page.as_bytes()));
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (ceremony, issuer, limits) = (id.clone(), self.settings.url.clone(), self.settings.sessions);
        let clients = self.clients.clone();
        let started = self.store.write(move |unit| -> Result<_, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            let (row, client) = waiting(unit, &clients.all(), &page, &me)?;
            may_allow(&unit.reader(), &client, &me)?;
            let own = keys_of(&unit.reader(), &me.person.id)?;
            let (at, person) = (unit.now(), me.person.id);
            let statement = Statement::Device(DeviceStatement { nonce, at, issuer, person, device: row.request });
            let statement = statement.to_bytes()?;
            let of = CeremonyFor::Secret(me.session.secret_sha256);
            unit.start_ceremony(CeremonyKind::Device, (&ceremony, &of), (&statement, Some(&own)))?;
            Ok(Asked { statement, listed: Some(own) })
        });
        self.ask_to_sign(id, started.await?)
    }

    /// Finishes it: verifies, then begins the grant that the device fetches.
    pub async fn finish_device(
        &self,
        session: Option<Digest>,
        page: &str,
        (ceremony, response): (&str, &Value),
    ) -> Result<u64, AppError> {
        self.steady_now()?;
        let asked = self.take(CeremonyKind::Device, ceremony, session.map(CeremonyFor::Secret)).await?;
        let Ok(Statement::Device(said)) = Statement::from_bytes(&asked.statement) else {
            return Err(mismatch("this ceremony is not over a device"));
        };
        let (passkey, verified) = self.signed_by(&said.person, &asked, response).await?;
        let (limits, page) = (self.settings.sessions, Digest::of(page.as_bytes()));
        let (clients, vouching) = (self.clients.clone(), self.vouching.clone());
        let allowed = self.store.write(move |unit| -> Result<u64, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            is_known(&unit.reader(), &passkey)?;
            let (row, client) = waiting(unit, &clients.all(), &page, &me)?;
            if row.request != said.device {
                return Err(mismatch("this ceremony is over another device's request"));
            }
            may_allow(&unit.reader(), &client, &me)?;
            let trusted = vouching.in_unit_or_busy(&unit.reader())?;
            reaches((&passkey, &verified), &client, &trusted, unit.now())?;
            let (assertion, signer) = (assertion_document(&passkey, &verified)?, Some(&me.person.id));
            let documents = [("statement", asked.statement.as_slice(), signer), ("assertion", &assertion, signer)];
            let evidence = put_documents(unit, &documents)?;
            let touch = Touch { passkey: &passkey, facts: verified.facts, at: unit.now(), device: Some(evidence) };
            let entry = begin(unit, (&me, touch), granted(&row.request, &client), limits)?;
            let standing = row.standing.allow(entry, unit.now()).map_err(|_| over())?;
            unit.stage_device(&row.request.id, standing.stage)?;
            unit.update_passkey(passkey.id, &verified.credential)?;
            Ok(entry)
        });
        allowed.await
    }

    /// The person will not, or did not start it: it is denied for good.
    pub async fn deny_device(&self, session: Option<Digest>, page: &str) -> Result<u64, AppError> {
        self.steady_now()?;
        let (limits, page) = (self.settings.sessions, Digest::of(page.as_bytes()));
        let clients = self.clients.clone();
        let denied = self.store.write(move |unit| -> Result<u64, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            let (row, client) = waiting(unit, &clients.all(), &page, &me)?;
            let standing = row.standing.deny(unit.now()).map_err(|_| over())?;
            unit.stage_device(&row.request.id, standing.stage)?;
            Ok(unit.append(Event::Grant(GrantFields {
                person: Some(me.person.id.clone()),
                session: Some(me.session.entry),
                scopes: row.request.scopes,
                resources: row.request.resources,
                ..GrantFields::new("denied", client.id.clone())
            }))?)
        });
        denied.await
    }
}

/// Whether this touch reaches what the client demands of every sign-in.
fn reaches(
    (passkey, verified): (&PasskeyRow, &Verification),
    client: &Client,
    trusted: &Trusted,
    now: Timestamp,
) -> Result<(), AppError> {
    let signed = (verified.facts, passkey.registered);
    let reached = judged(trusted, signed, &passkey.vouched, now).acr;
    if reached < client.acr {
        let text = format!("this application needs a hardware key, and \"{}\" is not proven to be one", passkey.name);
        return Err(AppError::refused(ErrorCode::AcrNotReached, text).with_hint("use your security key"));
    }
    let missed = client.device_policy.as_ref().and_then(|policy| {
        let device = device_of(trusted, signed, &passkey.vouched);
        policy.miss(&device)
    });
    match missed {
        None => Ok(()),
        Some(miss) => {
            let text =
                format!("this application's policy \"{}\" does not take this passkey: {}", miss.policy, miss.what);
            Err(AppError::refused(ErrorCode::PolicyNotMet, text).with_hint(&miss.cure))
        }
    }
}

fn granted(request: &DeviceRequest, client: &Client) -> NewGrant {
    // Without leave to refresh, nothing outlives the session.
    let refreshes = client.may(GrantType::RefreshToken);
    let scopes: Scopes = if refreshes { request.scopes.clone() } else { request.scopes.without(OFFLINE_ACCESS) };
    NewGrant {
        client: client.id.clone(),
        acr: client.acr,
        scopes,
        resources: request.resources.clone(),
        dpop_jkt: None,
        nonce: None,
        claims: WantedClaims::default(),
    }
}
