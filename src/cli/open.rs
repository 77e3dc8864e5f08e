//! Opens what the configuration names: keys, mark, issuers' files, and with them the application.
//! In: checked settings. Out: `Parts`, or a running application, or the exit code that says why not.
//! Implements DESIGN §12.
//! Never makes a key: only `init` and `demo` do.

use std::path::Path;
use std::sync::Arc;

use crate::app::Countersign;
use crate::app::course::CallLimits;
use crate::app::settings::{IssuerSettings, Kept, PushSettings, Settings as AppSettings};
use crate::app::start::{self, Parts, StartError, start};
use crate::clock::Clock;
use crate::config::rules_folder;
use crate::config::settings::{LegacyToken, MasterKeySource, Settings};
use crate::crypto::high_water::HighWaterFile;
use crate::crypto::log_key::LogKey;
use crate::crypto::master_key::{self, MasterKey};
use crate::crypto::{CryptoError, files};
use crate::domain::change::standing::Terms;
use crate::domain::job::gitlab::IssuerTerms;
use crate::domain::job::legacy::Legacy;
use crate::domain::log::high_water::{HighWater as _, Mark};
use crate::outbound::secret::Secret;
use crate::outbound::{FIRST_PAUSE, Outbound, Sending};
use crate::store::{DATABASE, LOCK, StoreError};

use super::exit::Exit;
use super::not_opened::OpenError;
use super::{clients, devices};

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
                        LegacyToken::CiJobJwt => Legacy::JwtV1,
                        LegacyToken::CiJobJwtV2 => Legacy::JwtV2,
                    })
                    .collect(),
                identity_provider: issuer.identity_provider.clone(),
                projects: issuer.projects.clone().map(|ids| ids.into_iter().collect()),
                namespaces: issuer.namespaces.clone().map(|ids| ids.into_iter().collect()),
            },
            jwks_host: issuer.jwks_host.clone(),
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
        sessions: settings.sessions,
        contact: settings.people.contact.clone(),
        people: Terms {
            delay: settings.people.delay,
            recovery_signatures: settings.people.recovery_signatures,
            rule_signatures: settings.people.rule_signatures,
        },
        keys: settings.keys.terms,
        issuers,
        clients: clients::read(&settings.clients)?,
        devices: devices::read(&settings.devices)?,
        push: settings.push.clone().map(|push| PushSettings {
            services: push.services,
            ca_file: push.ca_file,
            allow_private: push.allow_private,
        }),
        kept: kept(settings),
        demo: false,
    })
}

/// A command may carry a credential, so its words stay in the configuration.
fn kept(settings: &Settings) -> Kept {
    let master_key = match &settings.keys.master {
        MasterKeySource::File(path) => format!("the file {}", path.display()),
        MasterKeySource::Command(_) => "the command that `keys.master_key_command` names".to_owned(),
    };
    Kept { master_key, mark: format!("the file {}", settings.log.high_water_mark.display()) }
}

/// The state directory and the database in it must be ours and closed to others.
fn check_state_files(settings: &Settings) -> Result<(), OpenError> {
    if !exists(&settings.state_directory) {
        return Err(StartError::Store(StoreError::Missing).into());
    }
    files::check_dir(&settings.state_directory)?;
    Ok(files::check_file(&settings.state_directory.join(DATABASE))?)
}

/// Keys and files, opened.
///
/// # Errors
/// A key that is missing, damaged or open to others.
pub fn parts(settings: &Settings, clock: Clock) -> Result<Parts, OpenError> {
    check_state_files(settings)?;
    Ok(Parts {
        master_key: load_master_key(settings)?,
        log_key: LogKey::load_file(&settings.keys.log_key_file)?,
        mark: Box::new(HighWaterFile::open(&settings.log.high_water_mark)?),
        max_size: settings.database_max_bytes,
        fatal: Box::new(end_the_process),
        settings: app_settings(settings)?,
        clock,
    })
}

/// The key that wraps the signing keys.
///
/// # Errors
/// A key that is missing, damaged or open to others; a command that fails.
pub fn load_master_key(settings: &Settings) -> Result<MasterKey, OpenError> {
    let source = match &settings.keys.master {
        MasterKeySource::File(path) => master_key::MasterKeySource::File(path.clone()),
        MasterKeySource::Command(command) => master_key::MasterKeySource::Command(command.clone()),
    };
    Ok(MasterKey::load(&source)?)
}

