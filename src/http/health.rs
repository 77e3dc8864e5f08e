//! `/healthz` and `/readyz`: whether the process lives, and whether it can issue.
//! In: nothing. Out: 200 or 503, with what is wrong named.
//! Implements DESIGN §12.
//! Never waits for an issuer: it tells what is known, and has those asked again that could not be reached.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::http::header;
use serde_json::json;

use super::edge::Shared;

/// The process lives.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).content_type("text/plain").body("ok\n")
}

/// It can issue: the log can be read and written, the clock is steady, every issuer's keys are usable. Warnings keep it
/// from nothing.
pub async fn ready(edge: Shared) -> HttpResponse {
    let findings = edge.app.readiness();
    // No job comes to a server that is not ready, so no job would find that the issuer is back.
    edge.app.ask_again();
    let counters = edge.app.counters();
    let body = json!({
        "ready": findings.is_empty(),
        "findings": findings,
        "warnings": edge.app.warnings(),
        "unknown_claims": counters.unknown_claims.load(Ordering::Relaxed),
        "unverified_refusals": counters.unverified_refusals.load(Ordering::Relaxed),
        "requests_with_waiters": edge.app.waiting().count(),
    });
    let mut answer = if findings.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}
