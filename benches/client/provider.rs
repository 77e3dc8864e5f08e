//! The provider: refreshing, client credentials, introspection and userinfo, over an empty store and over a full one.
//! In: a folder, a server, how many sessions there are. Out: a `Measured` for each endpoint.
//! Implements RFC 6749 §4.4, §6, RFC 7662, OpenID Connect Core 1.0 §5.3 as a client.
//! Never measures what no person could have: whoever signed in has a passkey, a session and a grant, each with its entry.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use countersign::app::start::start;
use countersign::cli::open;
use countersign::clock::Clock;
use countersign::domain::assurance::evidence::Vouched;
use countersign::domain::assurance::{Acr, AuthenticatorFacts};
use countersign::domain::ids::{ClientId, Digest, PersonId, SessionId};
use countersign::domain::log::entry::{Event, GrantFields};
use countersign::domain::oauth::scope::{Scopes, WantedClaims};
use countersign::domain::oauth::token_form::RefreshToken;
use countersign::domain::session::SessionTimes;
use countersign::store::grants::GrantRow;
use countersign::store::passkeys::PasskeyRow;
use countersign::store::people::PersonRow;
use countersign::store::sessions::SessionRow;
use countersign::store::{StoreError, Unit};
use serde_json::Value;

use super::exchange::{Calls, Measured, drive_by};
use super::wire::{Connection, get_with, post_form};
use super::world::{CLIENT, CLIENT_SECRET, World, block_on};

/// Sessions and grants of one person in the full store.
const OF_A_PERSON: usize = 100;
/// Grants whose tokens are used: as many in the empty store, which has no others.
const USED: usize = 1_000;
/// Access tokens that are asked about.
const ASKED: usize = 200;
/// How long what is made here lives.
const LIFE: Duration = Duration::from_hours(12);

/// What is measured.
pub const ENDPOINTS: [Endpoint; 4] =
    [Endpoint::Refresh, Endpoint::ClientCredentials, Endpoint::Introspect, Endpoint::Userinfo];

/// An endpoint, and what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/token` with a refresh token.
    Refresh,
    /// `/token` for a client's own token.
    ClientCredentials,
    /// `/introspect` about an access token.
    Introspect,
    /// `/userinfo`.
    Userinfo,
}

impl Endpoint {
    /// As the table names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refresh => "`/token`, refresh",
            Self::ClientCredentials => "`/token`, client_credentials",
            Self::Introspect => "`/introspect`",
            Self::Userinfo => "`/userinfo`",
        }
    }
}

/// Refresh tokens that are good, and access tokens to ask about.
pub struct Given {
    refresh: Rc<RefCell<VecDeque<String>>>,
    access: Vec<String>,
}

/// Makes a state with so many people signed in, each session with a grant and its refresh token; gives some of the latter.
pub fn fill(world: &World, sessions: usize) -> Given {
    let sessions = sessions.max(USED);
    block_on(async {
        let app = start(open::parts(&world.settings(), Clock::system()).unwrap(), None).await.unwrap();
        let mut given = VecDeque::new();
        for person in 0..sessions.div_ceil(OF_A_PERSON) {
            let count = OF_A_PERSON.min(sessions - person * OF_A_PERSON);
            let tokens = app.store.write(move |unit| sign_in(unit, person, count)).await.unwrap();
            given.extend(tokens);
        }
        app.store.close();
        // Evenly from all over the store.
        let step = given.len() / USED;
        let refresh = given.into_iter().step_by(step).take(USED).collect();
        Given { refresh: Rc::new(RefCell::new(refresh)), access: Vec::new() }
    })
}

/// A person with a passkey, and their sessions, each with a grant; gives the refresh tokens.
fn sign_in(unit: &mut Unit<'_>, number: usize, sessions: usize) -> Result<Vec<String>, StoreError> {
    let facts = AuthenticatorFacts { backup_eligible: false, backup_state: false, counter: 1 };
    let (now, ends) = (unit.now(), unit.now() + LIFE);
    let person = PersonId::from_random(unit.random()?);
    let added = Event::Person { outcome: "added".to_owned(), person: person.clone(), evidence: BTreeMap::new() };
    let entry = unit.append(added)?;
    unit.insert_person(&PersonRow {
        id: person.clone(),
        name: format!("Somebody {number}"),
        user_handle: unit.random()?,
        admin: false,
        auditor: false,
        created: now,
        suspended: None,
        email: None,
        entry,
    })?;
    let credential = Digest::from_bytes(unit.random()?);
    let passkey_entry = unit.append(Event::Passkey {
        outcome: "added".to_owned(),
        person: person.clone(),
        credential,
        enrolment: None,
        admitted_by: None,
        added: None,
        session: None,
        evidence: BTreeMap::new(),
    })?;
    let passkey = unit.insert_passkey(&PasskeyRow {
        id: 0,
        person: person.clone(),
        credential_id: unit.random::<32>()?.to_vec(),
        public_key_sha256: credential,
        credential: "{}".to_owned(),
        registered: facts,
        aaguid: None,
        format: None,
        vouched: Vouched::default(),
        name: "Passkey".to_owned(),
        added: now,
        last_used: None,
        suspended: None,
        suspended_why: None,
        admitted_by: None,
        rests_until: None,
        entry: passkey_entry,
    })?;
    let client = ClientId::parse(CLIENT).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let scopes = Scopes::parse("openid profile").map_err(|error| StoreError::Invalid(error.to_string()))?;
    let mut tokens = Vec::new();
    for _ in 0..sessions {
        let session = unit.append(Event::Session {
            outcome: "started".to_owned(),
            person: person.clone(),
            passkey: passkey_entry,
            started: None,
            why: None,
            evidence: BTreeMap::new(),
        })?;
        let sid = SessionId::from_random(unit.random()?);
        unit.insert_session(&SessionRow {
            secret_sha256: Digest::from_bytes(unit.random()?),
            person: person.clone(),
            passkey,
            facts,
            times: SessionTimes { started: now, last_used: now, ends, ended: None },
            device: "Firefox on Linux".to_owned(),
            entry: session,
            sid: sid.clone(),
        })?;
        let grant = unit.append(Event::Grant(GrantFields {
            person: Some(person.clone()),
            session: Some(session),
            passkey: Some(passkey_entry),
            scopes: scopes.clone(),
            ..GrantFields::new("started", client.clone())
        }))?;
        unit.insert_grant(&GrantRow {
            device: false,
            entry: grant,
            client: client.clone(),
            person: person.clone(),
            sid,
            session,
            passkey,
            facts,
            auth_time: now,
            acr: Acr::Phr,
            scopes: scopes.clone(),
            resources: Vec::new(),
            dpop_jkt: None,
            nonce: None,
            claims: WantedClaims::default(),
            offline: false,
            created: now,
            ends,
            ended: None,
        })?;
        let refresh = RefreshToken::new(unit.random()?, unit.random()?);
        unit.insert_refresh(&refresh.family_digest(), grant, &refresh.digest())?;
        tokens.push(refresh.expose());
    }
    Ok(tokens)
}

