//! Signs a person in to an application: keeps its request, says what must happen first, gives a code.
//! In: parameters, then the request's id and whoever is signed in. Out: what to show, or the answer for the application.
//! Implements OpenID Connect Core §3.1.2, RFC 6749 §4.1, RFC 9207, DESIGN §10.
//! Never gives a code on what a reader saw: everything is judged again in the unit that gives it.

use std::sync::Arc;

use crate::crypto::random;
use crate::domain::assurance::Acr;
use crate::domain::assurance::models::Trusted;
use crate::domain::ids::{ClientId, Digest, GroupName};
use crate::domain::network::Network;
use crate::domain::oauth::authorize::interaction::{Interaction, SessionFacts, SignInReason, Situation, interaction};
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::authorize::redirect_uri::is_registered;
use crate::domain::oauth::authorize::table::{Endpoint, examine};
use crate::domain::oauth::authorize::{Asked, AuthorizationRequest, Fault, Hint, Hinted, WayBack};
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::OFFLINE_ACCESS;
use crate::domain::oauth::token_form::CodeText;
use crate::domain::rules::Refusal;
use crate::domain::session::SessionLimits;
use crate::domain::time::{AUTHORIZATION, Timestamp};
use crate::store::shares::Payer;
use crate::store::{Reader, StoreError, Unit};

use super::consent::agree;
use super::grants::{NewCode, NewGrant, begin_with_code};
use super::keep_authorization::{Coming, Kept, keep, put, read};
use super::known::{device_of, judged};
use super::own_tokens::ID_TYPE;
use super::use_session::{SignedIn, actor, living, log_time};
use super::{AppError, Countersign};

/// What became of a request that came in.
#[derive(Debug)]
pub enum CameIn {
    /// It waits under this id.
    Waits(String),
    /// Something is wrong with it.
    Wrong(Fault),
}

/// Where a request stands, for whoever looks.
#[derive(Debug)]
pub struct Looked {
    /// What is asked.
    pub request: AuthorizationRequest,
    /// By whom.
    pub client: Arc<Client>,
    /// Who is signed in.
    pub who: Option<SignedIn>,
    /// What must happen next.
    pub next: Interaction,
    /// The person said that they will not.
    pub cancelled: bool,
    /// The log's time.
    pub now: Timestamp,
}

/// The answer for an application.
pub struct Response {
    /// Where it goes.
    pub back: WayBack,
    /// The application's name.
    pub name: String,
    /// Its members, in order; `iss` and `state` among them.
    pub members: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A code is a credential.
        write!(f, "Response({}, redacted)", self.back.client)
    }
}

/// What came of asking for the answer.
#[derive(Debug)]
pub enum Answered {
    /// There is one.
    Response(Response),
    /// Something must happen first.
    First(Interaction),
}

/// What is read of a request that waits.
struct Opened {
    kept: Kept,
    client: Arc<Client>,
}

impl Countersign {
    /// Takes a request that a browser brought: checked, or pushed before by its client (RFC 9126 §4).
    pub async fn take_authorization(&self, said: &Parameters, from: Network) -> Result<CameIn, AppError> {
        self.steady_now()?;
        let (request, proven) = match self.pushed(said).await? {
            Some(pushed) => pushed,
            None => match examine(&self.asked(said, None, &self.clients.all()), Endpoint::Authorize) {
                Ok(request) => (request, false),
                Err(fault) => return Ok(CameIn::Wrong(fault)),
            },
        };
        let id = random::text::<16>()?;
        let id_sha256 = Digest::of(id.as_bytes());
        let kept = self.store.write_new(move |unit| {
            let coming = Coming { id_sha256, pushed: false, lives: AUTHORIZATION };
            match keep(unit, &coming, request.clone(), Payer::Network(from)) {
                // Strangers may have taken all of theirs; what a client vouched for comes in all the same.
                Err(AppError::Fault { code: ErrorCode::QueueFull, .. }) if proven => {
                    keep(unit, &coming, request, Payer::Client)
                }
                kept => kept,
            }
        });
        kept.await?;
        Ok(CameIn::Waits(id))
    }

