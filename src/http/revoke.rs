//! `POST /revoke`: a client gives a token back.
//! In: a form, the client's proof of who it is. Out: 200, whether there was such a token or not.
//! Implements RFC 7009 §2.
//! Never says whose a token is.

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::client_auth::authenticate;
use super::edge::Shared;

/// Takes it back.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let form = match edge.form(&request, payload).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let client = match authenticate(&request, &edge, &form).await {
        Ok(client) => client,
        Err(answer) => return answer,
    };
    match form.require("token") {
        Ok(token) => match edge.app.revoke(&client, token).await {
            Ok(()) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish(),
            Err(error) => edge.fail(error),
        },
        Err(refusal) => edge.fail(refusal.into()),
    }
}
