//! What every handler shares: the application, limits by address, a call's id, a bounded body.
//! In: actix's request and payload. Out: bytes within the limit, or the answer that refuses them.
//! Implements DESIGN §12.
//! Never buffers more than a route's limit.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::app::ceremony::Ceremony;
use crate::app::{AppError, Countersign};
use crate::config::cidr::Cidr;
use crate::crypto::random;
use crate::domain::canonical;
use crate::domain::ids::Digest;
use crate::domain::network::Network;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::form::Form;

use super::bodies::PasskeyBody;
use super::caller::{Crowd, Guesses, Tally, address, is_of_foreign_page, is_our_page, is_seen_navigation};
use super::connection::Calls;
use super::problem::Problem;

/// Largest body of any route.
pub const MAX_BODY: usize = 64 * 1024;
/// How long a client may take to send its body (slow clients are let go).
pub const BODY_WITHIN: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";

/// What handlers are given.
pub struct Edge {
    /// The application.
    pub app: Arc<Countersign>,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Refused calls by address.
    pub refused: Tally,
    /// Wrong ceremonies by address.
    pub wrong_ceremonies: Tally,
    /// Ceremonies started, by address.
    pub started_ceremonies: Tally,
    /// Calls of clients that did not prove who they are, by address.
    pub wrong_clients: Tally,
    /// Pages that are told of changes, by address.
    pub streams: Crowd,
    /// Requests of applications, by address.
    pub authorizations: Tally,
    /// What foreign pages have browsers send, by address.
    pub foreign: Tally,
    /// Requests of devices, by address.
    pub devices: Tally,
    /// User codes that were typed.
    pub guesses: Guesses,
}

/// The shared edge, as actix hands it out.
pub type Shared = Data<Edge>;

impl Edge {
    /// The address that a call counts for.
    pub fn address(&self, request: &HttpRequest) -> IpAddr {
        address(request, &self.trusted_proxies)
    }

    /// The network that what a call begins counts for.
    pub fn network(&self, request: &HttpRequest) -> Network {
        Network::of(self.address(request))
    }

    /// A JSON answer for a job's failure.
    pub fn fail(&self, error: AppError) -> HttpResponse {
        Problem::of(error, call_id()).json(&self.app)
    }

    /// A JSON answer for the failure of a page's call.
    pub fn fail_script(&self, error: AppError) -> HttpResponse {
        Problem::of(error, call_id()).json_for_page(&self.app)
    }

    /// A page for a failure.
    pub fn fail_page(&self, error: AppError) -> HttpResponse {
        Problem::of(error, call_id()).page(&self.app)
    }

    /// A JSON answer for a ceremony that failed; a wrong one counts against the address.
    pub fn fail_ceremony(&self, request: &HttpRequest, error: AppError) -> HttpResponse {
        if error.code().page_status() == 400 {
            self.wrong_ceremonies.count(self.address(request), self.app.clock.monotonic());
        }
        self.fail_script(error)
    }