/// Loads the master key and tries it on the keys of this state, beside a running server too.
///
/// # Errors
/// A key that is missing or another state's.
pub fn prove_master_key(settings: &Settings) -> Result<(), OpenError> {
    let app = look(settings, false)?;
    let mark = mark(settings)?.ok_or(StartError::Store(StoreError::NoMark))?;
    app.check_state(&mark, &load_master_key(settings)?)?;
    Ok(())
}

/// What sends notices; `None` where the configuration names nobody.
///
/// # Errors
/// A secret that is missing, open to others or of another form; no certificates.
pub fn outbound(settings: &Settings, clock: &Clock) -> Result<Option<Outbound>, OpenError> {
    let Some(notify) = &settings.notify else { return Ok(None) };
    let clock = clock.clone();
    let secret = files::read_secret(&notify.secret_file)?;
    let secret = Secret::parse(&String::from_utf8_lossy(&secret))?;
    let now = Arc::new(move || clock.now());
    let sending = Sending { webhooks: notify.webhooks.clone(), secret, now, first_pause: FIRST_PAUSE };
    Ok(Some(Outbound::start(sending)?))
}

/// The high-water mark, as it stands.
///
/// # Errors
/// A file that is missing, damaged or open to others.
pub fn mark(settings: &Settings) -> Result<Option<Mark>, OpenError> {
    let file = HighWaterFile::open(&settings.log.high_water_mark)?;
    Ok(file.read().map_err(StoreError::Mark).map_err(StartError::from)?)
}

/// Goes on after a restore: the index of the entry that says so.
///
/// # Errors
/// Nothing was put back, or the state cannot be opened.
pub fn resume(settings: &Settings) -> Result<u64, OpenError> {
    Ok(start::resume(parts(settings, Clock::system())?)?)
}

/// Makes keys and mark where the settings name them, and founds the state: the first admin's link. Each file is told
/// to `made` as it is made.
///
/// # Errors
/// A file that is there already or cannot be written; a state that is there already.
pub fn found(
    settings: &Settings,
    log_key_line: &Path,
    admin: (&str, u32),
    made: &mut dyn FnMut(&Path),
) -> Result<String, OpenError> {
    let MasterKeySource::File(master) = &settings.keys.master else {
        return Err(CryptoError::MasterKey("`init` makes a file, and the settings name a command".to_owned()).into());
    };
    let master_key = MasterKey::create_file(master)?;
    made(master);
    let log_key = LogKey::create_file(&settings.keys.log_key_file, &settings.log.origin)?;
    made(&settings.keys.log_key_file);
    files::create_public(log_key_line, format!("{}\n", log_key.vkey()).as_bytes())?;
    made(log_key_line);
    let mark = HighWaterFile::create(&settings.log.high_water_mark)?;
    made(&settings.log.high_water_mark);
    // The keys above are ours alone, so no other `init` makes this state at the same time.
    for name in [LOCK, DATABASE] {
        made(&settings.state_directory.join(name));
    }
    let parts = Parts {
        master_key,
        log_key,
        mark: Box::new(mark),
        max_size: settings.database_max_bytes,
        fatal: Box::new(end_the_process),
        settings: app_settings(settings)?,
        clock: Clock::system(),
    };
    let (name, rsa_bits) = admin;
    Ok(start::found(parts, name, rsa_bits)?.link)
}

/// Makes a new file that everybody may read.
///
/// # Errors
/// A file that is there already or cannot be written.
pub fn create_public(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    Ok(files::create_public(path, bytes)?)
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

/// Opens the application for looking at it, beside a running server too; with the configured rules where asked for.
///
/// # Errors
/// See `OpenError`.
pub fn look(settings: &Settings, with_rules: bool) -> Result<Countersign, OpenError> {
    let rules = if with_rules { Some(rules_folder::read(&settings.rules)?) } else { None };
    check_state_files(settings)?;
    let vkey = LogKey::load_file(&settings.keys.log_key_file)?.vkey();
    Ok(start::look(app_settings(settings)?, Clock::system(), vkey, rules.as_deref())?)
}

/// A runtime for commands that wait.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Writes a file in one step, mode 0600, in place of what is there.
///
/// # Errors
/// A file that cannot be written; what was there is as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CryptoError> {
    files::write_atomically(path, bytes, files::FILE_MODE)
}

/// Whether a path is there.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
