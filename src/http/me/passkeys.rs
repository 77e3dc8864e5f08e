//! `/me/passkeys` and `/me/sessions`: the page, and the calls that change one's own passkeys and sessions.
//! In: a session and a browser's answers. Out: HTML and JSON.
//! Implements SCREENS' My passkeys, WebAuthn L3 §7.1 through the use cases.
//! Never touches anybody else's passkey.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::app::use_session::SignedIn;
use crate::app::{AppError, Countersign};
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::bodies::{EmptyBody, NameBody};
use crate::http::edge::{Shared, ceremony_answer, json_answer};
use crate::http::{problem, session};

use super::passkeys_view::{PasskeysInput, passkeys_view};

fn number<T: std::str::FromStr>(text: &str) -> Result<T, AppError> {
    text.parse().map_err(|_| AppError::refused(ErrorCode::NotFound, "there is nothing of yours under this number"))
}

/// The page.
pub async fn page(request: HttpRequest, edge: Shared) -> HttpResponse {
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    match draw(&edge.app, &me) {
        Ok(answer) => answer,
        Err(error) => edge.fail_page(error),
    }
}

fn draw(app: &Countersign, me: &SignedIn) -> Result<HttpResponse, AppError> {
    let (passkeys, sessions) = (app.passkeys_of(&me.person.id)?, app.sessions_of(&me.person.id)?);
    let with_applications = |one: SignedIn| Ok((app.applications_in(&one.session.sid)?, one));
    let sessions = sessions.into_iter().map(with_applications).collect::<Result<Vec<_>, AppError>>()?;
    let (host, rp_id) = (app.settings.host(), app.relying_party.id.as_str());
    Ok(problem::html(
        StatusCode::OK,
        &passkeys_view(&PasskeysInput { host, rp_id, me, passkeys: &passkeys, sessions: &sessions }),
    ))
}

/// Starts the registration of another passkey.
pub async fn options(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if let Err(answer) = edge.start_from_our_page::<EmptyBody>(&request, payload).await {
        return answer;
    }
    match edge.app.begin_adding_passkey(session::digest(&request)).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes it.
pub async fn add(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.passkey_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    match edge.app.finish_adding_passkey(session::digest(&request), &body.ceremony, &body.response).await {
        Ok(added) => json_answer(&json!({
            "passkey": { "name": added.name, "claimed": added.claimed, "synced": added.synced },
            "approves_from": added.approves_from,
            "log": added.entry,
        })),
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

/// Names one.
pub async fn name(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (NameBody, _) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let named = match number(&id) {
        Ok(id) => edge.app.rename_own_passkey(session, id, &body.name).await,
        Err(error) => Err(error),
    };
    match named {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// Removes one, and tells the browser which are kept, so that it can forget the others.
pub async fn remove(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let removed = match number(&id) {
        Ok(id) => edge.app.remove_own_passkey(session, id).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(kept) => {
            let kept: Vec<String> = kept.iter().map(|id| BASE64URL_NOPAD.encode(id)).collect();
            json_answer(&json!({ "kept": kept }))
        }
        Err(error) => edge.fail_script(error),
    }
}

/// "Not you? Report": suspends one at once.
pub async fn report(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let reported = match number(&id) {
        Ok(id) => edge.app.report_passkey(session, id).await,
        Err(error) => Err(error),
    };
    match reported {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// Ends another session of one's own.
pub async fn end_session(request: HttpRequest, entry: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    let ended = match number(&entry) {
        Ok(entry) => edge.app.end_session_of_mine(session, entry).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}
