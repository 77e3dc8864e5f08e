//! `POST /par`: a client pushes its request itself, before it sends a browser.
//! In: a form and the client's proof of who it is. Out: a `request_uri` for one minute and one use.
//! Implements RFC 9126 §2.
//! Never tells a fault to a redirect URI: whoever calls is the client itself.

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::AppError;
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::form::Form;
use crate::domain::rules::Refusal;
use crate::domain::time::PUSHED;

use super::client_auth::authenticate;
use super::edge::{Edge, Shared};
use super::proof::DPOP;

/// Takes a request.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if let Some(answer) = edge.refuse_beyond(&edge.authorizations, edge.address(&request)) {
        return answer;
    }
    edge.authorizations.count(edge.address(&request), edge.app.clock.monotonic());
    match push(&request, payload, &edge).await {
        Ok(request_uri) => HttpResponse::Created()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "request_uri": request_uri, "expires_in": PUSHED.as_secs() })),
        Err(answer) => answer,
    }
}

async fn push(request: &HttpRequest, payload: Payload, edge: &Edge) -> Result<String, HttpResponse> {
    if request.headers().contains_key(DPOP) {
        // RFC 9449 §10.1 would bind the code by it: whoever sends one must not believe that it did.
        let refused = AppError::refused(ErrorCode::DpopUnsupported, "a pushed request takes no `DPoP` header");
        return Err(edge.fail(refused.with_hint("name the key by `dpop_jkt` in the form")));
    }
    let body = edge.form_body(request, payload).await?;
    let told = |refusal: Refusal| edge.fail(AppError::from(refusal));
    // What says who the client is comes once, like everything; `resource` alone may repeat.
    let form = Form::read(&body).map_err(told)?;
    let client = authenticate(request, edge, &form).await?;
    let said = Parameters::read(&body).map_err(told)?;
    edge.app.push_authorization(&client, &said).await.map_err(|error| edge.fail(error))
}
