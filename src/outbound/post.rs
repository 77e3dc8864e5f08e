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
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        // On this machine alone, plain http works; then no certificate is needed.
        let tls = if url.scheme() == "https" { tls.root_certs(roots()?) } else { tls };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .timeout_global(Some(POST_WITHIN))
            .user_agent("countersign")
            .tls_config(tls.build())
            .build()
            .new_agent();
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
            Err(ureq::Error::Timeout(_)) => Err(format!("no answer in {} s", POST_WITHIN.as_secs())),
            Err(ureq::Error::HostNotFound) => Err("it has no address".to_owned()),
            Err(ureq::Error::Io(error)) => Err(format!("it cannot be reached: {error}")),
            // Others may quote the address.
            Err(_) => Err("it cannot be called".to_owned()),
        }
    }
}

/// The authorities of the operating system.
pub(super) fn roots() -> Result<RootCerts, OutboundError> {
    let pem = openssl_probe::probe().cert_file.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let items = parse_pem(&pem).filter_map(Result::ok);
    let found: Vec<Certificate<'static>> =
        items.filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None }).collect();
    if found.is_empty() { Err(OutboundError::Roots) } else { Ok(RootCerts::new_with_certs(&found)) }
}
