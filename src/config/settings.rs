//! The configuration, checked: what the rest of the product is built from.
//! In: nothing by itself; `check` makes it. Out: `Settings`.
//! Implements DESIGN §12.
//! Never holds a secret: only where secrets lie.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::cidr::Cidr;
use super::client::ClientSettings;
use super::devices::DeviceSettings;
use crate::domain::ids::IssuerName;
use crate::domain::keys::Terms;
use crate::domain::push::Service;
use crate::domain::session::SessionLimits;

/// Everything that an operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// Our public issuer URL, without a slash at the end.
    pub url: String,
    /// The WebAuthn relying party id.
    pub rp_id: String,
    /// The folder of rules.
    pub rules: PathBuf,
    /// `[server]`.
    pub server: ServerSettings,
    /// `state.directory`: the database, the socket.
    pub state_directory: PathBuf,
    /// `[keys]`.
    pub keys: KeySettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `database.max_size`, in bytes.
    pub database_max_bytes: Option<u64>,
    /// `[limits]`.
    pub limits: LimitSettings,
    /// `[people]`.
    pub people: PeopleSettings,
    /// `[notify]`, where anybody is told.
    pub notify: Option<NotifySettings>,
    /// `[push]`, where people may be told on their devices.
    pub push: Option<PushSettings>,
    /// `[session]`: how long people stay signed in.
    pub sessions: SessionLimits,
    /// `[metadata]`, `[enrolment]`, `[[attestation_root]]`, `[[device_policy]]`.
    pub devices: DeviceSettings,
    /// `[[issuer]]`; at least one, names and URLs distinct.
    pub issuers: Vec<IssuerSettings>,
    /// `[[client]]`; ids distinct.
    pub clients: Vec<ClientSettings>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who is believed about `X-Forwarded-For`.
    pub trusted_proxies: Vec<Cidr>,
    /// Our own certificate, where no proxy has one.
    pub tls: Option<TlsFiles>,
    /// The longest time a call is held.
    pub wait_limit: Duration,
}

/// A certificate chain and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, our own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// Where the master key comes from.
    pub master: MasterKeySource,
    /// The key that signs checkpoints.
    pub log_key_file: PathBuf,
    /// When signing keys change.
    pub terms: Terms,
}

/// Where the master key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file of mode 0600.
    File(PathBuf),
    /// A command that prints it.
    Command(String),
}

impl fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // A command may carry a credential of its own.
            Self::Command(_) => f.write_str("Command(…)"),
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The high-water mark's file.
    pub high_water_mark: PathBuf,
    /// The log's name in checkpoints.
    pub origin: String,
}

/// `[people]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleSettings {
    /// Whom to ask when a passkey is lost.
    pub contact: Option<String>,
    /// How long one admin's signature waits for somebody to object.
    pub delay: Duration,
    /// How many other admins let somebody in again.
    pub recovery_signatures: u32,
    /// How many admins sign other rules before those are in force; `None` where the files alone say it.
    pub rule_signatures: Option<u32>,
}

/// `[notify]`.
#[derive(Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// Who is told.
    pub webhooks: Vec<Url>,
    /// The secret that signs.
    pub secret_file: PathBuf,
}

/// `[push]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushSettings {
    /// The push services that are talked to.
    pub services: Vec<Service>,
    /// The authority that signed their certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// They may live at private addresses.
    pub allow_private: bool,
}

impl fmt::Debug for NotifySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows a webhook's address may write to it.
        let hosts: Vec<_> = self.webhooks.iter().filter_map(Url::host_str).collect();
        f.debug_struct("NotifySettings").field("hosts", &hosts).field("secret_file", &self.secret_file).finish()
    }
}

/// `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Age at which a job token may still make its first call.
    pub max_token_age: Duration,
    /// Refused calls from one address.
    pub refused_per_minute: u32,
    /// Wrong ceremonies from one address.
    pub ceremonies_per_minute: u32,
    /// Requests that a project may have waiting.
    pub open_requests_per_project: u32,
    /// Requests that a rule may have waiting.
    pub open_requests_per_rule: u32,
}

/// `[[issuer]]`: a party whose job tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its short name.
    pub name: IssuerName,
    /// Its `iss`, exactly.
    pub url: String,
    /// Where its keys may be beside its own origin: `host` or `host:port`.
    pub jwks_host: Option<String>,
    /// Its keys, pinned; then nothing is fetched.
    pub jwks_file: Option<PathBuf>,
    /// The authority that signed its certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// It may live at a private address.
    pub allow_private: bool,
    /// Only jobs of these projects; `None` admits all.
    pub projects: Option<Vec<String>>,
    /// Only jobs of these namespaces; `None` admits all.
    pub namespaces: Option<Vec<String>>,
    /// The name under which it signs its users in through us.
    pub identity_provider: Option<String>,
    /// Predecessors of `id_tokens:` that are taken from it.
    pub legacy: Vec<LegacyToken>,
    /// How long its keys may be used while it cannot be reached.
    pub stale_use: Duration,
}

/// A predecessor of `id_tokens:`, removed in GitLab 17.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyToken {
    /// `CI_JOB_JWT`.
    CiJobJwt,
    /// `CI_JOB_JWT_V2`.
    CiJobJwtV2,
}
