//! Makes one POST to somebody outside; every call is a connection of its own.
//! In: an address, headers, a body. Out: the status of the answer, or why there is none, without a word of the address.
//! Implements HTTP/1.1 and TLS by a library.
//! Never follows a redirect and never reads what is answered.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use url::Url;

use super::OutboundError;

/// Sends.
#[derive(Clone)]
pub(super) struct Agent {
    agent: ureq::Agent,
    within: Duration,
}

impl Agent {
    /// Whoever sends, for at most `within` a call. On this machine alone plain http works; then no certificate is needed.
    ///
    /// # Errors
    /// The system has no certificates of authorities, where some are needed.
    pub(super) fn new(needs_roots: bool, within: Duration) -> Result<Self, OutboundError> {
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
        Ok(Self { agent: config.build().new_agent(), within })
    }

    /// Sends a body; it blocks.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn post(&self, url: &Url, headers: &[(&str, &str)], body: &[u8]) -> Result<u16, String> {
        let call = headers.iter().fold(self.agent.post(url.as_str()), |call, (name, value)| call.header(*name, *value));
        match call.send(body) {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(ureq::Error::Timeout(_)) => Err(format!("no answer in {} s", self.within.as_secs())),
            Err(ureq::Error::HostNotFound) => Err("it has no address".to_owned()),
            Err(ureq::Error::Io(error)) => Err(format!("it cannot be reached: {error}")),
            // Others may quote the address.
            Err(_) => Err("it cannot be called".to_owned()),
        }
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
