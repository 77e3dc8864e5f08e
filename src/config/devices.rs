//! Who vouches for passkeys, and which devices are taken, checked.
//! In: `[metadata]`, `[enrolment]`, `[[attestation_root]]`, `[[device_policy]]` as typed. Out: `DeviceSettings`.
//! Implements DESIGN §11 (device policies).
//! Never takes a policy that only the client's word could meet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::checking::Checking;
use super::source::Source;
use crate::domain::assurance::evidence::{Aaguid, Certification, KeyProtection, Method};
use crate::domain::assurance::models::EVERYBODYS;
use crate::domain::assurance::policy::{DevicePolicy, MAX_POLICY_AAGUIDS};
use crate::domain::ids::{GroupName, MAX_NAME_CHARS};
use crate::domain::nearest::did_you_mean;

/// Most device policies, and most attestation roots.
pub const MAX_POLICIES: usize = 100;

/// Where FIDO publishes its metadata.
const SERVICE: &str = "https://mds3.fidoalliance.org/";

/// `[metadata]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataSource {
    blob_file: Option<String>,
    root_file: Option<String>,
    fetch: Option<bool>,
    url: Option<String>,
    ca_file: Option<String>,
    allow_private: Option<bool>,
}

/// `[enrolment]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrolmentSource {
    device_policy: Option<String>,
    trust_unattested_uv: Option<bool>,
}

/// `[[attestation_root]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RootSource {
    name: Option<String>,
    format: Option<String>,
    file: Option<String>,
    aaguids: Option<Vec<String>>,
    revocation_file: Option<String>,
}

/// `[[device_policy]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySource {
    name: Option<String>,
    groups: Option<Vec<String>>,
    attestation: Option<String>,
    synced: Option<bool>,
    roaming: Option<bool>,
    aaguids: Option<Vec<String>>,
    certification: Option<String>,
    fips: Option<i64>,
    key_protection: Option<Vec<String>>,
    verification: Option<Vec<String>>,
}

/// Who vouches for passkeys, and which devices are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSettings {
    /// The FIDO metadata blob, and the root that signs it.
    pub metadata: Option<MetadataFiles>,
    /// `[[attestation_root]]`.
    pub roots: Vec<RootSettings>,
    /// `enrolment.device_policy`.
    pub enrolment: Option<String>,
    /// `enrolment.trust_unattested_uv`.
    pub trust_unattested_uv: bool,
    /// `[[device_policy]]`, each with the groups whose members' new passkeys must meet it.
    pub policies: Vec<(DevicePolicy, Vec<GroupName>)>,
}

/// `[metadata]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataFiles {
    /// As FIDO publishes it.
    pub blob: PathBuf,
    /// PEM or DER.
    pub root: PathBuf,
    /// Where newer ones are fetched from; then the blob need not be there yet.
    pub fetch: Option<MetadataFetch>,
}

/// Where the blob is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataFetch {
    /// FIDO's service, or a mirror of it.
    pub url: Url,
    /// The authority that signed its certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// It may live at a private address.
    pub allow_private: bool,
}

/// `[[attestation_root]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSettings {
    /// What the operator calls it.
    pub name: String,
    /// The format of statements that it stands for.
    pub format: String,
    /// The models that it stands for; none means every model of that format.
    pub aaguids: BTreeSet<Aaguid>,
    /// Certificates, PEM or DER.
    pub file: PathBuf,
    /// What is revoked below it.
    pub revocation_file: Option<PathBuf>,
}

impl DeviceSettings {
    /// Every file that is named here.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let metadata = self.metadata.iter().flat_map(|files| {
            let authority = files.fetch.iter().filter_map(|fetch| fetch.ca_file.as_ref());
            [&files.blob, &files.root].into_iter().chain(authority)
        });
        metadata.chain(self.roots.iter().flat_map(|root| std::iter::once(&root.file).chain(&root.revocation_file)))
    }
}

pub(super) fn check(checking: &mut Checking<'_>, source: &Source) -> DeviceSettings {
    for (section, number) in
        [("attestation_root", source.attestation_root.len()), ("device_policy", source.device_policy.len())]
    {
        if number > MAX_POLICIES {
            checking.fault(section, format!("{number} of [[{section}]]; {MAX_POLICIES} is the most"), "remove some");
        }
    }
    let metadata = metadata(checking, &source.metadata);
    let mut roots: Vec<RootSettings> = Vec::new();
    for (at, typed) in source.attestation_root.iter().enumerate() {
        let path = format!("attestation_root[{at}]");
        let Some(root) = root(checking, &path, typed) else { continue };
        if roots.iter().any(|other| other.name == root.name) {
            second(checking, &path, "attestation root", &root.name);
        }
        roots.push(root);
    }
    let mut policies: Vec<(DevicePolicy, Vec<GroupName>)> = Vec::new();
    for (at, typed) in source.device_policy.iter().enumerate() {
        let path = format!("device_policy[{at}]");
        let Some(policy) = policy(checking, &path, typed) else { continue };
        if policies.iter().any(|(other, _)| other.name == policy.0.name) {
            second(checking, &path, "device policy", &policy.0.name);
        }
        policies.push(policy);
    }
    let enrolment = source.enrolment.device_policy.clone();
    if let Some(name) = &enrolment
        && !policies.iter().any(|(policy, _)| policy.name == *name)
    {
        let cure = did_you_mean(name, policies.iter().map(|(policy, _)| policy.name.as_str()))
            .unwrap_or_else(|| "write [[device_policy]] with this name".to_owned());
        checking.fault("enrolment.device_policy", format!("there is no device policy \"{name}\""), cure);
    }
    if metadata.is_none() && roots.is_empty() && policies.iter().any(|(policy, _)| policy.attestation) {
        let cure = "add [metadata] with `blob_file` and `root_file`, or [[attestation_root]]";
        checking.fault("device_policy", "a device policy wants attestation, and nothing vouches for any maker", cure);
    }
    let trust_unattested_uv = source.enrolment.trust_unattested_uv.unwrap_or(false);
    DeviceSettings { metadata, roots, enrolment, trust_unattested_uv, policies }
}

