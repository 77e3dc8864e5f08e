//! What the server said.
//! In: status and body. Out: `Answer`.
//! Implements RFC 8693 §2.2, RFC 6749 §5.2, RFC 8628 §3.5 as DESIGN §5 uses them.
//! Never trusts a length or a character: texts are bounded here and escaped by the printer.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Most lines of a summary that are shown.
const MAX_LINES: usize = 40;
/// Longest text that is shown, in characters.
const MAX_CHARS: usize = 1000;

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A token.
    Token(Issued),
    /// People must sign first.
    Pending(Pending),
    /// As `Pending`, and asked too soon.
    SlowDown(Pending),
    /// No.
    Refused(Refusal),
    /// Not now.
    Busy(String, Option<Duration>),
    /// The server failed.
    Fault(Refusal),
    /// Not what a Countersign answers.
    Strange(String),
}

/// An issued token and what to say about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub access_token: String,
    /// Its lifetime in seconds.
    pub expires_in: Option<u64>,
    /// Its log entry.
    pub entry: Option<u64>,
    /// The lines that a terminal shows.
    pub summary: Vec<String>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// People must sign first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// How long the request lives.
    pub expires_in: Duration,
    /// The least time between two polls.
    pub interval: Duration,
    /// The lines that a terminal shows.
    pub summary: Vec<String>,
}

/// No, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// The OAuth error.
    pub error: String,
    /// The stable code.
    pub code: String,
    /// What, in one sentence.
    pub description: String,
    /// More lines, such as the nearest rule.
    pub detail: Vec<String>,
    /// The cure.
    pub hint: Option<String>,
    /// The log entry.
    pub entry: Option<u64>,
    /// The call's id, for the operator.
    pub call_id: Option<String>,
}

impl Refusal {
    /// The lines that a terminal shows.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("refused: {} ({})", self.description, self.code)];
        lines.extend(self.detail.iter().map(|line| format!("  {}", line.trim_start())));
        lines.extend(self.hint.iter().map(|hint| format!("  cure: {hint}")));
        let explain = self.entry.map(|entry| format!("countersign rule explain {entry}"));
        let call = self.call_id.as_ref().map(|id| format!("call {id}"));
        let operators: Vec<_> = explain.into_iter().chain(call).collect();
        if !operators.is_empty() {
            lines.push(format!("  operators: {}", operators.join(" · ")));
        }
        lines
    }
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
    expires_in: Option<u64>,
    log: Option<LogBody>,
    #[serde(default)]
    summary: Vec<String>,
}

#[derive(Deserialize)]
struct LogBody {
    index: u64,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    error_description: Option<String>,
    error_code: Option<String>,
    hint: Option<String>,
    call_id: Option<String>,
    log: Option<LogBody>,
    #[serde(default)]
    summary: Vec<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
}

/// Reads an answer.
pub fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Answer {
    match status {
        200 => token(body),
        300..=399 => Answer::Strange(format!("it answered {status}: the server is somewhere else")),
        408 | 425 | 429 | 502..=504 => Answer::Busy(busy(status, body), retry_after),
        400..=599 => error(status, body),
        _ => Answer::Strange(format!("it answered {status}")),
    }
}

fn token(body: &[u8]) -> Answer {
    let Ok(body) = serde_json::from_slice::<TokenBody>(body) else {
        return Answer::Strange("its answer is no token".to_owned());
    };
    if body.access_token.is_empty() || !body.access_token.bytes().all(|b| b.is_ascii_graphic()) {
        return Answer::Strange("its token is malformed".to_owned());
    }
    Answer::Token(Issued {
        access_token: body.access_token,
        expires_in: body.expires_in,
        entry: body.log.map(|log| log.index),
        summary: lines(&body.summary),
    })
}

fn busy(status: u16, body: &[u8]) -> String {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error_description: Some(what), error_code: Some(code), .. }) => {
            format!("{} ({})", bounded(&what), bounded(&code))
        }
        _ => format!("it answered {status}"),
    }
}

