//! `/device`, `/device/⟨id⟩`: the field for a device's code, and the page on which it is allowed or denied.
//! In: a session, a code, a browser's answer. Out: pages; the page's id; options; what was written into the log.
//! Implements RFC 8628 §3.3, §5.4.
//! Never reads a code from the address, so that no link can bring one along.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use crate::app::AppError;
use crate::app::use_session::not_signed_in;
use crate::domain::oauth::device::UserCode;
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::bodies::EmptyBody;
use crate::http::edge::{Shared, ceremony_answer, json_answer};
use crate::http::{problem, session};

use super::view::{Became, DeviceInput, code_view, device_view, done_view};

/// What a person typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    code: String,
}

/// The field for the code.
pub async fn code(request: HttpRequest, edge: Shared) -> HttpResponse {
    match session::visitor(&edge, &request).await {
        Ok(me) => problem::html(StatusCode::OK, &code_view(edge.app.settings.host(), &me)),
        Err(answer) => answer,
    }
}

/// Looks for the device that shows this code.
pub async fn find(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (CodeBody, _) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let Some(session) = session else { return edge.fail_script(not_signed_in()) };
    // What no code looks like is a slip, and no guess.
    let Some(code) = UserCode::parse(&body.code) else {
        let text = "a code has 8 letters and digits, without I, O, 0 and 1";
        let refused = AppError::refused(ErrorCode::ParameterInvalid, text);
        return edge.fail_script(refused.with_hint("compare it with the device"));
    };
    let address = edge.address(&request);
    if let Some(answer) = edge.refuse_guess(address, session) {
        return answer;
    }
    let found = edge.app.find_device(Some(session), &code).await;
    if !matches!(&found, Err(error) if error.code() == ErrorCode::UserCodeUnknown) {
        edge.guesses.was_right(address, session);
    }
    match found {
        Ok(page) => json_answer(&json!({ "page": page })),
        Err(error) => edge.fail_script(error),
    }
}

/// What is asked, or what became of it.
pub async fn page(request: HttpRequest, id: Path<String>, edge: Shared) -> HttpResponse {
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    let seen = match edge.app.look_at_device(&me, &id) {
        Ok(seen) => seen,
        Err(error) => return edge.fail_page(error),
    };
    let here = edge.address(&request);
    let input = DeviceInput { settings: &edge.app.settings, id: &id, me: &me, seen: &seen, here };
    match Became::of(&seen) {
        None => problem::html(StatusCode::OK, &device_view(&input)),
        Some(became) => problem::html(StatusCode::OK, &done_view(&input, became)),
    }
}

/// Starts the touch.
pub async fn options(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::start(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.begin_device(session, &id).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes it: the device may fetch its tokens.
pub async fn allow(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session) = match session::passkey_answer(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let brought = (body.ceremony.as_str(), &body.response);
    match edge.app.finish_device(session, &id, brought).await {
        Ok(entry) => json_answer(&json!({ "log": entry })),
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

/// The person will not.
pub async fn deny(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.deny_device(session, &id).await {
        Ok(entry) => json_answer(&json!({ "log": entry })),
        Err(error) => edge.fail_script(error),
    }
}
