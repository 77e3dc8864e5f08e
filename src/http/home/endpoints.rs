//! `/`, `/waiting`: Home, and its list of what waits for a page that renews itself.
//! In: a session. Out: HTML; JSON with the list as HTML.
//! Implements SCREENS' Home.
//! Never keeps a session alive by looking for news.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template as _;
use serde_json::json;

use crate::app::use_session::{SignedIn, not_signed_in};
use crate::app::{AppError, Countersign};
use crate::http::approval::endpoints::display;
use crate::http::edge::{Shared, json_answer};
use crate::http::me::signed::said;
use crate::http::me::signed_view::signed_item;
use crate::http::{problem, session};

use super::view::{Device, Doubt, HomeInput, HomeView, home_view, waiting_card};

/// How many of the last decisions Home shows.
pub const LAST_DECISIONS: usize = 5;

fn view(app: &Countersign, me: &SignedIn, changes: usize) -> Result<HomeView, AppError> {
    let list = app.waiting_for(&me.person.id)?;
    let cards = list
        .requests
        .iter()
        .map(|one| waiting_card(one, &display(app, &one.row.display, &one.row.request, &one.row.issuer), list.now))
        .collect();
    let decisions = app.decisions_of(&me.person.id, None, LAST_DECISIONS)?;
    let passkeys = app.passkeys_of(&me.person.id)?;
    let doubts = if me.person.admin { app.passkeys_in_doubt()? } else { Vec::new() };
    let devices = app.pushes_of(&me.person.id)?;
    Ok(home_view(HomeInput {
        push_key: app.push_key(),
        devices: devices.iter().map(|own| Device::new(own, me.now)).collect(),
        host: app.settings.host(),
        me,
        cards,
        decisions: decisions.iter().map(|one| signed_item(one, &said(app, one), me.now)).collect(),
        only_one: passkeys.iter().filter(|own| own.row.suspended.is_none()).count() < 2,
        changes,
        doubts: doubts
            .iter()
            .map(|one| {
                let copied = one.passkey.suspended_why.is_some_and(|why| why.as_str() == "copied");
                Doubt::new(&one.person.name, &one.passkey.name, copied, one.passkey.suspended, me.now)
            })
            .collect(),
    }))
}

/// The page.
pub async fn page(request: HttpRequest, edge: Shared) -> HttpResponse {
    edge.app.settle_changes_if_possible().await;
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    let changes = if me.person.admin { edge.app.changes_to_sign() } else { Ok(0) };
    match changes.and_then(|changes| view(&edge.app, &me, changes)) {
        Ok(view) => problem::html(StatusCode::OK, &view),
        Err(error) => edge.fail_page(error),
    }
}

/// The list as it is now.
pub async fn waiting(request: HttpRequest, edge: Shared) -> HttpResponse {
    let drawn = session::who(&edge, &request).await.and_then(|who| {
        let me = who.ok_or_else(not_signed_in)?;
        // The list alone is renewed.
        let view = view(&edge.app, &me, 0)?;
        let html = view.as_list().render().map_err(AppError::internal)?;
        Ok(json!({ "count": view.count(), "html": html }))
    });
    match drawn {
        Ok(answer) => json_answer(&answer),
        Err(error) => edge.fail_script(error),
    }
}
