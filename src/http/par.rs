//! `POST /par`: a client pushes its request itself, before it sends a browser.
//! In: a form, the client's proof of who it is, a proof of possession. Out: a `request_uri` for one minute and one use.
//! Implements RFC 9126 §2, RFC 9449 §10.1.
//! Never tells a fault to a redirect URI: whoever calls is the client itself.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::AppError;
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::form::Form;
use crate::domain::rules::Refusal;
use crate::domain::time::PUSHED;

use super::caller::is_of_foreign_page;
use super::client_auth::authenticate;
use super::edge::{Edge, Shared};
use super::proof::{proven, put_nonce};

/// Takes a request.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    // No client pushes through a foreign page.
    let tally = if is_of_foreign_page(&request, &edge.app) { &edge.foreign } else { &edge.authorizations };
    if let Some(answer) = edge.refuse_beyond(tally, edge.address(&request)) {
        return answer;
    }
    tally.count(edge.address(&request), edge.app.clock.monotonic());
    match push(&request, payload, &edge).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn push(request: &HttpRequest, payload: Payload, edge: &Edge) -> Result<HttpResponse, HttpResponse> {
    let body = edge.form_body(request, payload).await?;
    let told = |refusal: Refusal| edge.fail(AppError::from(refusal));
    // What says who the client is comes once, like everything; `resource` alone may repeat.
    let form = Form::read(&body).map_err(told)?;
    let client = authenticate(request, edge, &form).await?;
    let said = Parameters::read(&body).map_err(told)?;
    let mut with_nonce = client.dpop;
    let mut answer = match push_as(request, edge, (&client, &said)).await {
        Ok(request_uri) => HttpResponse::Created()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "request_uri": request_uri, "expires_in": PUSHED.as_secs() })),
        Err(error) => {
            with_nonce |= error.code() == ErrorCode::DpopNonceWanted;
            edge.fail(error)
        }
    };
    if with_nonce {
        put_nonce(&mut answer, edge);
    }
    Ok(answer)
}

async fn push_as(
    request: &HttpRequest,
    edge: &Edge,
    (client, said): (&Arc<Client>, &Parameters),
) -> Result<String, AppError> {
    let proven = proven(request, edge, None, client.dpop)?;
    edge.app.push_authorization(client, said, (proven, edge.network(request))).await
}
