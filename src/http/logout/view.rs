//! The pages of signing out: the one that asks, and the one that says that it is done.
//! In: the client's name, where to go afterwards. Out: templates.
//! Implements OpenID Connect RP-Initiated Logout 1.0 §2 (the person is asked).
//! Never shows an address that is not the asking client's.

use askama::Template;

use crate::domain::time::Timestamp;
use crate::http::page::{Visible, visible};

/// The page that asks.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "logout/ask.html")]
pub struct AskView {
    host: String,
    client: Option<Visible>,
    there: Option<String>,
    now: String,
}

/// The page that says that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "logout/done.html")]
pub struct DoneView {
    host: String,
}

/// The view that asks.
#[must_use]
pub fn ask_view(host: &str, client: Option<&str>, there: Option<&str>, now: Timestamp) -> AskView {
    AskView {
        host: host.to_owned(),
        client: client.map(visible),
        there: there.map(ToOwned::to_owned),
        now: now.to_string(),
    }
}

/// The view that says that it is done.
#[must_use]
pub fn done_view(host: &str) -> DoneView {
    DoneView { host: host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_address_are_escaped() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let html = ask_view("h", Some("<b>\u{202e}"), Some("https://a.example/?x=\"y"), now).render().unwrap();
        assert!(html.contains("&#60;b&#62;\\u{202e}") && html.contains("?x=&#34;y"), "{html}");
        assert!(ask_view("h", None, None, now).render().unwrap().contains("Sign out of Countersign?"));
    }
}