fn second(checking: &mut Checking<'_>, path: &str, what: &str, name: &str) {
    checking.fault(&format!("{path}.name"), format!("a second {what} named \"{name}\""), "give each a name of its own");
}

fn metadata(checking: &mut Checking<'_>, typed: &MetadataSource) -> Option<MetadataFiles> {
    let fetch = fetch(checking, typed);
    let blob = match &fetch {
        None => checking.existing("metadata.blob_file", typed.blob_file.as_deref()),
        Some(_) => to_be_written(checking, typed.blob_file.as_deref()),
    };
    let root = checking.existing("metadata.root_file", typed.root_file.as_deref());
    match (blob, root) {
        (Some(blob), Some(root)) => Some(MetadataFiles { blob, root, fetch }),
        (None, None) if fetch.is_none() => None,
        (_, None) => {
            let cure = "add `root_file`: the root certificate above FIDO's signature (GlobalSign Root CA - R3)";
            checking.fault("metadata.blob_file", "[metadata] without `root_file`", cure);
            None
        }
        (None, Some(_)) => {
            let cure = "add `blob_file`: download it from https://mds.fidoalliance.org/";
            checking.fault("metadata.root_file", "`root_file` without `blob_file`", cure);
            None
        }
    }
}

fn fetch(checking: &mut Checking<'_>, typed: &MetadataSource) -> Option<MetadataFetch> {
    let MetadataSource { url, ca_file, allow_private, .. } = typed;
    if typed.fetch != Some(true) {
        if url.is_some() || ca_file.is_some() || allow_private.is_some() {
            let cure = "add `fetch = true`, or take `url`, `ca_file` and `allow_private` out";
            checking.fault("metadata", "[metadata] says where to fetch from, and not that it is fetched", cure);
        }
        return None;
    }
    let text = url.as_deref().unwrap_or(SERVICE);
    let plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host() && plain(url));
    if url.is_none() {
        let what = format!("`metadata.url` is `{text}`, which is not an https URL without a user");
        checking.fault("metadata.url", what, format!("write https://…, or leave it out: {SERVICE}"));
    }
    let ca_file = checking.existing("metadata.ca_file", ca_file.as_deref());
    Some(MetadataFetch { url: url?, ca_file, allow_private: allow_private.unwrap_or(false) })
}

/// A file that will be written; its folder must be there.
fn to_be_written(checking: &mut Checking<'_>, typed: Option<&str>) -> Option<PathBuf> {
    let file = checking.resolve(typed?);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !file.is_file() && !folder.is_dir() {
        let what = format!("`metadata.blob_file` names `{}`, in a folder that is not there", file.display());
        checking.fault("metadata.blob_file", what, "make the folder, and let the server's user write to it");
    }
    Some(file)
}

fn name(checking: &mut Checking<'_>, path: &str, typed: Option<&str>) -> Option<String> {
    let fits = |name: &&str| !name.trim().is_empty() && name.chars().count() <= MAX_NAME_CHARS;
    let found = typed.filter(fits).filter(|name| !name.chars().any(char::is_control));
    if found.is_none() {
        let what = format!("`{path}.name` must be 1 to {MAX_NAME_CHARS} characters on one line");
        checking.fault(&format!("{path}.name"), what, "say in a few words which it is");
    }
    found.map(str::to_owned)
}

fn aaguids(checking: &mut Checking<'_>, path: &str, typed: Option<&[String]>) -> BTreeSet<Aaguid> {
    let path = format!("{path}.aaguids");
    let mut found = BTreeSet::new();
    if typed.is_some_and(|list| list.is_empty() || list.len() > MAX_POLICY_AAGUIDS) {
        let cure = "leave it out, or list models as FIDO's metadata writes them";
        checking.fault(&path, format!("`{path}` must have 1 to {MAX_POLICY_AAGUIDS} models"), cure);
    }
    for text in typed.into_iter().flatten() {
        match Aaguid::parse(text) {
            Some(EVERYBODYS) => {
                let what = format!("`{text}` is Chromium's virtual authenticator, whose key everybody has");
                checking.fault(&path, what, "take it out");
            }
            Some(aaguid) => drop(found.insert(aaguid)),
            None => {
                let cure = "write it as \"2fc0579f-8113-47ea-b116-bb5a8db9202a\"";
                checking.fault(&path, format!("`{text}` is no AAGUID"), cure);
            }
        }
    }
    found
}

