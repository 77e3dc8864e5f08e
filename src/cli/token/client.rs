//! One call of the token endpoint.
//! In: a form. Out: status, body and the server's clock.
//! Implements RFC 8693 §2.1 over HTTP/1.1 and TLS; `Prefer: wait` (RFC 7240).
//! Never follows a redirect: the job token goes to the server that was named, and nowhere else.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::Problem;
use super::plan::Plan;
use crate::domain::ids::Audience;
use crate::domain::time::Timestamp;

/// Largest answer, in bytes.
const MAX_ANSWER: u64 = 256 * 1024;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for an answer, beyond the hold.
const ANSWER: Duration = Duration::from_secs(20);

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Calls one server for one job.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    plan: Plan,
}

/// What came back.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in its form of seconds.
    pub retry_after: Option<Duration>,
    /// `Date`.
    pub date: Option<Timestamp>,
    /// `DPoP-Nonce`.
    pub dpop_nonce: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// It may answer later.
    Unreachable(String),
    /// Its certificate is not one that we trust; trying again changes nothing.
    Untrusted(String),
    /// It does not speak HTTP as it should.
    Strange(String),
}

impl Client {
    /// A client of the plan's server.
    pub fn new(plan: &Plan) -> Result<Self, Problem> {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        // On this machine alone, plain http works; then no certificate is needed.
        let tls = if plan.url.starts_with("https:") { tls.root_certs(roots(plan.ca_file.as_deref())?) } else { tls };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        Ok(Self { agent, plan: plan.clone() })
    }

    /// Asks for the audiences with the header that collects, held for at most `hold`.
    pub fn call(
        &self,
        audiences: &[Audience],
        (name, value): (&str, &str),
        hold: Option<Duration>,
    ) -> Result<Reply, CallError> {
        let mut form = vec![
            ("grant_type", GRANT_TYPE),
            ("subject_token_type", ID_TOKEN_TYPE),
            ("subject_token", self.plan.id_token.expose()),
            ("requested_token_type", JWT_TYPE),
        ];
        form.extend(audiences.iter().map(|audience| ("audience", audience.as_str())));
        let mut request = self
            .agent
            .post(format!("{}/token", self.plan.url))
            .header("Accept", "application/json")
            .header(name, value);
        if let Some(hold) = hold {
            request = request.header("Prefer", format!("wait={}", hold.as_secs()));
        }
        let longest = hold.unwrap_or(Duration::ZERO).saturating_add(ANSWER);
        let mut response = request
            .config()
            .timeout_global(Some(longest))
            .build()
            .send_form(form)
            .map_err(|error| call_error(&error, &self.plan.host))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| call_error(&error, &self.plan.host))?;
        let headers = response.headers();
        Ok(Reply {
            status: response.status().as_u16(),
            retry_after: retry_after(headers),
            date: date(headers),
            dpop_nonce: headers.get("DPoP-Nonce").and_then(|nonce| nonce.to_str().ok()).map(ToOwned::to_owned),
            body,
        })
    }
}

/// Why nothing came back, without a word of the request.
pub(in crate::cli) fn call_error(error: &ureq::Error, host: &str) -> CallError {
    if let Some(tls) = tls_error(error) {
        return CallError::Untrusted(format!("{host} cannot be trusted: {tls}"));
    }
    match error {
        ureq::Error::Io(cause) => CallError::Unreachable(format!("{host} does not answer: {cause}")),
        ureq::Error::HostNotFound => CallError::Unreachable(format!("{host} has no address")),
        ureq::Error::Timeout(_) => CallError::Unreachable(format!("{host} does not answer in time")),
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            CallError::Unreachable(format!("{host} cannot be reached"))
        }
        ureq::Error::Protocol(_) => CallError::Unreachable(format!("{host} broke off its answer")),
        ureq::Error::BodyExceedsLimit(_) => CallError::Strange(format!("{host} answers more than {MAX_ANSWER} bytes")),
        // Others speak of the request itself, which holds the token: their text is not repeated.
        _ => CallError::Strange(format!("{host} cannot be called")),
    }
}

/// The TLS fault inside an error, if there is one: it comes wrapped in an I/O error.
fn tls_error(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Rustls(error) => Some(tls_sentence(error)),
        ureq::Error::Io(io) => {
            let mut cause: Option<&(dyn Error + 'static)> = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            while let Some(inner) = cause {
                if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                    return Some(tls_sentence(tls));
                }
                cause = inner.source();
            }
            None
        }
        _ => None,
    }
}

fn tls_sentence(error: &rustls::Error) -> String {
    use rustls::CertificateError as Why;
    let rustls::Error::InvalidCertificate(why) = error else {
        return "the TLS handshake failed".to_owned();
    };
    match why {
        Why::UnknownIssuer => "its certificate comes from an authority that is not known here",
        Why::NotValidForName | Why::NotValidForNameContext { .. } => "its certificate is for another name",
        Why::Expired | Why::ExpiredContext { .. } => "its certificate has expired",
        Why::NotValidYet | Why::NotValidYetContext { .. } => "its certificate is not valid yet",
        _ => "its certificate is not a server's certificate that can be checked",
    }
    .to_owned()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("Retry-After")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

pub(in crate::cli) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http(headers.get("Date")?.to_str().ok()?)
}

/// The authorities that may vouch for the server: those of the file, else the system's.
pub(in crate::cli) fn roots(ca_file: Option<&Path>) -> Result<RootCerts, Problem> {
    let read = |path: &Path| -> Vec<Certificate<'static>> {
        let pem = std::fs::read(path).unwrap_or_default();
        let items = parse_pem(&pem).filter_map(Result::ok);
        items.filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None }).collect()
    };
    let found = match ca_file {
        Some(path) => read(path),
        None => openssl_probe::probe().cert_file.map(|path| read(&path)).unwrap_or_default(),
    };
    if found.is_empty() {
        let what = ca_file.map_or_else(
            || "this system has no certificates of authorities".to_owned(),
            |path| format!("`{}` holds no certificate", path.display()),
        );
        return Err(Problem::usage(what, "install ca-certificates in the job's image, or give --ca-file FILE (PEM)"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let problem = roots(Some(Path::new("/dev/null"))).err().unwrap();
        assert!(problem.what.contains("/dev/null") && problem.cure.contains("--ca-file"), "{}", problem.what);
    }
}
