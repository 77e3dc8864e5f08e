//! The sign-in page's view: to what, why again, whom to ask when a key is lost.
//! In: who is signed in already, where to go next, the configuration's contact. Out: `SignInView`, a template.
//! Implements the screen of `/sign-in`.
//! Never has a field for a password.

use askama::Template;

use crate::http::page::{Visible, visible};

/// What the page is made from.
pub struct SignInInput<'a> {
    /// Our host, as people see it in the address bar.
    pub host: &'a str,
    /// Who is signed in already and must touch a key once more.
    pub again: Option<&'a str>,
    /// Where to go afterwards: a path of ours.
    pub next: &'a str,
    /// Whom to ask when a key is lost.
    pub contact: Option<&'a str>,
    /// The time of this answer, for the script.
    pub now: crate::domain::time::Timestamp,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "sign_in/page.html")]
pub struct SignInView {
    host: String,
    now: String,
    again: Option<Visible>,
    next: String,
    contact: Option<Visible>,
}

/// The view of a sign-in.
#[must_use]
pub fn sign_in_view(input: &SignInInput<'_>) -> SignInView {
    SignInView {
        host: input.host.to_owned(),
        now: input.now.to_string(),
        again: input.again.map(visible),
        next: input.next.to_owned(),
        contact: input.contact.map(visible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_no_password_and_says_whom_to_ask() {
        let now = crate::domain::time::Timestamp::from_seconds(1_795_430_400);
        let input = SignInInput { host: "h", again: None, next: "/", contact: Some("#platform <b>"), now };
        let html = sign_in_view(&input).render().unwrap();
        assert!(!html.contains("type=\"password\"") && !html.contains("current-password"));
        assert!(html.contains("#platform &#60;b&#62;") && html.contains("Nobody will ask you for a code."));
        let html = sign_in_view(&SignInInput { again: Some("Ada\u{202e}"), contact: None, ..input }).render().unwrap();
        assert!(html.contains("Ada\\u{202e}") && html.contains("Ask an admin."));
    }
}
