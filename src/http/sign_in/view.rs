//! The sign-in page's view: to what, why again, whom to ask when a key is lost.
//! In: who is signed in already, where to go next, the configuration's contact. Out: `SignInView`, a template.
//! Implements the screen of `/sign-in`.
//! Never has a field for a password.

use std::time::Duration;

use askama::Template;

use crate::app::authorize::Looked;
use crate::domain::oauth::authorize::interaction::{Interaction, SignInReason, StepUpReason};
use crate::domain::time::humane;
use crate::http::authorize::view::logo_of;
use crate::http::page::{Visible, visible};

/// The application that a person signs in to.
pub struct ForApplication<'a> {
    /// The id of its request.
    pub id: &'a str,
    /// Its request, and where that stands.
    pub looked: &'a Looked,
}

/// What the page is made from.
pub struct SignInInput<'a> {
    /// Our host, as people see it in the address bar.
    pub host: &'a str,
    /// Who is signed in already and must touch a key once more.
    pub again: Option<&'a str>,
    /// Where to go afterwards: a path of ours.
    pub next: &'a str,
    /// The application, where it is not for ourselves.
    pub application: Option<ForApplication<'a>>,
    /// Whom to ask when a key is lost.
    pub contact: Option<&'a str>,
    /// The time of this answer, for the script.
    pub now: crate::domain::time::Timestamp,
}

/// The application, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationItem {
    id: String,
    name: Visible,
    logo: Option<String>,
    why: Vec<Visible>,
}

/// Why a sign-in is wanted, in words; what they name is shown as it is everywhere.
fn why(looked: &Looked) -> Vec<Visible> {
    let name = &looked.client.name;
    let Some(me) = &looked.who else { return Vec::new() };
    let signed_in = format!("You are signed in as {}.", me.person.name);
    let with = format!("You signed in with {}.", me.passkey.name);
    let ago = || format!("You signed in {} ago.", humane(looked.now.since(me.session.times.started)));
    let words = match &looked.next {
        Interaction::SignIn(SignInReason::Asked) => [format!("{name} asks you to sign in once more."), signed_in],
        Interaction::SignIn(SignInReason::WhoIsMeant) => [format!("{name} asks who you are."), signed_in],
        Interaction::SignIn(SignInReason::TooOld) => {
            let age = looked.request.max_age.unwrap_or_default();
            let fresh = match age {
                0 => format!("{name} asks for a new sign-in."),
                age => format!("{name} asks for a sign-in that is younger than {}.", humane(Duration::from_secs(age))),
            };
            [fresh, ago()]
        }
        Interaction::SignIn(SignInReason::SomebodyElse) => [format!("{name} expects somebody else."), signed_in],
        Interaction::StepUp(StepUpReason::Level(_)) => [format!("{name} asks for a hardware key."), with],
        Interaction::StepUp(StepUpReason::Device(miss)) => {
            let wanted = miss.cure.strip_prefix("use ").unwrap_or(&miss.cure);
            let missed = format!("You signed in with {}: {}.", me.passkey.name, miss.what);
            [format!("{name} asks for {wanted}."), missed]
        }
        Interaction::Outside => [format!("{name} is not open to everybody."), signed_in],
        _ => return Vec::new(),
    };
    words.iter().map(|sentence| visible(sentence)).collect()
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "sign_in/page.html")]
pub struct SignInView {
    host: String,
    now: String,
    again: Option<Visible>,
    next: String,
    application: Option<ApplicationItem>,
    user: String,
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
        application: input.application.as_ref().map(|one| ApplicationItem {
            id: one.id.to_owned(),
            name: visible(&one.looked.client.name),
            logo: logo_of(&one.looked.client),
            why: why(one.looked),
        }),
        user: input.application.as_ref().and_then(|one| one.looked.request.login_hint.clone()).unwrap_or_default(),
        contact: input.contact.map(visible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_no_password_and_says_whom_to_ask() {
        let now = crate::domain::time::Timestamp::from_seconds(1_795_430_400);
        let input =
            SignInInput { host: "h", again: None, next: "/", application: None, contact: Some("#platform <b>"), now };
        let html = sign_in_view(&input).render().unwrap();
        assert!(!html.contains("type=\"password\"") && !html.contains("current-password"));
        assert!(html.contains("#platform &#60;b&#62;") && html.contains("Nobody will ask you for a code."));
        let html = sign_in_view(&SignInInput { again: Some("Ada\u{202e}"), contact: None, ..input }).render().unwrap();
        assert!(html.contains("Ada\\u{202e}") && html.contains("Ask an admin."));
    }
}
