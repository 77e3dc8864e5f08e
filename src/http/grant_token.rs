//! `POST /token` for clients: codes, refresh tokens, client credentials, the codes of devices.
//! In: a form, the client's proof of who it is, a proof of possession. Out: RFC 6749 §5.1 JSON.
//! Implements RFC 6749 §5, OpenID Connect Core 1.0 §3.1.3, RFC 8628 §3.4, RFC 9449 §5, §8.
//! Never decides: it parses, calls one use case, renders.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use crate::app::AppError;
use crate::app::issue_tokens::Tokens;
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::form::Form;
use crate::domain::oauth::token_form;

use super::client_auth::authenticate;
use super::cors;
use super::edge::Edge;
use super::proof::{proven, put_nonce};

/// Answers a client.
pub async fn answer(request: &HttpRequest, edge: &Edge, form: &Form, grant: GrantType) -> HttpResponse {
    let client = match authenticate(request, edge, form).await {
        Ok(client) => client,
        Err(answer) => return answer,
    };
    let mut with_nonce = client.dpop;
    let mut answer = match redeem(request, edge, form, (&client, grant)).await {
        Ok(tokens) => tokens_answer(&tokens),
        Err(error) => {
            with_nonce |= error.code() == ErrorCode::DpopNonceWanted;
            if matches!(error, AppError::Refused { .. }) && !waits(error.code()) {
                edge.count_refused(request);
            }
            edge.fail(error)
        }
    };
    if with_nonce {
        put_nonce(&mut answer, edge);
    }
    cors::allow_client(&mut answer, request, &client);
    answer
}

/// A device that comes as it should is not refused: nobody has decided yet.
const fn waits(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DevicePending | ErrorCode::PolledTooFast)
}

async fn redeem(
    request: &HttpRequest,
    edge: &Edge,
    form: &Form,
    (client, grant): (&Arc<Client>, GrantType),
) -> Result<Tokens, AppError> {
    if !client.may(grant) {
        let text = format!("the client may not use the grant `{}`", grant.as_str());
        return Err(AppError::refused(ErrorCode::GrantNotAllowed, text));
    }
    let trade = token_form::parse(form, grant)?;
    let proven = proven(request, edge, None, client.dpop)?;
    if client.dpop && proven.is_none() {
        let text = "this client's tokens are bound to a key, and the call brings no DPoP proof";
        return Err(AppError::refused(ErrorCode::DpopProofInvalid, text));
    }
    edge.app.redeem(Arc::clone(client), trade, proven).await
}

fn tokens_answer(tokens: &Tokens) -> HttpResponse {
    let mut members = Map::new();
    members.insert("access_token".to_owned(), json!(tokens.access_token));
    members.insert("token_type".to_owned(), json!(if tokens.bound { "DPoP" } else { "Bearer" }));
    members.insert("expires_in".to_owned(), json!(tokens.expires_in));
    if let Some(refresh) = &tokens.refresh_token {
        members.insert("refresh_token".to_owned(), json!(refresh.expose()));
    }
    if let Some(id_token) = &tokens.id_token {
        members.insert("id_token".to_owned(), json!(id_token));
    }
    members.insert("scope".to_owned(), json!(tokens.scopes));
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .json(Value::Object(members))
}