fn error(status: u16, body: &[u8]) -> Answer {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else {
        return Answer::Strange(format!("it answered {status} without a reason"));
    };
    if let "authorization_pending" | "slow_down" = body.error.as_str() {
        let pending = Pending {
            expires_in: Duration::from_secs(body.expires_in.unwrap_or(0)),
            interval: Duration::from_secs(body.interval.unwrap_or(5)),
            summary: lines(&body.summary),
        };
        return if body.error == "slow_down" { Answer::SlowDown(pending) } else { Answer::Pending(pending) };
    }
    let refusal = Refusal {
        code: bounded(body.error_code.as_deref().unwrap_or(&body.error)),
        description: bounded(body.error_description.as_deref().unwrap_or("the server gave no reason")),
        error: bounded(&body.error),
        detail: lines(&body.summary),
        hint: body.hint.as_deref().map(bounded),
        entry: body.log.map(|log| log.index),
        call_id: body.call_id.as_deref().map(bounded),
    };
    if status >= 500 { Answer::Fault(refusal) } else { Answer::Refused(refusal) }
}

fn lines(summary: &[String]) -> Vec<String> {
    summary.iter().take(MAX_LINES).map(|line| bounded(line)).collect()
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_and_its_value_never_debugged() {
        let body = br#"{"access_token":"a.b.c","issued_token_type":"x","token_type":"N_A","expires_in":600,
            "log":{"origin":"s/log","index":18204},"summary":["approved"],"later":1}"#;
        let Answer::Token(issued) = read(200, None, body) else { panic!("token") };
        assert_eq!((issued.access_token.as_str(), issued.expires_in, issued.entry), ("a.b.c", Some(600), Some(18204)));
        assert!(!format!("{issued:?}").contains("a.b.c"));
        for wrong in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#, "<html>"] {
            assert!(matches!(read(200, None, wrong.as_bytes()), Answer::Strange(_)), "{wrong}");
        }
    }

    #[test]
    fn pending_and_slow_down_carry_their_times() {
        let body = |error: &str| format!(r#"{{"error":"{error}","expires_in":900,"interval":5,"summary":["a"]}}"#);
        let expected = Pending {
            expires_in: Duration::from_mins(15),
            interval: Duration::from_secs(5),
            summary: vec!["a".into()],
        };
        assert_eq!(read(400, None, body("authorization_pending").as_bytes()), Answer::Pending(expected.clone()));
        assert_eq!(read(400, None, body("slow_down").as_bytes()), Answer::SlowDown(expected));
    }

    #[test]
    fn a_refusal_is_printed_as_the_screens_have_it() {
        let body = br#"{"error":"invalid_request","error_code":"no_rule_matches","error_description":"no rule matches this job",
            "hint":"run the job on a protected branch","call_id":"01JD8Q2M","log":{"origin":"o","index":18207},
            "summary":["nearest: \"production deploy\" wants ref_protected \"true\", the job has \"false\""]}"#;
        let Answer::Refused(refusal) = read(400, None, body) else { panic!("refused") };
        let expected = [
            "refused: no rule matches this job (no_rule_matches)",
            "  nearest: \"production deploy\" wants ref_protected \"true\", the job has \"false\"",
            "  cure: run the job on a protected branch",
            "  operators: countersign rule explain 18207 · call 01JD8Q2M",
        ];
        assert_eq!(refusal.lines(), expected);
        let bare = Refusal { code: "x".into(), description: "y".into(), ..Refusal::default() };
        assert_eq!(bare.lines(), ["refused: y (x)"]);
    }

    #[test]
    fn statuses_part_no_from_busy_from_fault() {
        let body =
            br#"{"error":"temporarily_unavailable","error_code":"queue_full","error_description":"too much to do"}"#;
        let busy = Answer::Busy("too much to do (queue_full)".into(), Some(Duration::from_secs(7)));
        assert_eq!(read(503, Some(Duration::from_secs(7)), body), busy);
        assert!(matches!(read(429, None, b""), Answer::Busy(..)));
        assert!(matches!(read(502, None, b"<html>"), Answer::Busy(..)));
        assert!(matches!(read(500, None, br#"{"error":"server_error"}"#), Answer::Fault(_)));
        assert!(matches!(read(413, None, br#"{"error":"invalid_request"}"#), Answer::Refused(_)));
        assert!(matches!(read(404, None, b"<html>"), Answer::Strange(_)));
        assert!(matches!(read(301, None, b""), Answer::Strange(_)));
    }
}
