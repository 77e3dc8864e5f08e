//! Signs out at a client's wish, and tells clients that a session ended.
//! In: what a client asks, and the session that asks; clients that are due. Out: what to do next; logout tokens that were sent.
//! Implements OpenID Connect RP-Initiated Logout 1.0, OpenID Connect Back-Channel Logout 1.0 §2.
//! Never waits for a client: whoever signs out is out with the commit, and clients are told afterwards, again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use url::Url;

use crate::crypto::random;
use crate::domain::canonical;
use crate::domain::ids::{ClientId, Digest, PersonId, SessionId};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::logout::{
    Course, Here, HintedSession, IdTokenHint, LogoutNotice, LogoutRequest, asking, course, next_try, token_claims,
};
use crate::outbound::OutboundError;
use crate::outbound::logout::Teller;
use crate::store::StoreError;
use crate::store::logouts::LogoutRow;

use super::own_tokens::{ID_TYPE, LOGOUT_TYPE};
use super::use_session::{living, log_time};
use super::{AppError, Countersign};

/// Most clients that are told at once.
pub const LOGOUTS_AT_ONCE: u32 = 16;
/// Most calls to one client at once, so that one that dawdles holds up no other.
pub const LOGOUTS_OF_CLIENT: u32 = 4;

/// What became of a wish to sign out.
#[derive(Debug)]
pub struct LogoutAnswer {
    /// What was done, or must be asked.
    pub course: Course,
    /// Whose wish it was.
    pub client: Option<Arc<Client>>,
}

/// By whom clients are told, and which could not be.
#[derive(Default)]
pub(super) struct Logouts {
    /// With whether it knows the system's authorities.
    teller: Mutex<Option<(bool, Teller)>>,
    given_up: Mutex<BTreeMap<ClientId, (u64, String)>>,
}

impl Logouts {
    fn teller(&self) -> Option<Teller> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, teller)| teller.clone())
    }

    fn give_up(&self, client: &ClientId, problem: String) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let known = given_up.entry(client.clone()).or_default();
        *known = (known.0 + 1, problem);
    }

    fn went_well(&self, client: &ClientId) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).remove(client);
    }

    fn troubles(&self) -> Vec<String> {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = |(client, (count, problem)): (&ClientId, &(u64, String))| {
            let sessions = if *count == 1 { "a session".to_owned() } else { format!("{count} sessions") };
            format!("logout: {client} was not told of the end of {sessions}: {problem}")
        };
        given_up.iter().map(sentence).collect()
    }
}

impl Countersign {
    /// Does what a client asks, as far as the person need not be asked first.
    ///
    /// # Errors
    /// Parameters that contradict one another, a URI that the client has not registered; faults of ours.
    pub async fn log_out(&self, request: &LogoutRequest, session: Option<Digest>) -> Result<LogoutAnswer, AppError> {
        let hinted = request.id_token_hint.as_ref().and_then(|hint| self.hinted(hint));
        let asking = asking(request, hinted.as_ref())?;
        let client = asking.and_then(|id| self.clients.find(id));
        let here = self.here(session.as_ref())?;
        let here = here.as_ref().map(|(person, sid)| Here { person, sid });
        let course = match course(request, client.as_deref(), hinted.as_ref(), here)? {
            Course::End(afterwards) => match self.sign_out(session, false).await {
                Ok(()) => Course::End(afterwards),
                // Somebody was faster.
                Err(error) if error.code() == ErrorCode::SignInNeeded => Course::Over(afterwards),
                Err(error) => return Err(error),
            },
            other => other,
        };
        Ok(LogoutAnswer { course, client })
    }

