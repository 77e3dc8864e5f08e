//! Where a browser takes messages (Web Push): the address and keys that it gave, and which services are talked to.
//! In: what a page sends, what the operator lists. Out: a `Subscription`, or what is wrong with it.
//! Implements RFC 8030 §5 (push resource), RFC 8291 §2 (keys), W3C Push API §8.
//! Never shows an address: whoever knows it may send to it.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use url::{Host, Url};

use crate::domain::ids::Digest;

/// Longest address, in bytes.
pub const MAX_ENDPOINT: usize = 1024;
/// Longest name of a push service in the configuration, in bytes.
pub const MAX_SERVICE: usize = 253;
/// Bytes of a browser's public key, uncompressed.
const POINT: usize = 65;
/// Bytes of its authentication secret.
const AUTH: usize = 16;

/// Where one browser takes messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    endpoint: Url,
    /// Its public key, P-256, uncompressed.
    pub key: [u8; POINT],
    /// Its authentication secret.
    pub auth: [u8; AUTH],
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({}, …)", self.host())
    }
}

impl Subscription {
    /// Reads what a browser gave; whether its service is one that is talked to, `Service` says.
    ///
    /// # Errors
    /// What is wrong with it, without a word of the address.
    pub fn parse(endpoint: &str, key: &str, auth: &str) -> Result<Self, &'static str> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes());
        let key = decode(key).ok().and_then(|bytes| bytes.try_into().ok());
        let auth = decode(auth).ok().and_then(|bytes| bytes.try_into().ok());
        match (key, auth) {
            (Some(key), Some(auth)) => Self::of(endpoint, key, auth),
            (None, _) => Err("its key is not a P-256 key of 65 bytes"),
            (_, None) => Err("its secret has not 16 bytes"),
        }
    }

    /// From its parts.
    ///
    /// # Errors
    /// What is wrong with them, without a word of the address.
    pub fn of(endpoint: &str, key: [u8; POINT], auth: [u8; AUTH]) -> Result<Self, &'static str> {
        if endpoint.len() > MAX_ENDPOINT {
            return Err("its address is too long");
        }
        let url = Url::parse(endpoint).map_err(|_| "its address is no URL")?;
        // As it is kept: what has to be escaped grows.
        if url.as_str().len() > MAX_ENDPOINT {
            return Err("its address is too long");
        }
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if url.scheme() != "https" || !plain || !matches!(url.host(), Some(Host::Domain(_))) {
            return Err("its address is not an https URL of a named host");
        }
        // Uncompressed; whether it is on the curve is found where something is sealed for it.
        let [4, ..] = key else { return Err("its key is not a P-256 key of 65 bytes") };
        Ok(Self { endpoint: url, key, auth })
    }

    /// Where messages go.
    #[must_use]
    pub const fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The service, as people may read it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// The service's origin: whom a token of ours is for.
    #[must_use]
    pub fn audience(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    /// Names the address without telling it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.endpoint.as_str().as_bytes())
    }
}

/// A push service that is talked to: a host, with `*.` every host below it, with a port where it is not 443.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    host: String,
    below: bool,
    port: u16,
}

/// Those of today's browsers: Chromium's, Firefox's, Safari's, Edge's.
pub const SERVICES: &[&str] = &[
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "web.push.apple.com",
    "*.push.apple.com",
    "*.notify.windows.com",
];

impl Service {
    /// Reads one as the configuration has it; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let url = Url::parse(&format!("https://{rest}/")).ok()?;
        let port = url.port().unwrap_or(443);
        let shown = if port == 443 { url.host_str()?.to_owned() } else { format!("{}:{port}", url.host_str()?) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let named =
            matches!(url.host(), Some(Host::Domain(name)) if name.bytes().all(plain)) && rest.len() <= MAX_SERVICE;
        // Whatever the parser changed or left out was not a host.
        let specific = !below || rest.contains('.');
        (named && shown == rest && specific).then(|| Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            below,
            port,
        })
    }

    /// Whether it serves this address.
    #[must_use]
    pub fn serves(&self, subscription: &Subscription) -> bool {
        let host = subscription.host();
        let fits = if self.below {
            host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        fits && subscription.endpoint().port().unwrap_or(443) == self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn at(endpoint: &str) -> Result<Subscription, &'static str> {
        Subscription::parse(endpoint, KEY, SECRET)
    }

    #[test]
    fn a_service_is_named_by_so_many_bytes() {
        let host = |bytes: usize| [vec!["a".repeat(50); 4].join("."), "b".repeat(bytes - 204)].join(".");
        assert!(Service::parse(&host(MAX_SERVICE)).is_some());
        assert!(Service::parse(&host(MAX_SERVICE + 1)).is_none());
    }

    #[test]
    fn attack_015_an_address_is_https_of_a_named_host_and_short() {
        let long = format!("https://fcm.googleapis.com/{}", "a".repeat(MAX_ENDPOINT - 27));
        assert!(at(&long).is_ok() && at(&format!("{long}a")).is_err());
        let grows = format!("https://fcm.googleapis.com/{}", "\"".repeat(900));
        assert!(at(&grows).is_err(), "kept, it would be three times as long");
        for wrong in [
            "http://fcm.googleapis.com/x",
            "https://a:b@fcm.googleapis.com/x",
            "https://fcm.googleapis.com/x#y",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "file:///etc/passwd",
            "fcm.googleapis.com",
            "",
        ] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        for (key, auth) in [("", SECRET), (KEY, ""), (SECRET, KEY), (&KEY[1..], SECRET), (KEY, &SECRET[2..])] {
            assert!(Subscription::parse("https://fcm.googleapis.com/x", key, auth).is_err(), "{key} {auth}");
        }
        let padded = format!("{SECRET}==");
        assert!(Subscription::parse("https://fcm.googleapis.com/x", KEY, &padded).is_ok());
    }

    #[test]
    fn attack_015_only_listed_services_are_talked_to() {
        let services: Vec<_> = SERVICES.iter().map(|text| Service::parse(text).unwrap()).collect();
        let talked = |endpoint: &str| at(endpoint).is_ok_and(|one| services.iter().any(|service| service.serves(&one)));
        for fine in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://web.push.apple.com/abc",
            "https://wns2-db5p.notify.windows.com/w/?token=abc",
            "https://fcm.googleapis.com:443/x",
        ] {
            assert!(talked(fine), "{fine}");
        }
        for wrong in [
            "https://fcm.googleapis.com:8443/x",
            "https://evil-fcm.googleapis.com/x",
            "https://fcm.googleapis.com.evil.example/x",
            "https://notify.windows.com/x",
            "https://evilnotify.windows.com/x",
            "https://metadata.google.internal/x",
            "https://localhost/x",
        ] {
            assert!(!talked(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_service_is_a_host() {
        for fine in ["push.example.com", "*.push.example.com", "push.example.com:8443", "localhost:9"] {
            assert!(Service::parse(fine).is_some(), "{fine}");
        }
        for wrong in
            ["", "*", "*.com", "https://push.example.com", "a/b", "a@b", "127.0.0.1", "a*.b.c", "A.example", "x:443"]
        {
            assert!(Service::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_not_shown() {
        let one = at("https://fcm.googleapis.com/fcm/send/secret").unwrap();
        assert_eq!(format!("{one:?}"), "Subscription(fcm.googleapis.com, …)");
        assert_eq!(one.audience(), "https://fcm.googleapis.com");
        assert_eq!(at("https://push.example.com:8443/x").unwrap().audience(), "https://push.example.com:8443");
    }
}
