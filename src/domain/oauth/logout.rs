//! Signing out at a client's wish: what it asks, and whether the person must be asked first.
//! In: parameters, an ID token of ours that was verified, who is signed in here. Out: what to do, and where to go afterwards.
//! Implements OpenID Connect RP-Initiated Logout 1.0 §2, §3, OpenID Connect Back-Channel Logout 1.0 §2.4, ATTACKS 75.
//! Never sends anybody to a URI that its client has not registered.

use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use crate::domain::ids::{ClientId, PersonId, SessionId};
use crate::domain::rules::Refusal;
use crate::domain::time::{Timestamp, fivefold};

use super::client::Client;
use super::error_code::ErrorCode;
use super::form::Form;

/// Longest `id_token_hint`, in bytes.
pub const MAX_ID_TOKEN_HINT: usize = 16 * 1024;
/// Longest `state` that is given back after signing out, in bytes.
pub const MAX_LOGOUT_STATE: usize = 2 * 1024;
/// How often a client is told that a session ended before it is given up.
pub const LOGOUT_ATTEMPTS: u32 = 8;
/// Pause after the first failure; each further one is five times as long.
pub const LOGOUT_FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
pub const LOGOUT_LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// How long a logout token lives: long enough for one delivery.
pub const LOGOUT_TOKEN: Duration = Duration::from_mins(2);

/// The member of `events` that says what a logout token is (Back-Channel Logout 1.0 §2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a client, or the person themselves, asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogoutRequest {
    /// An ID token of ours, unverified.
    pub id_token_hint: Option<IdTokenHint>,
    /// Whose wish it is.
    pub client: Option<ClientId>,
    /// Where the person is sent afterwards.
    pub redirect_uri: Option<String>,
    /// What is given back there.
    pub state: Option<String>,
}

/// An ID token as a hint: it tells who somebody is, so that diagnostics never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdTokenHint(String);

impl IdTokenHint {
    /// The token, for verifying it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for IdTokenHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdTokenHint(redacted)")
    }
}

/// What a verified ID token says: the signature is ours; that it is past its end means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintedSession {
    /// Whose it is.
    pub person: PersonId,
    /// For whom it was made.
    pub client: ClientId,
    /// The session.
    pub sid: SessionId,
}

/// Who is signed in in this browser.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// Who.
    pub person: &'a PersonId,
    /// In which session.
    pub sid: &'a SessionId,
}

/// Where to go afterwards, proven to be the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Afterwards(Url);

impl Afterwards {
    /// The address, with `state` where it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// The session ends at once: its own client asks, with a token of this very session.
    End(Option<Afterwards>),
    /// The person is asked first.
    Ask(Option<Afterwards>),
    /// Nobody is signed in here.
    Over(Option<Afterwards>),
}

/// Reads the parameters, of a query or a form alike.
///
/// # Errors
/// The first fault, with its code.
pub fn parse(parameters: &[u8]) -> Result<LogoutRequest, Refusal> {
    let form = Form::read(parameters)?;
    let bounded = |name: &str, most: usize| match form.get(name) {
        Some(value) if value.len() > most => {
            Err(Refusal::new(ErrorCode::ParameterInvalid, format!("`{name}` is longer than {most} bytes")))
        }
        value => Ok(value.map(ToOwned::to_owned)),
    };
    let client = form.get("client_id").map(ClientId::parse).transpose();
    Ok(LogoutRequest {
        id_token_hint: bounded("id_token_hint", MAX_ID_TOKEN_HINT)?.map(IdTokenHint),
        client: client.map_err(|_| Refusal::new(ErrorCode::ParameterInvalid, "`client_id` is no client's id"))?,
        redirect_uri: form.get("post_logout_redirect_uri").map(ToOwned::to_owned),
        state: bounded("state", MAX_LOGOUT_STATE)?,
    })
}

/// Whose wish it is: the hint's client, or the one that is named; both must be the same.
///
/// # Errors
/// They are not.
pub fn asking<'a>(
    request: &'a LogoutRequest,
    hinted: Option<&'a HintedSession>,
) -> Result<Option<&'a ClientId>, Refusal> {
    match (hinted.map(|hinted| &hinted.client), request.client.as_ref()) {
        (Some(hinted), Some(named)) if hinted != named => Err(Refusal::new(
            ErrorCode::ParameterInvalid,
            "`client_id` is not the application for which the `id_token_hint` was made",
        )),
        (hinted, named) => Ok(hinted.or(named)),
    }
}

