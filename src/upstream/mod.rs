//! Discovery and keys of the issuers that we trust, fetched within bounds and cached.
//! In: issuers from the configuration. Out: their key documents, and why they cannot be had.
//! Implements OpenID Connect Discovery 1.0 §4 and RFC 7517 §5 over HTTPS.
//! Never follows a redirect, a proxy or an address that a token brought.

pub mod address; // which addresses may be connected to
pub mod discovery; // the issuer's metadata document
pub mod fetch; // one HTTPS request, bounded on every side
pub mod keys; // the cache of an issuer's keys

#[cfg(test)]
#[path = "../../tests/support/https.rs"]
mod test_server;

use std::net::IpAddr;

use crate::domain::ids::IssuerName;

/// Why something could not be fetched or was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Not a URL that is fetched.
    #[error("`{url}` is not fetched: {problem}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An address that is not connected to.
    #[error("`{host}` has the {kind} address {address}; where that is meant, set `allow_private = true`")]
    Address {
        /// The host that was asked for.
        host: String,
        /// What it resolved to.
        address: IpAddr,
        /// What that address is.
        kind: &'static str,
    },
    /// No answer.
    #[error("`{url}` cannot be reached: {problem}")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened.
        problem: String,
    },
    /// A certificate or handshake that is not accepted.
    #[error("the TLS connection to `{url}` failed: {problem}; for a private authority set `ca_file`")]
    Tls {
        /// The URL.
        url: String,
        /// What rustls says.
        problem: String,
    },
    /// Not done in time.
    #[error("`{url}` did not answer in whole within {millis} ms")]
    Deadline {
        /// The URL.
        url: String,
        /// The deadline.
        millis: u128,
    },
    /// Another status than 200.
    #[error("`{url}` answered with status {status}, not 200{}", redirect_note(*.status))]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
    },
    /// A body that is not JSON by its own statement.
    #[error("`{url}` answered with `{content_type}`, not with JSON")]
    ContentType {
        /// The URL.
        url: String,
        /// What the answer states.
        content_type: String,
    },
    /// A body over the limit.
    #[error("`{url}` answered with more than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit, after decompression.
        limit: u64,
    },
    /// Certificates of authorities that cannot be read.
    #[error("no certificates of authorities can be read: {0}")]
    Roots(String),
    /// A discovery document that is not taken.
    #[error("the discovery document's `{field}` {problem}")]
    Discovery {
        /// The member.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A JWK set that is not taken.
    #[error("the key document is not taken: {0}")]
    Keys(String),
    /// An issuer whose keys cannot be had just now.
    #[error("the keys of issuer `{issuer}` cannot be had ({field}): {problem}")]
    Unavailable {
        /// Which issuer.
        issuer: IssuerName,
        /// The setting or member that it fails at.
        field: &'static str,
        /// What happened last.
        problem: String,
    },
    /// The machine cannot do it.
    #[error("this machine cannot start a connection: {0}")]
    Machine(String),
}

fn redirect_note(status: u16) -> &'static str {
    if (300..400).contains(&status) { "; redirects are not followed, configure the final address" } else { "" }
}
