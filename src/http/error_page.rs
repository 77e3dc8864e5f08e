//! The page for everything that went wrong.
//! In: what happened, its cause, its cure. Out: `ErrorPage`, a template.
//! Implements the error pages.
//! Never says more than the reader may know, and never a secret.

use std::time::Duration;

use askama::Template;

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::{Timestamp, humane};
use crate::http::page::{Moment, visible};

/// What happened, why, what to do, and one button.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    host: String,
    what: String,
    cause: String,
    cure: String,
    again: bool,
    call_id: String,
    at: Moment,
}

/// Which answer the page belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ErrorPlace<'a> {
    /// Our host.
    pub host: &'a str,
    /// The call's id, for the operator.
    pub call_id: &'a str,
    /// The time of the answer.
    pub now: Timestamp,
}

impl ErrorPage {
    fn new(place: ErrorPlace<'_>, what: &str, cause: &str, cure: &str) -> Self {
        Self {
            host: place.host.to_owned(),
            what: what.to_owned(),
            cause: cause.to_owned(),
            cure: cure.to_owned(),
            again: true,
            call_id: place.call_id.to_owned(),
            at: Moment::new(place.now, place.now),
        }
    }

    /// 404. The same whether the thing is not there or not the reader's.
    #[must_use]
    pub fn not_found(place: ErrorPlace<'_>) -> Self {
        Self::new(
            place,
            "This page does not exist, or it is not yours to see.",
            "The link may be cut off or mistyped.",
            "Open it again from where you got it.",
        )
    }

    /// 429.
    #[must_use]
    pub fn too_many(place: ErrorPlace<'_>, wait: Duration) -> Self {
        Self::new(
            place,
            "Too many tries.",
            "This server takes only so many calls a minute from one place.",
            &format!("Wait {}.", humane(wait)),
        )
    }

    /// 500.
    #[must_use]
    pub fn internal(place: ErrorPlace<'_>) -> Self {
        Self::new(
            place,
            "Our fault.",
            "Nothing was approved or issued.",
            "Try again. If it stays, tell the operator the call id below.",
        )
    }

    /// 503, the log cannot be written.
    #[must_use]
    pub fn log_unavailable(place: ErrorPlace<'_>) -> Self {
        Self::new(
            place,
            "We cannot write to the log, so we issue nothing.",
            "Waiting jobs keep waiting.",
            "Try again in a minute.",
        )
    }

    /// Any other code, with the sentence that describes it.
    #[must_use]
    pub fn of(place: ErrorPlace<'_>, code: ErrorCode, description: &str) -> Self {
        match code {
            ErrorCode::NotFound => Self::not_found(place),
            ErrorCode::LogUnavailable => Self::log_unavailable(place),
            ErrorCode::Internal => Self::internal(place),
            ErrorCode::AuthorizationOver => Self {
                again: false,
                ..Self::new(place, "This sign-in is over.", &sentence(description), &sentence(code.cure()))
            },
            ErrorCode::DeviceOver => Self {
                again: false,
                ..Self::new(
                    place,
                    "This page of a device is over, or it is not yours to see.",
                    "It opens in the session alone in which its code was typed.",
                    &sentence(code.cure()),
                )
            },
            other => Self::new(place, "This did not work.", &sentence(description), &sentence(other.cure())),
        }
    }

    /// With a better cure than the code's own, where the place that refused knew one.
    #[must_use]
    pub fn with_cure(mut self, code: ErrorCode, cure: &str) -> Self {
        if self.cure == sentence(code.cure()) {
            self.cure = sentence(cure);
        }
        self
    }
}

/// A message of ours (lower-case start, no full stop, values in backticks) as a sentence.
fn sentence(message: &str) -> String {
    let mut text = visible(message).text;
    while text.matches('`').count() > 1 {
        text = text.replacen('`', "“", 1).replacen('`', "”", 1);
    }
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> ErrorPlace<'static> {
        ErrorPlace { host: "sign.example.com", call_id: "01JD8Q2M", now: Timestamp::from_seconds(1_795_430_400) }
    }

    #[test]
    fn every_code_has_a_page_with_cause_cure_and_call_id() {
        for code in ErrorCode::ALL {
            let html = ErrorPage::of(place(), *code, "the `<b>` is wrong").render().unwrap();
            assert!(html.contains("01JD8Q2M") && html.contains("<h1"), "{}", code.as_str());
            assert!(!html.contains("<b>” is"), "escaped");
        }
    }

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(sentence("the key is old"), "The key is old.");
        assert_eq!(sentence("the key `a` is no `b`"), "The key “a” is no “b”.");
        assert_eq!(sentence(""), "");
    }
}
