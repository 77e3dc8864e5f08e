//! An application sends a person's browser here: what it asks for, checked, before anybody is asked anything.
//! In: parameters as they were sent, the configured clients. Out: `AuthorizationRequest`, or a fault and where it may be told.
//! Implements OpenID Connect Core 1.0 §3.1.2, RFC 6749 §4.1, RFC 7636, RFC 8252, RFC 8707, RFC 9126, RFC 9207.
//! Never lets a fault be told to a redirect URI that was not proven to be the client's.

mod check_acr;
mod check_claims;
mod check_client;
mod check_dpop;
mod check_grant;
mod check_hint;
mod check_max_age;
mod check_nonce;
mod check_pkce;
mod check_prompt;
mod check_pushed;
mod check_redirect_uri;
mod check_repeated;
mod check_request_object;
mod check_resource;
mod check_response_mode;
mod check_response_type;
mod check_scope;
mod check_state;
pub mod interaction;
pub mod parameters;
pub mod redirect_uri;
pub mod table;
pub mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::assurance::Acr;
use crate::domain::ids::{Audience, ClientId, Kid, PersonId};
use crate::domain::oauth::client::{Client, ResponseMode};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::{Scope, Scopes, WantedClaims};
use crate::domain::oauth::tokens::scope_of;
use crate::domain::rules::Refusal;

pub(super) use check_resource::known as known_resources;
pub(super) use check_scope::known as known_scopes;
use parameters::Parameters;

/// What a `prompt` asks for (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// No page may be shown.
    None,
    /// A new sign-in.
    Login,
    /// The question whether the person agrees.
    Consent,
    /// A choice of who signs in.
    SelectAccount,
}

impl Prompt {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    /// As the parameter spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// The levels that are asked for, of those that exist here; the one that is liked best stands first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcrWish {
    /// The levels; at least one.
    pub values: Vec<Acr>,
    /// Nothing else will do (§5.5.1.1).
    pub essential: bool,
}

impl AcrWish {
    /// The least level that will do.
    #[must_use]
    pub fn least(&self) -> Acr {
        self.values.iter().copied().min().unwrap_or(Acr::Phr)
    }

    /// The level to aim at: the one that is liked best.
    #[must_use]
    pub fn best(&self) -> Acr {
        self.values.first().copied().unwrap_or(Acr::Phr)
    }
}

/// A well-formed request of a configured client, for a redirect URI of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client: ClientId,
    /// Where the answer goes, exactly as it was sent; the code must be redeemed with the same.
    pub redirect_uri: String,
    /// How it goes there.
    pub response_mode: ResponseMode,
    /// What the client wants back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What the ID token must repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What is asked for, of what the client may have.
    pub scopes: Scopes,
    /// SHA-256 of the verifier that redeems the code, base64url (RFC 7636 §4.2).
    pub code_challenge: String,
    /// What people must be asked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub prompt: BTreeSet<Prompt>,
    /// How old the sign-in may be, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// The level that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<AcrWish>,
    /// The claims that are asked for.
    #[serde(default)]
    pub claims: WantedClaims,
    /// Whom the client expects, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Whom the client expects, by an ID token of ours or by `claims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hinted: Option<PersonId>,
    /// The services that access tokens are for (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Audience>,
    /// The thumbprint of the key that must redeem the code (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<Kid>,
}

impl AuthorizationRequest {
    /// Whether this is asked of people.
    #[must_use]
    pub fn prompts(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }

    /// What the client is given by it, as people are told: its scopes, and those whose claims it asks for by name.
    #[must_use]
    pub fn told(&self, client: &Client) -> Scopes {
        let claims = self.claims.id_token.iter().chain(&self.claims.userinfo);
        let by_name = claims.filter_map(|claim| scope_of(claim)).filter(|scope| client.scopes.has(scope));
        self.scopes.and(&by_name.filter_map(|scope| Scope::parse(scope).ok()).collect())
    }

    /// Where its answer goes.
    #[must_use]
    pub fn way_back(&self) -> WayBack {
        WayBack {
            client: self.client.clone(),
            redirect_uri: self.redirect_uri.clone(),
            response_mode: self.response_mode,
            state: self.state.clone(),
        }
    }
}