const FORMATS: [&str; 4] = ["packed", "tpm", "android-key", "apple"];

fn root(checking: &mut Checking<'_>, path: &str, typed: &RootSource) -> Option<RootSettings> {
    let name = name(checking, path, typed.name.as_deref());
    let aaguids = aaguids(checking, path, typed.aaguids.as_deref());
    let file = checking.existing(&format!("{path}.file"), typed.file.as_deref());
    if file.is_none() {
        checking.fault(path, "an attestation root without `file`", "name the certificates, PEM or DER");
    }
    let revocation_file = checking.existing(&format!("{path}.revocation_file"), typed.revocation_file.as_deref());
    let format = typed.format.as_deref().filter(|format| FORMATS.contains(format));
    match format {
        None => {
            let cure = "write one of \"packed\", \"tpm\", \"android-key\", \"apple\"";
            checking.fault(&format!("{path}.format"), "`format` is not a format of statements with certificates", cure);
        }
        Some("packed") if aaguids.is_empty() => {
            let cure = "list in `aaguids` the models that it stands for";
            checking.fault(path, "a root for `packed` statements that names no models", cure);
        }
        Some("android-key") if revocation_file.is_none() => {
            let cure = "download https://android.googleapis.com/attestation/status, and name it in `revocation_file`";
            checking.fault(path, "a root for `android-key` statements without its list of revoked certificates", cure);
        }
        Some(_) => {}
    }
    Some(RootSettings { name: name?, format: format?.to_owned(), aaguids, file: file?, revocation_file })
}

/// Words of a list, each one of those that we know.
fn words<T: DeserializeOwned + Ord + Copy>(
    checking: &mut Checking<'_>,
    path: &str,
    typed: Option<&[String]>,
    unknown: T,
) -> BTreeSet<T> {
    let mut found = BTreeSet::new();
    for text in typed.into_iter().flatten() {
        match serde_json::from_value::<T>(text.as_str().into()) {
            Ok(word) if word != unknown => drop(found.insert(word)),
            _ => checking.fault(path, format!("`{text}` is no word of FIDO's registry"), "see docs/amr.md"),
        }
    }
    found
}

fn policy(checking: &mut Checking<'_>, path: &str, typed: &PolicySource) -> Option<(DevicePolicy, Vec<GroupName>)> {
    let name = name(checking, path, typed.name.as_deref());
    let aaguids = aaguids(checking, path, typed.aaguids.as_deref());
    let attestation = match typed.attestation.as_deref() {
        None | Some("optional") => false,
        Some("required") => true,
        Some(other) => {
            let cure = "write \"required\" or \"optional\"";
            checking.fault(&format!("{path}.attestation"), format!("`attestation` is `{other}`"), cure);
            true
        }
    };
    let certification = typed.certification.as_deref().and_then(|level| {
        let found = Certification::parse(level);
        if found.is_none() {
            let cure = "write \"L1\", \"L1plus\", \"L2\", \"L2plus\", \"L3\" or \"L3plus\"";
            checking.fault(&format!("{path}.certification"), format!("`{level}` is no level of FIDO's"), cure);
        }
        found
    });
    let fips = typed.fips.and_then(|level| {
        let found = u8::try_from(level).ok().filter(|level| (1..=4).contains(level));
        if found.is_none() {
            checking.fault(&format!("{path}.fips"), format!("{level} is no level of FIPS 140"), "write 1, 2, 3 or 4");
        }
        found
    });
    let kept = format!("{path}.key_protection");
    let key_protection = words(checking, &kept, typed.key_protection.as_deref(), KeyProtection::Unknown);
    let verified = format!("{path}.verification");
    let verification = words(checking, &verified, typed.verification.as_deref(), Method::Unknown);
    let mut groups = Vec::new();
    for group in typed.groups.iter().flatten() {
        match GroupName::parse(group) {
            Ok(group) => groups.push(group),
            Err(error) => checking.fault(&format!("{path}.groups"), error.to_string(), "name groups as rules do"),
        }
    }
    let policy = DevicePolicy {
        name: name?,
        aaguids,
        certification,
        fips,
        key_protection,
        verification,
        roaming: typed.roaming.unwrap_or(false),
        attestation,
        synced: typed.synced.unwrap_or(true),
    };
    if policy.needs_proof() && !policy.attestation {
        let what = format!("policy \"{}\" asks for what only proof from the maker can show", policy.name);
        checking.fault(
            path,
            what,
            "add attestation = \"required\": without it, any software may claim to be that device",
        );
    }
    Some((policy, groups))
}

#[cfg(test)]
mod tests;
