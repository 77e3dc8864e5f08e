//! The view of one client: its settings, who has given it something, and the way to end all of that.
//! In: a client as it is seen. Out: `ClientView`, a template.
//! Implements the screen of `/admin/clients/…`.
//! Never shows what hides, and nothing of a secret.

use askama::Template;

use crate::app::show_client::ClientSeen;
use crate::app::use_session::SignedIn;
use crate::domain::time::humane_seconds;
use crate::http::page::{Moment, Visible, grouped, visible};

use super::clients_view::ClientRow;

/// What somebody gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GrantItem {
    person: String,
    name: Visible,
    at: Moment,
    offline: bool,
    on_device: bool,
    number: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/client.html")]
pub struct ClientView {
    host: String,
    now: String,
    here: &'static str,
    client: ClientRow,
    after: Vec<Visible>,
    told: Option<Visible>,
    lifetimes: String,
    grants: Vec<GrantItem>,
    total: u64,
    more: bool,
    families: u64,
    may_end: bool,
}

/// The view of a client.
#[must_use]
pub fn client_view(host: &str, me: &SignedIn, seen: &ClientSeen) -> ClientView {
    let line = &seen.client;
    let lifetimes = format!(
        "access token {}, refresh token {} at rest, with offline_access {}",
        humane_seconds(line.access_token_lifetime),
        humane_seconds(line.refresh_lifetime),
        humane_seconds(line.offline_lifetime)
    );
    ClientView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "clients",
        client: ClientRow::new(line, seen.now),
        after: line.post_logout_redirect_uris.iter().map(|uri| visible(uri)).collect(),
        told: line.backchannel_logout_uri.as_deref().map(visible),
        lifetimes,
        grants: seen
            .grants
            .iter()
            .map(|grant| GrantItem {
                person: grant.person.to_string(),
                name: visible(&grant.name),
                at: Moment::new(grant.at, seen.now),
                offline: grant.offline,
                on_device: grant.on_device,
                number: grouped(grant.entry),
            })
            .collect(),
        total: seen.total,
        more: seen.total > u64::try_from(seen.grants.len()).unwrap_or(u64::MAX),
        families: seen.families,
        may_end: me.may_propose().is_ok(),
    }
}
