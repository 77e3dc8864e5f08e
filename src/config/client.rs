//! The tools that people sign in to, checked.
//! In: `[[client]]` as typed. Out: `ClientSettings`, ids distinct from one another and from everything that tokens name.
//! Implements RFC 6749 §2, §3.1.2, RFC 8252 §7, RFC 8707 §2, DESIGN §10.
//! Never takes a secret, a redirect URI with room for guesses, or an empty list as everybody.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::checking::Checking;
use super::client_uris::{self, Addresses};
use super::devices::DeviceSettings;
use super::sections::ClientSource;
use super::settings::IssuerSettings;
use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::ids::{Audience, ClientId, Digest, GroupName, MAX_NAME_CHARS};
use crate::domain::nearest::did_you_mean;
use crate::domain::oauth::client::{Client, ClientAuth, Consent, GrantType, Lifetimes, ResponseMode};
use crate::domain::oauth::scope::{OFFLINE_ACCESS, OPENID, Scopes};
use crate::domain::rules::TokenAlg;
use crate::domain::time;

/// Most clients.
pub const MAX_CLIENTS: usize = 1_000;
/// Most secrets of a client: the new one, and the one before it.
pub const MAX_CLIENT_SECRETS: usize = 2;
/// Most resources of a client.
pub const MAX_CLIENT_RESOURCES: usize = 20;
/// Most groups of a client.
pub const MAX_CLIENT_GROUPS: usize = 100;

/// A client, but for what its files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The client; a `PrivateKeyJwt` has no keys yet, and there is no logo.
    pub client: Client,
    /// Its keys.
    pub jwks_file: Option<PathBuf>,
    /// Its picture.
    pub logo_file: Option<PathBuf>,
}

/// What clients must not be mistaken for.
pub(super) struct Others<'a> {
    /// Whose job tokens we accept.
    pub issuers: &'a [IssuerSettings],
    /// Every device policy.
    pub devices: &'a DeviceSettings,
    /// Our own host.
    pub host: &'a str,
}

pub(super) fn check(checking: &mut Checking<'_>, typed: &[ClientSource], others: &Others<'_>) -> Vec<ClientSettings> {
    if typed.len() > MAX_CLIENTS {
        checking.fault("client", format!("{} clients; {MAX_CLIENTS} is the most", typed.len()), "remove some");
    }
    let mut checked: Vec<ClientSettings> = Vec::new();
    for (at, typed) in typed.iter().enumerate() {
        let path = format!("client[{at}]");
        let Some(one) = (One { checking, path: &path, typed }).check(others) else { continue };
        if checked.iter().any(|other| other.client.id == one.client.id) {
            let what = format!("a second client with the id `{}`", one.client.id);
            checking.fault(&format!("{path}.id"), what, "give each an id of its own");
        }
        checked.push(one);
    }
    checked
}

/// One client under check.
struct One<'a, 'b> {
    checking: &'a mut Checking<'b>,
    path: &'a str,
    typed: &'a ClientSource,
}

