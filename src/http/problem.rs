//! The one mapping from what a use case says to the wire.
//! In: `AppError`. Out: an answer with `error`, `error_code`, what, cure, where to read on, and a call id.
//! Implements RFC 6749 §5.2, RFC 8693 §2.2.2, DESIGN §5 (errors).
//! Never lets an internal detail out: that goes to diagnostics under the same call id.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde_json::{Map, Value, json};

use crate::app::{AppError, Countersign};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;
use crate::http::error_page::{ErrorPage, ErrorPlace};

/// Seconds after which a busy server may be asked again.
const RETRY_AFTER: &str = "5";

/// What an answer says about a failure.
#[derive(Debug)]
pub struct Problem {
    /// The stable code.
    pub code: ErrorCode,
    /// What, for the caller.
    pub description: String,
    /// The cause, where there is more to tell.
    pub detail: Option<Box<str>>,
    /// The cure.
    pub hint: String,
    /// The log entry, where there is one.
    pub log: Option<u64>,
    /// Names this answer in diagnostics.
    pub call_id: String,
    /// Seconds for `Retry-After`, where it is not the default.
    pub retry_after: Option<u64>,
}

impl Problem {
    /// Turns a use case's error into what may leave; diagnostics get the rest.
    pub fn of(error: AppError, call_id: String) -> Self {
        match error {
            AppError::Refused { refusal, log } => {
                tracing::info!(call_id, code = refusal.code.as_str(), log, "refused");
                let hint = refusal.hint.unwrap_or_else(|| refusal.code.cure().to_owned());
                let Refusal { code, description, detail, .. } = refusal;
                Self { code, description, detail, hint, log, call_id, retry_after: None }
            }
            AppError::Fault { code, detail } => {
                tracing::error!(call_id, code = code.as_str(), detail, "failed");
                let description = fault_description(code).to_owned();
                let hint = code.cure().to_owned();
                Self { code, description, detail: None, hint, log: None, call_id, retry_after: None }
            }
        }
    }

    /// A failure that the edge found itself.
    pub fn at_the_edge(code: ErrorCode, description: impl Into<String>, call_id: String) -> Self {
        let hint = code.cure().to_owned();
        Self { code, description: description.into(), detail: None, hint, log: None, call_id, retry_after: None }
    }

    /// The members of the JSON answer.
    pub fn members(&self, app: &Countersign) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("error".to_owned(), json!(self.code.oauth().as_str()));
        members.insert("error_description".to_owned(), json!(self.description));
        members.insert("error_code".to_owned(), json!(self.code.as_str()));
        members.insert("hint".to_owned(), json!(self.hint));
        members
            .insert("error_uri".to_owned(), json!(format!("{}/docs/errors#{}", app.settings.url, self.code.as_str())));
        if let Some(detail) = &self.detail {
            members.insert("summary".to_owned(), json!([detail]));
        }
        members.insert("call_id".to_owned(), json!(self.call_id));
        if let Some(log) = self.log {
            members.insert("log".to_owned(), json!({ "origin": app.settings.origin, "index": log }));
        }
        members
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn page_status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.page_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The JSON answer to a job.
    pub fn json(&self, app: &Countersign) -> HttpResponse {
        self.json_with(self.status(), app)
    }

    /// The JSON answer to a page's script.
    pub fn json_for_page(&self, app: &Countersign) -> HttpResponse {
        self.json_with(self.page_status(), app)
    }

    fn json_with(&self, status: StatusCode, app: &Countersign) -> HttpResponse {
        let mut answer = HttpResponse::build(status);
        if let Some(after) = self.retry_after(status) {
            answer.insert_header((header::RETRY_AFTER, after));
        }
        answer.insert_header((header::CACHE_CONTROL, "no-store")).json(self.members(app))
    }

    /// What whoever may come again is told of when.
    fn retry_after(&self, status: StatusCode) -> Option<String> {
        let after = || self.retry_after.map_or_else(|| RETRY_AFTER.to_owned(), |seconds| seconds.to_string());
        matches!(status.as_u16(), 429 | 503).then(after)
    }

    /// The page.
    pub fn page(&self, app: &Countersign) -> HttpResponse {
        let place = ErrorPlace { host: app.settings.host(), call_id: &self.call_id, now: app.clock.now() };
        let page = if self.code == ErrorCode::RateLimited {
            ErrorPage::too_many(place, std::time::Duration::from_secs(self.retry_after.unwrap_or(30)))
        } else {
            ErrorPage::of(place, self.code, &self.description).with_cure(self.code, &self.hint)
        };
        let mut answer = html(self.page_status(), &page);
        if let Some(after) = self.retry_after(self.page_status()).and_then(|after| after.parse().ok()) {
            answer.headers_mut().insert(header::RETRY_AFTER, after);
        }
        answer
    }
}

const fn fault_description(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::IssuerUnavailable => "the issuer's keys cannot be read just now",
        ErrorCode::QueueFull => "too many calls are waiting",
        ErrorCode::ClockStepped => "this server's clock has stepped, so it issues nothing",
        ErrorCode::LogUnavailable => "the log cannot be written, so nothing is issued",
        _ => "our fault; nothing was approved or issued",
    }
}

/// Renders a page.
pub fn html(status: StatusCode, page: &impl askama::Template) -> HttpResponse {
    match page.render() {
        Ok(body) => HttpResponse::build(status)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("text/html; charset=utf-8")
            .body(body),
        Err(error) => {
            tracing::error!(%error, "a page did not render");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_nothing_of_its_cause() {
        let fault = AppError::Fault { code: ErrorCode::Internal, detail: "secret path /var/x".to_owned() };
        let problem = Problem::of(fault, "01".to_owned());
        assert!(!problem.description.contains("secret") && !problem.hint.contains("secret"));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
