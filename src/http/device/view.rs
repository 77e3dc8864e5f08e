//! What people see of a device that asks: the field for its code, what it would get, what became of it.
//! In: who is signed in, what is asked, the address of this browser. Out: templates.
//! Implements RFC 8628 §5.4 (the application, the place and the scopes are shown, and a question that names the fraud).
//! Never shows as ours what a client's operator wrote, and never an address without saying whose word it is.

use std::net::IpAddr;

use askama::Template;

use crate::app::allow_device::SeenDevice;
use crate::app::settings::Settings;
use crate::app::use_session::SignedIn;
use crate::domain::canonical::Bytes;
use crate::domain::network::Network;
use crate::domain::oauth::device::standing::Stage;
use crate::domain::statement::{DeviceStatement, Statement};
use crate::http::approval::rows::{Row, rows};
use crate::http::authorize::view::{GetsItem, gets_items, logo_of};
use crate::http::page::{Moment, Visible, left, visible};

/// Values that each signature has of its own.
const PER_SIGNATURE: [&str; 2] = ["nonce", "at"];

/// What a page of a device is made from.
pub struct DeviceInput<'a> {
    /// What the operator decided.
    pub settings: &'a Settings,
    /// The page's id.
    pub id: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// What is asked.
    pub seen: &'a SeenDevice,
    /// The address of this browser.
    pub here: IpAddr,
}

/// The field for the code.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "device/code.html")]
pub struct CodeView {
    host: String,
    now: String,
    person: Visible,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "device/page.html")]
pub struct DeviceView {
    host: String,
    now: String,
    id: String,
    application: Visible,
    logo: Option<String>,
    person: Visible,
    from: String,
    /// This browser's address, where it is of another network.
    elsewhere: Option<String>,
    asked: Moment,
    ends: String,
    left: String,
    gets: Vec<GetsItem>,
    resources: Vec<Visible>,
    outside: bool,
    contact: Option<Visible>,
    rows: Vec<Row>,
}

impl DeviceView {
    fn pending(row: &Row) -> bool {
        PER_SIGNATURE.contains(&row.field.as_str())
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// The person allowed it.
    Allowed,
    /// The person denied it.
    Denied,
    /// Nobody decided in time.
    Late,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "device/done.html")]
pub struct DoneView {
    host: String,
    now: String,
    application: Visible,
    became: Became,
    ends: Moment,
    contact: Option<Visible>,
}

/// The view of the field.
#[must_use]
pub fn code_view(host: &str, me: &SignedIn) -> CodeView {
    CodeView { host: host.to_owned(), now: me.now.to_string(), person: visible(&me.person.name) }
}

impl Became {
    /// What became of a request; nothing while it waits.
    #[must_use]
    pub fn of(seen: &SeenDevice) -> Option<Self> {
        match seen.standing.stage {
            Stage::Waiting if seen.standing.is_open(seen.now) => None,
            Stage::Waiting => Some(Self::Late),
            Stage::Denied => Some(Self::Denied),
            Stage::Allowed { .. } | Stage::Fetched { .. } => Some(Self::Allowed),
        }
    }
}

/// The view of what is asked.
#[must_use]
pub fn device_view(input: &DeviceInput<'_>) -> DeviceView {
    let DeviceInput { settings, me, seen, here, .. } = input;
    let (request, now) = (&seen.request, seen.now);
    let statement = Statement::Device(DeviceStatement {
        nonce: Bytes::default(),
        at: now,
        issuer: settings.url.clone(),
        person: me.person.id.clone(),
        device: request.clone(),
    });
    let elsewhere = Network::of(request.from) != Network::of(*here);
    DeviceView {
        host: settings.host().to_owned(),
        now: now.to_string(),
        id: input.id.to_owned(),
        application: visible(&seen.client.name),
        logo: logo_of(&seen.client),
        person: visible(&me.person.name),
        from: request.from.to_string(),
        elsewhere: elsewhere.then(|| here.to_canonical().to_string()),
        asked: Moment::new(request.asked, now),
        ends: seen.standing.ends.to_string(),
        left: left(seen.standing.ends, now),
        gets: gets_items(&request.scopes),
        resources: request.resources.iter().map(|one| visible(one.as_str())).collect(),
        outside: seen.outside,
        contact: settings.contact.as_deref().map(visible),
        // A statement is plain data, so it always has a JSON form.
        rows: serde_json::to_value(statement).map(|value| rows(&value)).unwrap_or_default(),
    }
}

/// The view of what became of it.
#[must_use]
pub fn done_view(input: &DeviceInput<'_>, became: Became) -> DoneView {
    let DeviceInput { settings, seen, .. } = input;
    DoneView {
        host: settings.host().to_owned(),
        now: seen.now.to_string(),
        application: visible(&seen.client.name),
        became,
        ends: Moment::new(seen.standing.ends, seen.now),
        contact: settings.contact.as_deref().map(visible),
    }
}
