//! The admin's pages: how the server is, and what it knows; and who may look at them.
//! In: a session. Out: HTML, or the answer for whoever may not look.
//! Implements SCREENS' Admin.
//! Never tells whoever may not look that there is anything: they get the page that is not there.

pub mod client;
pub mod client_view;
pub mod clients_view;
pub mod endpoints;
pub mod health_view;
pub mod issuers_view;
pub mod keys_view;
pub mod people;
pub mod refusal_view;
pub mod requests_view;
pub mod rules_view;

use actix_web::{HttpRequest, HttpResponse};

use crate::app::AppError;
use crate::app::use_session::{SignedIn, not_signed_in};
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::edge::Edge;
use crate::http::session;

/// Who opens a page of the admin's: an admin or an auditor, judged by what they are at this call.
///
/// # Errors
/// The answer: the way to the sign-in page, the page that is not there, or the page of a failure.
pub async fn visitor(edge: &Edge, request: &HttpRequest) -> Result<SignedIn, HttpResponse> {
    let me = session::visitor(edge, request).await?;
    if me.sees_administration() { Ok(me) } else { Err(not_there(edge)) }
}

/// Refuses the call of whoever may propose nothing before anything of it reaches the writer, where it is judged again; it
/// counts for its address.
///
/// # Errors
/// The answer.
pub async fn needed(edge: &Edge, request: &HttpRequest) -> Result<SignedIn, HttpResponse> {
    if let Some(answer) = edge.refuse_refused(request) {
        return Err(answer);
    }
    let judged = session::who(edge, request).await.and_then(|who| {
        let me = who.ok_or_else(not_signed_in)?;
        me.may_propose().map(|()| me)
    });
    judged.map_err(|error| {
        if matches!(error, AppError::Refused { .. }) {
            edge.count_refused(request);
        }
        edge.fail_script(error)
    })
}

/// The page that is not there, or not the reader's.
pub fn not_there(edge: &Edge) -> HttpResponse {
    edge.fail_page(AppError::refused(ErrorCode::NotFound, "there is no such page, or it is not yours to see"))
}
