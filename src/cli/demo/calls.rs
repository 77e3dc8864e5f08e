//! The demo's calls: what a job and a browser send, over the same HTTP endpoints as everybody's.
//! In: a server's URL. Out: JSON answers.
//! Implements RFC 8693 §2.1 and the pages' calls.
//! Never a shortcut past the server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::demo::authenticator::SoftAuthenticator;
use crate::domain::oauth::exchange::{GRANT_TYPE, TYPE_ID_TOKEN, TYPE_JWT};

/// Longest time for an answer; longer than a call is held.
const ANSWER: Duration = Duration::from_secs(70);

/// Calls one server.
#[derive(Clone)]
pub struct Calls {
    agent: ureq::Agent,
    url: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` where it is not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// A text member.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// One call of the token endpoint.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    /// The job token.
    pub token: &'a str,
    /// What is asked for.
    pub audiences: &'a [&'a str],
    /// `Idempotency-Key`.
    pub collector: Option<&'a str>,
    /// `Prefer: wait`.
    pub wait: bool,
}

impl Calls {
    /// Calls the server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(ANSWER))
            .build();
        Self { agent: config.new_agent(), url: url.to_owned() }
    }

    /// `GET`.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn get(&self, path: &str) -> Result<Reply, String> {
        read(self.agent.get(format!("{}{path}", self.url)).call())
    }

    /// A page's `POST`.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply, String> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header("origin", &self.url)
            .header("sec-fetch-site", "same-origin");
        read(request.send(body.to_string()))
    }

    /// `POST /token`.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn exchange(&self, call: &Exchange<'_>) -> Result<Reply, String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT_TYPE)
            .append_pair("subject_token_type", TYPE_ID_TOKEN)
            .append_pair("requested_token_type", TYPE_JWT)
            .append_pair("subject_token", call.token);
        for audience in call.audiences {
            form.append_pair("audience", audience);
        }
        let mut request =
            self.agent.post(format!("{}/token", self.url)).header("content-type", "application/x-www-form-urlencoded");
        if let Some(collector) = call.collector {
            request = request.header("idempotency-key", collector);
        }
        if call.wait {
            request = request.header("prefer", "wait=50");
        }
        read(request.send(form.finish()))
    }

    /// Makes a passkey at an enrolment link, as a browser would.
    ///
    /// # Errors
    /// The server or the authenticator refuses.
    pub fn enrol(&self, link: &str, authenticator: &mut SoftAuthenticator) -> Result<Reply, String> {
        let path = link.strip_prefix(&self.url).unwrap_or(link);
        let page = self.get(path)?;
        if page.status != 200 {
            return Err(format!("the enrolment page answers {}", page.status));
        }
        let options = self.post(&format!("{path}/options"), &json!({}))?;
        let response = authenticator.create(&json!({ "publicKey": options.body.get("publicKey") }))?;
        let body = json!({ "ceremony": options.text("ceremony"), "response": response });
        self.post(&format!("{path}/passkey"), &body)
    }

    /// Signs a decision over a request, as a browser would.
    ///
    /// # Errors
    /// The server or the authenticator refuses.
    pub fn decide(&self, id: &str, decision: &Value, authenticator: &mut SoftAuthenticator) -> Result<Reply, String> {
        let options = self.post(&format!("/a/{id}/options"), decision)?;
        if options.status != 200 {
            return Ok(options);
        }
        let response = authenticator.get(&json!({ "publicKey": options.body.get("publicKey") }))?;
        let body = json!({ "ceremony": options.text("ceremony"), "response": response });
        self.post(&format!("/a/{id}/decision"), &body)
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Reply, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Reply { status, body, text })
}
