//! The configuration as it was typed: one TOML file, and the environment above it.
//! In: the file's text and the variables. Out: `Source`, and where each of its values was said.
//! Implements TOML 1.0 and DESIGN §12.
//! Never skips a key that it does not know.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::devices::{EnrolmentSource, MetadataSource, PolicySource, RootSource};
use super::fault::{ConfigError, Fault, Origin};
use super::keys::{self, Key, Kind};
use super::notify::NotifySource;
use crate::domain::nearest::nearest;

/// Largest configuration file, in bytes.
pub const MAX_CONFIG_FILE: usize = 1024 * 1024;
/// Largest value that a `_FILE` variable may name, in bytes.
pub const MAX_VALUE_FILE: usize = 64 * 1024;

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
    pub(super) metadata: MetadataSource,
    pub(super) enrolment: EnrolmentSource,
    pub(super) issuer: Vec<IssuerSource>,
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
    pub(super) stale_use: Option<String>,
}

/// Where each value was said, by its path (`server.listen`, `issuer[0].url`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    file: String,
    places: BTreeMap<String, Origin>,
}

impl Origins {
    /// Where the value was said; the file where it was not.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        self.places.get(path).cloned().unwrap_or_else(|| Origin::File(self.file.clone()))
    }
}

/// Reads the file's text with the variables above it.
///
/// # Errors
/// Every unknown key, every value of another kind, every syntax error.
pub fn read(file: &Path, text: &str, variables: &[(String, String)]) -> Result<(Source, Origins), ConfigError> {
    let file = file.display().to_string();
    let (document, syntax) = DeTable::parse_recoverable(text);
    let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect();
    let mut reading =
        Reading { starts, faults: Vec::new(), origins: Origins { file: file.clone(), places: BTreeMap::new() } };
    if !syntax.is_empty() {
        for error in syntax {
            let line = reading.line(error.span().map_or(0, |span| span.start));
            reading.fault(line, one_line(error.message()), "write TOML: https://toml.io");
        }
        return Err(ConfigError::new(reading.faults));
    }
    let span = document.span();
    let mut head = reading.head(document.into_inner());
    let said = reading.environment(variables);
    for (key, origin, value) in &said {
        if let Some(value) = typed(value, key.kind) {
            put(&mut head, key, value);
        } else {
            let what = format!("the value is not {}", key.kind.wanted());
            reading.fault(origin.clone(), what, "mend the variable");
        }
    }
    let parsed = Source::deserialize(toml::de::Deserializer::from(Spanned::new(span, head)));
    match parsed {
        Ok(source) if reading.faults.is_empty() => Ok((source, reading.origins)),
        Ok(_) => Err(ConfigError::new(reading.faults)),
        Err(error) => {
            let line = reading.line(error.span().map_or(0, |span| span.start));
            reading.fault(line, one_line(error.message()), "compare with keys.example/countersign.toml");
            Err(ConfigError::new(reading.faults))
        }
    }
}

/// The walk through the document: drops what is wrong, and keeps where it stood.
struct Reading {
    /// Where the second and every later line begins.
    starts: Vec<usize>,
    faults: Vec<Fault>,
    origins: Origins,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reading {
    fn line(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset) + 1;
        Origin::Line(self.origins.file.clone(), line)
    }

    fn fault(&mut self, origin: Origin, what: impl Into<String>, cure: impl Into<String>) {
        self.faults.push(Fault { origin, what: what.into(), cure: cure.into() });
    }

