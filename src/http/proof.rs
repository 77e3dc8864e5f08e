//! The `DPoP` header of a call: a proof of possession for this very URL and method.
//! In: a call. Out: the key that it proves, if it brings a proof.
//! Implements RFC 9449 §4.1, §4.3.
//! Never takes two proofs, and never the caller's word for what our URL is.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};

use crate::app::AppError;
use crate::app::possession::Proven;
use crate::domain::oauth::dpop::Call;
use crate::domain::oauth::error_code::ErrorCode;

use super::edge::Edge;

/// The header that brings a proof.
pub const DPOP: &str = "dpop";
/// The header that brings a nonce for the next one.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The key that a call proves; `None` where it brings no proof.
///
/// # Errors
/// `dpop_proof_invalid`, `dpop_nonce_wanted`.
pub fn proven(
    request: &HttpRequest,
    edge: &Edge,
    access_token: Option<&str>,
    with_nonce: bool,
) -> Result<Option<Proven>, AppError> {
    let mut headers = request.headers().get_all(DPOP);
    let Some(proof) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(AppError::refused(ErrorCode::DpopProofInvalid, "the call brings more than one DPoP proof"));
    }
    // What is not text is no proof.
    let proof = proof.to_str().unwrap_or("");
    let url = format!("{}{}", edge.app.settings.url, request.path());
    let call = Call { method: request.method().as_str(), url: &url, access_token };
    edge.app.judge_proof(proof, call, with_nonce).map(Some)
}

/// Puts the nonce for the next proof into an answer.
pub fn put_nonce(answer: &mut HttpResponse, edge: &Edge) {
    if let Ok(nonce) = HeaderValue::from_str(&edge.app.dpop_nonce()) {
        answer.headers_mut().insert(DPOP_NONCE, nonce);
    }
}
