//! The view of the server's health.
//! In: what was found. Out: `HealthView`, a template.
//! Implements the screen of `/admin`.
//! Never decides who may see it.

use askama::Template;

use crate::app::use_session::SignedIn;

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/health.html")]
pub struct HealthView {
    host: String,
    now: String,
    here: &'static str,
}

/// The view of the server's health.
#[must_use]
pub fn health_view(host: &str, me: &SignedIn) -> HealthView {
    HealthView { host: host.to_owned(), now: me.now.to_string(), here: "health" }
}
