//! `/me/links`: "Which GitLab user are you?", a code, and the signature over what a job brought.
//! In: a session and a browser's answers. Out: HTML and JSON.
//! Implements DESIGN §11 (proof by pipeline), WebAuthn L3 §7.2 through the use cases.
//! Never shows a code twice, and never what is somebody else's.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use crate::app::use_session::{SignedIn, not_signed_in};
use crate::app::{AppError, Countersign};
use crate::domain::ids::Digest;
use crate::http::bodies::EmptyBody;
use crate::http::edge::{Shared, ceremony_answer, json_answer};
use crate::http::{problem, session};

use super::links_view::{LinksInput, links_view, snippet};

/// Which of those that a job brought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofBody {
    proof: Digest,
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
    let seen = app.links_of(&me.person.id)?;
    Ok(problem::html(StatusCode::OK, &links_view(&LinksInput { settings: &app.settings, me, seen: &seen })))
}

/// How many of this person's codes a job has brought; looking does not count as a use of the session.
pub async fn brought(request: HttpRequest, edge: Shared) -> HttpResponse {
    let counted = session::who(&edge, &request).await.and_then(|who| {
        let me = who.ok_or_else(not_signed_in)?;
        edge.app.links_of(&me.person.id)
    });
    match counted {
        Ok(seen) => json_answer(&json!({ "brought": seen.brought.len() })),
        Err(error) => edge.fail_script(error),
    }
}

/// Makes a code, and the job that brings it.
pub async fn code(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::start(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.make_link_code(session).await {
        Ok(made) => json_answer(&json!({
            "code": made.code.expose(),
            "expires": made.expires,
            "job": snippet(&edge.app.settings.url, made.code.expose()),
        })),
        Err(error) => edge.fail_script(error),
    }
}

/// Starts the signature.
pub async fn options(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (ProofBody, _) = match session::start(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.begin_link(session, body.proof).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes it.
pub async fn signature(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session) = match session::passkey_answer(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.finish_link(session, &body.ceremony, &body.response).await {
        Ok(proved) => json_answer(&json!({
            "issuer": proved.user.issuer, "user_id": proved.user.user_id, "log": proved.entry,
        })),
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

/// "That was not me."
pub async fn forget(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (ProofBody, _) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.forget_brought(session, body.proof).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}
