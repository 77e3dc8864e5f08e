//! Who a calling client is: for every endpoint that clients call.
//! In: a call's `Authorization` header and form. Out: the client, or the answer that refuses.
//! Implements RFC 6749 §2.3, §5.2 (`WWW-Authenticate` where the header was used).
//! Never lets one address try secrets without end.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::app::AppError;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::client_auth::Claimed;
use crate::domain::oauth::error_code::{ErrorCode, OAuthCode};
use crate::domain::oauth::form::Form;

use super::edge::Edge;

/// The client that a call is from.
///
/// # Errors
/// The answer: 401 `invalid_client`, or 429 for an address that was wrong too often.
pub async fn authenticate(request: &HttpRequest, edge: &Edge, form: &Form) -> Result<Arc<Client>, HttpResponse> {
    let address = edge.address(request);
    let by_header = request.headers().contains_key(header::AUTHORIZATION);
    let error = match claimed(request, form) {
        Ok(claimed) => match edge.app.authenticate_client(claimed).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let wrong = error.code().oauth() == OAuthCode::InvalidClient;
    if wrong {
        // Whoever is right is never kept out by others at the same address.
        if let Some(answer) = edge.refuse_beyond(&edge.wrong_clients, address) {
            return Err(answer);
        }
        edge.wrong_clients.count(address, edge.app.clock.monotonic());
    }
    let mut answer = edge.fail(error);
    if wrong && by_header {
        let challenge = HeaderValue::from_static("Basic realm=\"countersign\", charset=\"UTF-8\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    Err(answer)
}

fn claimed(request: &HttpRequest, form: &Form) -> Result<Claimed, AppError> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let first = headers.next();
    if headers.next().is_some() {
        return Err(AppError::refused(ErrorCode::ClientAuthMixed, "the `Authorization` header is there twice"));
    }
    // A header that is not text is as wrong as one of another scheme.
    let header = first.map(|value| value.to_str().unwrap_or(""));
    Ok(Claimed::read(header, form)?)
}
