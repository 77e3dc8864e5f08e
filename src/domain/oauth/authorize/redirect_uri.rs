//! Whether a redirect URI is one that the client registered.
//! In: two strings. Out: yes or no.
//! Implements RFC 9700 §2.1 (exact comparison), RFC 8252 §7.3 (a native app's loopback address may have any port).
//! Never parses, normalises or decodes anything: what differs by one byte is another URI.

/// The loopback addresses; `localhost` is none of them, since a name may lead elsewhere (RFC 8252 §8.3): where it is registered,
/// it is so with its port.
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Whether `given` is the registered URI; for a native app's loopback address with whatever port.
#[must_use]
pub fn is_registered(registered: &str, given: &str, native: bool) -> bool {
    if registered == given {
        return true;
    }
    native
        && LOOPBACK.iter().any(|host| match (after_port(registered, host), after_port(given, host)) {
            (Some(registered), Some(given)) => registered == given,
            _ => false,
        })
}

/// What follows the host and its port, where it is that host.
fn after_port<'a>(uri: &'a str, host: &str) -> Option<&'a str> {
    let rest = uri.strip_prefix(host)?;
    let Some(port) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest);
    };
    let digits = port.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(port.len());
    let (port, rest) = port.split_at_checked(digits)?;
    let is_port = !port.starts_with('0') && port.parse::<u16>().is_ok();
    (is_port && (rest.is_empty() || rest.starts_with(['/', '?']))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEB: &str = "https://grafana.example.com/login/generic_oauth";

    #[test]
    fn attack_063_a_redirect_uri_is_compared_byte_by_byte() {
        assert!(is_registered(WEB, WEB, false));
        for wrong in [
            "https://grafana.example.com/login/generic_oauth/",
            "https://grafana.example.com/login/generic_oauth/evil",
            "https://grafana.example.com/login/../login/generic_oauth",
            "https://grafana.example.com/login/%2e%2e/login/generic_oauth",
            "https://grafana.example.com/login/generic%5Foauth",
            "https://grafana.example.com/login/generic_oauth#",
            "https://grafana.example.com/login/generic_oauth#x",
            "https://grafana.example.com@evil.example/login/generic_oauth",
            "https://user@grafana.example.com/login/generic_oauth",
            "https://GRAFANA.example.com/login/generic_oauth",
            "HTTPS://grafana.example.com/login/generic_oauth",
            "http://grafana.example.com/login/generic_oauth",
            "https://grafana.example.com:443/login/generic_oauth",
            "https://grafana.example.com:8443/login/generic_oauth",
            "https://grafana.example.com/login/generic_oauth?",
            "https://grafana.example.com/login/generic_oauth?next=x",
            "https://*.example.com/login/generic_oauth",
            "https://grafana.example.com./login/generic_oauth",
            "https://grafana.example.com.evil.example/login/generic_oauth",
            "https:\\\\grafana.example.com/login/generic_oauth",
            " https://grafana.example.com/login/generic_oauth",
            "https://grafana.example.com/login/generic_oauth\n",
            "javascript:alert(1)",
            "data:text/html,x",
            "//grafana.example.com/login/generic_oauth",
            "/login/generic_oauth",
            "",
        ] {
            assert!(!is_registered(WEB, wrong, false) && !is_registered(WEB, wrong, true), "{wrong}");
        }
    }

    #[test]
    fn attack_063_only_a_native_apps_loopback_port_is_free() {
        for (registered, given, free) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true),
            ("http://127.0.0.1:8000/cb?x=1", "http://127.0.0.1:8001/cb?x=1", true),
            ("http://[::1]/cb", "http://[::1]:65535/cb", true),
            ("http://127.0.0.1", "http://127.0.0.1:9", true),
            ("http://127.0.0.1/cb", "http://[::1]:9/cb", false),
            ("http://127.0.0.1/cb", "http://localhost:9/cb", false),
            ("http://localhost/cb", "http://localhost:9/cb", false),
            ("http://localhost:8085/auth/callback", "http://localhost:8085/auth/callback", true),
            ("http://localhost:8085/auth/callback", "http://localhost:8086/auth/callback", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:+9/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:09/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:9/cb/", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:9@evil.example/cb", false),
            ("http://127.0.0.1", "http://127.0.0.1.evil.example", false),
            ("http://127.0.0.1", "http://127.0.0.1:9@evil.example", false),
            ("http://127.0.0.1", "http://127.0.0.1:9#x", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:9/cb", false),
            ("http://127.0.0.2/cb", "http://127.0.0.2:9/cb", false),
            ("https://127.0.0.1/cb", "https://127.0.0.1:9/cb", false),
            ("com.example.app:/cb", "com.example.app:/cb", true),
            ("com.example.app:/cb", "com.example.app:/cb2", false),
        ] {
            assert_eq!(is_registered(registered, given, true), free, "{registered} {given}");
            assert!(registered == given || !is_registered(registered, given, false), "{given}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_than_what_is_registered_is_taken(given in ".{0,60}", at in 0_usize..WEB.len(), byte in "[ -~]") {
            prop_assert!(given == WEB || !is_registered(WEB, &given, true));
            let mut changed = WEB.to_owned();
            changed.replace_range(at..=at, &byte);
            prop_assert_eq!(is_registered(WEB, &changed, true), changed == WEB);
        }

        #[test]
        fn a_loopback_uri_differs_in_its_port_alone(port in 1_u16.., path in "[a-z/]{0,12}") {
            let (given, registered) = (format!("http://127.0.0.1:{port}/{path}"), format!("http://127.0.0.1/{path}"));
            prop_assert!(is_registered(&registered, &given, true));
            prop_assert!(!is_registered(&registered, &given, false));
            let longer = registered + "x";
            prop_assert!(!is_registered(&longer, &given, true));
        }
    }
}
