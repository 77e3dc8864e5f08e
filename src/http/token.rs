//! `POST /token`: the token exchange, and the door to the other grants (`grant_token`).
//! In: a form, headers, a proof of possession. Out: RFC 8693 §2.2 JSON, or the bare token where the caller asks for it.
//! Implements RFC 8693 §2, RFC 7240 (`Prefer: wait`), RFC 6749 §3.2, §5, RFC 9449 §5, §8.
//! Never decides: it parses, calls one use case, renders.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use crate::app::answer_token::TokenAnswer;
use crate::app::exchange::{Answer, PendingAnswer};
use crate::app::{AppError, Countersign};
use crate::domain::oauth::client::GrantType;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::{ExchangeHeaders, checked};

use super::edge::{Shared, call_id, media_type};
use super::grant_token;
use super::problem::Problem;
use super::proof::{proven, put_nonce};

/// Exchanges a job token, or redeems what a client brings.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if let Some(answer) = edge.refuse_refused(&request) {
        return answer;
    }
    let refuse = |answer| {
        edge.count_refused(&request);
        answer
    };
    // In a box that is gone once it is read: a call that is held would keep room for it.
    let form = match Box::pin(edge.form(&request, payload)).await {
        Ok(form) => form,
        Err(answer) => return refuse(answer),
    };
    let has = |grant: &GrantType| edge.app.clients.have(*grant);
    if let Some(grant) = form.get("grant_type").and_then(GrantType::parse).filter(has) {
        // In a box of its own: a call that is held would keep room for it.
        return Box::pin(grant_token::answer(&request, &edge, &form, grant)).await;
    }
    let headers = ExchangeHeaders {
        idempotency_key: text(&request, "idempotency-key"),
        has_dpop: request.headers().contains_key("dpop"),
    };
    let read = checked(&form, headers);
    // A call may be held for long, and needs no more than what was read of it.
    drop(form);
    let form = match read {
        Ok(form) => form,
        Err(refusal) => return refuse(edge.fail(refusal.into())),
    };
    let issued_token_type = form.issued_token_type;
    let answered = match proven(&request, &edge, None, false) {
        Ok(proven) => edge.app.exchange(form, proven, wait(&request)).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(Answer::Token(token)) => token_answer(&request, &edge.app, &token, issued_token_type),
        Ok(Answer::Pending(pending)) => pending_answer(&edge.app, &pending),
        Err(error) => {
            if matches!(error, AppError::Refused { .. }) {
                edge.count_refused(&request);
            }
            let wants_nonce = error.code() == ErrorCode::DpopNonceWanted;
            let mut answer = edge.fail(error);
            if wants_nonce {
                put_nonce(&mut answer, &edge);
            }
            answer
        }
    }
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    // A header that is not text is as wrong as one of the wrong form.
    request.headers().get(name).map(|value| value.to_str().unwrap_or(""))
}

/// RFC 7240 §4.3: `Prefer: wait=50`.
fn wait(request: &HttpRequest) -> Option<Duration> {
    let values = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.trim().split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("wait") {
            return None;
        }
        value.trim().trim_matches('"').parse().ok().map(Duration::from_secs)
    })
}

fn token_answer(request: &HttpRequest, app: &Countersign, token: &TokenAnswer, kind: &str) -> HttpResponse {
    let accept = text(request, header::ACCEPT.as_str()).unwrap_or_default();
    if media_type(accept) == "application/jwt" {
        return HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("application/jwt")
            .body(token.access_token.clone());
    }
    let mut members = Map::new();
    members.insert("access_token".to_owned(), json!(token.access_token));
    members.insert("issued_token_type".to_owned(), json!(kind));
    members.insert("token_type".to_owned(), json!("N_A"));
    members.insert("expires_in".to_owned(), json!(token.expires_in));
    members.insert("log".to_owned(), json!({ "origin": app.settings.origin, "index": token.log }));
    if let Some(approval) = &token.approval {
        members.insert("approval".to_owned(), approval.clone());
    }
    members.insert("summary".to_owned(), json!(token.summary));
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Value::Object(members))
}

fn pending_answer(app: &Countersign, pending: &PendingAnswer) -> HttpResponse {
    let (code, description) = if pending.too_fast {
        (ErrorCode::PolledTooFast, format!("polled too fast: wait {} s between calls", pending.interval))
    } else {
        (ErrorCode::ApprovalPending, "people are being asked".to_owned())
    };
    let mut members = Problem::at_the_edge(code, description, call_id()).members(app);
    members.insert("approval_id".to_owned(), json!(pending.request.id));
    members.insert("approval_uri".to_owned(), json!(pending.approval_uri));
    members.insert("approval_code".to_owned(), json!(pending.request.code));
    members.insert("expires_in".to_owned(), json!(pending.expires_in));
    members.insert("interval".to_owned(), json!(pending.interval));
    members.insert("summary".to_owned(), json!(pending.summary));
    HttpResponse::BadRequest().insert_header((header::CACHE_CONTROL, "no-store")).json(Value::Object(members))
}
