//! Asks a URL as `doctor` does: once, briefly, following nothing.
//! In: a URL, an authority. Out: status, the other's clock, the body; or why nothing came back.
//! Implements HTTP/1.1 over TLS (RFC 9110).
//! Never carries a secret.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{TlsConfig, TlsProvider};

use super::token::client::{CallError, call_error, date, roots};
use crate::domain::time::Timestamp;

/// Longest time for an answer.
pub const WITHIN: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
pub const MAX_ANSWER: u64 = 256 * 1024;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Date`.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// Asks.
///
/// # Errors
/// A sentence.
pub fn get(url: &str, ca_file: Option<&Path>) -> Result<Answer, String> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls =
        if url.starts_with("https:") { tls.root_certs(roots(ca_file).map_err(|problem| problem.what)?) } else { tls };
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(WITHIN))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .new_agent();
    let failed = |error: ureq::Error| match call_error(&error, host(url)) {
        CallError::Unreachable(why) | CallError::Untrusted(why) | CallError::Strange(why) => why,
    };
    let mut response = agent.get(url).call().map_err(failed)?;
    let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(failed)?;
    Ok(Answer { status: response.status().as_u16(), date: date(response.headers()), body })
}

fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}
