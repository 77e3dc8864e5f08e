//! The discovery document of an issuer.
//! In: the document and the issuer's configured URL. Out: where its keys are.
//! Implements OpenID Connect Discovery 1.0 §4.1 to §4.3.
//! Never takes an address that leads away from the issuer.

use url::Url;

use super::UpstreamError;
use crate::domain::canonical;

/// What follows the issuer's URL.
pub const PATH: &str = "/.well-known/openid-configuration";

/// Where the issuer's discovery document is.
///
/// # Errors
/// `Url` where the issuer is not an https URL without query, fragment and credentials.
pub fn location(issuer: &str) -> Result<Url, UpstreamError> {
    let no = |problem| UpstreamError::Url { url: issuer.to_owned(), problem };
    let parsed = Url::parse(issuer).map_err(|_| no("it is not a URL"))?;
    if parsed.scheme() != "https" {
        return Err(no("an issuer is an https URL"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || has_credentials(&parsed) {
        return Err(no("an issuer has no query, fragment or credentials"));
    }
    let text = format!("{}{PATH}", issuer.strip_suffix('/').unwrap_or(issuer));
    Url::parse(&text).map_err(|_| no("it is not a URL"))
}

/// Where the issuer's keys are: at its own origin, or at the host that the configuration names.
///
/// # Errors
/// `Discovery` with the member that is wrong.
pub fn jwks_uri(document: &[u8], issuer: &str, jwks_host: Option<&str>) -> Result<Url, UpstreamError> {
    let no = |field, problem: &str| UpstreamError::Discovery { field, problem: problem.to_owned() };
    let document = canonical::strict_value(document)
        .map_err(|error| UpstreamError::Discovery { field: "document", problem: format!("is not read: {error}") })?;
    let member = |field: &'static str| {
        document.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| no(field, "is missing or not a string"))
    };
    if member("issuer")? != issuer {
        return Err(no("issuer", &format!("is not exactly `{issuer}`")));
    }
    let text = member("jwks_uri")?;
    let found = Url::parse(text).map_err(|_| no("jwks_uri", "is not a URL"))?;
    if found.scheme() != "https" || has_credentials(&found) {
        return Err(no("jwks_uri", "is not an https URL without credentials"));
    }
    let own = Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == found.origin());
    if own || jwks_host.is_some_and(|host| host_and_port(&found).as_deref() == Some(host)) {
        Ok(found)
    } else {
        Err(no("jwks_uri", "leads to another origin than the issuer's; name its host as `jwks_host` if that is meant"))
    }
}

fn host_and_port(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

pub(super) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://gitlab.example.com";

    fn read(issuer: &str, jwks_uri: &str) -> Result<String, UpstreamError> {
        let document = serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri, "unknown": [1]}).to_string();
        super::jwks_uri(document.as_bytes(), ISSUER, Some("keys.example.com:8443")).map(String::from)
    }

    fn field(result: Result<String, UpstreamError>) -> &'static str {
        match result {
            Err(UpstreamError::Discovery { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_location_follows_the_issuer_with_its_path() {
        let at = |issuer| location(issuer).map(String::from);
        assert_eq!(at(ISSUER).unwrap(), "https://gitlab.example.com/.well-known/openid-configuration");
        assert_eq!(at("https://x.example/git/").unwrap(), "https://x.example/git/.well-known/openid-configuration");
        for wrong in ["http://x.example", "x.example", "", "https://a@x.example", "https://x.example/?a=b", "ftp://x"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_at_the_issuers_origin_or_at_the_named_host() {
        let keys = format!("{ISSUER}/oauth/discovery/keys");
        assert_eq!(read(ISSUER, &keys).unwrap(), keys);
        assert!(read(ISSUER, "https://gitlab.example.com:443/keys").is_ok());
        assert!(read(ISSUER, "https://keys.example.com:8443/jwks").is_ok());
    }

    #[test]
    fn attack_015_another_issuer_is_refused() {
        for other in [
            "https://gitlab.example.com/",
            "https://GITLAB.example.com",
            "http://gitlab.example.com",
            "https://gitlab.example.com:443",
            "https://gitlab.example.com.evil.example",
            "",
        ] {
            assert_eq!(field(read(other, &format!("{ISSUER}/keys"))), "issuer", "{other}");
        }
    }

    #[test]
    fn attack_015_keys_elsewhere_or_in_the_clear_are_refused() {
        for uri in [
            "http://gitlab.example.com/keys",
            "https://evil.example/keys",
            "https://gitlab.example.com:8443/keys",
            "https://gitlab.example.com.evil.example/keys",
            "https://gitlab.example.com@evil.example/keys",
            "https://user:pass@gitlab.example.com/keys",
            "https://keys.example.com/jwks",
            "file:///etc/passwd",
            "/keys",
            "",
        ] {
            assert_eq!(field(read(ISSUER, uri)), "jwks_uri", "{uri}");
        }
    }

    #[test]
    fn attack_015_documents_that_are_none_are_refused() {
        let read = |text: &str| field(super::jwks_uri(text.as_bytes(), ISSUER, None).map(String::from));
        assert_eq!(read("<html>"), "document");
        assert_eq!(read(r#"{"issuer":"a","issuer":"b"}"#), "document");
        assert_eq!(read("{}"), "issuer");
        assert_eq!(read(r#"{"issuer":["https://gitlab.example.com"]}"#), "issuer");
        assert_eq!(read(r#"{"issuer":"https://gitlab.example.com"}"#), "jwks_uri");
    }
}
