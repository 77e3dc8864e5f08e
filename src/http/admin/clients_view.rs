//! The view of the clients: what each may, and when it last had a token.
//! In: clients. Out: `ClientsView`, a template.
//! Implements the screen of `/admin/clients`.
//! Never shows what hides, and nothing of a secret.

use askama::Template;

use crate::app::list_clients::ClientLine;
use crate::app::use_session::SignedIn;
use crate::domain::ids::Audience;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, visible};

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientRow {
    pub(super) id: String,
    pub(super) name: Visible,
    pub(super) auth: String,
    pub(super) two_secrets: bool,
    pub(super) grants: String,
    pub(super) scopes: String,
    pub(super) redirect_uris: Vec<Visible>,
    pub(super) resources: Vec<Visible>,
    pub(super) serves: Vec<Visible>,
    pub(super) admits: Visible,
    pub(super) demands: Visible,
    pub(super) particulars: String,
    pub(super) alg: String,
    pub(super) last_used: Option<Moment>,
}

impl ClientRow {
    pub(super) fn new(line: &ClientLine, now: Timestamp) -> Self {
        let audiences = |list: &[Audience]| list.iter().map(|one| visible(one.as_str())).collect();
        Self {
            id: line.id.to_string(),
            name: visible(&line.name),
            auth: line.auth.clone(),
            two_secrets: line.secrets > 1,
            grants: line.grants.join(", "),
            scopes: line.scopes.clone(),
            redirect_uris: line.redirect_uris.iter().map(|uri| visible(uri)).collect(),
            resources: audiences(&line.resources),
            serves: audiences(&line.serves),
            admits: visible(&line.admits()),
            demands: visible(&line.demands()),
            particulars: line.particulars().join(", "),
            alg: line.alg.clone(),
            last_used: line.last_used.map(|at| Moment::new(at, now)),
        }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/clients.html")]
pub struct ClientsView {
    host: String,
    now: String,
    here: &'static str,
    clients: Vec<ClientRow>,
}

/// The view of the clients.
#[must_use]
pub fn clients_view(host: &str, me: &SignedIn, lines: &[ClientLine]) -> ClientsView {
    ClientsView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "clients",
        clients: lines.iter().map(|line| ClientRow::new(line, me.now)).collect(),
    }
}