    pub(super) fn asked<'a>(
        &self,
        said: &'a Parameters,
        authenticated: Option<&'a ClientId>,
        clients: &'a [Arc<Client>],
    ) -> Asked<'a> {
        let hint = match said.get("id_token_hint") {
            None => Hinted::Absent,
            Some(token) => self.hint(token).map_or(Hinted::NotOurs, Hinted::By),
        };
        Asked { said, clients, authenticated, hint }
    }

    /// Whom an ID token of ours names. One that is too old is as good here as any.
    fn hint(&self, token: &str) -> Option<Hint> {
        let claims = self.own_claims(token, ID_TYPE)?;
        let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        Some(Hint { subject: text("sub")?, audience: text("aud")? })
    }

    /// Where a request stands.
    pub fn look_at_authorization(&self, id: &str, session: Option<Digest>) -> Result<Looked, AppError> {
        let (wall, limits, trusted) = (self.steady_now()?, self.settings.sessions, self.trusted());
        let id = Digest::of(id.as_bytes());
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let opened = open(reader, &self.clients.all(), &id, now)?;
            let who = session.map(|digest| living(reader, &digest, limits, now)).transpose()?.flatten();
            let facts = who.as_ref().map(|who| facts(reader, &trusted, &opened.client, who)).transpose()?;
            let next = interaction(&situation(&opened, facts.as_ref(), now));
            let Opened { kept, client } = opened;
            let cancelled = kept.cancelled.is_some();
            Ok(Looked { request: kept.request, client, who, next, cancelled, now })
        })
    }

    /// The answer for the application, where nothing must happen first; its request is over then.
    pub async fn answer_authorization(&self, id: &str, session: Option<Digest>) -> Result<Answered, AppError> {
        self.steady_now()?;
        let (limits, vouching) = (self.settings.sessions, self.vouching.clone());
        let (clients, url) = (self.clients.clone(), self.settings.url.clone());
        let id = Digest::of(id.as_bytes());
        let code = CodeText::from_random(random::bytes()?);
        self.store
            .write(move |unit| -> Result<Answered, AppError> {
                let trusted = vouching.in_unit_or_busy(&unit.reader())?;
                let now = unit.now();
                let opened = open(&unit.reader(), &clients.all(), &id, now)?;
                let respond = |opened: &Opened, member| respond(opened, member, &url);
                if let Some(why) = opened.kept.cancelled {
                    unit.take_authorization_request(&id)?;
                    return Ok(respond(&opened, Err(why)));
                }
                let who = session.map(|digest| living(&unit.reader(), &digest, limits, now)).transpose()?.flatten();
                let facts = who.as_ref().map(|who| facts(&unit.reader(), &trusted, &opened.client, who)).transpose()?;
                match (interaction(&situation(&opened, facts.as_ref(), now)), who) {
                    (Interaction::Issue, Some(who)) => {
                        unit.take_authorization_request(&id)?;
                        give_code(unit, &opened, &who, (&code, limits))?;
                        Ok(respond(&opened, Ok(code.expose().to_owned())))
                    }
                    (Interaction::Refuse(why), _) => {
                        unit.take_authorization_request(&id)?;
                        Ok(respond(&opened, Err(why)))
                    }
                    (next, _) => Ok(Answered::First(next)),
                }
            })
            .await
    }

    /// The person agrees to what an application gets. Who looks and who agrees must be one.
    pub async fn agree_to_authorization(&self, id: &str, session: Option<Digest>) -> Result<(), AppError> {
        self.steady_now()?;
        let (limits, vouching, clients) = (self.settings.sessions, self.vouching.clone(), self.clients.clone());
        let id = Digest::of(id.as_bytes());
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let trusted = vouching.in_unit_or_busy(&unit.reader())?;
                let me = actor(unit, session.as_ref(), limits)?;
                let mut opened = open(&unit.reader(), &clients.all(), &id, unit.now())?;
                let facts = facts(&unit.reader(), &trusted, &opened.client, &me)?;
                // Only what is really asked is agreed to: who may not sign in there at all agrees to nothing.
                let next = interaction(&situation(&opened, Some(&facts), unit.now()));
                if opened.kept.cancelled.is_some() || !matches!(next, Interaction::Consent(_)) {
                    return Ok(());
                }
                agree(unit, (&opened.kept.request, &opened.client), &me)?;
                opened.kept.agreed = Some(me.session.entry);
                put(unit, &id, &opened.kept)
            })
            .await
    }

    /// The person will not. Whoever has the page may say so: it gives nobody anything.
    pub async fn cancel_authorization(&self, id: &str, session: Option<Digest>) -> Result<(), AppError> {
        let looked = self.look_at_authorization(id, session)?;
        let why = match looked.next {
            Interaction::SignIn(SignInReason::SomebodyElse) => ErrorCode::LoginNeeded,
            Interaction::StepUp(_) if looked.request.acr.as_ref().is_some_and(|wish| wish.essential) => {
                ErrorCode::AcrUnmet
            }
            Interaction::Outside => ErrorCode::NotInGroups,
            _ => ErrorCode::AuthorizationDenied,
        };
        let (clients, id) = (self.clients.clone(), Digest::of(id.as_bytes()));
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let mut opened = open(&unit.reader(), &clients.all(), &id, unit.now())?;
                opened.kept.cancelled = Some(why);
                put(unit, &id, &opened.kept)
            })
            .await
    }
}