    /// Reads a JSON body that only a page of ours may send.
    ///
    /// # Errors
    /// The answer.
    pub async fn json_from_our_page<T: DeserializeOwned>(
        &self,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<T, HttpResponse> {
        if !is_our_page(request, &self.app) {
            return Err(self.fail(AppError::refused(
                ErrorCode::OriginWrong,
                "this call does not come from a page of this server",
            )));
        }
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media_type(kind) != "application/json" {
            return Err(unsupported(self, "application/json"));
        }
        let body = self.body(request, payload).await?;
        // What the parsers say quotes the body, which may hold a secret in the wrong place.
        let value = canonical::strict_value(&body).map_err(|_| self.bad_body("it is not JSON, or not strict"))?;
        serde_json::from_value(value).map_err(|_| self.bad_body("its members are others"))
    }

    /// The same for a call that starts a ceremony, which counts for its address.
    ///
    /// # Errors
    /// The answer.
    pub async fn start_from_our_page<T: DeserializeOwned>(
        &self,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<T, HttpResponse> {
        let body = self.json_from_our_page(request, payload).await?;
        self.refuse_ceremony(request).map_or(Ok(body), Err)
    }

    /// A browser's answer to a ceremony, from an address that did not bring too many wrong ones.
    ///
    /// # Errors
    /// The answer.
    pub async fn passkey_from_our_page(
        &self,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<PasskeyBody, HttpResponse> {
        match self.refuse_beyond(&self.wrong_ceremonies, self.address(request)) {
            None => self.json_from_our_page(request, payload).await,
            Some(answer) => Err(answer),
        }
    }

    fn bad_body(&self, why: &str) -> HttpResponse {
        self.fail(AppError::refused(
            ErrorCode::ParameterInvalid,
            format!("the body is not what this page sends: {why}"),
        ))
    }

    /// Reads a body of at most `MAX_BODY` bytes, within `BODY_WITHIN`.
    ///
    /// # Errors
    /// The answer: 413, or 400 where the connection broke or dawdled.
    pub async fn body(&self, request: &HttpRequest, payload: Payload) -> Result<Bytes, HttpResponse> {
        if let Ok(gathered) = tokio::time::timeout(BODY_WITHIN, self.gather(payload)).await {
            // The call may take long, or be held: nothing is read behind it.
            if let Some(calls) = request.conn_data::<Rc<Calls>>() {
                calls.received();
            }
            return gathered;
        }
        let text = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
        Err(self.fail(AppError::refused(ErrorCode::ParameterInvalid, text)))
    }

    async fn gather(&self, mut payload: Payload) -> Result<Bytes, HttpResponse> {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let Ok(chunk) = chunk else {
                return Err(self.fail(AppError::refused(ErrorCode::ParameterInvalid, "the body broke off")));
            };
            if body.len() + chunk.len() > MAX_BODY {
                let text = format!("the body is larger than {MAX_BODY} bytes");
                return Err(self.fail(AppError::refused(ErrorCode::BodyTooLarge, text)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads the body of a call that must be a form.
    ///
    /// # Errors
    /// The answer: 415 for another type, and as `body`.
    pub async fn form_body(&self, request: &HttpRequest, payload: Payload) -> Result<Bytes, HttpResponse> {
        if !is_form(request) {
            return Err(unsupported(self, FORM));
        }
        self.body(request, payload).await
    }

    /// The same, taken apart.
    ///
    /// # Errors
    /// The answer.
    pub async fn form(&self, request: &HttpRequest, payload: Payload) -> Result<Form, HttpResponse> {
        let body = self.form_body(request, payload).await?;
        Form::read(&body).map_err(|refusal| self.fail(refusal.into()))
    }

    /// Counts a ceremony that an address starts; the refusal, where it has had its share.
    pub fn refuse_ceremony(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let address = self.address(request);
        let refused = self.refuse_beyond(&self.started_ceremonies, address);
        if refused.is_none() {
            self.started_ceremonies.count(address, self.app.clock.monotonic());
        }
        refused
    }

    /// The tally of refused calls that a call counts for: what a foreign page sends behind a person's back has its own, so
    /// that it keeps nobody out.
    fn refusals(&self, request: &HttpRequest) -> &Tally {
        let hidden = is_of_foreign_page(request, &self.app) && !is_seen_navigation(request);
        if hidden { &self.foreign } else { &self.refused }
    }

    /// The refusal of a caller that was refused too often.
    pub fn refuse_refused(&self, request: &HttpRequest) -> Option<HttpResponse> {
        self.refuse_beyond(self.refusals(request), self.address(request))
    }

    /// Counts a refused call.
    pub fn count_refused(&self, request: &HttpRequest) {
        self.refusals(request).count(self.address(request), self.app.clock.monotonic());
    }

    /// The refusal of an address that has had its share of `tally`.
    pub fn refuse_beyond(&self, tally: &Tally, address: IpAddr) -> Option<HttpResponse> {
        Some(self.too_many(tally, address)?.json(&self.app))
    }

    /// The refusal of whoever typed too many wrong codes; otherwise this try counts until it was right.
    pub fn refuse_guess(&self, address: IpAddr, session: Digest) -> Option<HttpResponse> {
        let seconds = self.guesses.begin(address, session, self.app.clock.monotonic()).err()?;
        let text = "too many wrong codes were typed in this session or at this address";
        let mut problem = Problem::at_the_edge(ErrorCode::RateLimited, text, call_id());
        problem.retry_after = Some(seconds);
        Some(problem.json_for_page(&self.app))
    }

    /// The same as a page.
    pub fn refuse_page_beyond(&self, tally: &Tally, address: IpAddr) -> Option<HttpResponse> {
        Some(self.too_many(tally, address)?.page(&self.app))
    }

    fn too_many(&self, tally: &Tally, address: IpAddr) -> Option<Problem> {
        let seconds = tally.exhausted(address, self.app.clock.monotonic())?;
        let text = "too many calls of this kind from this address";
        let mut problem = Problem::at_the_edge(ErrorCode::RateLimited, text, call_id());
        problem.retry_after = Some(seconds);
        Some(problem)
    }
}

/// A value of the query, where there is one that reads.
pub fn asked<T: std::str::FromStr>(request: &HttpRequest, name: &str) -> Option<T> {
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(known, _)| known == name).and_then(|(_, value)| value.parse().ok())
}

/// Whether a call says that it brings a form.
pub fn is_form(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type(kind.unwrap_or_default()) == FORM
}

/// A JSON answer that nobody keeps.
pub fn json_answer(value: &serde_json::Value) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(value)
}

/// What a page needs to start a ceremony.
pub fn ceremony_answer(ceremony: &Ceremony) -> HttpResponse {
    let public_key = ceremony.options.get("publicKey");
    json_answer(&serde_json::json!({
        "ceremony": ceremony.id, "publicKey": public_key, "statement": ceremony.statement,
    }))
}

/// 415 with the type that is wanted.
pub fn unsupported(edge: &Edge, wanted: &str) -> HttpResponse {
    let text = format!("the body must be `{wanted}`");
    let problem = Problem::at_the_edge(ErrorCode::ParameterInvalid, text, call_id());
    HttpResponse::UnsupportedMediaType()
        .insert_header((header::ACCEPT, wanted))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(problem.members(&edge.app))
}

/// The type of a `Content-Type`, lower case, where it is UTF-8 or says nothing; empty otherwise.
pub fn media_type(value: &str) -> String {
    let mut parts = value.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if utf8 { kind } else { String::new() }
}

/// Names a call in diagnostics and answers: 40 random bits, readable.
pub fn call_id() -> String {
    random::bytes::<5>().map_or_else(|_| "0".repeat(8), |bits| data_encoding::BASE32_NOPAD.encode(&bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_exact() {
        assert_eq!(media_type("application/x-www-form-urlencoded"), "application/x-www-form-urlencoded");
        assert_eq!(media_type("Application/JSON; charset=UTF-8"), "application/json");
        assert_eq!(media_type("application/json; charset=utf-16"), "");
    }
}
