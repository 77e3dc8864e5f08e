//! `/me/applications`: where a person is signed in, what they allowed, and taking it back.
//! In: a session. Out: HTML and JSON.
//! Implements DESIGN §10 (consent, remembered and revocable).
//! Never shows or ends anybody else's.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::http::bodies::EmptyBody;
use crate::http::edge::{Shared, json_answer};
use crate::http::{problem, session};

use super::applications_view::applications_view;

/// The page.
pub async fn page(request: HttpRequest, edge: Shared) -> HttpResponse {
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    match edge.app.applications_of(&me.person.id) {
        Ok(list) => problem::html(StatusCode::OK, &applications_view(edge.app.settings.host(), &me, &list)),
        Err(error) => edge.fail_page(error),
    }
}

/// Forgets one, and ends what it was given.
pub async fn forget(request: HttpRequest, client: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.forget_application(session, &client).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}
