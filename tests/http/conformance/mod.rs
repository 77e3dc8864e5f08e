//! What the OpenID Foundation's conformance suite looks at in a provider, module by module: `docs/conformance.md` says
//! which test stands for which module.
//! In: requests as the modules make them, with PKCE beside. Out: what reaches the application, and what it gets for it.
//! Implements the client's side of OpenID Connect Core §3.1 and of the OAuth 2.0 Form Post Response Mode.
//! Never takes anything that came another way than the one that was asked for.

pub mod basic;
pub mod configuration;
pub mod logout;

use std::collections::BTreeMap;

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::Wish;
use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::{Client, ClientAuth};
use countersign::domain::oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::support::application::{REDIRECT, Request, VERIFIER, back, named};
use crate::support::clients::{SECRET, basic as by_basic, post};
use crate::support::person::session_of;
use crate::support::{Answer, Person, Server, URL};

/// How answers come: the plans of Basic and of Form Post are the same modules, once each.
const MODES: [&str; 2] = ["query", "form_post"];

/// A client as the suite has it: with a secret, by `Authorization`.
fn confidential(id: &str) -> Client {
    Client {
        auth: ClientAuth::Basic(vec![Digest::of(SECRET.as_bytes())]),
        scopes: Scopes::parse("openid profile email groups offline_access").unwrap(),
        ..named(id, "Grafana")
    }
}

struct Scene {
    server: Server,
    ada: Person,
    session: String,
}

/// Ada is signed in, and has an address.
fn scene(clients: Vec<Client>) -> Scene {
    let server = Server::for_clients(clients);
    let mut ada = Person::enrol(&server, "Ada", &["sre"]);
    let wish = Wish::Email { person: ada.id.clone(), address: "ada@shop.example".to_owned() };
    server.console(ConsoleCommand::Change { wish, propose: false });
    let session = ada.sign_in(&server);
    Scene { server, ada, session }
}

/// A request as the modules begin with.
fn request(client: &str) -> Request {
    Request::of(client).with("scope", "openid")
}

/// What reaches the application, by the way that was asked for.
fn sent(answer: &Answer, mode: &str) -> BTreeMap<String, String> {
    match mode {
        "query" => back(answer),
        "form_post" => posted(answer),
        other => panic!("no way is called `{other}`"),
    }
}

/// The members of the form that the browser posts to the application.
fn posted(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!((answer.status, answer.header("location")), (200, None), "{}", answer.text());
    let page = answer.text();
    let form = page.split_once(&format!("<form method=\"post\" action=\"{REDIRECT}\">"));
    let form = form.unwrap_or_else(|| panic!("no form: {page}")).1.split_once("</form>").unwrap().0;
    let inputs: Vec<_> = form.split("<input type=\"hidden\" name=\"").skip(1).collect();
    let members: BTreeMap<_, _> = inputs
        .iter()
        .map(|input| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            (name.to_owned(), read_back(rest.split_once("\">").unwrap().0))
        })
        .collect();
    assert_eq!(members.len(), inputs.len(), "a member is there twice: {form}");
    assert_eq!(members.get("iss").map(String::as_str), Some(URL), "{form}");
    members
}

/// A value as the browser reads it.
fn read_back(text: &str) -> String {
    let text = text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
    text.replace("&#38;", "&")
}

impl Scene {
    /// Goes to the application by itself, in the session.
    fn go(&self, request: &Request, mode: &str) -> BTreeMap<String, String> {
        sent(&request.clone().with("response_mode", mode).go(&self.server, Some(&self.session)), mode)
    }

    /// Redeems what came back.
    fn redeem(&self, client: &str, members: &BTreeMap<String, String>) -> Answer {
        assert!(members.contains_key("code") && members.len() <= 3, "{members:?}");
        let call = post(&self.server, "/token", &pairs(&members["code"]));
        call.header("authorization", &by_basic(client, SECRET)).send()
    }

    /// The whole way: the answer with the tokens, and the claims of the ID token, which holds.
    fn complete(&self, request: &Request, mode: &str) -> (Answer, Value) {
        self.completed("grafana", &self.go(request, mode))
    }

    /// The second half of it.
    fn completed(&self, client: &str, members: &BTreeMap<String, String>) -> (Answer, Value) {
        let tokens = self.redeem(client, members).expect(200);
        let claims = self.holds(client, &tokens.member("id_token"));
        (tokens, claims)
    }

    /// What the suite asks of every ID token.
    fn holds(&self, client: &str, id_token: &str) -> Value {
        let (keys, _) = KeySet::parse(&self.server.get("/jwks").expect(200).body).unwrap();
        let verified = UnverifiedToken::parse(id_token).unwrap().verify(&keys).unwrap();
        let header = &verified.get().header;
        assert_eq!(header["alg"], "RS256");
        assert!(header["kid"].is_string());
        let claims = Value::Object(verified.get().claims.clone());
        assert_eq!(
            (&claims["iss"], &claims["aud"], &claims["sub"]),
            (&json!(URL), &json!(client), &json!(self.ada.id))
        );
        let number = |name: &str| claims[name].as_i64().unwrap_or_else(|| panic!("no {name}: {claims}"));
        assert_eq!(number("iat"), self.server.now());
        assert!(number("exp") > number("iat") && number("auth_time") <= number("iat"));
        assert!(claims["acr"].as_str().is_some_and(|acr| !acr.is_empty()));
        claims
    }

    /// Ada touches her key once more in the same browser.
    fn sign_in_again(&mut self, waiting: &str) {
        let signed = self.ada.sign_in_answer_for(&self.server, waiting);
        let call = self.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
        self.session = session_of(&call.header("cookie", &self.session).send().expect(200));
    }

    /// Nobody is signed in any more: an application that may not ask is told so.
    fn is_signed_out(&self) {
        let members = self.go(&request("grafana").with("prompt", "none"), "query");
        assert_eq!(members["error"], "login_required");
    }
}

/// What redeems a code.
fn pairs(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", VERIFIER)]
}

/// A state as long as the suite's longest.
fn long_state() -> String {
    "aB3-._~x".repeat(16)
}
