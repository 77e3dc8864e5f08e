//! `POST /device_authorization`: a device asks, and gets a code for itself and one that a person types.
//! In: a form and the client's proof of who it is. Out: RFC 8628 §3.2 JSON.
//! Implements RFC 8628 §3.1, §3.2.
//! Never answers `verification_uri_complete`: a link that carries the code is what phishing needs (RFC 8628 §5.4).

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::AppError;
use crate::app::ask_device::DeviceCodes;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::{DEVICE_AUTHORIZATION, POLL_INTERVAL};

use super::caller::is_of_foreign_page;
use super::client_auth::authenticate;
use super::edge::{Edge, Shared};
use super::proof::DPOP;

/// Takes what a device asks for.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if is_of_foreign_page(&request, &edge.app) {
        let refused = AppError::refused(ErrorCode::OriginWrong, "a device has no page that asks for it");
        return edge.fail(refused.with_hint("send the request from the device itself"));
    }
    match ask(&request, payload, &edge).await {
        Ok(codes) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
            "device_code": codes.device_code.expose(),
            "user_code": codes.user_code.shown(),
            "verification_uri": format!("{}/device", edge.app.settings.url),
            "expires_in": DEVICE_AUTHORIZATION.as_secs(),
            "interval": POLL_INTERVAL.as_secs(),
        })),
        Err(answer) => answer,
    }
}

async fn ask(request: &HttpRequest, payload: Payload, edge: &Edge) -> Result<DeviceCodes, HttpResponse> {
    if request.headers().contains_key(DPOP) {
        // Nothing would be bound by it: whoever sends one must not believe that it is.
        let refused = AppError::refused(ErrorCode::DpopUnsupported, "a device's request takes no `DPoP` header");
        return Err(edge.fail(refused.with_hint("leave it out; send one to `/token`, which binds the tokens")));
    }
    let form = edge.form(request, payload).await?;
    let client = authenticate(request, edge, &form).await?;
    // A client that proved who it is asks for many people's devices, from one address.
    if client.is_public() {
        let address = edge.address(request);
        if let Some(answer) = edge.refuse_beyond(&edge.devices, address) {
            return Err(answer);
        }
        edge.devices.count(address, edge.app.clock.monotonic());
    }
    let asked = edge.app.ask_for_device(&client, &form, edge.address(request)).await;
    asked.map_err(|error| edge.fail(error))
}
