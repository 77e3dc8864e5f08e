//! A device that asks, and the person who types its code: the same calls as theirs.
//! In: a server, a session. Out: codes, answers.
//! Implements the client's side of RFC 8628 and the pages' side of `/device`.
//! Never looks at what the server keeps.

use std::collections::BTreeSet;

use countersign::domain::ids::{Audience, ClientId};
use countersign::domain::oauth::client::{Client, GrantType};
use countersign::domain::oauth::scope::Scopes;
use serde_json::json;

use super::clients::{post, public};
use super::person::{Person, in_session};
use super::server::Server;
use super::wire::Answer;

/// As `grant_type` spells it.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A public client for devices alone.
pub fn tv(id: &str) -> Client {
    Client {
        name: "Build TV".to_owned(),
        redirect_uris: Vec::new(),
        grants: BTreeSet::from([GrantType::DeviceCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile groups offline_access api:read").unwrap(),
        resources: vec![Audience::parse("https://api.example").unwrap()],
        ..public(id)
    }
}

/// What a device got.
#[derive(Debug, Clone)]
pub struct Codes {
    /// With which it comes back.
    pub device: String,
    /// What it shows.
    pub user: String,
}

/// A device of a public client asks.
pub fn ask(server: &Server, client: &str, scope: &str) -> Codes {
    let answer = post(server, "/device_authorization", &[("client_id", client), ("scope", scope)]).send().expect(200);
    Codes { device: answer.member("device_code"), user: answer.member("user_code") }
}

/// It comes back.
pub fn poll(server: &Server, client: &str, device_code: &str) -> Answer {
    let pairs = [("grant_type", GRANT), ("client_id", client), ("device_code", device_code)];
    post(server, "/token", &pairs).send()
}

/// A person types a code.
pub fn find(server: &Server, session: &str, code: &str) -> Answer {
    in_session(server, session, "/device/code", &json!({ "code": code }))
}

/// A person types a good code: the page that it opens.
pub fn page_of(server: &Server, session: &str, code: &str) -> String {
    format!("/device/{}", find(server, session, code).expect(200).member("page"))
}

/// The person touches the key; what the first call refuses is the answer.
pub fn allow(server: &Server, session: &str, page: &str, person: &mut Person) -> Answer {
    let options = in_session(server, session, &format!("{page}/options"), &json!({}));
    if options.status != 200 {
        return options;
    }
    let options = options.json();
    let response = person.authenticator.get(&options).unwrap();
    let body = json!({ "ceremony": options["ceremony"], "response": response });
    in_session(server, session, &format!("{page}/allow"), &body)
}

/// The person will not.
pub fn deny(server: &Server, session: &str, page: &str) -> Answer {
    in_session(server, session, &format!("{page}/deny"), &json!({}))
}

/// From the code to the touch.
pub fn allowed(server: &Server, session: &str, person: &mut Person, scope: &str) -> Codes {
    let codes = ask(server, "tv", scope);
    let page = page_of(server, session, &codes.user);
    allow(server, session, &page, person).expect(200);
    codes
}
