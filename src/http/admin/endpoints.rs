//! `/admin`, `/admin/rules`, `/admin/refusals/…`, `/admin/issuers`, `/admin/clients`, `/admin/keys`, `/admin/requests`.
//! In: a session. Out: HTML.
//! Implements SCREENS' Admin.
//! Never changes anything: what these pages show is what the console shows.

use actix_web::http::StatusCode;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::app::use_session::SignedIn;
use crate::app::{AppError, Countersign};
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::edge::{Edge, Shared, asked};
use crate::http::problem;

use super::clients_view::clients_view;
use super::health_view::health_view;
use super::issuers_view::issuers_view;
use super::keys_view::keys_view;
use super::refusal_view::refusal_view;
use super::requests_view::requests_view;
use super::rules_view::rules_view;

/// Draws a page for whoever may see it.
async fn page<V: Template>(
    request: &HttpRequest,
    edge: &Edge,
    draw: impl FnOnce(&Countersign, &SignedIn) -> Result<V, AppError>,
) -> HttpResponse {
    match super::visitor(edge, request).await {
        Ok(me) => match draw(&edge.app, &me) {
            Ok(view) => problem::html(StatusCode::OK, &view),
            Err(error) => edge.fail_page(error),
        },
        Err(answer) => answer,
    }
}

/// How the server is.
pub async fn health(request: HttpRequest, edge: Shared) -> HttpResponse {
    let me = match super::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    edge.app.look_first().await;
    match edge.app.health() {
        Ok(health) => problem::html(StatusCode::OK, &health_view(edge.app.settings.host(), &me, &health)),
        Err(error) => edge.fail_page(error),
    }
}

/// The rules in force, and refused tokens.
pub async fn rules(request: HttpRequest, edge: Shared) -> HttpResponse {
    let (first, before) = (asked(&request, "first").unwrap_or(1), asked(&request, "before"));
    let draw = |app: &Countersign, me: &SignedIn| {
        let (rules, refusals) = (app.list_rules(first)?, app.list_refusals(before)?);
        Ok(rules_view(app.settings.host(), me, &rules, &refusals))
    };
    page(&request, &edge, draw).await
}

/// Why a token was refused, by today's rules.
pub async fn refusal(request: HttpRequest, entry: Path<String>, edge: Shared) -> HttpResponse {
    let draw = |app: &Countersign, me: &SignedIn| {
        let unknown = || AppError::refused(ErrorCode::NotFound, "no token was refused in this log entry");
        let entry = entry.parse::<u64>().map_err(|_| unknown())?;
        let explanation = app.explain_entry(entry, Vec::new())?;
        let refused = explanation.refused.ok_or_else(unknown)?;
        Ok(refusal_view(app.settings.host(), me, (entry, refused), &explanation))
    };
    page(&request, &edge, draw).await
}

/// The issuers.
pub async fn issuers(request: HttpRequest, edge: Shared) -> HttpResponse {
    let draw = |app: &Countersign, me: &SignedIn| Ok(issuers_view(app.settings.host(), me, &app.list_issuers()?));
    page(&request, &edge, draw).await
}

/// The clients.
pub async fn clients(request: HttpRequest, edge: Shared) -> HttpResponse {
    let draw = |app: &Countersign, me: &SignedIn| Ok(clients_view(app.settings.host(), me, &app.list_clients()?));
    page(&request, &edge, draw).await
}

/// Our keys.
pub async fn keys(request: HttpRequest, edge: Shared) -> HttpResponse {
    let draw = |app: &Countersign, me: &SignedIn| Ok(keys_view(app.settings.host(), me, &app.list_keys()?));
    page(&request, &edge, draw).await
}

/// What waits now.
pub async fn requests(request: HttpRequest, edge: Shared) -> HttpResponse {
    let draw = |app: &Countersign, me: &SignedIn| Ok(requests_view(app.settings.host(), me, &app.list_requests()?));
    page(&request, &edge, draw).await
}
