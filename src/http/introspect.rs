//! `POST /introspect`: what a token says, for the client whose it is or for which it is meant.
//! In: a form, the client's proof of who it is. Out: RFC 7662 §2.2 JSON.
//! Implements RFC 7662 §2.
//! Never answers a client that cannot prove who it is.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::app::AppError;
use crate::domain::oauth::error_code::ErrorCode;

use super::client_auth::authenticate;
use super::edge::{Shared, json_answer};

/// Tells.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let form = match edge.form(&request, payload).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let client = match authenticate(&request, &edge, &form).await {
        Ok(client) => client,
        Err(answer) => return answer,
    };
    if client.is_public() {
        let text = "a client that cannot prove who it is may not ask about tokens";
        return edge.fail(AppError::refused(ErrorCode::ClientUnknown, text));
    }
    let told = form.require("token").map_err(AppError::from).and_then(|token| edge.app.introspect(&client, token));
    match told {
        Ok(told) => json_answer(&Value::Object(told)),
        Err(error) => edge.fail(error),
    }
}
