//! The configuration: one TOML file, the environment above it, and a folder of rules.
//! In: files and variables. Out: checked `Settings`, or every fault at once with its cure.
//! Implements DESIGN §12.
//! Never guesses: an unknown key, a doubtful value or a file that others may change stops the start.

pub mod check;
mod checking;
pub mod cidr;
pub mod devices;
pub mod fault;
pub mod issuer;
pub mod keys;
mod notify;
mod own_keys;
pub mod permissions;
mod push;
pub mod rules_folder;
mod sections;
pub mod settings;
pub mod source;

use std::io::Read;
use std::path::{Path, PathBuf};

use fault::{ConfigError, Fault, Origin};
use settings::{MasterKeySource, Settings};

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "COUNTERSIGN_CONFIG";
/// Where the file is looked for when nothing names it, in this order.
pub const PLACES: &[&str] = &["countersign.toml", "/etc/countersign/countersign.toml"];

/// The file to read: the one named, else `COUNTERSIGN_CONFIG`, else the first of `PLACES` that is there.
///
/// # Errors
/// There is none.
pub fn discover(named: Option<&Path>, variables: &[(String, String)]) -> Result<PathBuf, ConfigError> {
    let by_variable = || variables.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, path)| PathBuf::from(path));
    if let Some(path) = named.map(Path::to_owned).or_else(by_variable) {
        return Ok(path);
    }
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        ConfigError::one(
            Origin::File("countersign.toml".to_owned()),
            "no configuration here and none in /etc/countersign",
            "make one: countersign init --url https://sign.example.com --gitlab https://gitlab.example.com, or name one: --config FILE",
        )
    })
}

/// The process's `COUNTERSIGN_…` variables.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("COUNTERSIGN_"))
        .collect()
}

/// Reads and checks the configuration.
///
/// # Errors
/// Every fault at once: syntax, unknown keys, values, and files that others may change.
pub fn load(named: Option<&Path>, variables: &[(String, String)]) -> Result<Settings, ConfigError> {
    let file = discover(named, variables)?;
    let place = Origin::File(file.display().to_string());
    let bytes = read_limited(&file, source::MAX_CONFIG_FILE).map_err(|what| {
        ConfigError::one(place.clone(), what, "name the file with --config, or make one: countersign init")
    })?;
    let text =
        String::from_utf8(bytes).map_err(|_| ConfigError::one(place, "the file is not UTF-8", "save it as UTF-8"))?;
    let (source, origins) = source::read(&file, &text, variables)?;
    let settings = check::check(&file, &source, &origins)?;
    let open = too_open(&settings);
    if open.is_empty() { Ok(settings) } else { Err(ConfigError::new(open)) }
}

/// Checks a text as the configuration of that file, which need not be there; the environment has no say.
///
/// # Errors
/// Every fault of form and value.
pub fn examine(file: &Path, text: &str) -> Result<Settings, ConfigError> {
    let (source, origins) = source::read(file, text, &[])?;
    check::check(file, &source, &origins)
}

/// Files and folders that are there already and open to others.
fn too_open(settings: &Settings) -> Vec<Fault> {
    let master = match &settings.keys.master {
        MasterKeySource::File(path) => permissions::secret(path),
        MasterKeySource::Command(_) => None,
    };
    let issuers = settings.issuers.iter().flat_map(|issuer| [issuer.jwks_file.as_ref(), issuer.ca_file.as_ref()]);
    let certificate = settings.server.tls.as_ref().map(|tls| &tls.certificate);
    let push = settings.push.as_ref().map(|push| push.ca_file.as_ref());
    let vouching = settings.devices.files().map(Some).chain(push);
    // Whoever may write one of these says whose tokens and whose passkeys are believed.
    let believed = issuers.chain([certificate]).chain(vouching).flatten().filter_map(|path| permissions::trusted(path));
    let own = [
        permissions::trusted(&settings.file),
        permissions::trusted(&settings.rules),
        permissions::private_folder(&settings.state_directory),
        master,
        permissions::secret(&settings.keys.log_key_file),
        settings.server.tls.as_ref().and_then(|tls| permissions::secret(&tls.key)),
    ];
    own.into_iter().flatten().chain(believed).collect()
}

/// A file's bytes, if there are at most so many.
///
/// # Errors
/// A sentence that names the file.
pub fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more).read_to_end(&mut bytes).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    if bytes.len() > limit {
        return Err(format!("`{shown}` is larger than it may be (at most {limit} bytes)"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