/// `client_secret_basic`, as a header line.
fn basic() -> String {
    let pair = format!("{CLIENT}:{CLIENT_SECRET}");
    format!("authorization: Basic {}\r\n", data_encoding::BASE64.encode(pair.as_bytes()))
}

fn refresh_call(token: &str) -> Vec<u8> {
    post_form("/token", &basic(), &format!("grant_type=refresh_token&refresh_token={token}"))
}

/// Each refresh token is used once; its successor comes back in the answer.
struct Refreshing(Rc<RefCell<VecDeque<String>>>);

impl Calls for Refreshing {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.borrow_mut().pop_front().map(|token| refresh_call(&token))
    }

    fn answered(&mut self, body: &[u8]) {
        let answer: Value = serde_json::from_slice(body).unwrap();
        self.0.borrow_mut().push_back(answer["refresh_token"].as_str().unwrap().to_owned());
    }
}

/// The same calls, again and again.
struct Again(std::iter::Cycle<std::vec::IntoIter<Vec<u8>>>);

impl Calls for Again {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next()
    }
}

impl Given {
    /// Takes the access tokens that are asked about, by refreshing.
    pub fn take_access(&mut self, at: SocketAddr) {
        let refresh = Rc::clone(&self.refresh);
        self.access = block_on(async move {
            let mut connection = Connection::open(at, None).await;
            let mut taken = Vec::new();
            for _ in 0..ASKED {
                let token = refresh.borrow_mut().pop_front().unwrap();
                let answer = connection.call(&refresh_call(&token)).await.expect(200).json();
                refresh.borrow_mut().push_back(answer["refresh_token"].as_str().unwrap().to_owned());
                taken.push(answer["access_token"].as_str().unwrap().to_owned());
            }
            taken
        });
    }

    /// Asks an endpoint over so many connections for so long.
    pub fn measure(&self, at: SocketAddr, endpoint: Endpoint, connections: usize, length: Duration) -> Measured {
        let calls: Vec<Vec<u8>> = match endpoint {
            Endpoint::Refresh => {
                return drive_by(at, Box::new(Refreshing(Rc::clone(&self.refresh))), connections, length);
            }
            Endpoint::ClientCredentials => vec![post_form("/token", &basic(), "grant_type=client_credentials")],
            Endpoint::Introspect => {
                self.access.iter().map(|token| post_form("/introspect", &basic(), &format!("token={token}"))).collect()
            }
            Endpoint::Userinfo => {
                let call = |token: &String| get_with("/userinfo", &format!("authorization: Bearer {token}\r\n"));
                self.access.iter().map(call).collect()
            }
        };
        drive_by(at, Box::new(Again(calls.into_iter().cycle())), connections, length)
    }
}

/// What an endpoint gave over so many connections, in the empty store and in the full one.
pub struct Both {
    /// Which.
    pub endpoint: Endpoint,
    /// How many connections.
    pub connections: usize,
    /// With nobody else signed in.
    pub empty: Measured,
    /// Among all the others.
    pub full: Measured,
}

/// Every endpoint over every number of connections, in an empty store and right after it in one with so many sessions.
pub fn measure(
    worlds: &[World; 2],
    binary: &Path,
    core: Option<usize>,
    sessions: usize,
    (connections, length): (&[usize], Duration),
) -> Vec<Both> {
    let [empty, full] = worlds;
    let (mut few, mut many) = (fill(empty, 0), fill(full, sessions));
    let (empty, full) = (empty.serve(binary, core), full.serve(binary, core));
    few.take_access(empty.address);
    many.take_access(full.address);
    let mut found = Vec::new();
    for endpoint in ENDPOINTS {
        for connections in connections.iter().copied() {
            let (empty, full) = (
                few.measure(empty.address, endpoint, connections, length),
                many.measure(full.address, endpoint, connections, length),
            );
            found.push(Both { endpoint, connections, empty, full });
        }
    }
    found
}
