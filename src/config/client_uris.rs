//! The addresses of a client, checked: where answers go, where people go after signing out, whom to tell.
//! In: URIs as typed. Out: URIs that leave no room for guesses.
//! Implements RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1, OpenID Connect Back-Channel Logout 1.0 §2.2.
//! Never takes a wildcard, a fragment, a user, or plain http off the person's own machine; `localhost` is a name, and only
//! programs without a secret may be bound to it.

use url::{Host, Url};

use super::checking::Checking;
use super::sections::ClientSource;

/// Most redirect URIs of a client, and most of those for after signing out.
pub const MAX_REDIRECT_URIS: usize = 20;
/// Longest redirect URI, in bytes.
pub const MAX_REDIRECT_URI_BYTES: usize = 2_000;

/// The addresses of a client.
pub(super) struct Addresses {
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub backchannel_logout_uri: Option<String>,
}

pub(super) fn check(checking: &mut Checking<'_>, path: &str, typed: &ClientSource, signs_in: bool) -> Addresses {
    let native = typed.native == Some(true);
    let local = native && typed.auth.as_deref() == Some("none");
    let list = |checking: &mut Checking<'_>, (key, local): (&str, bool), typed: Option<&[String]>| {
        let path = format!("{path}.{key}");
        let typed = typed.unwrap_or_default();
        if typed.len() > MAX_REDIRECT_URIS {
            checking.fault(&path, format!("{} URIs; {MAX_REDIRECT_URIS} is the most", typed.len()), "remove some");
        }
        for (at, text) in typed.iter().enumerate() {
            let place = if local {
                Place::OwnMachineByName
            } else if native {
                Place::OwnMachine
            } else {
                Place::Web
            };
            if let Err((what, cure)) = address(text, place) {
                checking.fault(&path, format!("`{text}` {what}"), cure);
            }
            if typed.iter().take(at).any(|other| other == text) {
                checking.fault(&path, format!("`{text}` twice"), "keep one of the two");
            }
        }
        typed.to_vec()
    };
    let redirect_uris = list(checking, ("redirect_uris", local), typed.redirect_uris.as_deref());
    let after = list(checking, ("post_logout_redirect_uris", false), typed.post_logout_redirect_uris.as_deref());
    if signs_in && redirect_uris.is_empty() {
        let cure = "add the address that the tool's documentation names: redirect_uris = [\"https://…\"]";
        checking.fault(path, "a client that people sign in to, and no `redirect_uris`", cure);
    }
    if !signs_in && !redirect_uris.is_empty() {
        let cure = "take them out, or add \"authorization_code\" to `grants`";
        checking.fault(path, "`redirect_uris`, and nobody signs in to this client", cure);
    }
    let back = typed.backchannel_logout_uri.as_deref();
    if let Some(text) = back
        && let Err((what, cure)) = address(text, Place::Web)
    {
        checking.fault(&format!("{path}.backchannel_logout_uri"), format!("`{text}` {what}"), cure);
    }
    Addresses { redirect_uris, post_logout_redirect_uris: after, backchannel_logout_uri: back.map(str::to_owned) }
}

/// Where a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the web.
    Web,
    /// There, or on the person's own machine, by its loopback address.
    OwnMachine,
    /// There, or by the name of that machine, since the program can do no other.
    OwnMachineByName,
}

/// Whether answers may go there; else what is wrong, and the cure.
fn address(text: &str, place: Place) -> Result<(), (&'static str, &'static str)> {
    let native = place != Place::Web;
    if text.len() > MAX_REDIRECT_URI_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(("is no URI", "write it as the tool sends it, at most 2,000 printable ASCII characters"));
    }
    if text.contains('*') {
        return Err(("has a `*`", "write each address whole; there are no patterns"));
    }
    let Ok(url) = Url::parse(text) else {
        return Err(("is no absolute URI", "write it whole: https://grafana.example.com/login/generic_oauth"));
    };
    if url.fragment().is_some() {
        return Err(("has a fragment", "take `#` and what follows out"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("has a user in it", "write the host alone"));
    }
    // A browser would go to the plain form, and a comparison must not differ from what it does.
    if url.as_str() != text && url.as_str().strip_suffix('/') != Some(text) {
        return Err(("is not in its plain form", "write it as a browser shows it: lower-case host, no `..`"));
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(host)) if is_loopback(&host) && native => Ok(()),
        ("http", Some(Host::Domain("localhost"))) if place == Place::OwnMachineByName => Ok(()),
        ("http", Some(Host::Domain("localhost"))) if native => Err((
            "is a name that may lead elsewhere",
            "write http://127.0.0.1/… or http://[::1]/…; only `auth = \"none\"` may use http://localhost",
        )),
        ("http", _) if native => {
            Err(("is plain http to another machine", "write https://…, or http://127.0.0.1/… or http://[::1]/…"))
        }
        ("http", _) => Err((
            "is plain http",
            "write https://…; `native = true` allows http://127.0.0.1/… for tools on people's own machines",
        )),
        // RFC 8252 §7.1: a name that is the author's own, backwards.
        (scheme, _) if native && scheme.contains('.') => Ok(()),
        _ if native => {
            Err(("has a scheme that anybody may use", "write https://…, or a scheme such as `com.example.app:`"))
        }
        _ => Err(("is not https", "write https://…")),
    }
}

/// RFC 8252 §8.3: an address, since a name may lead elsewhere.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback() && address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_063_a_redirect_uri_leaves_no_room_for_guesses() {
        for (text, web, native) in [
            ("https://grafana.example.com/login/generic_oauth", true, true),
            ("https://grafana.example.com", true, true),
            ("https://grafana.example.com/cb?tenant=1", true, true),
            ("https://grafana.example.com/a/../b", false, false),
            ("https://grafana.example.com/%2e%2e/b", false, false),
            ("https://Grafana.example.com/cb", false, false),
            ("https://*.example.com/cb", false, false),
            ("https://grafana.example.com/cb#x", false, false),
            ("https://ok@evil.example/cb", false, false),
            ("http://grafana.example.com/cb", false, false),
            ("http://127.0.0.1/cb", false, true),
            ("http://[::1]/cb", false, true),
            ("http://127.0.0.2/cb", false, false),
            ("http://localhost/cb", false, false),
            ("com.example.app:/cb", false, true),
            ("myapp:/cb", false, false),
            ("javascript:alert(1)", false, false),
            ("/cb", false, false),
            ("https://grafana.example.com/a b", false, false),
        ] {
            assert_eq!(address(text, Place::Web).is_ok(), web, "{text}");
            assert_eq!(address(text, Place::OwnMachine).is_ok(), native, "{text}");
            assert_eq!(
                address(text, Place::OwnMachineByName).is_ok(),
                native || text == "http://localhost/cb",
                "{text}"
            );
        }
    }

    #[test]
    fn attack_063_localhost_is_for_programs_without_a_secret_alone() {
        for (text, taken) in [
            ("http://localhost:8085/auth/callback", true),
            ("http://localhost", true),
            ("http://localhost.evil.example/cb", false),
            ("http://localhost./cb", false),
            ("http://LOCALHOST/cb", false),
            ("http://user@localhost/cb", false),
            ("http://sub.localhost/cb", false),
        ] {
            assert_eq!(address(text, Place::OwnMachineByName).is_ok(), taken, "{text}");
            assert!(address(text, Place::OwnMachine).is_err() && address(text, Place::Web).is_err(), "{text}");
        }
    }
}
