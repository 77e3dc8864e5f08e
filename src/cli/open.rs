//! Opens what the configuration names: keys, mark, issuers' files, and with them the application.
//! In: checked settings. Out: `Parts`, or a running application, or the exit code that says why not.
//! Implements DESIGN §12.
//! Never makes a key: only `init` and `demo` do.

use std::path::Path;

use crate::app::Countersign;
use crate::app::course::CallLimits;
use crate::app::load_rules::LoadError;
use crate::app::settings::{IssuerSettings, Settings as AppSettings};
use crate::app::start::{Parts, StartError, start};
use crate::clock::Clock;
use crate::config::rules_folder;
use crate::config::settings::{LegacyToken, MasterKeySource, Settings};
use crate::crypto::high_water::HighWaterFile;
use crate::crypto::log_key::LogKey;
use crate::crypto::master_key::{self, MasterKey};
use crate::crypto::{CryptoError, files};
use crate::domain::job::gitlab::IssuerTerms;
use crate::domain::job::legacy::Legacy;
use crate::store::StoreError;

use super::configuration_faults;
use super::exit::Exit;
use super::printer::Printer;

/// Why the application could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error("{} faults in the configuration", .0.faults.len())]
    Config(#[from] crate::config::fault::ConfigError),
    /// A key file.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A file that an issuer names.
    #[error("issuer `{issuer}`: cannot read {path}: {source}")]
    IssuerFile {
        /// Whose.
        issuer: String,
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The state.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The settings that use cases need.
///
/// # Errors
/// A file of an issuer that cannot be read.
pub fn app_settings(settings: &Settings) -> Result<AppSettings, OpenError> {
    let mut issuers = Vec::new();
    for issuer in &settings.issuers {
        let pinned_jwks = match &issuer.jwks_file {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|source| OpenError::IssuerFile {
                issuer: issuer.name.to_string(),
                path: path.display().to_string(),
                source,
            })?),
        };
        issuers.push(IssuerSettings {
            terms: IssuerTerms {
                name: issuer.name.clone(),
                url: issuer.url.clone(),
                our_url: settings.url.clone(),
                legacy: issuer
                    .legacy
                    .iter()
                    .map(|kind| match kind {
                        LegacyToken::CiJobJwtV2 => Legacy::JwtV2,
                    })
                    .collect(),
                projects: issuer.projects.clone().map(|ids| ids.into_iter().collect()),
                namespaces: issuer.namespaces.clone().map(|ids| ids.into_iter().collect()),
            },
            jwks_host: issuer.jwks_uri.as_deref().and_then(authority),
            pinned_jwks,
            ca_file: issuer.ca_file.clone(),
            allow_private: issuer.allow_private,
            stale_use: issuer.stale_use,
        });
    }
    Ok(AppSettings {
        url: settings.url.clone(),
        rp_id: settings.rp_id.clone(),
        origin: settings.log.origin.clone(),
        directory: settings.state_directory.clone(),
        wait_limit: settings.server.wait_limit,
        limits: CallLimits {
            max_token_age: settings.limits.max_token_age,
            open_of_project: u64::from(settings.limits.open_requests_per_project),
            open_of_rule: u64::from(settings.limits.open_requests_per_rule),
        },
        issuers,
        demo: false,
    })
}

fn authority(uri: &str) -> Option<String> {
    let url = url::Url::parse(uri).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Keys and files, opened.
///
/// # Errors
/// A key that is missing, damaged or open to others.
pub fn parts(settings: &Settings, clock: Clock) -> Result<Parts, OpenError> {
    let source = match &settings.keys.master {
        MasterKeySource::File(path) => master_key::MasterKeySource::File(path.clone()),
        MasterKeySource::Command(command) => master_key::MasterKeySource::Command(command.clone()),
    };
    Ok(Parts {
        master_key: MasterKey::load(&source)?,
        log_key: LogKey::load_file(&settings.keys.log_key_file)?,
        mark: Box::new(HighWaterFile::open(&settings.log.high_water_mark)?),
        max_size: settings.database_max_bytes,
        fatal: Box::new(end_the_process),
        settings: app_settings(settings)?,
        clock,
    })
}

/// What is on the disk is no longer known: the process ends at once, and restarting re-reads it.
pub fn end_the_process(why: &str) {
    tracing::error!(why, "the log cannot go on; the process ends, nothing unlogged was answered");
    std::process::exit(i32::from(Exit::OurFault.code()));
}

/// Opens the application with its rules.
///
/// # Errors
/// See `OpenError`.
pub async fn open(settings: &Settings) -> Result<Countersign, OpenError> {
    let rules = rules_folder::read(&settings.rules)?;
    files::check_dir(&settings.state_directory)?;
    let app = start(parts(settings, Clock::system())?, Some(&rules)).await?;
    Ok(app)
}

/// Opens the application without loading rules: for console commands.
///
/// # Errors
/// See `OpenError`.
pub async fn open_quietly(settings: &Settings) -> Result<Countersign, OpenError> {
    Ok(start(parts(settings, Clock::system())?, None).await?)
}

/// Says why it could not be opened.
pub fn explain(error: &OpenError, printer: &mut Printer) -> Exit {
    match error {
        OpenError::Config(error) => configuration_faults(error, printer),
        OpenError::Start(StartError::Rules(LoadError::Rules(faults))) => {
            for fault in faults {
                printer.problem(fault.to_string(), fault.hint.as_deref().unwrap_or("countersign rule check"));
            }
            Exit::Usage
        }
        OpenError::Start(StartError::Store(StoreError::Locked)) => {
            printer.problem("another countersign holds the state directory", "stop it first, or use its console");
            Exit::Usage
        }
        OpenError::Start(StartError::Store(StoreError::Missing)) => {
            printer.problem(
                "there is no state yet",
                "countersign init --url https://sign.example.com --gitlab https://gitlab.example.com",
            );
            Exit::Usage
        }
        error => {
            printer.problem(error.to_string(), "countersign doctor");
            Exit::Usage
        }
    }
}

/// A runtime for commands that wait.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Whether a path is there.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
