//! One HTTPS request for a document, bounded on every side.
//! In: a URL out of the configuration or a checked discovery document. Out: at most as many bytes as were bargained for.
//! Implements RFC 9110 GET over rustls; the address that was checked is the address that is connected to.
//! Never follows a redirect, never uses a proxy, never keeps a connection.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};
use url::Url;

use super::address::reach;
use super::{UpstreamError, discovery};
use crate::domain::time::Timestamp;

/// Largest body, in bytes, after decompression.
pub const MAX_BODY: u64 = 256 * 1024;
/// Time for a whole request, from the name to the last byte.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// Most addresses of one name that are tried.
pub const MAX_ADDRESSES: usize = 8;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of the operating system.
    System,
    /// The authorities of a PEM file alone.
    CaFile(PathBuf),
}

/// Fetches documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    agent: Agent,
    deadline: Duration,
}

type Lookup = fn(&str, u16) -> std::io::Result<Vec<SocketAddr>>;

impl Fetcher {
    /// A fetcher with the usual deadline.
    ///
    /// # Errors
    /// `Roots` where no certificate can be read.
    pub fn new(roots: &Roots, allow_private: bool) -> Result<Self, UpstreamError> {
        Self::with_deadline(roots, allow_private, FETCH_DEADLINE)
    }

    /// A fetcher with a deadline of its own.
    ///
    /// # Errors
    /// `Roots` where no certificate can be read.
    pub fn with_deadline(roots: &Roots, allow_private: bool, deadline: Duration) -> Result<Self, UpstreamError> {
        Self::build(roots, CheckedResolver { allow_private, lookup: system_lookup }, deadline)
    }

    fn build(roots: &Roots, resolver: CheckedResolver, deadline: Duration) -> Result<Self, UpstreamError> {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(certificates(roots)?)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Config::builder()
            .https_only(true)
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(deadline))
            .user_agent("countersign")
            .tls_config(tls)
            .build();
        Ok(Self { agent: Agent::with_parts(config, DefaultConnector::new(), resolver), deadline })
    }

    /// Fetches a JSON document. It blocks; callers run it where that is allowed.
    ///
    /// # Errors
    /// One for each way in which the answer can be wrong or missing.
    pub fn get_json(&self, url: &Url) -> Result<Vec<u8>, UpstreamError> {
        self.get_dated_json(url).map(|(body, _)| body)
    }

    /// As `get_json`, with what the other's clock said.
    ///
    /// # Errors
    /// As `get_json`.
    pub fn get_dated_json(&self, url: &Url) -> Result<(Vec<u8>, Option<Timestamp>), UpstreamError> {
        let mut response = self.get(url, "application/json")?;
        let content_type =
            response.headers().get("content-type").map(|value| String::from_utf8_lossy(value.as_bytes()));
        if let Some(content_type) = content_type.filter(|stated| !may_be_json(stated)) {
            let content_type = content_type.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(UpstreamError::ContentType { url: url.to_string(), content_type });
        }
        let date = response.headers().get("date").and_then(|date| Timestamp::parse_http(date.to_str().ok()?));
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        body.map(|body| (body, date)).map_err(|error| self.explain(url, error))
    }

    /// Fetches a document whose own signature says what it is: of any type, at most `limit` bytes. It blocks.
    ///
    /// # Errors
    /// One for each way in which the answer can be wrong or missing.
    pub fn get_signed(&self, url: &Url, limit: usize) -> Result<Vec<u8>, UpstreamError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut response = self.get(url, "*/*")?;
        response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| self.explain(url, error))
    }

    /// Posts bytes: the status. What is answered is not read. It blocks.
    ///
    /// # Errors
    /// One for each way in which there is no answer. They name the URL; whoever must not tell it must not show them.
    pub fn post(&self, url: &Url, headers: &[(&'static str, String)], body: &[u8]) -> Result<u16, UpstreamError> {
        fetchable(url)?;
        let post = self.agent.post(url.as_str());
        let post = headers.iter().fold(post, |post, (name, value)| post.header(*name, value));
        post.send(body).map(|answer| answer.status().as_u16()).map_err(|error| self.explain(url, error))
    }

    fn get(&self, url: &Url, accept: &str) -> Result<Response<Body>, UpstreamError> {
        fetchable(url)?;
        let answer = self.agent.get(url.as_str()).header("accept", accept).call();
        let response = answer.map_err(|error| self.explain(url, error))?;
        let status = response.status().as_u16();
        if status == 200 { Ok(response) } else { Err(UpstreamError::Status { url: url.to_string(), status }) }
    }

    fn explain(&self, url: &Url, error: ureq::Error) -> UpstreamError {
        let url = url.to_string();
        let tls = |url, problem: &dyn std::fmt::Display| UpstreamError::Tls { url, problem: problem.to_string() };
        match error {
            ureq::Error::Timeout(_) => UpstreamError::Deadline { url, millis: self.deadline.as_millis() },
            ureq::Error::BodyExceedsLimit(limit) => UpstreamError::TooLarge { url, limit },
            ureq::Error::Rustls(error) => tls(url, &error),
            ureq::Error::Tls(error) => tls(url, &error),
            ureq::Error::Other(other) => match other.downcast::<UpstreamError>() {
                Ok(ours) => *ours,
                Err(other) => UpstreamError::Unreachable { url, problem: other.to_string() },
            },
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => tls(url, inner),
                None => UpstreamError::Unreachable { url, problem: error.to_string() },
            },
            other => UpstreamError::Unreachable { url, problem: other.to_string() },
        }
    }
}