    /// Who is signed in in this browser.
    fn here(&self, session: Option<&Digest>) -> Result<Option<(PersonId, SessionId)>, AppError> {
        let Some(digest) = session else { return Ok(None) };
        let (limits, wall) = (self.settings.sessions, self.steady_now()?);
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            Ok(living(reader, digest, limits, now)?.map(|me| (me.person.id, me.session.sid)))
        })
    }

    /// What an ID token of ours says; one that is past its end still says whose it was (RP-Initiated Logout §2).
    fn hinted(&self, hint: &IdTokenHint) -> Option<HintedSession> {
        let claims = self.own_claims(hint.expose(), ID_TYPE)?;
        let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
        Some(HintedSession {
            person: PersonId::parse(text("sub")?).ok()?,
            client: ClientId::parse(text("aud")?).ok()?,
            sid: SessionId::parse(text("sid")?).ok()?,
        })
    }

    /// Has these clients told from here on. Nothing is made ready where none wants to be told.
    ///
    /// # Errors
    /// The system has no certificates of authorities.
    pub fn tell_logouts_from_here(&self, clients: &[Arc<Client>]) -> Result<(), OutboundError> {
        let uris: Vec<_> = clients.iter().filter_map(|client| client.backchannel_logout_uri.as_deref()).collect();
        if !uris.is_empty() {
            let needs_roots = uris.iter().any(|uri| uri.starts_with("https:"));
            let mut kept = self.logouts.teller.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.as_ref().is_none_or(|(has_roots, _)| needs_roots && !has_roots) {
                *kept = Some((needs_roots, Teller::new(needs_roots)?));
            }
        }
        Ok(())
    }

    /// Tells the clients that are due, several at a time.
    ///
    /// # Errors
    /// The store cannot be read; then the next round tells them.
    pub async fn tell_logouts(&self) -> Result<(), AppError> {
        let wall = self.steady_now()?;
        let due = self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            reader.logouts_due(now, LOGOUTS_OF_CLIENT, LOGOUTS_AT_ONCE)
        })?;
        // All are on their way before the first is waited for.
        let sent =
            due.iter().map(|row| Ok((row, self.send_logout(&row.told)?))).collect::<Result<Vec<_>, AppError>>()?;
        for (row, answer) in sent {
            let outcome = match answer {
                Some(answer) => answer.await.map_err(AppError::internal)?,
                None => Ok(()),
            };
            self.note_logout(row, outcome).await?;
        }
        Ok(())
    }

    /// What came of one try.
    async fn note_logout(&self, row: &LogoutRow, outcome: Result<(), String>) -> Result<(), AppError> {
        let client = &row.told.client;
        let (id, tries, again) = (row.id, row.tries + 1, outcome.is_err());
        let put_off = self.store.write(move |unit| -> Result<bool, StoreError> {
            match next_try(tries, unit.now()).filter(|_| again) {
                Some(due) => unit.put_off_logout(id, due).map(|()| true),
                None => unit.delete_logout(id).map(|()| false),
            }
        });
        match (outcome, put_off.await?) {
            (Ok(()), _) => self.logouts.went_well(client),
            (Err(problem), true) => tracing::info!(%client, problem, tries, "a client was not told of a logout yet"),
            (Err(problem), false) => {
                tracing::warn!(%client, problem, "a client was not told of a logout, and is not tried again");
                self.logouts.give_up(client, problem);
            }
        }
        Ok(())
    }

    /// One try, on a thread of its own. A client that is gone, or wants to be told no more, is done with.
    fn send_logout(&self, told: &LogoutNotice) -> Result<Option<JoinHandle<Result<(), String>>>, AppError> {
        let Some(client) = self.clients.find(&told.client) else { return Ok(None) };
        let wanted = client.backchannel_logout_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
        let (Some(uri), Some(teller)) = (wanted, self.logouts.teller()) else { return Ok(None) };
        let jti = random::text::<16>()?;
        let claims = token_claims(&self.settings.url, told, &jti, self.steady_now()?);
        let token = self.signer(client.alg)?.key.sign_typed(LOGOUT_TYPE, &canonical::to_bytes(&claims)?)?;
        Ok(Some(tokio::task::spawn_blocking(move || teller.tell(&uri, &token))))
    }

    /// Clients that were given up.
    pub(super) fn logout_troubles(&self) -> Vec<String> {
        self.logouts.troubles()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_told_until_it_goes_well_again() {
        let logouts = Logouts::default();
        let grafana = ClientId::parse("grafana").unwrap();
        assert!(logouts.troubles().is_empty());
        logouts.give_up(&grafana, "no answer in 5 s".to_owned());
        assert_eq!(logouts.troubles(), ["logout: grafana was not told of the end of a session: no answer in 5 s"]);
        logouts.give_up(&grafana, "it answered with status 500".to_owned());
        assert_eq!(
            logouts.troubles(),
            ["logout: grafana was not told of the end of 2 sessions: it answered with status 500"]
        );
        logouts.went_well(&grafana);
        assert!(logouts.troubles().is_empty());
    }
}
