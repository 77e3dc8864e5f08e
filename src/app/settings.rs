//! What the operator decided, as the use cases need it.
//! In: checked values from `config`. Out: one plain struct.
//! Implements DESIGN §12.
//! Never read from a file here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::domain::assurance::evidence::Aaguid;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::change::standing::Terms;
use crate::domain::ids::{Audience, GroupName, IssuerName};
use crate::domain::job::gitlab::IssuerTerms;
use crate::domain::keys::Terms as KeyTerms;
use crate::domain::oauth::client::Client;
use crate::domain::push::Service;
use crate::domain::session::SessionLimits;

use super::course::CallLimits;

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our issuer URL, exactly as tokens spell it.
    pub url: String,
    /// The WebAuthn RP id; never changes.
    pub rp_id: String,
    /// The log's origin, `<host>/log`.
    pub origin: String,
    /// Where state lives.
    pub directory: PathBuf,
    /// The longest time that a call is held.
    pub wait_limit: Duration,
    /// Limits of the exchange.
    pub limits: CallLimits,
    /// How long sessions live.
    pub sessions: SessionLimits,
    /// Whom to ask when a passkey is lost.
    pub contact: Option<String>,
    /// When changes take effect.
    pub people: Terms,
    /// When signing keys change.
    pub keys: KeyTerms,
    /// Those whose job tokens we accept.
    pub issuers: Vec<IssuerSettings>,
    /// The tools that people sign in to, at the start; `Countersign` says who they are later.
    pub clients: Vec<Arc<Client>>,
    /// Who vouches for passkeys, and which devices are taken.
    pub devices: DeviceSettings,
    /// Whether people may be told on their devices.
    pub push: Option<PushSettings>,
    /// Where keys and mark are kept.
    pub kept: Kept,
    /// This is a demo.
    pub demo: bool,
}

/// How people are told on their devices.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// The push services that are talked to.
    pub services: Vec<Service>,
    /// The authority that signed their certificates, where it is not one of the system's.
    pub ca_file: Option<PathBuf>,
    /// They may live at private addresses.
    pub allow_private: bool,
}

/// Where keys and mark are kept, in words: for people, and never what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The master key.
    pub master_key: String,
    /// The high-water mark.
    pub mark: String,
}

/// Who vouches for passkeys, and which devices are taken.
#[derive(Debug, Clone, Default)]
pub struct DeviceSettings {
    /// The FIDO metadata blob, and the root that signs it.
    pub metadata: Option<MetadataDocuments>,
    /// Where newer blobs are fetched from.
    pub metadata_source: Option<MetadataSource>,
    /// Roots that the operator vouches for.
    pub own_roots: Vec<OwnRootDocuments>,
    /// Believe every device that says it verified its user.
    pub trust_unattested_uv: bool,
    /// Every policy.
    pub policies: Vec<DevicePolicy>,
    /// The names of those that every new passkey must meet.
    pub enrolment: Vec<String>,
    /// The names of those that new passkeys of a group's members must meet.
    pub groups: BTreeMap<GroupName, Vec<String>>,
}

/// The FIDO metadata blob, and the root that signs it.
#[derive(Debug, Clone)]
pub struct MetadataDocuments {
    /// The blob, as it was downloaded.
    pub blob: Vec<u8>,
    /// The root, PEM or DER.
    pub root: Vec<u8>,
}

/// Where newer blobs are fetched from, and where they are kept.
#[derive(Debug, Clone)]
pub struct MetadataSource {
    /// FIDO's service, or a mirror of it.
    pub url: Url,
    /// The authority that signed its certificate, where it is not one of the system's.
    pub ca_file: Option<PathBuf>,
    /// It may live at a private address.
    pub allow_private: bool,
    /// The file of the blob.
    pub blob_file: PathBuf,
    /// The root that signs the blob, PEM or DER.
    pub root: Vec<u8>,
}

/// Roots that the operator vouches for.
#[derive(Debug, Clone)]
pub struct OwnRootDocuments {
    /// What the operator calls them.
    pub name: String,
    /// The format of statements that they stand for.
    pub format: String,
    /// The models that they stand for; none means every model of that format.
    pub aaguids: BTreeSet<Aaguid>,
    /// The certificates, PEM or DER.
    pub roots: Vec<u8>,
    /// What is revoked below them, as Google publishes it for Android: JSON with `entries` by serial number.
    pub revoked: Option<Vec<u8>>,
}

impl DeviceSettings {
    /// The policies that a new passkey of a member of these groups must meet.
    pub fn policies_for<'a>(&'a self, groups: &'a [GroupName]) -> impl Iterator<Item = &'a DevicePolicy> {
        self.policies.iter().filter(move |policy| {
            let of_group = groups.iter().filter_map(|group| self.groups.get(group)).flatten();
            self.enrolment.iter().chain(of_group).any(|name| *name == policy.name)
        })
    }
}

/// One issuer.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// What its tokens must look like.
    pub terms: IssuerTerms,
    /// Where its keys may be beside its own origin: `host` or `host:port`.
    pub jwks_host: Option<String>,
    /// A pinned JWKS, instead of fetching.
    pub pinned_jwks: Option<Vec<u8>>,
    /// A CA of its own.
    pub ca_file: Option<PathBuf>,
    /// It may live at a private address.
    pub allow_private: bool,
    /// How long cached keys serve while it cannot be reached.
    pub stale_use: Duration,
}

impl Settings {
    /// The issuer of a short name.
    pub fn issuer(&self, name: &IssuerName) -> Option<&IssuerSettings> {
        self.issuers.iter().find(|issuer| issuer.terms.name == *name)
    }

    /// The host of our URL, with its port where it has one.
    pub fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest.split('/').next().unwrap_or(rest))
    }
}

/// Whom tokens of people and of clients name: the clients, their resources, and ourselves.
pub fn taken_audiences<'a>(url: &str, clients: impl IntoIterator<Item = &'a Client>) -> BTreeSet<Audience> {
    let mut taken: BTreeSet<Audience> = Audience::parse(url).into_iter().collect();
    for client in clients {
        taken.extend(client.resources.iter().chain(&client.serves).cloned());
        taken.extend(Audience::parse(client.id.as_str()));
    }
    taken
}