fn over(clients: &[Arc<Client>], client: Option<&ClientId>) -> AppError {
    let name = client.and_then(|id| clients.iter().find(|one| one.id == *id)).map(|client| client.name.as_str());
    let text = "it was finished, or it took too long";
    match name {
        Some(name) => {
            AppError::refused(ErrorCode::AuthorizationOver, text).with_hint(&format!("start again at {name}"))
        }
        None => AppError::refused(ErrorCode::AuthorizationOver, text),
    }
}

/// A request that waits for its person.
fn open(reader: &Reader<'_>, clients: &[Arc<Client>], id: &Digest, now: Timestamp) -> Result<Opened, AppError> {
    let row = reader.authorization_request(id)?;
    let known = row.as_ref().filter(|row| !row.pushed).map(|row| row.client.clone());
    let row = row.filter(|row| !row.pushed && row.taken.is_none() && now <= row.ends);
    let row = row.ok_or_else(|| over(clients, known.as_ref()))?;
    let kept = read(&row)?;
    // The configuration may be another one than it was when the request came.
    let client = clients.iter().find(|client| client.id == kept.request.client).filter(|client| {
        let given = &kept.request.redirect_uri;
        client.redirect_uris.iter().any(|registered| is_registered(registered, given, client.native))
    });
    let client = Arc::clone(client.ok_or_else(|| over(clients, known.as_ref()))?);
    Ok(Opened { kept, client })
}

fn situation<'a>(opened: &'a Opened, who: Option<&'a SessionFacts>, now: Timestamp) -> Situation<'a> {
    let Opened { kept, client } = opened;
    let agrees = who.is_some_and(|who| kept.agreed == Some(who.entry));
    Situation { request: &kept.request, client, came_at: kept.came_at, signed_in: kept.signed_in, who, agrees, now }
}