fn fetchable(url: &Url) -> Result<(), UpstreamError> {
    if url.scheme() != "https" || discovery::has_credentials(url) {
        return Err(UpstreamError::Url { url: url.to_string(), problem: "only https without credentials is" });
    }
    Ok(())
}

/// Static copies on object stores come as plain bytes; whether it is JSON is then the parser's to say.
fn may_be_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let plain = ["text/plain", "application/octet-stream", "binary/octet-stream"];
    kind == "application/json"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
        || plain.contains(&kind.as_str())
}

fn certificates(roots: &Roots) -> Result<Vec<Certificate<'static>>, UpstreamError> {
    let found = match roots {
        Roots::CaFile(path) => {
            pem_file(path).map_err(|e| UpstreamError::Roots(format!("`ca_file` `{}`: {e}", path.display())))?
        }
        Roots::System => system_certificates(),
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.iter().cloned());
    if usable == 0 {
        let why = match roots {
            Roots::CaFile(path) => format!("`ca_file` `{}` has no certificate", path.display()),
            Roots::System => "the system has none; install its `ca-certificates` or set `ca_file`".to_owned(),
        };
        return Err(UpstreamError::Roots(why));
    }
    Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// The bundle where there is one, else the directories of single files.
fn system_certificates() -> Vec<CertificateDer<'static>> {
    let places = openssl_probe::probe();
    let bundle = places.cert_file.iter().filter_map(|path| pem_file(path).ok()).flatten().collect::<Vec<_>>();
    if !bundle.is_empty() {
        return bundle;
    }
    let entries = places.cert_dir.iter().filter_map(|dir| dir.read_dir().ok()).flatten();
    entries.filter_map(|entry| pem_file(&entry.ok()?.path()).ok()).flatten().collect()
}

fn pem_file(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// Resolves once and gives away only addresses that passed the check.
struct CheckedResolver {
    allow_private: bool,
    lookup: Lookup,
}

impl std::fmt::Debug for CheckedResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckedResolver(allow_private: {})", self.allow_private)
    }
}

impl Resolver for CheckedResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(443);
        // An address in place of a name is checked like any other.
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(host, port, timeout)?,
        };
        let mut refused = None;
        let mut kept = self.empty();
        for address in found {
            match reach(address.ip()).refusal(self.allow_private) {
                None if kept.len() < MAX_ADDRESSES => kept.push(address),
                None => {}
                Some(kind) => refused = Some((address.ip(), kind)),
            }
        }
        match refused {
            Some((address, kind)) if kept.is_empty() => {
                let error = UpstreamError::Address { host: host.to_owned(), address, kind };
                Err(ureq::Error::Other(Box::new(error)))
            }
            _ if kept.is_empty() => Err(ureq::Error::HostNotFound),
            _ => Ok(kept),
        }
    }
}

impl CheckedResolver {
    /// The system's lookup cannot be interrupted, so it has a thread of its own that is left behind if it hangs.
    fn look_up(&self, host: &str, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (lookup, host) = (self.lookup, host.to_owned());
        std::thread::Builder::new()
            .name("resolve".to_owned())
            .spawn(move || drop(sender.send(lookup(&host, port))))
            .map_err(|e| ureq::Error::Other(Box::new(UpstreamError::Machine(e.to_string()))))?;
        let found = receiver.recv_timeout(*timeout.after).map_err(|_| ureq::Error::Timeout(timeout.reason))?;
        Ok(found?)
    }
}

fn system_lookup(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

#[cfg(test)]
mod tests;
