//! A client: a tool that people sign in to, and what the operator lets it do.
//! In: checked values of the configuration. Out: one immutable value.
//! Implements RFC 6749 §2, OpenID Connect Core 1.0 §9, RFC 8252, DESIGN §10.
//! Never holds a secret: only SHA-256 of secrets that the server made itself.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scope::Scopes;
use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::ids::{Audience, ClientId, Digest, GroupName};
use crate::domain::rules::TokenAlg;
use crate::domain::time::{ACCESS_TOKEN, OFFLINE, REFRESH};

/// What stands before a client's id in the `sub` of its own tokens, so that it is nobody else's; no issuer is called so.
pub const CLIENT_PREFIX: &str = "client";

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// How it names itself.
    pub id: ClientId,
    /// What people read.
    pub name: String,
    /// How it proves who it is.
    pub auth: ClientAuth,
    /// Where answers may go, each exactly as written; with `native` a loopback URI means any port (RFC 8252 §7.3).
    pub redirect_uris: Vec<String>,
    /// It runs on people's own machines.
    pub native: bool,
    /// The grants that it may use.
    pub grants: BTreeSet<GrantType>,
    /// The scopes that it may ask for.
    pub scopes: Scopes,
    /// The resource servers that its access tokens may be meant for (RFC 8707), beside ourselves.
    pub resources: Vec<Audience>,
    /// The resource servers that this client itself is: it may ask about tokens that are meant for them (RFC 7662).
    pub serves: Vec<Audience>,
    /// Only members of one of these groups may sign in; `None` is everybody.
    pub groups: Option<BTreeSet<GroupName>>,
    /// The least level of a sign-in.
    pub acr: Acr,
    /// What a passkey's device must be, judged at each use.
    pub device_policy: Option<DevicePolicy>,
    /// Whether people are asked.
    pub consent: Consent,
    /// Only pushed requests are taken (RFC 9126 §5).
    pub par: bool,
    /// Only tokens bound to a key are given (RFC 9449).
    pub dpop: bool,
    /// The algorithm of its tokens.
    pub alg: TokenAlg,
    /// How answers may come.
    pub response_modes: BTreeSet<ResponseMode>,
    /// Where people may be sent after they signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Whom to tell that a session ended.
    pub backchannel_logout_uri: Option<String>,
    /// How long its tokens live.
    pub lifetimes: Lifetimes,
    /// Its picture.
    pub logo: Option<Logo>,
}

/// How long a client's tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An access token.
    pub access_token: Duration,
    /// How long a refresh token may rest while the session lives.
    pub refresh: Duration,
    /// How long a refresh token may rest with `offline_access`.
    pub offline: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { access_token: ACCESS_TOKEN, refresh: REFRESH, offline: OFFLINE }
    }
}

impl Lifetimes {
    /// How long a refresh token may rest.
    #[must_use]
    pub const fn rest(&self, offline: bool) -> Duration {
        if offline { self.offline } else { self.refresh }
    }
}

/// A client's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// `image/png` or `image/svg+xml`, by its content.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// How a client proves who it is (OpenID Connect Core 1.0 §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// It cannot: a public client.
    None,
    /// `client_secret_basic`: SHA-256 of the secrets that count.
    Basic(Vec<Digest>),
    /// `client_secret_post`: the same.
    Post(Vec<Digest>),
    /// `private_key_jwt`: its keys, a JWK set.
    PrivateKeyJwt(Vec<u8>),
}

impl ClientAuth {
    /// As metadata and the configuration spell it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
        }
    }
}

/// What a client may trade for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantType {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 8628 §3.4.
    DeviceCode,
}

impl GrantType {
    /// Every grant.
    pub const ALL: [Self; 4] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials, Self::DeviceCode];

    /// As `grant_type` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }

    /// Reads the spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

/// Whether people are asked before a client learns of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// No: it is the operator's own tool.
    NotAsked,
    /// Once, and again where it asks for more; each time where another program could be the client.
    Once,
    /// Each time.
    Always,
}

impl Consent {
    /// Reads the spelling of the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::NotAsked),
            "once" => Some(Self::Once),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// How an authorization response comes (OAuth 2.0 Multiple Response Types §2.1, Form Post Response Mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// As a form that the browser posts to it.
    FormPost,
}

impl ResponseMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Query, Self::FormPost];

    /// As `response_mode` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
        }
    }

    /// Reads the spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

impl Client {
    /// A public client that says nothing but who it is: everything is as it is where the configuration is silent.
    #[must_use]
    pub fn plain(id: ClientId, name: String) -> Self {
        Self {
            id,
            name,
            auth: ClientAuth::None,
            redirect_uris: Vec::new(),
            native: false,
            grants: BTreeSet::from([GrantType::AuthorizationCode]),
            scopes: Scopes::openid(),
            resources: Vec::new(),
            serves: Vec::new(),
            groups: None,
            acr: Acr::Phr,
            device_policy: None,
            consent: Consent::NotAsked,
            par: false,
            dpop: false,
            alg: TokenAlg::Rs256,
            response_modes: BTreeSet::from([ResponseMode::Query]),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            lifetimes: Lifetimes::default(),
            logo: None,
        }
    }

    /// Whether it cannot prove who it is (RFC 6749 §2.1).
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self.auth, ClientAuth::None)
    }

    /// Whether another program on the person's machine could take its place: it proves nothing, and nobody but this
    /// machine says whose the redirect URI is (RFC 8252 §8.6).
    #[must_use]
    pub fn could_be_another(&self, redirect_uri: &str) -> bool {
        self.is_public() && self.native && !redirect_uri.starts_with("https://")
    }

    /// Whether people are asked at each request that goes there, whatever they agreed to before.
    #[must_use]
    pub fn asks_each_time(&self, redirect_uri: &str) -> bool {
        match self.consent {
            Consent::NotAsked => false,
            Consent::Once => self.could_be_another(redirect_uri),
            Consent::Always => true,
        }
    }

    /// Whether it may use a grant.
    #[must_use]
    pub fn may(&self, grant: GrantType) -> bool {
        self.grants.contains(&grant)
    }

    /// Whether people sign in to it, at a browser or for a device.
    #[must_use]
    pub fn signs_people_in(&self) -> bool {
        self.may(GrantType::AuthorizationCode) || self.may(GrantType::DeviceCode)
    }

    /// Whether somebody in these groups may sign in to it.
    #[must_use]
    pub fn admits<'a>(&self, groups: impl IntoIterator<Item = &'a GroupName>) -> bool {
        match &self.groups {
            None => true,
            Some(named) => groups.into_iter().any(|group| named.contains(group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for grant in GrantType::ALL {
            assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
        }
        for mode in ResponseMode::ALL {
            assert_eq!(ResponseMode::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(GrantType::parse("password"), None);
        assert_eq!(GrantType::parse("implicit"), None);
        assert_eq!(ResponseMode::parse("fragment"), None);
        assert_eq!(Consent::parse("once"), Some(Consent::Once));
        assert_eq!(Consent::parse("never"), None);
    }
}
