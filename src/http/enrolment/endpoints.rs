//! `/enrol/{link}`: the enrolment page and the calls of a registration.
//! In: a link's secret and a browser's answers. Out: HTML and JSON.
//! Implements SCREENS' enrolment, WebAuthn L3 §7.1 through the use cases.
//! Never says for whom a dead link was.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::{StatusCode, header};
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::console::CONSOLE;
use crate::app::enrol::{DeadLink, Enrolled, LinkHolder, NoWelcome};
use crate::domain::ids::Digest;
use crate::domain::time::SECOND_PASSKEY;
use crate::http::bodies::{EmptyBody, NameBody};
use crate::http::edge::{Edge, Shared, ceremony_answer, json_answer};
use crate::http::{problem, session};

use super::view::{self, EnrolmentInput, dead_link_view, enrolment_view, occupied_view};

/// The cookie of the session that may add a second passkey.
pub const COOKIE: &str = "__Host-countersign-enrolment";

fn holder(request: &HttpRequest, link: &str) -> LinkHolder {
    let session = request.cookie(COOKIE).map(|cookie| Digest::of(cookie.value().as_bytes()));
    LinkHolder { link: Digest::of(link.as_bytes()), session, signed_in: session::digest(request) }
}

/// The page.
pub async fn page(request: HttpRequest, link: Path<String>, edge: Shared) -> HttpResponse {
    let app = &edge.app;
    app.settle_changes_if_possible().await;
    let now = app.clock.now();
    match app.welcome(&holder(&request, &link)) {
        Ok(Ok(welcome)) => {
            let by = Some(welcome.invited_by.as_str()).filter(|by| *by != CONSOLE);
            let view = enrolment_view(&EnrolmentInput {
                host: app.settings.host(),
                name: &welcome.person.name,
                invited_by: by,
                admin: welcome.person.admin,
                groups: &welcome.groups,
                expires: welcome.expires,
                policy: welcome.policy.as_deref(),
                now,
            });
            problem::html(StatusCode::OK, &view)
        }
        Ok(Err(NoWelcome::SomebodyElse(name))) => {
            problem::html(StatusCode::CONFLICT, &occupied_view(app.settings.host(), &name, now))
        }
        Ok(Err(NoWelcome::Dead(dead))) => {
            let why = match dead {
                DeadLink::Used(at) => view::DeadLink::Used(at),
                DeadLink::Ended(_) => view::DeadLink::Ended,
                DeadLink::Expired(_) => view::DeadLink::Expired,
                DeadLink::Unknown => view::DeadLink::Unknown,
            };
            problem::html(StatusCode::GONE, &dead_link_view(app.settings.host(), why, None, now))
        }
        Err(error) => edge.fail_page(error),
    }
}

/// Starts a registration.
pub async fn options(request: HttpRequest, link: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    if let Err(answer) = edge.start_from_our_page::<EmptyBody>(&request, payload).await {
        return answer;
    }
    match edge.app.begin_enrolment(holder(&request, &link)).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes a registration.
pub async fn passkey(request: HttpRequest, link: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.passkey_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    match edge.app.finish_enrolment(holder(&request, &link), &body.ceremony, &body.response).await {
        Ok(enrolled) => enrolled_answer(&edge, enrolled),
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

fn enrolled_answer(_edge: &Edge, enrolled: Enrolled) -> HttpResponse {
    let strength = match &enrolled.no_hardware {
        None => "Hardware key, proven".to_owned(),
        Some(_) if enrolled.synced => "Synced passkey".to_owned(),
        Some(word) => format!("Unproven: {}", word.replace('_', " ")),
    };
    let body = json!({
        "passkey": { "name": enrolled.name, "claimed": enrolled.claimed,
            "proven": enrolled.proven, "strength": strength },
        "count": enrolled.count,
        "log": enrolled.entry,
    });
    let mut answer = HttpResponse::Ok();
    if let Some(secret) = enrolled.session {
        let cookie = Cookie::build(COOKIE, secret)
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Strict)
            .max_age(actix_web::cookie::time::Duration::seconds(i64::try_from(SECOND_PASSKEY.as_secs()).unwrap_or(0)))
            .finish();
        answer.cookie(cookie);
    }
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// Names the newest passkey.
pub async fn name(request: HttpRequest, link: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body: NameBody = match edge.json_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    match edge.app.name_passkey(holder(&request, &link), &body.name).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// "I am not that person."
pub async fn decline(request: HttpRequest, link: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    if let Err(answer) = edge.json_from_our_page::<EmptyBody>(&request, payload).await {
        return answer;
    }
    match edge.app.decline_enrolment(holder(&request, &link)).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}
