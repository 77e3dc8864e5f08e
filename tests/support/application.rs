//! An application that people sign in to, as far as its browser goes: requests, and the answers that come back.
//! In: a server, a session, parameters. Out: what the browser was shown, or what it took back to the application.
//! Implements the client's side of RFC 6749 §4.1 and RFC 9207.
//! Never follows a redirect away from the server.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::ids::{Audience, ClientId};
use countersign::domain::oauth::client::{Client, GrantType, ResponseMode};
use countersign::domain::oauth::scope::Scopes;
use serde_json::json;

use super::server::{Server, URL};
use super::wire::{Answer, Call};

/// Grafana's only redirect URI.
pub const REDIRECT: &str = "https://grafana.example.com/login/generic_oauth";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Its S256.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A public client that asks nobody and takes everybody.
pub fn grafana() -> Client {
    Client {
        redirect_uris: vec![REDIRECT.to_owned()],
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile groups offline_access").unwrap(),
        resources: vec![Audience::parse("https://api.example.com").unwrap()],
        response_modes: BTreeSet::from([ResponseMode::Query, ResponseMode::FormPost]),
        ..Client::plain(ClientId::parse("grafana").unwrap(), "Grafana".to_owned())
    }
}

/// Another public client.
pub fn named(id: &str, name: &str) -> Client {
    Client { id: ClientId::parse(id).unwrap(), name: name.to_owned(), ..grafana() }
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request(Vec<(String, String)>);

impl Request {
    /// A good one of Grafana's.
    pub fn good() -> Self {
        Self::of("grafana")
    }

    /// A good one of a client.
    pub fn of(client: &str) -> Self {
        let pairs = [
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid groups"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "s-1"),
            ("nonce", "n-1"),
        ];
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
    }

    /// With a value in place of every other.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).also(name, value)
    }

    /// With one more value.
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// With its parameters the other way round.
    pub fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }

    /// As a form.
    pub fn form(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// As a path.
    pub fn path(&self) -> String {
        format!("/authorize?{}", self.form())
    }

    /// Brings it, without going on.
    pub fn bring(&self, server: &Server) -> Answer {
        server.get(&self.path())
    }

    /// Brings a good one; where it waits, `/authorize/…`.
    pub fn waits(&self, server: &Server) -> String {
        let answer = self.bring(server).expect(303);
        let path = answer.header("location").unwrap().to_owned();
        assert!(path.starts_with("/authorize/"), "{path}");
        path
    }

    /// Brings it in a browser, and goes as far as that goes by itself.
    pub fn go(&self, server: &Server, session: Option<&str>) -> Answer {
        follow(server, session, self.bring(server))
    }
}

/// A call with a session's cookie, where there is one.
pub fn with_session(call: Call, session: Option<&str>) -> Call {
    match session {
        Some(session) => call.header("cookie", session),
        None => call,
    }
}

/// Follows the server's own redirects to what is shown, or to what leaves the server.
pub fn follow(server: &Server, session: Option<&str>, mut answer: Answer) -> Answer {
    for _ in 0..5 {
        match answer.header("location") {
            Some(path) if path.starts_with('/') => {
                let path = path.to_owned();
                answer = with_session(server.call("GET", &path), session).send();
            }
            _ => return answer,
        }
    }
    panic!("it goes round in circles: {answer:?}");
}

/// Opens a page in a session, and goes as far as that goes by itself.
pub fn open(server: &Server, session: Option<&str>, path: &str) -> Answer {
    follow(server, session, with_session(server.call("GET", path), session).send())
}

/// What the application gets, by a redirect to its own address.
pub fn back(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.header("location").unwrap();
    let query = location.strip_prefix(REDIRECT).and_then(|rest| rest.strip_prefix('?'));
    let query = query.unwrap_or_else(|| panic!("it goes to {location}"));
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let members: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(members.len(), pairs.len(), "a member is there twice: {location}");
    assert_eq!(members.get("iss").map(String::as_str), Some(URL), "{location}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    members
}

/// The code that the application gets.
pub fn code(answer: &Answer) -> String {
    let members = back(answer);
    assert_eq!(members.get("state").map(String::as_str), Some("s-1"), "{members:?}");
    assert!(members.len() == 3, "{members:?}");
    members["code"].clone()
}

/// The error that the application gets.
pub fn error(answer: &Answer) -> String {
    let members = back(answer);
    assert!(!members.contains_key("code") && members.contains_key("error_description"), "{members:?}");
    members["error"].clone()
}

/// Says something on an application's page: `consent` or `cancel`.
pub fn say(server: &Server, session: Option<&str>, waiting: &str, what: &str) -> Answer {
    with_session(server.call("POST", &format!("{waiting}/{what}")).of_our_page(&json!({})), session).send()
}
