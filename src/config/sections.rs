//! The sections of the configuration file, as they are typed.
//! In: TOML. Out: `Source` and its parts, nothing of them checked.
//! Implements DESIGN §12.
//! Never holds a default: those stand where the value is checked.

use serde::Deserialize;

use super::devices::{EnrolmentSource, MetadataSource, PolicySource, RootSource};
use super::notify::NotifySource;
use super::push::PushSource;

/// The head of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    pub(super) url: Option<String>,
    pub(super) rp_id: Option<String>,
    pub(super) rules: Option<String>,
    pub(super) server: ServerSource,
    pub(super) state: StateSource,
    pub(super) keys: KeysSource,
    pub(super) log: LogSource,
    pub(super) database: DatabaseSource,
    pub(super) limits: LimitsSource,
    pub(super) people: PeopleSource,
    pub(super) notify: NotifySource,
    pub(super) session: SessionSource,
    pub(super) push: PushSource,
    pub(super) metadata: MetadataSource,
    pub(super) enrolment: EnrolmentSource,
    pub(super) issuer: Vec<IssuerSource>,
    pub(super) client: Vec<ClientSource>,
    pub(super) attestation_root: Vec<RootSource>,
    pub(super) device_policy: Vec<PolicySource>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSource {
    pub(super) listen: Option<String>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) tls_cert: Option<String>,
    pub(super) tls_key: Option<String>,
    pub(super) wait_limit: Option<String>,
}

/// `[state]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSource {
    pub(super) directory: Option<String>,
}

/// `[keys]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSource {
    pub(super) master_key_file: Option<String>,
    pub(super) master_key_command: Option<String>,
    pub(super) log_key_file: Option<String>,
    pub(super) rotate_every: Option<String>,
    pub(super) publish_before: Option<String>,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSource {
    pub(super) high_water_mark: Option<String>,
    pub(super) origin: Option<String>,
}

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSource {
    pub(super) max_size: Option<String>,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSource {
    pub(super) max_token_age: Option<String>,
    pub(super) refused_per_minute: Option<i64>,
    pub(super) ceremonies_per_minute: Option<i64>,
    pub(super) open_requests_per_project: Option<i64>,
    pub(super) open_requests_per_rule: Option<i64>,
}

/// `[people]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleSource {
    pub(super) contact: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) recovery_signatures: Option<i64>,
    pub(super) rule_signatures: Option<i64>,
}

/// `[session]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionSource {
    pub(super) idle: Option<String>,
    pub(super) absolute: Option<String>,
}

/// `[[issuer]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IssuerSource {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) jwks_host: Option<String>,
    pub(super) jwks_file: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) allow_private: Option<bool>,
    pub(super) projects: Option<Vec<String>>,
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) legacy: Option<Vec<String>>,
    pub(super) identity_provider: Option<String>,
    pub(super) stale_use: Option<String>,
}

/// `[[client]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSource {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) auth: Option<String>,
    pub(super) secret_sha256: Option<Vec<String>>,
    pub(super) jwks_file: Option<String>,
    pub(super) redirect_uris: Option<Vec<String>>,
    pub(super) native: Option<bool>,
    pub(super) grants: Option<Vec<String>>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) resources: Option<Vec<String>>,
    pub(super) serves: Option<Vec<String>>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) acr: Option<String>,
    pub(super) device_policy: Option<String>,
    pub(super) consent: Option<String>,
    pub(super) par: Option<bool>,
    pub(super) dpop: Option<bool>,
    pub(super) alg: Option<String>,
    pub(super) response_modes: Option<Vec<String>>,
    pub(super) post_logout_redirect_uris: Option<Vec<String>>,
    pub(super) backchannel_logout_uri: Option<String>,
    pub(super) access_token_lifetime: Option<String>,
    pub(super) refresh_lifetime: Option<String>,
    pub(super) offline_lifetime: Option<String>,
    pub(super) logo_file: Option<String>,
}
