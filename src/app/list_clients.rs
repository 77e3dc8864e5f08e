//! Lists the clients: what each may, and when it last had a token.
//! In: nothing. Out: lines that print or serialise.
//! Implements DESIGN §10, §12.
//! Never tells the digest of a secret.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, ClientId, GroupName};
use crate::domain::oauth::client::{Client, ClientAuth, Consent, GrantType, ResponseMode};
use crate::domain::time::Timestamp;

use super::{AppError, Countersign};

/// A client, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLine {
    /// How it names itself.
    pub id: ClientId,
    /// What people read.
    pub name: String,
    /// How it proves who it is.
    pub auth: String,
    /// How many secrets or sets of keys count.
    pub secrets: usize,
    /// What it may trade for tokens.
    pub grants: Vec<String>,
    /// What it may ask for.
    pub scopes: String,
    /// Where answers go.
    pub redirect_uris: Vec<String>,
    /// It runs on people's own machines.
    pub native: bool,
    /// Whom its access tokens may be for.
    pub resources: Vec<Audience>,
    /// The resource servers that it is.
    pub serves: Vec<Audience>,
    /// Whose members may sign in; none is everybody.
    pub groups: Option<Vec<GroupName>>,
    /// The least level.
    pub acr: String,
    /// What a passkey's device must be.
    pub device_policy: Option<String>,
    /// Whether people are asked: `none`, `once`, `always`.
    pub consent: String,
    /// Only pushed requests are taken.
    pub par: bool,
    /// Only tokens bound to a key are given.
    pub dpop: bool,
    /// The algorithm of its tokens.
    pub alg: String,
    /// How answers may come.
    pub response_modes: Vec<String>,
    /// Where people may be sent after they signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session ended.
    pub backchannel_logout_uri: Option<String>,
    /// Seconds that an access token lives.
    pub access_token_lifetime: u64,
    /// Seconds that a refresh token may rest.
    pub refresh_lifetime: u64,
    /// Seconds that one may rest with `offline_access`.
    pub offline_lifetime: u64,
    /// When it last had a token.
    pub last_used: Option<Timestamp>,
}

impl ClientLine {
    fn new(client: &Client, last_used: Option<Timestamp>) -> Self {
        let secrets = match &client.auth {
            ClientAuth::None => 0,
            ClientAuth::Basic(known) | ClientAuth::Post(known) => known.len(),
            ClientAuth::PrivateKeyJwt(_) => 1,
        };
        let consent = match client.consent {
            Consent::NotAsked => "none",
            Consent::Once => "once",
            Consent::Always => "always",
        };
        Self {
            id: client.id.clone(),
            name: client.name.clone(),
            auth: client.auth.as_str().to_owned(),
            secrets,
            grants: client.grants.iter().copied().map(GrantType::as_str).map(str::to_owned).collect(),
            scopes: client.scopes.to_string(),
            redirect_uris: client.redirect_uris.clone(),
            native: client.native,
            resources: client.resources.clone(),
            serves: client.serves.clone(),
            groups: client.groups.as_ref().map(|groups| groups.iter().cloned().collect()),
            acr: client.acr.to_string(),
            device_policy: client.device_policy.as_ref().map(|policy| policy.name.clone()),
            consent: consent.to_owned(),
            par: client.par,
            dpop: client.dpop,
            alg: client.alg.as_str().to_owned(),
            response_modes: client
                .response_modes
                .iter()
                .copied()
                .map(ResponseMode::as_str)
                .map(str::to_owned)
                .collect(),
            post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
            backchannel_logout_uri: client.backchannel_logout_uri.clone(),
            access_token_lifetime: client.lifetimes.access_token.as_secs(),
            refresh_lifetime: client.lifetimes.refresh.as_secs(),
            offline_lifetime: client.lifetimes.offline.as_secs(),
            last_used,
        }
    }

    /// Whether people sign in to it, at a browser or for a device.
    fn signs_people_in(&self) -> bool {
        let grants = [GrantType::AuthorizationCode, GrantType::DeviceCode].map(GrantType::as_str);
        self.grants.iter().any(|grant| grants.contains(&grant.as_str()))
    }

    /// Who may sign in, in words.
    pub fn admits(&self) -> String {
        match &self.groups {
            None if !self.signs_people_in() => "nobody: it has tokens of its own alone".to_owned(),
            None => "everybody".to_owned(),
            Some(groups) => {
                let groups: Vec<_> = groups.iter().map(GroupName::as_str).collect();
                format!("members of {}", groups.join(", "))
            }
        }
    }

    /// What every sign-in must be, in words.
    pub fn demands(&self) -> String {
        match &self.device_policy {
            None => self.acr.clone(),
            Some(policy) => format!("{}, and the device policy \"{policy}\"", self.acr),
        }
    }

    /// What is unlike the usual, in words.
    pub fn particulars(&self) -> Vec<&'static str> {
        let all = [
            (self.native, "runs on people's own machines"),
            (self.par, "pushes its requests"),
            (self.dpop, "proves a key for each token"),
            (self.consent == "once", "asks people once"),
            (self.consent == "always", "asks people each time"),
        ];
        all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words).collect()
    }
}

impl Countersign {
    /// The clients, in the order of the configuration.
    pub fn list_clients(&self) -> Result<Vec<ClientLine>, AppError> {
        let used = self.store.read(|reader| reader.clients_used())?;
        let last = |id: &ClientId| used.iter().find(|(known, _)| known == id).map(|(_, at)| *at);
        Ok(self.clients.all().iter().map(|client| ClientLine::new(client, last(&client.id))).collect())
    }
}
