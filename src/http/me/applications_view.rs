//! The view of `/me/applications`: each application, its sign-ins that still count, what it was allowed.
//! In: rows. Out: `ApplicationsView`, a template.
//! Implements DESIGN §10 (consent).
//! Never says that an application forgot anybody: what it keeps itself is its own.

use askama::Template;

use crate::app::consent::OwnApplication;
use crate::app::use_session::SignedIn;
use crate::domain::oauth::authorize::words::gets;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, visible};

/// A sign-in that still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInItem {
    at: Moment,
    device: Option<Visible>,
    offline: bool,
    on_device: bool,
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationItem {
    client: String,
    name: Visible,
    sign_ins: Vec<SignInItem>,
    allowed: Vec<Visible>,
    remembered: bool,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "me/applications.html")]
pub struct ApplicationsView {
    host: String,
    now: String,
    here: &'static str,
    sees_admin: bool,
    name: Visible,
    applications: Vec<ApplicationItem>,
}

fn item(one: &OwnApplication, now: Timestamp) -> ApplicationItem {
    let allowed = one.allowed.as_ref().map(gets).unwrap_or_default();
    ApplicationItem {
        client: one.client.to_string(),
        name: visible(&one.name),
        sign_ins: one
            .sign_ins
            .iter()
            .map(|sign_in| SignInItem {
                at: Moment::new(sign_in.at, now),
                device: sign_in.device.as_deref().map(visible),
                offline: sign_in.offline,
                on_device: sign_in.on_device,
            })
            .collect(),
        allowed: allowed.iter().map(|one| visible(one.words.unwrap_or(&one.scope))).collect(),
        remembered: one.allowed.is_some(),
    }
}

/// The view of a person's applications.
#[must_use]
pub fn applications_view(host: &str, me: &SignedIn, list: &[OwnApplication]) -> ApplicationsView {
    ApplicationsView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "applications",
        sees_admin: me.sees_administration(),
        name: visible(&me.person.name),
        applications: list.iter().map(|one| item(one, me.now)).collect(),
    }
}
