//! Proof by pipeline: a person makes a code, a job of their GitLab user brings it, and the person signs whom GitLab named.
//! In: a session; a job's form; a browser's answer. Out: a code, shown once; what was brought; a link that only excludes.
//! Implements DESIGN §11, WebAuthn L3 §7.2.
//! Never ties anybody to a user without that person's own touch, and never says who started a job.

use serde_json::{Map, Value};

use crate::crypto::random;
use crate::domain::canonical::{self, Bytes};
use crate::domain::ids::{Digest, IssuerName, PersonId, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::link_form::LinkForm;
use crate::domain::people::proof::{BY_PIPELINE, LinkCode, LinkedUser, audience, shown_by};
use crate::domain::statement::{Link, Statement};
use crate::domain::time::{LINK_CODE, Timestamp};
use crate::passkeys::assertion::Verification;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::links::{Brought, LinkCodeRow, ProvedRow};
use crate::store::passkeys::PasskeyRow;
use crate::store::{Reader, Unit};

use super::ceremony::{Asked, Ceremony, assertion_document, mismatch, put_documents};
use super::entitled::is_known;
use super::find_passkey::keys_of;
use super::tie_user::{document, void_requests_of};
use super::use_session::{SignedIn, actor, log_time};
use super::{AppError, Countersign};

/// Most GitLab users that one person proves to be theirs.
pub const MAX_PROVED_LINKS: usize = 20;
/// Claims that the page shows beside the ids, as GitLab's word; they are not signed.
const SHOWN: &[&str] = &["user_login", "job_project_path", "project_path", "ref"];

/// A code that was made.
#[derive(Debug)]
pub struct NewLinkCode {
    /// The code; nobody is told it again.
    pub code: LinkCode,
    /// Until when a job may bring it.
    pub expires: Timestamp,
}

/// Whose GitLab users are a person's, and what waits for their signature.
#[derive(Debug, Clone)]
pub struct SeenLinks {
    /// What the console or admins said; a bot's with `true`.
    pub tied: Vec<(IssuerName, String, bool)>,
    /// What the person proved.
    pub proved: Vec<(IssuerName, String)>,
    /// What jobs brought, newest first.
    pub brought: Vec<SeenBrought>,
}

/// What a job brought with a code of this person.
#[derive(Debug, Clone)]
pub struct SeenBrought {
    /// What names it: the code's digest.
    pub proof: Digest,
    /// What was brought.
    pub brought: Brought,
    /// The console or admins say that the user is somebody else's, or others proved it.
    pub somebody_elses: bool,
}

impl SeenBrought {
    /// A claim that is shown and not signed.
    #[must_use]
    pub fn shown(&self, name: &str) -> Option<String> {
        let shown: Map<String, Value> = serde_json::from_str(&self.brought.shown).ok()?;
        shown.get(name).and_then(Value::as_str).map(str::to_owned)
    }
}

/// A link that was proved.
#[derive(Debug)]
pub struct Proved {
    /// Whose user.
    pub user: LinkedUser,
    /// The log entry.
    pub entry: u64,
}

fn unknown_code() -> AppError {
    AppError::refused(ErrorCode::LinkCodeUnknown, "this code was used, has expired or was never made")
}

fn unknown_proof() -> AppError {
    AppError::refused(ErrorCode::NotFound, "nothing of this waits for you (any more)")
}

/// The code, where a job may bring it now.
fn open_code(reader: &Reader<'_>, code_sha256: &Digest, now: Timestamp) -> Result<LinkCodeRow, AppError> {
    let row = reader.link_code(code_sha256)?.filter(|row| row.brought.is_none() && row.is_open(now));
    let row = row.ok_or_else(unknown_code)?;
    let person = reader.person(&row.person)?.filter(|person| person.suspended.is_none());
    person.map(|_| row).ok_or_else(unknown_code)
}

/// What a job brought with a code of this person, where it may be signed now.
fn brought_to(reader: &Reader<'_>, me: &SignedIn, proof: &Digest) -> Result<(LinkCodeRow, Brought), AppError> {
    let row = reader.link_code(proof)?.filter(|row| row.person == me.person.id && row.is_open(me.now));
    let row = row.ok_or_else(unknown_proof)?;
    let brought = row.brought.clone().ok_or_else(unknown_proof)?;
    Ok((row, brought))
}

/// Whether the person may say now that this user is theirs.
fn may_prove(reader: &Reader<'_>, me: &SignedIn, user: &LinkedUser) -> Result<(), AppError> {
    signs(me)?;
    let already = reader.linked(&user.issuer, &user.user_id)?.is_some_and(|link| link.person == me.person.id)
        || reader.proved(&user.issuer, &user.user_id)?.iter().any(|row| row.person == me.person.id);
    if already {
        return Err(AppError::refused(ErrorCode::AlreadyDecided, "this GitLab user is yours already"));
    }
    if reader.proved_by(&me.person.id)?.len() >= MAX_PROVED_LINKS {
        let text = format!("a person proves at most {MAX_PROVED_LINKS} GitLab users");
        return Err(AppError::refused(ErrorCode::LinksEnough, text));
    }
    Ok(())
}

/// An auditor signs nothing.
fn signs(me: &SignedIn) -> Result<(), AppError> {
    if me.person.auditor {
        let text = "an auditor signs nothing, so there is nothing to keep them from";
        return Err(AppError::refused(ErrorCode::NotAnApprover, text).with_hint("nothing is left to do"));
    }
    Ok(())
}

impl Countersign {
    /// Whose GitLab users are a person's, and what waits for their signature.
    pub fn links_of(&self, person: &PersonId) -> Result<SeenLinks, AppError> {
        let wall = self.clock.now();
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let (tied, proved) = (reader.links_of(person)?, reader.proved_by(person)?);
            let mut seen = SeenLinks { tied, proved, brought: Vec::new() };
            for row in reader.link_codes_of(person)?.into_iter().filter(|row| row.is_open(now)) {
                let Some(brought) = row.brought else { continue };
                let (issuer, user_id) = (&brought.user.issuer, &brought.user.user_id);
                let tied = reader.linked(issuer, user_id)?.is_some_and(|link| link.person != *person);
                let somebody_elses = tied || reader.proved(issuer, user_id)?.iter().any(|row| row.person != *person);
                seen.brought.push(SeenBrought { proof: row.code_sha256, brought, somebody_elses });
            }
            Ok(seen)
        })
    }

    /// Makes a code.
    pub async fn make_link_code(&self, session: Option<Digest>) -> Result<NewLinkCode, AppError> {
        self.steady_now()?;
        let code = LinkCode::from_random(random::bytes::<10>()?);
        let (digest, limits) = (code.digest(), self.settings.sessions);
        let made = self.store.write(move |unit| -> Result<_, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            signs(&me)?;
            unit.start_link_code(&digest, &me.person.id)?;
            Ok(unit.now() + LINK_CODE)
        });
        Ok(NewLinkCode { expires: made.await?, code })
    }

    /// A job brings a code. Nothing is tied by that: its person is asked.
    pub async fn bring_link_code(&self, form: &LinkForm) -> Result<LinkedUser, AppError> {
        let now = self.steady_now()?;
        let digest = form.code.digest();
        // A code that nobody made costs a read.
        let made = self.store.read(|reader| {
            let now = log_time(reader, now)?;
            open_code(reader, &digest, now).map(|row| row.made)
        })?;
        let taken = self.take_in_for(&form.token, &audience(&self.settings.url)).await?;
        let user = shown_by(&taken.job, made)?;
        let said =
            SHOWN.iter().filter_map(|name| taken.job.claim(name).map(|value| ((*name).to_owned(), value.into())));
        let shown = Value::Object(said.collect::<Map<_, _>>()).to_string();
        let (token, issuer_keys, brought_user) = (form.token.clone(), taken.issuer_keys, user.clone());
        let brought = self.store.write(move |unit| -> Result<(), AppError> {
            open_code(&unit.reader(), &digest, unit.now())?;
            let brought = Brought { at: unit.now(), user: brought_user, shown, token, issuer_keys };
            Ok(unit.bring_link_code(&digest, &brought)?)
        });
        brought.await?;
        Ok(user)
    }

    /// Starts the signature over what a job brought.
    pub async fn begin_link(&self, session: Option<Digest>, proof: Digest) -> Result<Ceremony, AppError> {
        self.steady_now()?;
        let id = random::text::<16>()?;
        let nonce = Bytes(random::bytes::<32>()?.to_vec());
        let (ceremony, issuer, limits) = (id.clone(), self.settings.url.clone(), self.settings.sessions);
        let started = self.store.write(move |unit| -> Result<_, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            let (_, brought) = brought_to(&unit.reader(), &me, &proof)?;
            may_prove(&unit.reader(), &me, &brought.user)?;
            let at = unit.now();
            let own = keys_of(&unit.reader(), &me.person.id)?;
            let statement = Statement::Link(Link { nonce, at, issuer, person: me.person.id, user: brought.user });
            let statement = statement.to_bytes()?;
            let of = CeremonyFor::Secret(me.session.secret_sha256);
            unit.start_ceremony(CeremonyKind::Link, (&ceremony, &of), (&statement, Some(&own)))?;
            Ok(Asked { statement, listed: Some(own) })
        });
        self.ask_to_sign(id, started.await?)
    }

    /// Finishes it: verifies, then keeps the link with its entry.
    pub async fn finish_link(
        &self,
        session: Option<Digest>,
        ceremony: &str,
        response: &Value,
    ) -> Result<Proved, AppError> {
        self.steady_now()?;
        let asked = self.take(CeremonyKind::Link, ceremony, session.map(CeremonyFor::Secret)).await?;
        let Ok(Statement::Link(said)) = Statement::from_bytes(&asked.statement) else {
            return Err(mismatch("this ceremony is not over a GitLab user"));
        };
        let (passkey, verified) = self.signed_by(&said.person, &asked, response).await?;
        let (limits, user) = (self.settings.sessions, said.user.clone());
        let recorded = self.store.write(move |unit| -> Result<_, AppError> {
            let me = actor(unit, session.as_ref(), limits)?;
            is_known(&unit.reader(), &passkey)?;
            let rows = unit.reader().link_codes_of(&me.person.id)?.into_iter();
            let mut open = rows.filter(|row| row.is_open(me.now));
            let row = open.find(|row| row.brought.as_ref().is_some_and(|brought| brought.user == said.user));
            let (code, brought) =
                row.and_then(|row| Some((row.code_sha256, row.brought?))).ok_or_else(unknown_proof)?;
            may_prove(&unit.reader(), &me, &brought.user)?;
            let signed = Signed { statement: asked.statement, passkey, verified, brought };
            let entry = write_link(unit, &me.person.id, signed)?;
            unit.end_link_code(&code)?;
            let voided = void_requests_of(unit, &said.user.issuer, &said.user.user_id)?;
            Ok((entry, voided))
        });
        let (entry, voided): (u64, Vec<RequestId>) = recorded.await?;
        for request in &voided {
            self.waiting.wake(request);
        }
        Ok(Proved { user, entry })
    }

    /// "That was not me": what a job brought is forgotten.
    pub async fn forget_brought(&self, session: Option<Digest>, proof: Digest) -> Result<(), AppError> {
        let limits = self.settings.sessions;
        self.store
            .write(move |unit| -> Result<(), AppError> {
                let me = actor(unit, session.as_ref(), limits)?;
                let (row, _) = brought_to(&unit.reader(), &me, &proof)?;
                Ok(unit.end_link_code(&row.code_sha256)?)
            })
            .await
    }
}