impl One<'_, '_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn fault(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        let path = self.at(key);
        self.checking.fault(&path, what, cure);
    }

    fn check(mut self, others: &Others<'_>) -> Option<ClientSettings> {
        let id = self.id(others);
        let name = self.name();
        let (auth, jwks_file) = self.auth();
        let grants = self.grants(auth.as_ref());
        let scopes = self.scopes(&grants);
        let signs_in = grants.contains(&GrantType::AuthorizationCode);
        let Addresses { redirect_uris, post_logout_redirect_uris, backchannel_logout_uri } =
            client_uris::check(self.checking, self.path, self.typed, signs_in);
        let resources = self.resources("resources", self.typed.resources.as_deref());
        let serves = self.resources("serves", self.typed.serves.as_deref());
        let groups = self.groups();
        let acr = self.word("acr", self.typed.acr.as_deref(), "\"phr\" or \"phrh\"", Acr::parse);
        let device_policy = self.device_policy(others.devices);
        let cure = "\"none\", \"once\" or \"always\"";
        let consent = self.word("consent", self.typed.consent.as_deref(), cure, Consent::parse);
        let alg = self.word("alg", self.typed.alg.as_deref(), "\"RS256\" or \"ES256\"", |text| {
            [TokenAlg::Rs256, TokenAlg::Es256].into_iter().find(|alg| alg.as_str() == text)
        });
        let response_modes = self.response_modes();
        let lifetimes = self.lifetimes();
        let logo_path = self.at("logo_file");
        let logo_file = self.checking.existing(&logo_path, self.typed.logo_file.as_deref());
        let plain = Client::plain(id?, name?);
        let (auth, native) = (auth?, self.typed.native.unwrap_or(plain.native));
        // Another program could take its place without anybody seeing it, unless people are asked (RFC 8252 §8.6).
        let unsaid = if native && auth == ClientAuth::None { Consent::Once } else { plain.consent };
        let client = Client {
            auth,
            redirect_uris,
            native,
            grants,
            scopes,
            resources,
            serves,
            groups,
            acr: acr.unwrap_or(plain.acr),
            device_policy,
            consent: consent.unwrap_or(unsaid),
            par: self.typed.par.unwrap_or(plain.par),
            dpop: self.typed.dpop.unwrap_or(plain.dpop),
            alg: alg.unwrap_or(plain.alg),
            response_modes,
            post_logout_redirect_uris,
            backchannel_logout_uri,
            lifetimes,
            ..plain
        };
        Some(ClientSettings { client, jwks_file, logo_file })
    }

    fn id(&mut self, others: &Others<'_>) -> Option<ClientId> {
        let id = match self.typed.id.as_deref().map(ClientId::parse) {
            Some(Ok(id)) => id,
            Some(Err(error)) => {
                self.fault("id", error.to_string(), "choose a short one such as \"grafana\"");
                return None;
            }
            None => {
                self.checking.fault(self.path, "a client without `id`", "add a short one: id = \"grafana\"");
                return None;
            }
        };
        // Whoever reads a token must not take one party for another.
        let is_issuer = others.issuers.iter().any(|issuer| issuer.name.as_str() == id.as_str());
        if is_issuer {
            self.fault("id", format!("`{id}` is the name of an issuer"), "choose another id");
        }
        if id.as_str() == others.host {
            self.fault("id", format!("`{id}` is this server's own host"), "choose another id");
        }
        Some(id)
    }

    fn name(&mut self) -> Option<String> {
        let fits = |name: &&str| {
            let count = name.chars().count();
            (1..=MAX_NAME_CHARS).contains(&count) && name.trim() == *name && !name.chars().any(char::is_control)
        };
        let name = self.typed.name.as_deref().filter(fits);
        if name.is_none() {
            let what = format!("`{}` must be 1 to {MAX_NAME_CHARS} characters on one line", self.at("name"));
            self.fault("name", what, "write what people call the tool: name = \"Grafana\"");
        }
        name.map(str::to_owned)
    }

    fn auth(&mut self) -> (Option<ClientAuth>, Option<PathBuf>) {
        let secrets = self.secrets();
        let jwks_path = self.at("jwks_file");
        let jwks_file = self.checking.existing(&jwks_path, self.typed.jwks_file.as_deref());
        let auth = match self.typed.auth.as_deref() {
            Some("none") => ClientAuth::None,
            Some("client_secret_basic") => ClientAuth::Basic(secrets),
            Some("client_secret_post") => ClientAuth::Post(secrets),
            Some("private_key_jwt") => ClientAuth::PrivateKeyJwt(Vec::new()),
            other => {
                let what = other.map_or_else(
                    || "a client without `auth`".to_owned(),
                    |text| format!("`{text}` is no way in which clients prove who they are here"),
                );
                let cure = "write \"client_secret_basic\", \"client_secret_post\", \"private_key_jwt\" or \"none\"";
                self.fault("auth", what, cure);
                return (None, jwks_file);
            }
        };
        let by_secret = matches!(auth, ClientAuth::Basic(_) | ClientAuth::Post(_));
        if by_secret && self.typed.secret_sha256.is_none() {
            let cure = "make one: `countersign clients secret` prints it once, and the line to write here";
            self.fault("auth", "a client with a secret, and no `secret_sha256`", cure);
        }
        if !by_secret && self.typed.secret_sha256.is_some() {
            self.fault("secret_sha256", "`secret_sha256`, and `auth` wants no secret", "take it out, or mend `auth`");
        }
        let by_key = matches!(auth, ClientAuth::PrivateKeyJwt(_));
        if by_key && self.typed.jwks_file.is_none() {
            self.fault("auth", "`private_key_jwt` without `jwks_file`", "name the file of the client's public keys");
        }
        if !by_key && self.typed.jwks_file.is_some() {
            self.fault(
                "jwks_file",
                "`jwks_file`, and `auth` is not \"private_key_jwt\"",
                "take it out, or mend `auth`",
            );
        }
        (Some(auth), jwks_file)
    }

    fn secrets(&mut self) -> Vec<Digest> {
        let typed = self.typed.secret_sha256.as_deref().unwrap_or_default();
        if self.typed.secret_sha256.is_some() && !(1..=MAX_CLIENT_SECRETS).contains(&typed.len()) {
            let what = format!("`{}` has {} values; 1 or {MAX_CLIENT_SECRETS}", self.at("secret_sha256"), typed.len());
            self.fault("secret_sha256", what, "keep the newest, and the one before it while it is still in use");
        }
        let mut secrets = Vec::new();
        for text in typed {
            match Digest::parse(text) {
                // Whoever sends nothing would be this client.
                Ok(digest) if digest == Digest::of(b"") => self.fault(
                    "secret_sha256",
                    "the SHA-256 of nothing",
                    "write what `countersign clients secret` prints beside the secret",
                ),
                Ok(digest) => secrets.push(digest),
                // What was typed may be the secret itself.
                Err(_) => self.fault(
                    "secret_sha256",
                    "a value that is no SHA-256 in lower-case hex",
                    "write what `countersign clients secret` prints beside the secret, never the secret",
                ),
            }
        }
        secrets
    }

    fn grants(&mut self, auth: Option<&ClientAuth>) -> BTreeSet<GrantType> {
        let usual = [GrantType::AuthorizationCode.as_str().to_owned()];
        let typed = self.typed.grants.as_deref().unwrap_or(&usual);
        let mut grants = BTreeSet::new();
        for text in typed {
            let known = GrantType::ALL.map(GrantType::as_str);
            if let Some(grant) = GrantType::parse(text) {
                grants.insert(grant);
            } else {
                let cure = did_you_mean(text, known).unwrap_or_else(|| format!("write some of {}", known.join(", ")));
                self.fault("grants", format!("`{text}` is no grant of this server"), cure);
            }
        }
        if typed.is_empty() {
            self.fault("grants", "an empty list of grants", "leave it out: then it is [\"authorization_code\"]");
        }
        let code = grants.contains(&GrantType::AuthorizationCode);
        if grants.contains(&GrantType::RefreshToken) && !code && !grants.contains(&GrantType::DeviceCode) {
            let cure = "add \"authorization_code\" or the device grant: a refresh token comes of nothing else";
            self.fault("grants", "`refresh_token` alone", cure);
        }
        if self.typed.serves.is_some() && auth == Some(&ClientAuth::None) {
            let cure = "give it a secret or keys, or take `serves` out";
            self.fault("serves", "`serves` for a client that cannot prove who it is", cure);
        }
        if grants.contains(&GrantType::ClientCredentials) && auth == Some(&ClientAuth::None) {
            let cure = "give it a secret or keys, or take \"client_credentials\" out";
            self.fault("grants", "`client_credentials` for a client that cannot prove who it is", cure);
        }
        grants
    }

    fn scopes(&mut self, grants: &BTreeSet<GrantType>) -> Scopes {
        let usual = [OPENID.to_owned()];
        let typed = self.typed.scopes.as_deref().unwrap_or(&usual);
        let spaced = typed.iter().any(|text| text.contains(' '));
        let scopes = match Scopes::parse(&typed.join(" ")) {
            Ok(scopes) if !spaced => scopes,
            Ok(_) => {
                self.fault(
                    "scopes",
                    "a scope with a space",
                    "write each in quotes of its own: [\"openid\", \"profile\"]",
                );
                return Scopes::default();
            }
            Err(error) => {
                self.fault("scopes", error.to_string(), "write scopes such as \"openid\", \"profile\", \"groups\"");
                return Scopes::default();
            }
        };
        if scopes.has(OFFLINE_ACCESS) && !grants.contains(&GrantType::RefreshToken) {
            let cure = "add \"refresh_token\" to `grants`, or take \"offline_access\" out";
            self.fault("scopes", "`offline_access`, and no refresh tokens", cure);
        }
        scopes
    }

    fn resources(&mut self, key: &str, typed: Option<&[String]>) -> Vec<Audience> {
        let typed = typed.unwrap_or_default();
        if typed.len() > MAX_CLIENT_RESOURCES {
            self.fault(key, format!("{} resources; {MAX_CLIENT_RESOURCES} is the most", typed.len()), "remove some");
        }
        let mut resources = Vec::new();
        for text in typed {
            let absolute = url::Url::parse(text).is_ok_and(|url| url.fragment().is_none());
            match Audience::parse(text) {
                Ok(audience) if absolute => resources.push(audience),
                _ => self.fault(
                    key,
                    format!("`{text}` is no absolute URI without a fragment"),
                    "write the resource server's own address: \"https://api.example.com\"",
                ),
            }
        }
        resources
    }

    fn groups(&mut self) -> Option<BTreeSet<GroupName>> {
        let typed = self.typed.groups.as_deref()?;
        if typed.is_empty() {
            let cure = "leave it out for everybody, or name the groups whose members may sign in";
            self.fault("groups", "an empty list of groups lets nobody in", cure);
        }
        if typed.len() > MAX_CLIENT_GROUPS {
            self.fault("groups", format!("{} groups; {MAX_CLIENT_GROUPS} is the most", typed.len()), "remove some");
        }
        let mut groups = BTreeSet::new();
        for text in typed {
            match GroupName::parse(text) {
                Ok(group) => drop(groups.insert(group)),
                Err(error) => self.fault("groups", error.to_string(), "name groups as rules do"),
            }
        }
        Some(groups)
    }

    fn word<T>(&mut self, key: &str, typed: Option<&str>, cure: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        let typed = typed?;
        let found = parse(typed);
        if found.is_none() {
            self.fault(key, format!("`{key}` is `{typed}`"), format!("write {cure}"));
        }
        found
    }

    fn device_policy(&mut self, devices: &DeviceSettings) -> Option<DevicePolicy> {
        let name = self.typed.device_policy.as_deref()?;
        let found = devices.policies.iter().find(|(policy, _)| policy.name == name);
        if found.is_none() {
            let cure = did_you_mean(name, devices.policies.iter().map(|(policy, _)| policy.name.as_str()))
                .unwrap_or_else(|| "write [[device_policy]] with this name".to_owned());
            self.fault("device_policy", format!("there is no device policy \"{name}\""), cure);
        }
        found.map(|(policy, _)| policy.clone())
    }

    fn response_modes(&mut self) -> BTreeSet<ResponseMode> {
        let Some(typed) = self.typed.response_modes.as_deref() else { return BTreeSet::from([ResponseMode::Query]) };
        let modes: Option<BTreeSet<_>> = typed.iter().map(|text| ResponseMode::parse(text)).collect();
        match modes {
            Some(modes) if !modes.is_empty() => modes,
            _ => {
                let cure = "write [\"query\"], [\"form_post\"] or both";
                self.fault("response_modes", "`response_modes` names no mode, or one that this server has not", cure);
                BTreeSet::new()
            }
        }
    }

    fn lifetimes(&mut self) -> Lifetimes {
        let access = (time::ACCESS_TOKEN, time::ACCESS_TOKEN_LEAST, time::ACCESS_TOKEN_MOST);
        let refresh = (time::REFRESH, time::REFRESH_LEAST, time::REFRESH_MOST);
        let offline = (time::OFFLINE, time::REFRESH_LEAST, time::OFFLINE_MOST);
        let typed = self.typed;
        let mut span = |key: &str, typed: Option<&str>, span| {
            let path = format!("{}.{key}", self.path);
            self.checking.duration(&path, typed, span)
        };
        Lifetimes {
            access_token: span("access_token_lifetime", typed.access_token_lifetime.as_deref(), access),
            refresh: span("refresh_lifetime", typed.refresh_lifetime.as_deref(), refresh),
            offline: span("offline_lifetime", typed.offline_lifetime.as_deref(), offline),
        }
    }
}

#[cfg(test)]
mod tests;
