//! Every key of the configuration file: a register.
//! In: nothing. Out: names, kinds, and the environment variable of each.
//! Implements DESIGN §12 (nested by two underscores, `_FILE` for values kept in files).
//! Never holds a default: those stand where the value is checked.

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`.
    Text,
    /// `["text", …]`; in the environment parted by commas.
    Texts,
    /// `123`.
    Whole,
    /// `true` or `false`.
    Flag,
}

impl Kind {
    /// As a noun phrase.
    #[must_use]
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string in quotes",
            Self::Texts => "a list of strings in brackets",
            Self::Whole => "a whole number",
            Self::Flag => "true or false",
        }
    }
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The section it stands in; empty for the head of the file.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

const fn key(section: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { section, name, kind }
}

/// A section that repeats; its keys have no environment variable.
pub const ISSUER: &str = "issuer";
/// Another.
pub const ATTESTATION_ROOT: &str = "attestation_root";
/// Another.
pub const DEVICE_POLICY: &str = "device_policy";

/// Another.
pub const CLIENT: &str = "client";

/// Whether a section repeats.
#[must_use]
pub fn repeats(section: &str) -> bool {
    [ISSUER, ATTESTATION_ROOT, DEVICE_POLICY, CLIENT].contains(&section)
}

/// The register.
pub const KEYS: &[Key] = &[
    key("", "url", Kind::Text),
    key("", "rp_id", Kind::Text),
    key("", "rules", Kind::Text),
    key("server", "listen", Kind::Text),
    key("server", "trusted_proxies", Kind::Texts),
    key("server", "tls_cert", Kind::Text),
    key("server", "tls_key", Kind::Text),
    key("server", "wait_limit", Kind::Text),
    key("state", "directory", Kind::Text),
    key("keys", "master_key_file", Kind::Text),
    key("keys", "master_key_command", Kind::Text),
    key("keys", "log_key_file", Kind::Text),
    key("keys", "rotate_every", Kind::Text),
    key("keys", "publish_before", Kind::Text),
    key("log", "high_water_mark", Kind::Text),
    key("log", "origin", Kind::Text),
    key("database", "max_size", Kind::Text),
    key("limits", "max_token_age", Kind::Text),
    key("limits", "refused_per_minute", Kind::Whole),
    key("limits", "ceremonies_per_minute", Kind::Whole),
    key("limits", "open_requests_per_project", Kind::Whole),
    key("limits", "open_requests_per_rule", Kind::Whole),
    key("people", "contact", Kind::Text),
    key("session", "idle", Kind::Text),
    key("session", "absolute", Kind::Text),
    key("metadata", "blob_file", Kind::Text),
    key("metadata", "root_file", Kind::Text),
    key("metadata", "fetch", Kind::Flag),
    key("metadata", "url", Kind::Text),
    key("metadata", "ca_file", Kind::Text),
    key("metadata", "allow_private", Kind::Flag),
    key("enrolment", "device_policy", Kind::Text),
    key("enrolment", "trust_unattested_uv", Kind::Flag),
    key("people", "delay", Kind::Text),
    key("people", "recovery_signatures", Kind::Whole),
    key("people", "rule_signatures", Kind::Whole),
    key("notify", "webhooks", Kind::Texts),
    key("notify", "secret_file", Kind::Text),
    key("push", "enabled", Kind::Flag),
    key("push", "services", Kind::Texts),
    key("push", "ca_file", Kind::Text),
    key("push", "allow_private", Kind::Flag),
    key("metadata", "blob_file", Kind::Text),
    key("metadata", "root_file", Kind::Text),
    key("enrolment", "device_policy", Kind::Text),
    key("enrolment", "trust_unattested_uv", Kind::Flag),
    key(ISSUER, "name", Kind::Text),
    key(ISSUER, "url", Kind::Text),
    key(ISSUER, "jwks_host", Kind::Text),
    key(ISSUER, "jwks_file", Kind::Text),
    key(ISSUER, "ca_file", Kind::Text),
    key(ISSUER, "allow_private", Kind::Flag),
    key(ISSUER, "projects", Kind::Texts),
    key(ISSUER, "namespaces", Kind::Texts),
    key(ISSUER, "legacy", Kind::Texts),
    key(ISSUER, "identity_provider", Kind::Text),
    key(ISSUER, "stale_use", Kind::Text),
    key(ATTESTATION_ROOT, "name", Kind::Text),
    key(ATTESTATION_ROOT, "format", Kind::Text),
    key(ATTESTATION_ROOT, "file", Kind::Text),
    key(ATTESTATION_ROOT, "aaguids", Kind::Texts),
    key(ATTESTATION_ROOT, "revocation_file", Kind::Text),
    key(DEVICE_POLICY, "name", Kind::Text),
    key(DEVICE_POLICY, "groups", Kind::Texts),
    key(DEVICE_POLICY, "attestation", Kind::Text),
    key(DEVICE_POLICY, "synced", Kind::Flag),
    key(DEVICE_POLICY, "roaming", Kind::Flag),
    key(DEVICE_POLICY, "aaguids", Kind::Texts),
    key(DEVICE_POLICY, "certification", Kind::Text),
    key(DEVICE_POLICY, "fips", Kind::Whole),
    key(DEVICE_POLICY, "key_protection", Kind::Texts),
    key(DEVICE_POLICY, "verification", Kind::Texts),
    key(CLIENT, "id", Kind::Text),
    key(CLIENT, "name", Kind::Text),
    key(CLIENT, "auth", Kind::Text),
    key(CLIENT, "secret_sha256", Kind::Texts),
    key(CLIENT, "jwks_file", Kind::Text),
    key(CLIENT, "redirect_uris", Kind::Texts),
    key(CLIENT, "native", Kind::Flag),
    key(CLIENT, "grants", Kind::Texts),
    key(CLIENT, "scopes", Kind::Texts),
    key(CLIENT, "resources", Kind::Texts),
    key(CLIENT, "serves", Kind::Texts),
    key(CLIENT, "groups", Kind::Texts),
    key(CLIENT, "acr", Kind::Text),
    key(CLIENT, "device_policy", Kind::Text),
    key(CLIENT, "consent", Kind::Text),
    key(CLIENT, "par", Kind::Flag),
    key(CLIENT, "dpop", Kind::Flag),
    key(CLIENT, "alg", Kind::Text),
    key(CLIENT, "response_modes", Kind::Texts),
    key(CLIENT, "post_logout_redirect_uris", Kind::Texts),
    key(CLIENT, "backchannel_logout_uri", Kind::Text),
    key(CLIENT, "access_token_lifetime", Kind::Text),
    key(CLIENT, "refresh_lifetime", Kind::Text),
    key(CLIENT, "offline_lifetime", Kind::Text),
    key(CLIENT, "logo_file", Kind::Text),
];

impl Key {
    /// As a person names it: `server.listen`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// Its environment variable: `COUNTERSIGN_SERVER__LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        let path =
            if self.section.is_empty() { self.name.to_owned() } else { format!("{}__{}", self.section, self.name) };
        format!("COUNTERSIGN_{}", path.to_ascii_uppercase())
    }
}

/// The keys of one section.
pub fn of_section(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The key of that name in that section.
#[must_use]
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    of_section(section).find(|key| key.name == name)
}

/// Every section's name.
#[must_use]
pub fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.section).filter(|section| !section.is_empty()).collect();
    names.dedup();
    names
}

/// Every key that the environment can set.
pub fn of_environment() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !repeats(key.section))
}