struct Signed {
    statement: Vec<u8>,
    passkey: PasskeyRow,
    verified: Verification,
    brought: Brought,
}

fn write_link(unit: &mut Unit<'_>, person: &PersonId, signed: Signed) -> Result<u64, AppError> {
    let Signed { statement, passkey, verified, brought } = signed;
    let Brought { user, token, issuer_keys, .. } = brought;
    let link = canonical::to_bytes(&document(BY_PIPELINE, &user.issuer, person, &user.user_id))?;
    let assertion = assertion_document(&passkey, &verified)?;
    let owner = Some(person);
    let documents: [(&str, &[u8], _); 4] = [
        ("link", &link, owner),
        ("statement", &statement, owner),
        ("assertion", &assertion, owner),
        ("job_token", token.expose().as_bytes(), owner),
    ];
    let evidence = put_documents(unit, &documents)?;
    let entry = unit.append(Event::Link {
        outcome: "proved".to_owned(),
        person: person.clone(),
        issuer: user.issuer.clone(),
        passkey: Some(passkey.entry),
        issuer_keys: Some(issuer_keys),
        evidence,
    })?;
    unit.insert_proved(&user.issuer, &user.user_id, &ProvedRow { person: person.clone(), entry })?;
    unit.update_passkey(passkey.id, &verified.credential)?;
    Ok(entry)
}
