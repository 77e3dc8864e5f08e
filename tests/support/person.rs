//! A person at a browser: enrols a passkey, approves and denies, over the same calls that pages make.
//! In: a name and groups. Out: answers.
//! Implements the pages' side of WebAuthn L3 through the software authenticator.
//! Never uses the application behind the server.

use std::collections::BTreeSet;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::propose_change::Wish;
use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::crypto::random;
use countersign::domain::people::Role;
use serde_json::{Value, json};

use super::server::{Server, URL};
use super::wire::Answer;

/// A person with a passkey.
pub struct Person {
    /// The person's id.
    pub id: String,
    /// The secret of the enrolment link.
    pub link: String,
    /// The cookie of the enrolment session, `name=value`.
    pub cookie: String,
    /// Holds the passkeys.
    pub authenticator: SoftAuthenticator,
}

/// An empty authenticator with a page of ours open.
pub fn authenticator() -> SoftAuthenticator {
    SoftAuthenticator::new(URL, Box::new(|bytes| random::fill(bytes).unwrap()))
}

/// Signs as a page asks: the ceremony and the browser's answer.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The ceremony's id.
    pub ceremony: String,
    /// The browser's answer.
    pub response: Value,
}

impl Signed {
    /// What the page posts.
    pub fn body(&self) -> Value {
        json!({ "ceremony": self.ceremony, "response": self.response })
    }
}

impl Person {
    /// Invites and enrols a person.
    pub fn enrol(server: &Server, name: &str, groups: &[&str]) -> Self {
        let (id, link) = server.invite(name, groups);
        let mut authenticator = authenticator();
        let signed = register(server, &link, &mut authenticator);
        let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { id, link, cookie, authenticator }
    }

    /// A release manager.
    pub fn manager(server: &Server, name: &str) -> Self {
        Self::enrol(server, name, &["release-managers"])
    }

    /// The first admin, with a passkey.
    pub fn first_admin(server: &Server) -> Self {
        let link = super::server::admin_link().rsplit_once('/').unwrap().1.to_owned();
        Self::by_link(server, "Ada Admin", link)
    }

    /// Another admin, by the console's word.
    pub fn admin(server: &Server, name: &str) -> Self {
        let groups = BTreeSet::new();
        let wish = Wish::Invite { name: name.to_owned(), groups, role: Role::Admin };
        match server.console(ConsoleCommand::Change { wish, propose: false }) {
            ConsoleAnswer::Invited { link, .. } => {
                Self::by_link(server, name, link.rsplit_once('/').unwrap().1.to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Somebody who makes a passkey with a link that works.
    pub fn by_link(server: &Server, name: &str, link: String) -> Self {
        let mut authenticator = authenticator();
        let signed = register(server, &link, &mut authenticator);
        let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let ConsoleAnswer::People { people } = server.console(ConsoleCommand::List) else { panic!("no list") };
        let id = people.into_iter().find(|line| line.name == name).unwrap().person.to_string();
        Self { id, link, cookie, authenticator }
    }

    /// Signs a change, or refuses it (`approve`, `deny`).
    pub fn sign_change(&mut self, server: &Server, change: &str, decision: &str) -> Answer {
        let options = server.post_page(&format!("/changes/{change}/options"), &json!({ "decision": decision }));
        if options.status != 200 {
            return options;
        }
        let options = options.json();
        let response = self.authenticator.get(&options).unwrap();
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        server.post_page(&format!("/changes/{change}/signature"), &body)
    }

    /// Touches the key for a decision, and posts nothing yet.
    pub fn sign(&mut self, server: &Server, request: &str, decision: &str) -> Signed {
        self.sign_body(server, request, &json!({ "decision": decision }))
    }

    /// As `sign`, with the body of the first call.
    pub fn sign_body(&mut self, server: &Server, request: &str, body: &Value) -> Signed {
        let options = server.post_page(&format!("/a/{request}/options"), body).expect(200).json();
        let response = self.authenticator.get(&options).unwrap();
        Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response }
    }

    /// Decides; what the first call refuses is the answer.
    pub fn decide(&mut self, server: &Server, request: &str, decision: &str) -> Answer {
        let options = server.post_page(&format!("/a/{request}/options"), &json!({ "decision": decision }));
        if options.status != 200 {
            return options;
        }
        let options = options.json();
        let response = self.authenticator.get(&options).unwrap();
        let signed = Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response };
        decide(server, request, &signed)
    }

    /// Approves; it must count.
    pub fn approve(&mut self, server: &Server, request: &str) -> Answer {
        self.decide(server, request, "approve").expect(200)
    }

    /// Denies; it must count.
    pub fn deny(&mut self, server: &Server, request: &str) -> Answer {
        self.decide(server, request, "deny").expect(200)
    }
}

/// The name of the session's cookie.
pub const SESSION: &str = "__Host-countersign";

/// A session's cookie, `name=value`, as an answer set it.
pub fn session_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.starts_with(SESSION), "{set}");
    set.split(';').next().unwrap().to_owned()
}

impl Person {
    /// Touches the key for a sign-in, and posts nothing yet.
    pub fn sign_in_answer(&mut self, server: &Server) -> Signed {
        let options = server.post_page("/sign-in/options", &json!({})).expect(200).json();
        let response = self.authenticator.get(&options).unwrap();
        Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response }
    }

    /// Touches the key for a sign-in that an application's request waits for (`/authorize/…`), and posts nothing yet.
    pub fn sign_in_answer_for(&mut self, server: &Server, waiting: &str) -> Signed {
        let body = json!({ "for": waiting.rsplit('/').next().unwrap() });
        let options = server.post_page("/sign-in/options", &body).expect(200).json();
        let response = self.authenticator.get(&options).unwrap();
        Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response }
    }

    /// Signs in, in a browser that had no session; its cookie.
    pub fn sign_in(&mut self, server: &Server) -> String {
        let signed = self.sign_in_answer(server);
        session_of(&server.post_page("/sign-in/session", &signed.body()).expect(200))
    }
}

/// A call of a page of ours in a session.
pub fn in_session(server: &Server, session: &str, path: &str, body: &Value) -> Answer {
    server.call("POST", path).of_our_page(body).header("cookie", session).send()
}

/// A page in a session.
pub fn page(server: &Server, session: &str, path: &str) -> Answer {
    server.call("GET", path).header("cookie", session).send()
}

/// Adds another passkey in a session, from another authenticator.
pub fn add_passkey(server: &Server, session: &str, keys: &mut SoftAuthenticator) -> Answer {
    let options = in_session(server, session, "/me/passkeys/options", &json!({}));
    if options.status != 200 {
        return options;
    }
    let options = options.json();
    let body = json!({ "ceremony": options["ceremony"], "response": keys.create(&options).unwrap() });
    in_session(server, session, "/me/passkeys/new", &body)
}

/// Posts a finished signature.
pub fn decide(server: &Server, request: &str, signed: &Signed) -> Answer {
    server.post_page(&format!("/a/{request}/decision"), &signed.body())
}

/// Starts a registration by a link and lets the authenticator answer.
pub fn register(server: &Server, link: &str, authenticator: &mut SoftAuthenticator) -> Signed {
    let options = server.post_page(&format!("/enrol/{link}/options"), &json!({})).expect(200).json();
    let response = authenticator.create(&options).unwrap();
    Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response }
}
