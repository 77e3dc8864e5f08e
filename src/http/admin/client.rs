//! `/admin/clients/⟨client⟩`: one client, and the end of everything that people gave it.
//! In: a session, a client's id. Out: HTML, JSON.
//! Implements the screen of `/admin/clients/…`.
//! Never ends anything on a sign-in that is not fresh.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::propose_change::Asker;
use crate::http::bodies::EmptyBody;
use crate::http::edge::{Shared, json_answer};
use crate::http::{problem, session};

use super::client_view::client_view;

/// The page.
pub async fn page(request: HttpRequest, client: Path<String>, edge: Shared) -> HttpResponse {
    let me = match super::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    match edge.app.show_client(&client) {
        Ok(seen) => problem::html(StatusCode::OK, &client_view(edge.app.settings.host(), &me, &seen)),
        Err(error) => edge.fail_page(error),
    }
}

/// Ends everything that people gave it.
pub async fn end(request: HttpRequest, client: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    if let Err(answer) = edge.json_from_our_page::<EmptyBody>(&request, payload).await {
        return answer;
    }
    if let Err(answer) = super::needed(&edge, &request).await {
        return answer;
    }
    match edge.app.end_client_grants(&client, &Asker::Page(session::digest(&request))).await {
        Ok(ended) => json_answer(&json!({ "ended": ended })),
        Err(error) => edge.fail_script(error),
    }
}