/// The proven way back to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The client.
    pub client: ClientId,
    /// A redirect URI of its own.
    pub redirect_uri: String,
    /// How the answer goes there.
    pub response_mode: ResponseMode,
    /// What the client wants back.
    pub state: Option<String>,
}

/// A fault, and to whom it may be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Only to whoever sits at the browser: it is not proven where the client is.
    Page {
        /// The client, where it is one.
        client: Option<Arc<Client>>,
        /// The parameter at fault.
        parameter: &'static str,
        /// What is wrong.
        refusal: Box<Refusal>,
    },
    /// To the client.
    Client {
        /// How.
        back: WayBack,
        /// What is wrong.
        refusal: Box<Refusal>,
    },
}

impl Fault {
    /// What is wrong.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        match self {
            Self::Page { refusal, .. } | Self::Client { refusal, .. } => refusal,
        }
    }
}

/// An ID token of ours that came as a hint, verified; it may be too old for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Whom it names.
    pub subject: String,
    /// For whom it was made.
    pub audience: String,
}

/// What an `id_token_hint` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hinted {
    /// There is none.
    Absent,
    /// It is no ID token of ours.
    NotOurs,
    /// It names somebody.
    By(Hint),
}

/// What a request is checked against.
pub struct Asked<'a> {
    /// What was sent.
    pub said: &'a Parameters,
    /// Every configured client.
    pub clients: &'a [Arc<Client>],
    /// Who proved at the endpoint to be which client; nobody at the page.
    pub authenticated: Option<&'a ClientId>,
    /// What `id_token_hint` is.
    pub hint: Hinted,
}

/// The request as far as the checks before have come.
#[derive(Default)]
struct Draft {
    client: Option<Arc<Client>>,
    redirect_uri: Option<String>,
    scopes: Scopes,
    code_challenge: Option<String>,
    nonce: Option<String>,
    prompt: BTreeSet<Prompt>,
    max_age: Option<u64>,
    acr: Option<AcrWish>,
    claims: WantedClaims,
    hinted: Option<PersonId>,
    resources: Vec<Audience>,
    dpop_jkt: Option<Kid>,
}

impl Draft {
    /// The client that an earlier check found.
    fn client(&self) -> Result<&Arc<Client>, Refusal> {
        self.client.as_ref().ok_or_else(|| refuse(ErrorCode::Internal, "the client was not looked for"))
    }

    /// The way back, once it is proven. Whatever else is wrong with them, `state` and mode are what can be used.
    fn way_back(&self, said: &Parameters) -> Option<WayBack> {
        let client = self.client.as_ref()?;
        Some(WayBack {
            client: client.id.clone(),
            redirect_uri: self.redirect_uri.clone()?,
            response_mode: check_response_mode::usable(said, client),
            state: check_state::usable(said),
        })
    }

    fn finish(self, said: &Parameters) -> Option<AuthorizationRequest> {
        let WayBack { client, redirect_uri, response_mode, state } = self.way_back(said)?;
        Some(AuthorizationRequest {
            client,
            redirect_uri,
            response_mode,
            state,
            nonce: self.nonce,
            scopes: self.scopes,
            code_challenge: self.code_challenge?,
            prompt: self.prompt,
            max_age: self.max_age,
            acr: self.acr,
            claims: self.claims,
            // A hint is for people alone; what cannot be shown is dropped.
            login_hint: said.get("login_hint").filter(|hint| hint.len() <= MAX_LOGIN_HINT).map(str::to_owned),
            hinted: self.hinted,
            resources: self.resources,
            dpop_jkt: self.dpop_jkt,
        })
    }
}

/// Longest `login_hint` that is kept, in bytes.
pub const MAX_LOGIN_HINT: usize = 256;

fn refuse(code: ErrorCode, description: impl Into<String>) -> Refusal {
    Refusal::new(code, description)
}

fn invalid(description: impl Into<String>) -> Refusal {
    refuse(ErrorCode::ParameterInvalid, description)
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
