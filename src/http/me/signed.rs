//! `/me/signed`: what a person signed, and the receipt of each decision.
//! In: a session. Out: HTML; a receipt as a file of JSON.
//! Implements SCREENS' What I signed.
//! Never gives anybody else's receipt.

use actix_web::http::{StatusCode, header};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::show_signed::{MAX_SIGNED_SHOWN, SignedDecision};
use crate::app::{AppError, Countersign};
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::approval::endpoints::display;
use crate::http::approval::view::JobDisplay;
use crate::http::edge::{Shared, asked};
use crate::http::{problem, session};

use super::signed_view::{SignedInput, signed_item, signed_view};

/// What the job's token said beside what was signed.
pub fn said(app: &Countersign, one: &SignedDecision) -> JobDisplay {
    display(app, &one.request.display, &one.request.request, &one.request.issuer)
}

/// The page.
pub async fn page(request: HttpRequest, edge: Shared) -> HttpResponse {
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    let before = asked(&request, "before");
    let found = match edge.app.decisions_of(&me.person.id, before, MAX_SIGNED_SHOWN + 1) {
        Ok(found) => found,
        Err(error) => return edge.fail_page(error),
    };
    let more = found.len() > MAX_SIGNED_SHOWN;
    let shown = found.iter().take(MAX_SIGNED_SHOWN);
    let items: Vec<_> = shown.map(|one| signed_item(one, &said(&edge.app, one), me.now)).collect();
    let host = edge.app.settings.host();
    problem::html(StatusCode::OK, &signed_view(SignedInput { host, me: &me, items, more }))
}

/// The receipt of a decision.
pub async fn receipt(request: HttpRequest, entry: Path<String>, edge: Shared) -> HttpResponse {
    let me = match session::visitor(&edge, &request).await {
        Ok(me) => me,
        Err(answer) => return answer,
    };
    let unknown = || AppError::refused(ErrorCode::NotFound, "you signed nothing under this number");
    let found = entry.parse::<u64>().map_err(|_| unknown()).and_then(|entry| edge.app.receipt(&me.person.id, entry));
    match found {
        Ok(receipt) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"receipt-{}.json\"", receipt.decision),
            ))
            .json(receipt),
        Err(error) => edge.fail_page(error),
    }
}
