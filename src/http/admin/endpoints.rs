//! `/admin`: how the server is.
//! In: a session. Out: HTML.
//! Implements SCREENS' Admin.
//! Never changes anything.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::edge::Shared;
use crate::http::problem;

use super::health_view::health_view;

/// The page.
pub async fn health(request: HttpRequest, edge: Shared) -> HttpResponse {
    match super::visitor(&edge, &request).await {
        Ok(me) => problem::html(StatusCode::OK, &health_view(edge.app.settings.host(), &me)),
        Err(answer) => answer,
    }
}
