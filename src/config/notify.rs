//! `[notify]`, checked: who is told, and the secret that signs.
//! In: what was typed. Out: `NotifySettings`, or faults that do not repeat an address.
//! Implements DESIGN §11 (being told), §12.
//! Never shows a webhook's address: whoever knows it may write to it.

use serde::Deserialize;
use url::{Host, Url};

use super::checking::Checking;
use super::settings::NotifySettings;

/// `[notify]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySource {
    pub(super) webhooks: Option<Vec<String>>,
    pub(super) secret_file: Option<String>,
}

/// Most webhooks.
pub const MAX_WEBHOOKS: usize = 10;

pub(super) fn check(checking: &mut Checking<'_>, typed: &NotifySource) -> Option<NotifySettings> {
    let named: &[String] = typed.webhooks.as_deref().unwrap_or_default();
    if named.is_empty() && typed.secret_file.is_none() {
        return None;
    }
    if named.is_empty() {
        checking.fault(
            "notify.secret_file",
            "a secret, and nobody to tell",
            "add `notify.webhooks`, or remove the secret",
        );
        return None;
    }
    if named.len() > MAX_WEBHOOKS {
        let text = format!("`notify.webhooks` has {} addresses; {MAX_WEBHOOKS} are the most", named.len());
        checking.fault("notify.webhooks", text, "let one of them tell the others");
    }
    let mut webhooks = Vec::new();
    for (at, text) in named.iter().enumerate() {
        match Url::parse(text) {
            Ok(url) if may_be_told(&url) => webhooks.push(url),
            _ => checking.fault(
                "notify.webhooks",
                format!("address {} of `notify.webhooks` is not an https URL without a user", at + 1),
                "write https://…; plain http works for localhost only",
            ),
        }
    }
    if webhooks.len() < named.len() {
        return None;
    }
    let Some(secret) = checking.existing("notify.secret_file", typed.secret_file.as_deref()) else {
        if typed.secret_file.is_none() {
            let cure = "write `whsec_` and the base64 of 32 random bytes to a file of mode 0600, and name it";
            checking.fault("notify.webhooks", "webhooks without `notify.secret_file`", cure);
        }
        return None;
    };
    Some(NotifySettings { webhooks, secret_file: secret })
}

fn may_be_told(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_told_but_for_this_machine() {
        let told = |text: &str| Url::parse(text).is_ok_and(|url| may_be_told(&url));
        for fine in
            ["https://hooks.slack.com/services/x", "http://localhost:9/x", "http://127.0.0.1/x", "http://[::1]/"]
        {
            assert!(told(fine), "{fine}");
        }
        for wrong in [
            "http://hooks.example.com/",
            "https://a:b@example.com/",
            "ftp://example.com/",
            "data:x",
            "http://127.0.0.1.example.com/",
        ] {
            assert!(!told(wrong), "{wrong}");
        }
    }
}