/// What to do. Only a token of the very session that lives here stands in for the person's word: whoever can make a
/// browser open a page could else sign people out.
///
/// # Errors
/// A URI that the asking client has not registered, or that is given in the name of a client that is none.
pub fn course(
    request: &LogoutRequest,
    client: Option<&Client>,
    hinted: Option<&HintedSession>,
    here: Option<Here<'_>>,
) -> Result<Course, Refusal> {
    let afterwards = afterwards(request, client)?;
    Ok(match (here, hinted) {
        (None, _) => Course::Over(afterwards),
        (Some(here), Some(hinted)) if hinted.person == *here.person && hinted.sid == *here.sid => {
            Course::End(afterwards)
        }
        (Some(_), _) => Course::Ask(afterwards),
    })
}

fn afterwards(request: &LogoutRequest, client: Option<&Client>) -> Result<Option<Afterwards>, Refusal> {
    let Some(wanted) = &request.redirect_uri else { return Ok(None) };
    let Some(client) = client else {
        // Some applications say where to go and not who they are. Nobody can be sent back there; that is no reason to keep
        // their person signed in.
        if request.client.is_none() && request.id_token_hint.is_none() {
            return Ok(None);
        }
        let text = "`post_logout_redirect_uri` is given for an application that is not known, or with an `id_token_hint` that is none of ours";
        return Err(Refusal::new(ErrorCode::ParameterInvalid, text));
    };
    let registered = client.post_logout_redirect_uris.iter().any(|uri| uri == wanted);
    let parsed = Url::parse(wanted).ok().filter(|_| registered);
    let Some(mut url) = parsed else {
        let text = format!("`post_logout_redirect_uri` is none that {} has registered", client.name);
        return Err(Refusal::new(ErrorCode::ParameterInvalid, text));
    };
    if let Some(state) = &request.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(Some(Afterwards(url)))
}

