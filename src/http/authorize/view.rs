//! What people see of an application's request: the question, the closed door, the fault, the form that goes back.
//! In: where a request stands, who is signed in, a fault, an answer. Out: templates.
//! Implements the screens of `/authorize`.
//! Never shows as ours what an application or its operator wrote: names are isolated, and what was sent is quoted.

use askama::Template;
use url::Url;

use crate::app::authorize::{Looked, Response};
use crate::app::use_session::SignedIn;
use crate::domain::oauth::authorize::words::gets;
use crate::domain::oauth::client::{Client, Consent};
use crate::domain::oauth::scope::Scopes;
use crate::domain::rules::Refusal;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Piece, Visible, pieces, visible};

/// Most characters of a parameter that are quoted.
const QUOTED: usize = 200;

/// Something that an application gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetsItem {
    /// In words, where there are some.
    pub words: Option<&'static str>,
    /// As it is spelled.
    pub scope: Visible,
}

/// The question whether a person agrees.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "authorize/consent.html")]
pub struct ConsentView {
    host: String,
    now: String,
    id: String,
    application: Visible,
    logo: Option<String>,
    goes_to: Visible,
    person: Visible,
    gets: Vec<GetsItem>,
    resources: Vec<Visible>,
    remembered: bool,
}

/// The page for whoever may not sign in to an application.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "authorize/outside.html")]
pub struct OutsideView {
    host: String,
    now: String,
    id: String,
    application: Visible,
    logo: Option<String>,
    person: Visible,
    contact: Option<Visible>,
}

/// The page for a request that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "authorize/refused.html")]
pub struct RefusedView {
    host: String,
    application: Option<Visible>,
    parameter: &'static str,
    sent: Option<Visible>,
    what: Vec<Piece>,
    cure: Vec<Piece>,
    error: &'static str,
    code: &'static str,
    call_id: String,
    at: Moment,
}

/// The form that takes an answer to an application.
#[derive(Clone, PartialEq, Eq, Template)]
#[template(path = "authorize/post.html")]
pub struct PostView {
    host: String,
    now: String,
    application: Visible,
    action: String,
    members: Vec<(&'static str, String)>,
}

impl PostView {
    /// Where the form goes.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }
}

/// The address of an application's picture, where it has one.
#[must_use]
pub fn logo_of(client: &Client) -> Option<String> {
    client.logo.as_ref().map(|_| format!("/applications/{}/logo", client.id))
}

/// Where an answer goes, in words.
fn goes_to(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else { return uri.to_owned() };
    match (url.scheme(), url.host_str()) {
        ("https", Some(host)) => host.to_owned(),
        ("http", Some(_)) => "a program on this computer".to_owned(),
        (scheme, _) => format!("the app on this device that takes {scheme}"),
    }
}

/// What an application gets, as pages list it.
#[must_use]
pub fn gets_items(scopes: &Scopes) -> Vec<GetsItem> {
    gets(scopes).into_iter().map(|one| GetsItem { words: one.words, scope: visible(&one.scope) }).collect()
}

/// The view of the question.
#[must_use]
pub fn consent_view((host, id): (&str, &str), looked: &Looked, me: &SignedIn, scopes: &Scopes) -> ConsentView {
    let Looked { request, client, now, .. } = looked;
    ConsentView {
        host: host.to_owned(),
        now: now.to_string(),
        id: id.to_owned(),
        application: visible(&client.name),
        logo: logo_of(client),
        goes_to: visible(&goes_to(&request.redirect_uri)),
        person: visible(&me.person.name),
        gets: gets_items(scopes),
        resources: request.resources.iter().map(|one| visible(one.as_str())).collect(),
        remembered: client.consent == Consent::Once && !client.asks_each_time(&request.redirect_uri),
    }
}

/// The view for whoever is in none of the groups.
#[must_use]
pub fn outside_view((host, id): (&str, &str), looked: &Looked, me: &SignedIn, contact: Option<&str>) -> OutsideView {
    OutsideView {
        host: host.to_owned(),
        now: looked.now.to_string(),
        id: id.to_owned(),
        application: visible(&looked.client.name),
        logo: logo_of(&looked.client),
        person: visible(&me.person.name),
        contact: contact.map(visible),
    }
}

/// What the page for a fault is made from.
pub struct RefusedInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// The application, where it is one.
    pub application: Option<&'a str>,
    /// The parameter at fault.
    pub parameter: &'static str,
    /// What was sent in it.
    pub sent: Option<&'a str>,
    /// What is wrong.
    pub refusal: &'a Refusal,
    /// The call's id.
    pub call_id: &'a str,
    /// The time of the answer.
    pub now: Timestamp,
}

/// A message of ours (lower-case start, no full stop) as a sentence; what it names in backticks stays as it is.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// The view of a fault.
#[must_use]
pub fn refused_view(input: &RefusedInput<'_>) -> RefusedView {
    let RefusedInput { refusal, .. } = input;
    let cure = refusal.hint.as_deref().unwrap_or_else(|| refusal.code.cure());
    RefusedView {
        host: input.host.to_owned(),
        application: input.application.map(visible),
        parameter: input.parameter,
        sent: input.sent.map(|sent| visible(&sent.chars().take(QUOTED).collect::<String>())),
        what: pieces(&sentence(&refusal.description)),
        cure: pieces(&sentence(cure)),
        error: refusal.code.oauth().as_str(),
        code: refusal.code.as_str(),
        call_id: input.call_id.to_owned(),
        at: Moment::new(input.now, input.now),
    }
}

/// The view of a form that goes back.
#[must_use]
pub fn post_view(host: &str, response: &Response, now: Timestamp) -> PostView {
    PostView {
        host: host.to_owned(),
        now: now.to_string(),
        application: visible(&response.name),
        action: response.back.redirect_uri.clone(),
        members: response.members.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::oauth::error_code::ErrorCode;

    #[test]
    fn a_place_is_named_as_people_know_it() {
        assert_eq!(goes_to("https://grafana.example.com:8443/cb?x=1"), "grafana.example.com");
        assert_eq!(goes_to("http://127.0.0.1:49152/cb"), "a program on this computer");
        assert_eq!(goes_to("com.example.app:/cb"), "the app on this device that takes com.example.app");
    }

    #[test]
    fn attack_074_what_an_application_sends_is_text() {
        let refusal = Refusal::new(ErrorCode::RedirectUriUnknown, "`redirect_uri` is none of <its>");
        let view = refused_view(&RefusedInput {
            host: "h",
            application: Some("Grafana\u{202e}<i>"),
            parameter: "redirect_uri",
            sent: Some("javascript:alert(1)//<script>\u{202e}"),
            refusal: &refusal,
            call_id: "01",
            now: Timestamp::from_seconds(1_795_430_400),
        });
        let html = view.render().unwrap();
        for wrong in ["<script>\\u", "<i>", "<its>", "\u{202e}", "href=\"javascript"] {
            assert!(!html.contains(wrong), "{wrong}: {html}");
        }
        assert!(html.contains("redirect_uri") && html.contains("Grafana\\u{202e}&#60;i&#62;"), "{html}");
    }
}
