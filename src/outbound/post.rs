//! One POST to one webhook.
//! In: a notice. Out: it was taken, or why not, without a word of the address or the answer.
//! Implements Standard Webhooks 1.0 over HTTP/1.1 and TLS.
//! Never follows a redirect and never reads what is answered.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use url::Url;

use super::secret::Secret;
use super::{Notice, OutboundError};
use crate::domain::time::Timestamp;

/// Time for a whole attempt.
pub const POST_WITHIN: Duration = Duration::from_secs(10);

/// Sends to one webhook.
pub(super) struct Poster {
    agent: ureq::Agent,
    url: Url,
    secret: Arc<Secret>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Poster {
    pub(super) fn new(
        url: Url,
        secret: Arc<Secret>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, OutboundError> {
        // On this machine alone, plain http works; then no certificate is needed.
        let agent = agent(url.scheme() == "https", POST_WITHIN)?;
        Ok(Self { agent, url, secret, now })
    }

    /// One attempt.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) fn post(&self, notice: &Notice) -> Result<(), String> {
        let seconds = (self.now)().seconds();
        let answer = self
            .agent
            .post(self.url.as_str())
            .header("content-type", "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", self.secret.sign(&notice.id, seconds, &notice.body))
            .send(&notice.body[..]);
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered with status {}", answer.status().as_u16())),
            Err(error) => Err(why_not(&error, POST_WITHIN)),
        }
    }
}

/// Sends; every call is a connection of its own.
pub(super) type Agent = ureq::Agent;

/// Whoever sends, for at most `within` a call.
///
/// # Errors
/// The system has no certificates of authorities, where some are needed.
pub(super) fn agent(needs_roots: bool, within: Duration) -> Result<Agent, OutboundError> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = if needs_roots { tls.root_certs(roots()?) } else { tls };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .timeout_global(Some(within))
        .user_agent("countersign")
        .tls_config(tls.build());
    Ok(config.build().new_agent())
}

/// Why something was not taken, without a word of the address.
pub(super) fn why_not(error: &ureq::Error, within: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer in {} s", within.as_secs()),
        ureq::Error::HostNotFound => "it has no address".to_owned(),
        ureq::Error::Io(error) => format!("it cannot be reached: {error}"),
        // Others may quote the address.
        _ => "it cannot be called".to_owned(),
    }
}

/// The authorities of the operating system.
fn roots() -> Result<RootCerts, OutboundError> {
    let pem = openssl_probe::probe().cert_file.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let items = parse_pem(&pem).filter_map(Result::ok);
    let found: Vec<Certificate<'static>> =
        items.filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None }).collect();
    if found.is_empty() { Err(OutboundError::Roots) } else { Ok(RootCerts::new_with_certs(&found)) }
}
