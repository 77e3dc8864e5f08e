//! From what was typed to settings: every value checked, every fault found before the first is told.
//! In: `Source` and where its values were said. Out: `Settings`, or every fault with its cure.
//! Implements DESIGN §12 and the limits of the documentation.
//! Never reads a file's contents: keys, rules and certificates are read by those who use them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::checking::{Checking, parse_size};
use super::cidr::Cidr;
use super::client::{self, Others};
use super::devices;
use super::fault::ConfigError;
use super::issuer;
use super::notify;
use super::push;
use super::sections::{LimitsSource, PeopleSource, ServerSource, SessionSource};
use super::settings::{LimitSettings, LogSettings, PeopleSettings, ServerSettings, Settings, TlsFiles};
use super::source::{Origins, Source};
use crate::domain::change::standing::RECOVERY_SIGNATURES;
use crate::domain::session::SessionLimits;
use crate::domain::time;

/// Where the server listens unless told otherwise.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// Where the state lies unless told otherwise.
pub const STATE_DEFAULT: &str = "/var/lib/countersign";
/// The folder of rules unless told otherwise, beside the file.
pub const RULES_DEFAULT: &str = "rules";
/// Refused calls from one address in a minute.
pub const REFUSED_PER_MINUTE: u32 = 600;
/// Wrong ceremonies from one address in a minute.
pub const CEREMONIES_PER_MINUTE: u32 = 30;
/// Requests that a project may have waiting.
pub const OPEN_REQUESTS_PER_PROJECT: u32 = 100;
/// Requests that a rule may have waiting.
pub const OPEN_REQUESTS_PER_RULE: u32 = 10_000;
/// Longest `server.wait_limit`.
pub const WAIT_LIMIT_MOST: Duration = Duration::from_mins(5);
/// Longest `limits.max_token_age`.
pub const MAX_TOKEN_AGE_MOST: Duration = Duration::from_hours(24);
/// Smallest `database.max_size`, in bytes.
pub const DATABASE_LEAST: u64 = 16 * 1024 * 1024;
/// Least `people.delay`.
pub const CHANGE_DELAY_LEAST: Duration = Duration::from_hours(1);
/// Most `people.delay`.
pub const CHANGE_DELAY_MOST: Duration = Duration::from_hours(14 * 24);
/// Most `people.recovery_signatures`.
pub const RECOVERY_SIGNATURES_MOST: u32 = 10;
/// Most `people.rule_signatures`.
pub const RULE_SIGNATURES_MOST: u32 = 10;
/// Longest `people.contact`, in characters.
pub const MAX_CONTACT_CHARS: usize = 200;
/// Longest `log.origin`, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// Checks everything.
///
/// # Errors
/// All faults at once.
pub fn check(file: &Path, source: &Source, origins: &Origins) -> Result<Settings, ConfigError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut checking = Checking::new(folder, origins);
    let url = checking.url(source.url.as_deref());
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    let local = host == LOCALHOST;
    let rp_id = checking.rp_id(source.rp_id.as_deref(), &host);
    let server = checking.server(&source.server, url.as_ref());
    let keys = checking.keys(&source.keys);
    let high_water_mark = checking.high_water_mark(source.log.high_water_mark.as_deref(), keys.as_ref());
    let origin = checking.log_origin(source.log.origin.as_deref(), &host);
    let database_max_bytes = checking.database(source.database.max_size.as_deref());
    let limits = checking.limits(&source.limits);
    let sessions = checking.sessions(&source.session);
    let people = checking.people(&source.people);
    let notify = notify::check(&mut checking, &source.notify);
    let push = push::check(&mut checking, &source.push);
    let issuers = issuer::check(&mut checking, &source.issuer, local);
    if let Some(own) = &url {
        issuer::not_ourselves(&mut checking, &issuers, own.as_str());
    }
    let devices = devices::check(&mut checking, source);
    let others = Others { issuers: &issuers, devices: &devices, host: &host };
    let clients = client::check(&mut checking, &source.client, &others);
    let state_directory = checking.resolve(source.state.directory.as_deref().unwrap_or(STATE_DEFAULT));
    let rules = checking.resolve(source.rules.as_deref().unwrap_or(RULES_DEFAULT));
    match (url, server, keys, high_water_mark) {
        (Some(url), Some(server), Some(keys), Some(high_water_mark)) if checking.sound() => Ok(Settings {
            file: file.to_owned(),
            url: bare(&url),
            rp_id,
            rules,
            server,
            state_directory,
            keys,
            log: LogSettings { high_water_mark, origin },
            database_max_bytes,
            limits,
            sessions,
            devices,
            people,
            notify,
            push,
            issuers,
            clients,
        }),
        _ => Err(ConfigError::new(checking.faults())),
    }
}

