//! `/logout`: a client sends people here to sign out.
//! In: a query, or a form. Out: the way back to the client, a page that asks, or one that says that it is done.
//! Implements OpenID Connect RP-Initiated Logout 1.0 §2 (GET and POST), §3.
//! Never redirects to a URI that is not the asking client's.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::AppError;
use crate::app::log_out::LogoutAnswer;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::logout::{Afterwards, Course, parse};
use crate::http::edge::{Edge, Shared};
use crate::http::{problem, session};

use super::view::{ask_view, done_view};

/// Longest query of a form that is sent on as one, in bytes: below what proxies take.
pub const MAX_LOGOUT_QUERY: usize = 7 * 1024;

/// Signs out, or asks.
pub async fn get(request: HttpRequest, edge: Shared) -> HttpResponse {
    if let Some(answer) = edge.refuse_refused(&request) {
        return answer;
    }
    let asked = match parse(request.query_string().as_bytes()) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&edge, &request, refusal.into()),
    };
    match edge.app.log_out(&asked, session::digest(&request)).await {
        Ok(answer) => answered(&edge, &answer),
        Err(error) => refused(&edge, &request, error),
    }
}

/// The same for a form: no cookie comes with one of another site, so it is asked for again as a query of ours.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.form_body(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if let Err(refusal) = parse(&body) {
        return refused(&edge, &request, refusal.into());
    }
    // Written anew, so that nothing but parameters stands in the address.
    let query =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(url::form_urlencoded::parse(&body)).finish();
    if query.len() > MAX_LOGOUT_QUERY {
        let text = format!("the parameters are longer than {MAX_LOGOUT_QUERY} bytes");
        return refused(&edge, &request, AppError::refused(ErrorCode::ParameterInvalid, text));
    }
    session::see(&format!("/logout?{query}"))
}

fn refused(edge: &Edge, request: &HttpRequest, error: AppError) -> HttpResponse {
    if matches!(error, AppError::Refused { .. }) {
        edge.count_refused(request);
    }
    edge.fail_page(error)
}

fn answered(edge: &Edge, answer: &LogoutAnswer) -> HttpResponse {
    let name = answer.client.as_ref().map(|client| client.name.as_str());
    let host = edge.app.settings.host();
    match &answer.course {
        Course::Ask(there) => {
            let view = ask_view(host, name, there.as_ref().map(Afterwards::as_str), edge.app.clock.now());
            problem::html(StatusCode::OK, &view)
        }
        Course::End(there) => {
            let mut away = there.as_ref().map_or_else(|| problem::html(StatusCode::OK, &done_view(host)), back);
            match away.add_cookie(&session::no_cookie()) {
                Ok(()) => away,
                Err(error) => edge.fail_page(AppError::internal(error)),
            }
        }
        Course::Over(there) => there.as_ref().map_or_else(|| problem::html(StatusCode::OK, &done_view(host)), back),
    }
}

fn back(there: &Afterwards) -> HttpResponse {
    session::see(there.as_str())
}
