//! `/me/push`: a person asks to be told on this device, and stops it.
//! In: a session, what the browser gave. Out: JSON.
//! Implements W3C Push API §3 (a subscription as JSON), DESIGN §11.
//! Never answers with an address.

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::AppError;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::push::Subscription;
use crate::http::bodies::{EmptyBody, PushBody};
use crate::http::edge::{Shared, json_answer};
use crate::http::session;

/// Tells whoever is signed in on this device from now on.
pub async fn begin(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (PushBody, _) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    // As many as ceremonies: each is an entry of the log.
    if let Some(answer) = edge.refuse_ceremony(&request) {
        return answer;
    }
    let begun = match Subscription::parse(&body.endpoint, &body.p256dh, &body.auth) {
        Ok(subscription) => edge.app.begin_push(session, subscription).await,
        Err(what) => Err(AppError::refused(ErrorCode::ParameterInvalid, format!("the browser's subscription: {what}"))),
    };
    match begun {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// Stops one.
pub async fn stop(request: HttpRequest, number: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let stopped = match number.parse() {
        Ok(id) => edge.app.stop_push(session, id).await,
        Err(_) => Err(AppError::refused(ErrorCode::NotFound, "there is no such device of yours")),
    };
    match stopped {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}