const LOCALHOST: &str = "localhost";

/// The URL without the slash that the parser adds.
fn bare(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

impl Checking<'_> {
    fn url(&mut self, typed: Option<&str>) -> Option<Url> {
        let Some(typed) = typed else {
            self.fault(
                "url",
                "`url` is missing",
                "add the address at which people and jobs reach this server: url = \"https://sign.example.com\"",
            );
            return None;
        };
        let Ok(url) = Url::parse(typed) else {
            self.fault("url", format!("`{typed}` is not a URL"), "write it whole: https://sign.example.com");
            return None;
        };
        let local = url.host_str() == Some(LOCALHOST);
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            self.fault("url", "`url` must be https", "write https://…; plain http works for localhost only");
            return None;
        }
        if !matches!(url.host(), Some(Host::Domain(_))) {
            self.fault("url", "`url` names an address", "give the server a name; passkeys do not work with addresses");
            return None;
        }
        let exact = url.origin().ascii_serialization();
        if typed != exact {
            self.fault(
                "url",
                format!("`url` is `{typed}`"),
                format!("write it as tokens will carry it: url = \"{exact}\""),
            );
            return None;
        }
        Some(url)
    }

    fn rp_id(&mut self, typed: Option<&str>, host: &str) -> String {
        let Some(typed) = typed else { return host.to_owned() };
        let fits = typed == host || (typed.contains('.') && host.ends_with(&format!(".{typed}")));
        if !fits && !host.is_empty() {
            let what = format!("`rp_id` is `{typed}`, which is neither `{host}` nor a domain above it");
            self.fault(
                "rp_id",
                what,
                format!("leave it out (then it is `{host}`); it can never change once people have passkeys"),
            );
        }
        typed.to_owned()
    }

    fn server(&mut self, typed: &ServerSource, url: Option<&Url>) -> Option<ServerSettings> {
        let wait_limit = (time::WAIT_LIMIT, Duration::from_secs(1), WAIT_LIMIT_MOST);
        let wait_limit = self.duration("server.wait_limit", typed.wait_limit.as_deref(), wait_limit);
        let mut trusted_proxies = Vec::new();
        for range in typed.trusted_proxies.iter().flatten() {
            match range.parse::<Cidr>() {
                Ok(range) if range.is_everybody() => {
                    self.fault(
                        "server.trusted_proxies",
                        format!("`{range}` is everybody"),
                        "name the proxy's own address",
                    );
                }
                Ok(range) => trusted_proxies.push(range),
                Err(error) => self.fault(
                    "server.trusted_proxies",
                    error.to_string(),
                    "write addresses or ranges: [\"10.0.0.0/8\"]",
                ),
            }
        }
        let tls = self.tls(typed);
        let listen = typed.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
        let Ok(listen) = listen.parse::<SocketAddr>() else {
            self.fault(
                "server.listen",
                format!("`{listen}` is not an address and port"),
                "write listen = \"127.0.0.1:8080\" or \"[::]:8443\"",
            );
            return None;
        };
        let loopback = listen.ip().to_canonical().is_loopback();
        if !loopback && url.is_some_and(|url| url.scheme() == "http") {
            self.fault(
                "server.listen",
                format!("`{listen}` is open to others while `url` is plain http"),
                "set an https `url`, or listen on 127.0.0.1",
            );
        } else if !loopback && trusted_proxies.is_empty() && typed.tls_cert.is_none() && typed.tls_key.is_none() {
            let cure = "set `server.trusted_proxies` to the proxy that ends TLS, or `tls_cert` and `tls_key`, or listen on 127.0.0.1";
            self.fault("server.listen", format!("plain http on `{listen}`, which others can reach"), cure);
        }
        Some(ServerSettings { listen, trusted_proxies, tls, wait_limit })
    }

    fn tls(&mut self, typed: &ServerSource) -> Option<TlsFiles> {
        let certificate = self.existing("server.tls_cert", typed.tls_cert.as_deref());
        let key = self.existing("server.tls_key", typed.tls_key.as_deref());
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (certificate, _) => {
                let (there, absent) =
                    if certificate.is_some() { ("tls_cert", "tls_key") } else { ("tls_key", "tls_cert") };
                self.fault(
                    &format!("server.{there}"),
                    format!("`{there}` without `{absent}`"),
                    format!("add `{absent}`"),
                );
                None
            }
        }
    }

    fn log_origin(&mut self, typed: Option<&str>, host: &str) -> String {
        let Some(typed) = typed else { return format!("{host}/log") };
        if typed.is_empty()
            || typed.len() > MAX_ORIGIN_BYTES
            || !typed.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
        {
            self.fault(
                "log.origin",
                "`log.origin` must be 1 to 255 printable ASCII characters without spaces and `+`",
                format!("leave it out (then it is `{host}/log`)"),
            );
        }
        typed.to_owned()
    }

    fn database(&mut self, typed: Option<&str>) -> Option<u64> {
        let typed = typed?;
        let bytes = parse_size(typed);
        match bytes {
            Some(bytes) if bytes >= DATABASE_LEAST => {}
            Some(_) => {
                self.fault(
                    "database.max_size",
                    format!("`{typed}` is too small for a log"),
                    "write at least \"16MiB\"",
                );
            }
            None => self.fault(
                "database.max_size",
                format!("`{typed}` is not a size"),
                "write a whole number and MiB, GiB or TiB: \"20GiB\"",
            ),
        }
        bytes
    }

    fn limits(&mut self, typed: &LimitsSource) -> LimitSettings {
        let age = (time::MAX_TOKEN_AGE, Duration::from_mins(1), MAX_TOKEN_AGE_MOST);
        LimitSettings {
            max_token_age: self.duration("limits.max_token_age", typed.max_token_age.as_deref(), age),
            refused_per_minute: self.whole("limits.refused_per_minute", typed.refused_per_minute, REFUSED_PER_MINUTE),
            ceremonies_per_minute: self.whole(
                "limits.ceremonies_per_minute",
                typed.ceremonies_per_minute,
                CEREMONIES_PER_MINUTE,
            ),
            open_requests_per_project: self.whole(
                "limits.open_requests_per_project",
                typed.open_requests_per_project,
                OPEN_REQUESTS_PER_PROJECT,
            ),
            open_requests_per_rule: self.whole(
                "limits.open_requests_per_rule",
                typed.open_requests_per_rule,
                OPEN_REQUESTS_PER_RULE,
            ),
        }
    }

    fn sessions(&mut self, typed: &SessionSource) -> SessionLimits {
        let idle = (time::SESSION_IDLE, time::SESSION_IDLE_LEAST, time::SESSION_IDLE_MOST);
        let absolute = (time::SESSION_ABSOLUTE, time::SESSION_ABSOLUTE_LEAST, time::SESSION_ABSOLUTE_MOST);
        SessionLimits {
            idle: self.duration("session.idle", typed.idle.as_deref(), idle),
            absolute: self.duration("session.absolute", typed.absolute.as_deref(), absolute),
        }
    }

    fn people(&mut self, typed: &PeopleSource) -> PeopleSettings {
        let delay = (time::CHANGE_DELAY, CHANGE_DELAY_LEAST, CHANGE_DELAY_MOST);
        let (recovery, rules) = ("people.recovery_signatures", "people.rule_signatures");
        PeopleSettings {
            contact: self.contact(typed.contact.as_deref()),
            delay: self.duration("people.delay", typed.delay.as_deref(), delay),
            recovery_signatures: typed
                .recovery_signatures
                .map_or(RECOVERY_SIGNATURES, |typed| self.signatures(recovery, typed, RECOVERY_SIGNATURES_MOST)),
            rule_signatures: typed.rule_signatures.map(|typed| self.signatures(rules, typed, RULE_SIGNATURES_MOST)),
        }
    }

    /// How many admins sign.
    fn signatures(&mut self, path: &str, typed: i64, most: u32) -> u32 {
        let signatures = self.whole(path, Some(typed), RECOVERY_SIGNATURES);
        if signatures > most {
            self.fault(
                path,
                format!("`{path}` is {signatures}; 1 to {most} are possible"),
                "choose a number that admins can reach",
            );
        }
        signatures
    }

    fn contact(&mut self, typed: Option<&str>) -> Option<String> {
        let typed = typed?;
        if typed.trim().is_empty() || typed.chars().count() > MAX_CONTACT_CHARS || typed.chars().any(char::is_control) {
            self.fault(
                "people.contact",
                "`people.contact` must be 1 to 200 characters on one line",
                "write whom to ask: \"#platform, or +49 …\"",
            );
        }
        Some(typed.to_owned())
    }
}

#[cfg(test)]
mod tests;
