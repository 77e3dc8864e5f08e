//! The parties whose job tokens are accepted, checked.
//! In: `[[issuer]]` as typed. Out: `IssuerSettings`, names and URLs distinct.
//! Implements DESIGN §2 (issuer) and RFC 8414 §2 (issuer URLs).
//! Never lets an empty list mean everybody.

use std::time::Duration;

use url::Url;

use super::checking::Checking;
use super::sections::IssuerSource;
use super::settings::{IssuerSettings, LegacyToken};
use crate::domain::ids::IssuerName;
use crate::domain::nearest::did_you_mean;
use crate::domain::oauth::client::CLIENT_PREFIX;

/// Default of `stale_use`.
pub const STALE_USE: Duration = Duration::from_hours(24);
/// Longest `stale_use`.
pub const STALE_USE_MOST: Duration = Duration::from_hours(7 * 24);
/// Most issuers.
pub const MAX_ISSUERS: usize = 100;
/// Most ids in `projects` or `namespaces`.
pub const MAX_ADMITTED: usize = 10_000;

/// Hosts that serve everybody: they must say whom we admit.
const SHARED_HOSTS: &[&str] = &["gitlab.com"];

/// Whether an issuer's URL is that of a GitLab that serves everybody.
#[must_use]
pub fn is_shared(url: &Url) -> bool {
    url.host_str().is_some_and(|host| SHARED_HOSTS.contains(&host))
}

/// Checks every issuer. Plain http is for an issuer on localhost of a server on localhost.
pub(super) fn check(checking: &mut Checking<'_>, typed: &[IssuerSource], local: bool) -> Vec<IssuerSettings> {
    if typed.is_empty() {
        checking.fault("issuer", "no issuer", "add [[issuer]] with `name` and `url`: whose job tokens are accepted");
    }
    if typed.len() > MAX_ISSUERS {
        checking.fault("issuer", format!("{} issuers; {MAX_ISSUERS} is the most", typed.len()), "remove some");
    }
    let mut checked: Vec<IssuerSettings> = Vec::new();
    for (at, issuer) in typed.iter().enumerate() {
        let path = format!("issuer[{at}]");
        let Some(issuer) = one(checking, &path, issuer, local) else { continue };
        if checked.iter().any(|other| other.name == issuer.name) {
            checking.fault(
                &format!("{path}.name"),
                format!("a second issuer named `{}`", issuer.name),
                "give each a name of its own",
            );
        }
        if checked.iter().any(|other| other.url == issuer.url) {
            checking.fault(
                &format!("{path}.url"),
                format!("a second issuer with `{}`", issuer.url),
                "keep one of the two",
            );
        }
        checked.push(issuer);
    }
    checked
}

/// Our own tokens are no job tokens.
pub(super) fn not_ourselves(checking: &mut Checking<'_>, issuers: &[IssuerSettings], own: &str) {
    for (at, _) in issuers.iter().enumerate().filter(|(_, issuer)| issuer.url == own.trim_end_matches('/')) {
        checking.fault(&format!("issuer[{at}].url"), "this is our own `url`", "name the GitLab whose jobs ask here");
    }
}

fn one(checking: &mut Checking<'_>, path: &str, typed: &IssuerSource, local: bool) -> Option<IssuerSettings> {
    let at = |key: &str| format!("{path}.{key}");
    let name = match typed.name.as_deref().map(IssuerName::parse) {
        Some(Ok(name)) if name.as_str() == CLIENT_PREFIX => {
            let what = format!("`{name}` is the prefix of what clients are called in tokens");
            checking.fault(&at("name"), what, "choose another short name, such as \"gitlab\"");
            None
        }
        Some(Ok(name)) => Some(name),
        Some(Err(error)) => {
            checking.fault(&at("name"), error.to_string(), "choose a short name such as \"gitlab\"");
            None
        }
        None => {
            checking.fault(path, "an issuer without `name`", "add a short one: name = \"gitlab\"");
            None
        }
    };
    let url = url(checking, path, typed.url.as_deref(), local);
    let projects = ids(checking, &at("projects"), typed.projects.as_deref());
    let namespaces = ids(checking, &at("namespaces"), typed.namespaces.as_deref());
    if url.as_ref().is_some_and(is_shared) && typed.projects.is_none() && typed.namespaces.is_none() {
        let what =
            format!("`{}` serves everybody, and nothing says whom to admit", typed.url.as_deref().unwrap_or_default());
        checking.fault(&at("url"), what, "add `projects` or `namespaces` with their ids");
    }
    let jwks_host = typed.jwks_host.as_deref().and_then(|host| jwks_host(checking, path, host));
    if typed.jwks_host.is_some() && typed.jwks_file.is_some() {
        checking.fault(&at("jwks_host"), "`jwks_file` is set too", "keep one of the two");
    }
    if url.as_ref().is_some_and(|url| url.scheme() == "http") && typed.jwks_file.is_none() {
        checking.fault(&at("url"), "keys are never fetched over plain http", "pin them: jwks_file = \"jwks.json\"");
    }
    let stale_use = (STALE_USE, Duration::ZERO, STALE_USE_MOST);
    let settings = IssuerSettings {
        name: name?,
        url: {
            url?;
            typed.url.clone()?
        },
        jwks_host,
        jwks_file: checking.existing(&at("jwks_file"), typed.jwks_file.as_deref()),
        ca_file: checking.existing(&at("ca_file"), typed.ca_file.as_deref()),
        allow_private: typed.allow_private.unwrap_or(false),
        projects,
        namespaces,
        identity_provider: identity_provider(checking, path, typed),
        legacy: legacy(checking, &at("legacy"), typed.legacy.as_deref()),
        stale_use: checking.duration(&at("stale_use"), typed.stale_use.as_deref(), stale_use),
    };
    Some(settings)
}

