//! `/admin/people`: the pages, and the one call that proposes.
//! In: a session, and what a form says. Out: HTML, JSON.
//! Implements SCREENS (Admin: People), DESIGN §11.
//! Never acts on anybody, and never puts an enrolment link anywhere but into the one answer that shows it.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::app::propose_change::{Asker, Proposed, Wish};
use crate::app::use_session::SignedIn;
use crate::app::{AppError, Countersign};
use crate::domain::ids::PersonId;
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::admin;
use crate::http::edge::{Shared, asked, json_answer};
use crate::http::{problem, session};

use super::link_view::{LinkInput, link_view};
use super::list_view::{ListInput, list_view};
use super::person_view::{PersonInput, person_view};

/// Everybody, what waits, and a form to invite.
pub async fn list(request: HttpRequest, edge: Shared) -> HttpResponse {
    edge.app.settle_changes_if_possible().await;
    let me = match admin::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    match draw_list(&edge.app, &me, asked(&request, "from").unwrap_or(0)) {
        Ok(answer) => answer,
        Err(error) => edge.fail_page(error),
    }
}

fn draw_list(app: &Countersign, me: &SignedIn, from: usize) -> Result<HttpResponse, AppError> {
    let input = ListInput {
        host: app.settings.host(),
        me,
        everybody: app.everybody(me, from)?,
        changes: app.list_changes()?,
        groups: app.known_groups()?,
        delay: app.settings.people.delay,
    };
    Ok(problem::html(StatusCode::OK, &list_view(&input)))
}

/// One person, and a form for everything that can be done about them.
pub async fn person(request: HttpRequest, id: Path<String>, edge: Shared) -> HttpResponse {
    edge.app.settle_changes_if_possible().await;
    let me = match admin::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    match draw_person(&edge.app, &me, &id) {
        Ok(Some(answer)) => answer,
        Ok(None) => admin::not_there(&edge),
        Err(error) => edge.fail_page(error),
    }
}

fn draw_person(app: &Countersign, me: &SignedIn, id: &str) -> Result<Option<HttpResponse>, AppError> {
    let Ok(id) = PersonId::parse(id) else { return Ok(None) };
    let Some(person) = app.one_person(&id)? else { return Ok(None) };
    let input = PersonInput {
        host: app.settings.host(),
        me,
        person,
        changes: app.changes_about(&id)?,
        sessions: app.sessions_of(&id)?,
        groups: app.known_groups()?,
        issuers: app.settings.issuers.iter().map(|one| one.terms.name.clone()).collect(),
        delay: app.settings.people.delay,
    };
    Ok(Some(problem::html(StatusCode::OK, &person_view(&input))))
}

/// Makes a change of what a form says. Where there is a link for the person, this answer alone has it.
pub async fn propose(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let body: Value = match edge.json_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let me = match admin::needed(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    let proposed = match wish(body) {
        Ok(wish) => edge.app.propose(wish, Asker::Page(session::digest(&request))).await,
        Err(error) => Err(error),
    };
    match proposed.and_then(|made| answer(&edge.app, &me, &made)) {
        Ok(answer) => json_answer(&answer),
        Err(error) => edge.fail_script(on_a_page(error)),
    }
}

/// What a form asks for. What people typed into it is no secret, so what is wrong with that may be said.
fn wish(body: Value) -> Result<Wish, AppError> {
    Wish::deserialize(body).map_err(|error| {
        let said = error.to_string();
        // Values of ours say what they are not; whatever else the parser says is about calls that no form makes.
        let text = if said.starts_with('`') { said } else { "this is not what a form of this page sends".to_owned() };
        AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("spell groups as the rules do")
    })
}

fn answer(app: &Countersign, me: &SignedIn, made: &Proposed) -> Result<Value, AppError> {
    let location = format!("/changes/{}", made.change.id);
    let Some(secret) = &made.secret else { return Ok(json!({ "location": location })) };
    let link = app.enrolment_link(secret);
    let (concern, sign_by) = (&made.concern, made.change.sign_by);
    let view = link_view(&LinkInput { concern, sign_by, link: &link, location: &location, now: me.now });
    Ok(json!({ "location": location, "html": view.render().map_err(AppError::internal)? }))
}

/// The same refusal with a cure for somebody who sits at a page, not at a console.
fn on_a_page(error: AppError) -> AppError {
    let cure = match error.code() {
        ErrorCode::AlreadyDecided => "look at what waits, and at the person as they are",
        ErrorCode::NameTaken => "choose a name that tells them apart",
        ErrorCode::NotFound => "load the page again: it shows the person as they are",
        ErrorCode::NotAnAdmin => "ask an admin",
        _ => return error,
    };
    error.with_hint(cure)
}