/// What is known of whoever is signed in, as far as a client's terms go.
fn facts(reader: &Reader<'_>, trusted: &Trusted, client: &Client, who: &SignedIn) -> Result<SessionFacts, StoreError> {
    let person = &who.person.id;
    let own = reader.passkeys_of(person)?.into_iter().filter(|key| key.suspended.is_none());
    let reach = own.map(|key| judged(trusted, (key.registered, key.registered), &key.vouched, who.now).acr);
    let device = || device_of(trusted, (who.session.facts, who.passkey.registered), &who.passkey.vouched);
    Ok(SessionFacts {
        person: person.clone(),
        groups: reader.memberships(person)?.into_keys().collect::<Vec<GroupName>>(),
        started: who.session.times.started,
        entry: who.session.entry,
        acr: who.assurance(trusted).acr,
        could_reach: reach.max().unwrap_or(Acr::Phr),
        missed: client.device_policy.as_ref().and_then(|policy| policy.miss(&device())),
        allowed: reader.consent(person, &client.id)?.map(|row| row.scopes).unwrap_or_default(),
    })
}

fn respond(opened: &Opened, what: Result<String, ErrorCode>, url: &str) -> Answered {
    let back = opened.kept.request.way_back();
    let outcome = match what {
        Ok(code) => vec![("code", code)],
        Err(why) => error_members(why, reason(why)),
    };
    Answered::Response(response(back, outcome, &opened.client.name, url))
}

/// Begins a grant for the code.
fn give_code(
    unit: &mut Unit<'_>,
    opened: &Opened,
    who: &SignedIn,
    (code, limits): (&CodeText, SessionLimits),
) -> Result<(), AppError> {
    let Opened { kept: Kept { request, .. }, client } = opened;
    unit.note_session(&who.session.secret_sha256)?;
    let essential = request.acr.as_ref().filter(|wish| wish.essential);
    let new = NewGrant {
        client: client.id.clone(),
        acr: essential.map_or(client.acr, |wish| wish.least().max(client.acr)),
        // Without leave to refresh, nothing outlives the session.
        scopes: if client.may(GrantType::RefreshToken) {
            request.scopes.clone()
        } else {
            request.scopes.without(OFFLINE_ACCESS)
        },
        resources: request.resources.clone(),
        dpop_jkt: request.dpop_jkt.clone(),
        nonce: request.nonce.clone(),
        claims: request.claims.clone(),
    };
    let (redirect_uri, code_challenge) = (request.redirect_uri.clone(), request.code_challenge.clone());
    begin_with_code(unit, who, new, NewCode { sha256: code.digest(), redirect_uri, code_challenge }, limits)
}

/// Why an application gets no code, where its request was good.
const fn reason(why: ErrorCode) -> &'static str {
    match why {
        ErrorCode::LoginNeeded => "the person must sign in",
        ErrorCode::ConsentNeeded => "the person must be asked whether they agree",
        ErrorCode::NotInGroups => "the person may not sign in to this application",
        ErrorCode::AcrUnmet => "the level that is demanded was not reached",
        _ => "the person did not sign in, or did not agree",
    }
}

/// The members of an error for an application.
fn error_members(code: ErrorCode, description: &str) -> Vec<(&'static str, String)> {
    // RFC 6749 §4.1.2.1 allows neither quotes nor backslashes nor anything beyond ASCII.
    let plain = description.chars().map(|letter| match letter {
        '`' | '"' | '\\' => '\'',
        letter if letter.is_ascii_graphic() || letter == ' ' => letter,
        _ => '?',
    });
    vec![("error", code.oauth().as_str().to_owned()), ("error_description", plain.collect())]
}

/// An answer with `state` and, always, `iss` (RFC 9207 §2).
fn response(back: WayBack, mut members: Vec<(&'static str, String)>, name: &str, url: &str) -> Response {
    members.extend(back.state.clone().map(|state| ("state", state)));
    members.push(("iss", url.to_owned()));
    Response { back, name: name.to_owned(), members }
}

impl Countersign {
    /// The answer for an application whose request has a fault that it may be told.
    pub fn fault_response(&self, back: WayBack, refusal: &Refusal) -> Response {
        let name = self.clients.find(&back.client).map(|client| client.name.clone()).unwrap_or_default();
        response(back, error_members(refusal.code, &refusal.description), &name, &self.settings.url)
    }
}