/// The claims of a logout token (Back-Channel Logout 1.0 §2.4): never a `nonce`, so that it is nowhere an ID token.
#[must_use]
pub fn token_claims(issuer: &str, told: &LogoutNotice, jti: &str, now: Timestamp) -> Map<String, Value> {
    let claims = json!({
        "iss": issuer,
        "sub": told.person,
        "aud": told.client,
        "iat": now.seconds(),
        "exp": (now + LOGOUT_TOKEN).seconds(),
        "jti": jti,
        "sid": told.sid,
        "events": { EVENT: {} },
    });
    match claims {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// That a session ended, for a client which is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// Whom.
    pub client: ClientId,
    /// Whose session.
    pub person: PersonId,
    /// Which.
    pub sid: SessionId,
}

/// When a client that could not be told is tried again, after so many tries; `None` where it is given up.
#[must_use]
pub fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    let failures = usize::try_from(tries).unwrap_or(usize::MAX);
    (tries < LOGOUT_ATTEMPTS).then(|| now + fivefold(LOGOUT_FIRST_PAUSE, failures, LOGOUT_LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERED: &str = "https://grafana.example.com/signed-out";

    fn grafana() -> Client {
        Client::plain(ClientId::parse("grafana").unwrap(), "Grafana".to_owned())
    }

    fn person(letter: &str) -> PersonId {
        PersonId::parse(&format!("p{}", letter.repeat(16))).unwrap()
    }

    fn hinted() -> HintedSession {
        HintedSession { person: person("a"), client: grafana().id, sid: SessionId::from_random([1; 16]) }
    }

    fn client() -> Client {
        Client { post_logout_redirect_uris: vec![REGISTERED.to_owned()], ..grafana() }
    }

    fn wish(uri: Option<&str>) -> LogoutRequest {
        LogoutRequest { redirect_uri: uri.map(ToOwned::to_owned), ..LogoutRequest::default() }
    }

    #[test]
    fn attack_075_only_a_token_of_this_very_session_ends_it_without_a_word() {
        let (mine, sid) = (person("a"), SessionId::from_random([1; 16]));
        let here = Here { person: &mine, sid: &sid };
        let course = |hinted: Option<&HintedSession>, here| course(&wish(None), Some(&client()), hinted, here).unwrap();
        assert_eq!(course(Some(&hinted()), Some(here)), Course::End(None));
        assert_eq!(course(None, Some(here)), Course::Ask(None));
        let other_session = HintedSession { sid: SessionId::from_random([2; 16]), ..hinted() };
        assert_eq!(course(Some(&other_session), Some(here)), Course::Ask(None));
        let somebody_else = HintedSession { person: person("b"), ..hinted() };
        assert_eq!(course(Some(&somebody_else), Some(here)), Course::Ask(None));
        assert_eq!(course(Some(&hinted()), None), Course::Over(None));
    }

    #[test]
    fn attack_075_nobody_is_sent_where_the_client_has_not_registered() {
        let go = |uri: &str, client: Option<&Client>| course(&wish(Some(uri)), client, None, None);
        let Ok(Course::Over(Some(there))) = go(REGISTERED, Some(&client())) else { panic!("it is registered") };
        assert_eq!(there.as_str(), REGISTERED);
        for wrong in [
            "https://evil.example/",
            "https://grafana.example.com/signed-out/",
            "https://grafana.example.com/signed-out?x=1",
            "https://grafana.example.com/SIGNED-OUT",
            "https://grafana.example.com:443/signed-out",
            "//grafana.example.com/signed-out",
            "javascript:alert(1)",
        ] {
            assert_eq!(go(wrong, Some(&client())).unwrap_err().code, ErrorCode::ParameterInvalid, "{wrong}");
        }
        let named = LogoutRequest { client: Some(ClientId::parse("nobody").unwrap()), ..wish(Some(REGISTERED)) };
        assert!(course(&named, None, None, None).is_err(), "a URI of nobody");
        let hint = LogoutRequest { id_token_hint: Some(IdTokenHint("x".to_owned())), ..wish(Some(REGISTERED)) };
        assert!(course(&hint, None, None, None).is_err(), "a hint that is none");
        for uri in [REGISTERED, "https://evil.example/", "javascript:alert(1)"] {
            assert_eq!(go(uri, None), Ok(Course::Over(None)), "whoever does not say who they are is sent nowhere");
        }
        assert!(go(REGISTERED, Some(&grafana())).is_err(), "it has registered none");
    }

    #[test]
    fn the_state_comes_back() {
        let request = LogoutRequest { state: Some("a b&c".to_owned()), ..wish(Some(REGISTERED)) };
        let Ok(Course::Over(Some(there))) = course(&request, Some(&client()), None, None) else { panic!() };
        assert_eq!(there.as_str(), "https://grafana.example.com/signed-out?state=a+b%26c");
    }

    #[test]
    fn a_hint_and_a_client_id_name_one_client() {
        let read = |text: &str| parse(text.as_bytes());
        let other = read("client_id=other").unwrap();
        assert!(asking(&other, Some(&hinted())).is_err());
        assert_eq!(asking(&other, None).unwrap().map(ClientId::as_str), Some("other"));
        assert_eq!(asking(&LogoutRequest::default(), Some(&hinted())).unwrap(), Some(&grafana().id));
        assert_eq!(asking(&LogoutRequest::default(), None).unwrap(), None);
    }

    #[test]
    fn parameters_are_bounded_and_occur_once() {
        let code = |text: &str| parse(text.as_bytes()).unwrap_err().code;
        assert_eq!(code("state=a&state=b"), ErrorCode::ParameterRepeated);
        assert_eq!(code("client_id=a%20b"), ErrorCode::ParameterInvalid);
        assert_eq!(code(&format!("state={}", "a".repeat(MAX_LOGOUT_STATE + 1))), ErrorCode::ParameterInvalid);
        let hint = |bytes: usize| format!("id_token_hint={}", "a".repeat(bytes));
        assert_eq!(code(&hint(MAX_ID_TOKEN_HINT + 1)), ErrorCode::ParameterInvalid);
        let read = parse(hint(MAX_ID_TOKEN_HINT).as_bytes()).unwrap();
        assert!(!format!("{read:?}").contains("aaa"));
        assert_eq!(parse(b"").unwrap(), LogoutRequest::default());
    }

    #[test]
    fn a_logout_token_says_what_it_is_and_has_no_nonce() {
        let told = LogoutNotice { client: grafana().id, person: person("a"), sid: SessionId::from_random([1; 16]) };
        let now = Timestamp::from_seconds(1_795_430_400);
        let claims = token_claims("https://sign.example.com", &told, "j", now);
        assert_eq!(claims["events"][EVENT], json!({}));
        assert_eq!(claims["aud"], json!("grafana"));
        assert!(!claims.contains_key("nonce"));
        assert_eq!(claims["exp"], json!(now.seconds() + 120));
    }

    #[test]
    fn a_client_is_tried_again_ever_later_and_not_for_ever() {
        let now = Timestamp::from_seconds(0);
        let pauses: Vec<u64> =
            (1..=LOGOUT_ATTEMPTS).map_while(|tries| next_try(tries, now)).map(|at| at.since(now).as_secs()).collect();
        assert_eq!(pauses, [1, 5, 25, 125, 600, 600, 600]);
        assert_eq!(next_try(LOGOUT_ATTEMPTS, now), None);
    }
}