fn url(checking: &mut Checking<'_>, path: &str, typed: Option<&str>, local: bool) -> Option<Url> {
    let Some(typed) = typed else {
        checking.fault(
            path,
            "an issuer without `url`",
            "add it as its tokens spell `iss`: url = \"https://gitlab.example.com\"",
        );
        return None;
    };
    let at = format!("{path}.url");
    let Ok(url) = Url::parse(typed) else {
        checking.fault(&at, format!("`{typed}` is not a URL"), "write it whole: https://gitlab.example.com");
        return None;
    };
    if !is_fetchable(&url, local) {
        checking.fault(
            &at,
            format!("`{typed}` is not https"),
            "write https://…; plain http works only while issuer and `url` are on localhost",
        );
        return None;
    }
    let extra =
        url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some();
    if extra || typed.ends_with('/') {
        checking.fault(
            &at,
            format!("`{typed}` is more than an issuer's URL"),
            "write it as GitLab spells `iss`: no slash at the end, no query, no user",
        );
        return None;
    }
    if url.as_str().trim_end_matches('/') != typed {
        checking.fault(
            &at,
            format!("`{typed}` is not in its plain form"),
            format!("write `{}`", url.as_str().trim_end_matches('/')),
        );
        return None;
    }
    Some(url)
}

/// A host as a URL spells it, with its port where that is not 443.
fn jwks_host(checking: &mut Checking<'_>, path: &str, typed: &str) -> Option<String> {
    let plain = Url::parse(&format!("https://{typed}")).ok().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    if plain.as_deref() == Some(typed) {
        return plain;
    }
    checking.fault(
        &format!("{path}.jwks_host"),
        format!("`{typed}` is not a host"),
        "write it without https:// and path: jwks_host = \"keys.example.com\", with its port where that is not 443",
    );
    None
}

fn is_fetchable(url: &Url, local: bool) -> bool {
    url.has_host()
        && (url.scheme() == "https" || (url.scheme() == "http" && local && url.host_str() == Some("localhost")))
}

fn ids(checking: &mut Checking<'_>, path: &str, typed: Option<&[String]>) -> Option<Vec<String>> {
    let typed = typed?;
    if typed.is_empty() {
        checking.fault(path, "an empty list admits nobody", "list ids, or leave the key out to admit all");
    }
    if typed.len() > MAX_ADMITTED {
        checking.fault(
            path,
            format!("{} ids; {MAX_ADMITTED} is the most", typed.len()),
            "list namespaces instead of projects",
        );
    }
    for id in typed {
        let numeric =
            !id.is_empty() && id.len() <= 19 && id.bytes().all(|b| b.is_ascii_digit()) && !id.starts_with('0');
        if !numeric {
            checking.fault(
                path,
                format!("`{id}` is not an id"),
                "write the number that GitLab shows, in quotes; names can be taken over by others",
            );
        }
    }
    Some(typed.to_vec())
}

/// A name as GitLab gives to an OmniAuth provider. One that serves everybody signs nobody in through us.
fn identity_provider(checking: &mut Checking<'_>, path: &str, typed: &IssuerSource) -> Option<String> {
    let name = typed.identity_provider.as_deref()?;
    let at = format!("{path}.identity_provider");
    let plain = !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !plain {
        checking.fault(
            &at,
            format!("`{name}` is no name of a provider"),
            "write it as GitLab's `omniauth_providers` has it",
        );
    }
    if typed.url.as_deref().and_then(|url| Url::parse(url).ok()).is_some_and(|url| is_shared(&url)) {
        checking.fault(&at, "a GitLab that serves everybody does not sign its users in through us", "leave it out");
    }
    Some(name.to_owned())
}

/// The names of the variables that held them.
const LEGACY: &[(&str, LegacyToken)] =
    &[("CI_JOB_JWT", LegacyToken::CiJobJwt), ("CI_JOB_JWT_V2", LegacyToken::CiJobJwtV2)];

fn legacy(checking: &mut Checking<'_>, path: &str, typed: Option<&[String]>) -> Vec<LegacyToken> {
    let mut taken = Vec::new();
    for name in typed.unwrap_or_default() {
        match LEGACY.iter().find(|(known, _)| known == name) {
            Some((_, kind)) if taken.contains(kind) => {}
            Some((_, kind)) => taken.push(*kind),
            None => {
                let cure = did_you_mean(name, LEGACY.iter().map(|(known, _)| *known))
                    .unwrap_or_else(|| "`CI_JOB_JWT` and `CI_JOB_JWT_V2` are possible".to_owned());
                checking.fault(path, format!("`{name}` is no token that can be taken"), cure);
            }
        }
    }
    taken
}