    /// The document without what is wrong in it.
    fn head<'i>(&mut self, typed: DeTable<'i>) -> DeTable<'i> {
        let mut kept = DeTable::new();
        for (name, value) in typed {
            let place = self.line(name.span().start);
            let value = match value.get_ref() {
                _ if !keys::sections().contains(&name.get_ref().as_ref()) => {
                    if !self.leaf(place, "", "", (name.get_ref(), &value)) {
                        continue;
                    }
                    value
                }
                DeValue::Table(_) | DeValue::Array(_) => match self.section_value(place, name.get_ref(), value) {
                    Some(value) => value,
                    None => continue,
                },
                _ => {
                    self.not_a_section(place, name.get_ref());
                    continue;
                }
            };
            kept.insert(name, value);
        }
        kept
    }

    fn section_value<'i>(&mut self, place: Origin, name: &str, value: Value<'i>) -> Option<Value<'i>> {
        let span = value.span();
        let kept = match value.into_inner() {
            DeValue::Table(table) if !keys::repeats(name) => DeValue::Table(self.section(name, name, table)),
            DeValue::Array(items) if keys::repeats(name) => {
                let mut kept = toml::de::DeArray::new();
                for (at, item) in items.into_iter().enumerate() {
                    let span = item.span();
                    let place = self.line(span.start);
                    let DeValue::Table(table) = item.into_inner() else {
                        self.not_a_section(place, name);
                        continue;
                    };
                    let path = format!("{name}[{at}]");
                    let table = self.section(name, &path, table);
                    self.origins.places.insert(path, place);
                    kept.push(Spanned::new(span, DeValue::Table(table)));
                }
                DeValue::Array(kept)
            }
            _ => {
                self.not_a_section(place, name);
                return None;
            }
        };
        Some(Spanned::new(span, kept))
    }

    fn not_a_section(&mut self, place: Origin, name: &str) {
        let written = if keys::repeats(name) { format!("[[{name}]]") } else { format!("[{name}]") };
        self.fault(place, format!("`{name}` is not written as a section"), format!("write `{written}`"));
    }

    fn section<'i>(&mut self, section: &str, path: &str, typed: DeTable<'i>) -> DeTable<'i> {
        let mut kept = DeTable::new();
        for (name, value) in typed {
            let place = self.line(name.span().start);
            if self.leaf(place, section, path, (name.get_ref(), &value)) {
                kept.insert(name, value);
            }
        }
        kept
    }

    /// Whether a key is known and its value of the right kind.
    fn leaf(&mut self, place: Origin, section: &str, path: &str, (name, value): (&str, &Value<'_>)) -> bool {
        let spelled = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let Some(key) = keys::find(section, name) else {
            let mut known: Vec<&str> = keys::of_section(section).map(|key| key.name).collect();
            if section.is_empty() {
                known.extend(keys::sections());
            }
            let cure = cure_of_unknown(name, section, &known);
            self.fault(place, format!("unknown key `{spelled}`"), cure);
            return false;
        };
        if !is_kind(value.get_ref(), key.kind) {
            let found = value.get_ref().type_str();
            self.fault(place, format!("`{spelled}` is {found}, not {}", key.kind.wanted()), cure_of_kind(key.kind));
            return false;
        }
        self.origins.places.insert(spelled, place);
        true
    }

    /// What the variables say.
    fn environment(&mut self, variables: &[(String, String)]) -> Vec<(&'static Key, Origin, String)> {
        let mut said = Vec::new();
        for key in keys::of_environment() {
            let name = key.variable();
            let by_file = format!("{name}_FILE");
            let find = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            let (origin, text) = match (find(&name), find(&by_file)) {
                (None, None) => continue,
                (Some(text), None) => (Origin::Environment(name), text),
                (None, Some(path)) => match read_value(Path::new(&path)) {
                    Ok(text) => (Origin::Environment(by_file), text),
                    Err(what) => {
                        self.fault(Origin::Environment(by_file), what, "name a readable file that holds the value");
                        continue;
                    }
                },
                (Some(_), Some(_)) => {
                    self.fault(Origin::Environment(by_file), format!("`{name}` is set too"), "set one of the two");
                    continue;
                }
            };
            self.origins.places.insert(key.path(), origin.clone());
            said.push((key, origin, text));
        }
        self.unknown_variables(variables);
        said
    }

    fn unknown_variables(&mut self, variables: &[(String, String)]) {
        let known: Vec<String> = keys::of_environment().map(keys::Key::variable).collect();
        for (name, _) in variables.iter().filter(|(name, _)| name.starts_with("COUNTERSIGN_") && name.contains("__")) {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            if known.iter().any(|known| known == name || known == plain) {
                continue;
            }
            let cure = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "unset it; keys.example/countersign.toml has every key".to_owned(),
            };
            self.fault(Origin::Environment(name.clone()), "no such key", cure);
        }
    }
}

fn cure_of_unknown(name: &str, section: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere = keys::KEYS.iter().find(|key| key.name == name && !keys::repeats(key.section));
    match elsewhere {
        Some(key) if key.section.is_empty() => format!("`{name}` belongs to the head of the file, above every section"),
        Some(key) => format!("`{name}` belongs to [{}]", key.section),
        None if section.is_empty() => "remove it; keys.example/countersign.toml has every key".to_owned(),
        None => format!("remove it; [{section}] takes {}", known.join(", ")),
    }
}

const fn cure_of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "put it in quotes",
        Kind::Texts => "write each in quotes, ids too: [\"4711\"]",
        Kind::Whole => "write digits without quotes",
        Kind::Flag => "write true or false without quotes",
    }
}

fn is_kind(value: &DeValue<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Text => value.is_str(),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(|item| item.get_ref().is_str())),
        Kind::Whole => value.as_integer().is_some_and(|n| i64::from_str_radix(n.as_str(), n.radix()).is_ok()),
        Kind::Flag => value.is_bool(),
    }
}

/// A variable's text as a value of the kind.
fn typed(text: &str, kind: Kind) -> Option<DeValue<'_>> {
    match kind {
        Kind::Text => Some(DeValue::String(text.into())),
        Kind::Texts => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(DeValue::Array(items.map(|item| Spanned::new(0..0, DeValue::String(item.into()))).collect()))
        }
        Kind::Whole => text.parse::<i64>().ok().and_then(|_| DeValue::parse(text).ok()).map(Spanned::into_inner),
        Kind::Flag => text.parse().ok().map(DeValue::Boolean),
    }
    .filter(|value| is_kind(value, kind))
}

fn put<'i>(head: &mut DeTable<'i>, key: &'static Key, value: DeValue<'i>) {
    let spanned = |text: &'static str| Spanned::new(0..0, text.into());
    if key.section.is_empty() {
        head.insert(spanned(key.name), Spanned::new(0..0, value));
        return;
    }
    let empty = || Spanned::new(0..0, DeValue::Table(DeTable::new()));
    let section = head.entry(spanned(key.section)).or_insert_with(empty);
    if let DeValue::Table(table) = section.get_mut() {
        table.insert(spanned(key.name), Spanned::new(0..0, value));
    }
}

fn read_value(path: &Path) -> Result<String, String> {
    let bytes = super::read_limited(path, MAX_VALUE_FILE)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", path.display()))?;
    Ok(text.strip_suffix('\n').map_or(text.clone(), ToOwned::to_owned))
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
