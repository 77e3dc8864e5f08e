//! `/changes/{id}`: the page of a change, and the two calls of a signature.
//! In: a link id and a browser's answers. Out: HTML, JSON.
//! Implements SCREENS (Admin), WebAuthn L3 §7.2 through the use cases.
//! Never acts on a link alone: the touch is the authentication.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template as _;
use serde::Deserialize;
use serde_json::json;

use crate::app::sign_change::{Signed, unknown_change};
use crate::app::view_change::{Onlooker, SeenChange};
use crate::app::{AppError, Countersign};
use crate::domain::ids::ChangeId;
use crate::domain::statement::Choice;
use crate::http::edge::{Shared, ceremony_answer, json_answer};
use crate::http::{problem, session};

use super::view::{ChangeInput, ChangeView, change_view, page_state};

/// What a page asks to sign.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionsBody {
    decision: Choice,
    #[serde(default)]
    user: Option<String>,
}

async fn find(app: &Countersign, id: &str, looks: Onlooker<'_>) -> Result<SeenChange, AppError> {
    let id = ChangeId::parse(id).map_err(|_| unknown_change())?;
    app.view_change(&id, looks).await?.ok_or_else(unknown_change)
}

/// The page. It needs no session; who has one may see more.
pub async fn page(request: HttpRequest, id: Path<String>, edge: Shared) -> HttpResponse {
    // While nobody can be told to be signed in, the link is all there is.
    let me = session::who(&edge, &request).await.unwrap_or_default();
    match find(&edge.app, &id, me.as_ref().map_or(Onlooker::LinkHolder, Onlooker::SignedIn)).await {
        Ok(seen) => problem::html(StatusCode::OK, &view(&edge.app, &seen, None)),
        Err(error) => edge.fail_page(error),
    }
}

/// Starts a signature.
pub async fn options(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body: OptionsBody = match edge.start_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(id) = ChangeId::parse(&id) else { return edge.fail_script(unknown_change()) };
    match edge.app.begin_signature(&id, (body.decision, body.user.as_deref())).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes a signature.
pub async fn signature(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.passkey_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(id) = ChangeId::parse(&id) else { return edge.fail_script(unknown_change()) };
    match edge.app.finish_signature(&id, &body.ceremony, &body.response).await {
        Ok(signed) => match find(&edge.app, id.as_str(), Onlooker::Signer).await {
            Ok(seen) => {
                let view = view(&edge.app, &seen, Some(&signed));
                let html = view.as_main().render().unwrap_or_default();
                json_answer(&json!({ "state": page_state(&seen).as_str(), "html": html, "log": signed.entry }))
            }
            Err(error) => edge.fail_script(error),
        },
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

fn view(app: &Countersign, seen: &SeenChange, by: Option<&Signed>) -> ChangeView {
    change_view(&ChangeInput {
        seen,
        by: by.map(|signed| (signed.choice, signed.entry)),
        terms: &app.settings.people,
        host: app.settings.host(),
    })
}
