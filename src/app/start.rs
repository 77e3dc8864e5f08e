//! Builds the one `Countersign`: founds a state, or opens the one that is there.
//! In: settings, keys, the clock, the rules' files. Out: `Countersign`, ready to answer.
//! Implements DESIGN §7 (high-water mark), §9 (keys wrapped at rest), §11 (first admin).
//! Never makes a master key or a log key: only `found` is given new ones.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use crate::clock::Clock;
use crate::crypto::log_key::{LogKey, verify_ed25519};
use crate::crypto::master_key::MasterKey;
use crate::crypto::random;
use crate::crypto::signing::SigningKey;
use crate::domain::assurance::models::Trusted;
use crate::domain::ids::{Audience, Digest};
use crate::domain::keys::{ALGORITHMS, KeyState};
use crate::domain::log::entry::{Entry, Event, FORMAT};
use crate::domain::log::high_water::{HighWater, Mark};
use crate::domain::log::note::{self, VerifierKey};
use crate::domain::time::Timestamp;
use crate::passkeys::{PasskeyError, RelyingParty};
use crate::store::{Opening, Reader, Store, StoreError};
use crate::upstream::UpstreamError;

use super::console::{Invitation, invite, link_secret};
use super::intake::Issuer;
use super::keyring::Keyring;
use super::load_metadata::{MetadataError, log_metadata, trust};
use super::load_rules::{LoadError, adopt_rules, compile, void_changed};
use super::put_rules::in_force;
use super::refuse::RefusalCap;
use super::rotate_keys::NewKey;
use super::settings::{Settings, taken_audiences};
use super::settle_changes::NextDue;
use super::vouching::Vouching;
use super::waiting::Waiting;
use super::{AppError, Counters, Countersign, LoadedRules};

/// RSA size of the RS256 key where the operator says nothing.
pub const RSA_BITS: u32 = 2048;
/// How many may read the store at once.
const READERS: usize = 8;
/// As many as a command needs that only looks.
const LOOKERS: usize = 2;

/// Keys and files that the command line opened.
pub struct Parts {
    /// What the operator decided.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Unwraps the signing keys.
    pub master_key: MasterKey,
    /// Signs checkpoints.
    pub log_key: LogKey,
    /// The high-water mark.
    pub mark: Box<dyn HighWater>,
    /// Largest size of the database, in bytes.
    pub max_size: Option<u64>,
    /// Ends the process when what is on the disk is no longer known.
    pub fatal: Box<dyn Fn(&str) + Send + Sync>,
}

/// Why a state could not be founded or opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key.
    #[error(transparent)]
    Crypto(#[from] crate::crypto::CryptoError),
    /// The RP id and the URL.
    #[error(transparent)]
    Passkeys(#[from] PasskeyError),
    /// An issuer's source of keys.
    #[error("issuer `{0}`: {1}")]
    Upstream(String, UpstreamError),
    /// Rules.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// Metadata, or a root of attestation.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The log key is another log's, or an earlier one of this log.
    #[error("`{0}` is not the key that signed this log; put back the log key that belongs to this state")]
    LogKey(String),
    /// Anything else that use cases say.
    #[error(transparent)]
    App(Box<AppError>),
    /// The state belongs to a demo, or the other way round.
    #[error("{0}")]
    Demo(&'static str),
}

impl From<AppError> for StartError {
    fn from(error: AppError) -> Self {
        Self::App(Box::new(error))
    }
}

/// A founded state.
pub struct Founded {
    /// The first admin's link.
    pub link: String,
}

fn opening(parts: Parts) -> (Settings, Clock, MasterKey, String, Opening) {
    let Parts { settings, clock, master_key, log_key, mark, max_size, fatal } = parts;
    let vkey = log_key.vkey();
    let now = clock.clone();
    let opening = Opening {
        directory: settings.directory.clone(),
        origin: settings.origin.clone(),
        now: Arc::new(move || match now.step() {
            None => Ok(now.now()),
            Some(step) => Err(StoreError::ClockStepped(step)),
        }),
        random: Arc::new(|bytes| random::fill(bytes).map_err(|error| StoreError::Invalid(error.to_string()))),
        seal: Box::new(move |body| log_key.sign_note(body).map_err(|error| error.to_string())),
        mark,
        max_size,
        readers: READERS,
        fatal,
    };
    (settings, clock, master_key, vkey, opening)
}

/// Makes a new state: the log's first entries, signing keys, the first admin.
///
/// # Errors
/// Nothing remains of it.
pub fn found(parts: Parts, admin: &str, rsa_bits: u32) -> Result<Founded, StartError> {
    RelyingParty::new(&parts.settings.rp_id, &parts.settings.url, NAME)?;
    let (settings, _, master_key, _, opening) = opening(parts);
    let mut keys = Vec::new();
    for alg in ALGORITHMS {
        keys.push(NewKey::of(&SigningKey::generate(alg, rsa_bits)?, &master_key)?);
    }
    let genesis = Event::Genesis {
        origin: settings.origin.clone(),
        format: FORMAT,
        issuer: settings.url.clone(),
        rp_id: settings.rp_id.clone(),
        demo: settings.demo,
    };
    let secret = link_secret()?;
    let invitation = Invitation {
        name: super::check_wish::checked_name(admin)?,
        groups: BTreeSet::new(),
        admin: true,
        digest: Digest::of(secret.as_bytes()),
    };
    let store = Store::create(opening, genesis)?;
    store.write_blocking(move |unit| -> Result<(), AppError> {
        for key in &keys {
            key.add(unit, KeyState::Signing)?;
        }
        invite(unit, &invitation)?;
        Ok(())
    })?;
    store.close();
    Ok(Founded { link: format!("{}/enrol/{secret}", settings.url) })
}

/// What passkey windows call us.
const NAME: &str = "Countersign";

/// Opens a state.
///
/// # Errors
/// What is wrong, with the cure.
pub async fn start(parts: Parts, rules: Option<&[(String, String)]>) -> Result<Countersign, StartError> {
    let (settings, clock, master_key, log_vkey, opening) = opening(parts);
    let mut prepared = Prepared::new(settings, rules, clock.now())?;
    let store = Store::open(opening)?;
    store.read(|reader| check_genesis(reader, &prepared.settings))?;
    store.read(|reader| check_log_key(reader, &log_vkey))?;
    let keyring = keyring(&store, &master_key)?;
    let newest = store.read(newest)?;
    // Whoever set the clock back while nobody watched would have tokens and entries disagree; unless it was accepted.
    if let Some(newest) = newest.as_ref().filter(|entry| !matches!(entry.event, Event::Clock { .. })) {
        clock.expect(newest.time);
    }
    let mut proposed = None;
    if rules.is_some() {
        let by = (&prepared.settings.people, prepared.settings.url.as_str());
        (prepared.compiled, proposed) = adopt_rules(&store, prepared.compiled, by, &taken(&prepared.settings)).await?;
        void_changed(&store, &prepared.compiled.rules).await?;
    }
    if let Some((metadata, sha256)) = prepared.trusted.metadata.as_ref().zip(prepared.metadata_sha256) {
        log_metadata(&store, metadata, sha256).await?;
    }
    let mut app = prepared.put_together(store, clock, log_vkey, keyring)?.with_push_key(&master_key).await?;
    app.master_key = Some(master_key);
    app.begin_keys(newest.map(|entry| entry.time)).await?;
    if let Some(change) = proposed {
        app.tell_change(&change);
    }
    Ok(app)
}

fn newest(reader: &Reader<'_>) -> Result<Option<Entry>, AppError> {
    let Some(last) = reader.size()?.checked_sub(1) else { return Ok(None) };
    Ok(reader.entry(last)?.map(|bytes| Entry::from_bytes(&bytes)).transpose()?)
}

/// Opens a state for looking at it, beside a running server too: nothing is locked, checked, logged or signed.
///
/// # Errors
/// Rules that do not compile; no state.
pub fn look(
    settings: Settings,
    clock: Clock,
    log_vkey: String,
    rules: Option<&[(String, String)]>,
) -> Result<Countersign, StartError> {
    let mut prepared = Prepared::new(settings, rules, clock.now())?;
    let store = Store::open_read_only(&prepared.settings.directory, LOOKERS)?;
    if rules.is_some() && prepared.settings.people.rule_signatures.is_some() {
        prepared.compiled = store.read(|reader| in_force(reader, prepared.compiled))?;
    }
    Ok(prepared.put_together(store, clock, log_vkey, Keyring::default())?)
}

impl Countersign {
    /// Checks a state that is looked at, as `start` would: whose it is, its newest entries against the mark, its keys.
    /// How many entries there are.
    ///
    /// # Errors
    /// Why `start` would refuse it.
    pub fn check_state(&self, mark: &Mark, master_key: &MasterKey) -> Result<u64, StartError> {
        let size = self.store.check_head(&self.settings.origin, mark)?;
        self.store.read(|reader| check_genesis(reader, &self.settings))?;
        self.store.read(|reader| check_log_key(reader, &self.log_vkey))?;
        keyring(&self.store, master_key)?;
        Ok(size)
    }
}

/// All that is ready before the store is opened.
struct Prepared {
    settings: Settings,
    relying_party: RelyingParty,
    issuers: Vec<Arc<Issuer>>,
    compiled: LoadedRules,
    trusted: Trusted,
    metadata_sha256: Option<Digest>,
}

impl Prepared {
    fn new(settings: Settings, rules: Option<&[(String, String)]>, now: Timestamp) -> Result<Self, StartError> {
        let relying_party = RelyingParty::new(&settings.rp_id, &settings.url, NAME)?;
        let mut issuers = Vec::new();
        for issuer in &settings.issuers {
            let made = Issuer::new(issuer.clone());
            issuers.push(Arc::new(made.map_err(|error| StartError::Upstream(issuer.terms.name.to_string(), error))?));
        }
        let names: Vec<_> = settings.issuers.iter().map(|issuer| issuer.terms.name.clone()).collect();
        let taken = taken(&settings);
        let compiled = compile(rules.unwrap_or_default(), &names, &settings.devices.policies, &taken, now)
            .map_err(LoadError::Rules)?;
        let (trusted, metadata_sha256) = trust(&settings.devices, now)?;
        Ok(Self { settings, relying_party, issuers, compiled, trusted, metadata_sha256 })
    }

    fn put_together(
        self,
        store: Store,
        clock: Clock,
        log_vkey: String,
        keyring: Keyring,
    ) -> Result<Countersign, AppError> {
        let Self { mut settings, relying_party, issuers, compiled, trusted, metadata_sha256 } = self;
        let next_due = Arc::new(NextDue::new(store.read(|reader| reader.next_due())?));
        // What was configured at the start is not what holds later: it is asked for in one place.
        let clients = super::load_clients::Clients::new(std::mem::take(&mut settings.clients));
        Ok(Countersign {
            relying_party,
            clients,
            log_vkey,
            issuers,
            keyring,
            master_key: None,
            kept_rules: Arc::default(),
            rules: RwLock::new(Arc::new(compiled)),
            rules_change: tokio::sync::Mutex::default(),
            vouching: Vouching::new(trusted, metadata_sha256),
            waiting: Waiting::default(),
            refusals: Arc::new(RefusalCap::default()),
            next_due,
            counters: Counters::default(),
            upkeep: super::check_health::Upkeep::default(),
            fetching: super::fetch_metadata::Fetching::default(),
            telling: super::notify::Telling::default(),
            push_key: None,
            key_fetches: super::check_first_run::KeyFetches::since(clock.now()),
            logouts: super::log_out::Logouts::default(),
            possession: Arc::new(super::possession::Possession::new(crate::crypto::random::bytes()?, clock.now())),
            device_paces: super::redeem_device::DevicePaces::default(),
            settings,
            store,
            clock,
        })
    }
}

/// The audiences that no rule may have.
fn taken(settings: &Settings) -> BTreeSet<Audience> {
    taken_audiences(&settings.url, settings.clients.iter().map(AsRef::as_ref))
}

/// Goes on after a restore: the index of the entry that says so.
///
/// # Errors
/// Nothing was put back, or the state cannot be opened.
pub fn resume(parts: Parts) -> Result<u64, StartError> {
    let (settings, _, _, vkey, opening) = opening(parts);
    let (store, entry) = Store::resume(opening, |reader| -> Result<(), StartError> {
        check_genesis(reader, &settings)?;
        check_log_key(reader, &vkey)
    })?;
    store.close();
    Ok(entry)
}

/// The keys that are published, unwrapped.
fn keyring(store: &Store, master_key: &MasterKey) -> Result<Keyring, StartError> {
    let (rows, size) = store.read(|reader| -> Result<_, AppError> { Ok((reader.signing_keys()?, reader.size()?)) })?;
    let keyring = Keyring::default();
    keyring.take(&rows, size, master_key)?;
    Ok(keyring)
}

/// The log goes on under the key that signed it so far: verifiers have pinned that one.
fn check_log_key(reader: &Reader<'_>, vkey: &str) -> Result<(), StartError> {
    let note = reader.checkpoint()?.ok_or(StoreError::Missing)?;
    let key = VerifierKey::parse(vkey).map_err(AppError::internal)?;
    let opened = note::open(&note, &key, &|public, message, signature| verify_ed25519(public, message, signature));
    opened.map(|_| ()).map_err(|_| StartError::LogKey(vkey.to_owned()))
}

/// The state must be this issuer's, and a demo's state is never served as production.
fn check_genesis(reader: &Reader<'_>, settings: &Settings) -> Result<(), StartError> {
    let bytes = reader.entry(0)?.ok_or(StoreError::Missing)?;
    let entry = crate::domain::log::entry::Entry::from_bytes(&bytes).map_err(AppError::from)?;
    let Event::Genesis { issuer, rp_id, demo, .. } = entry.event else {
        return Err(StoreError::Corrupt("the log does not begin with `genesis`".to_owned()).into());
    };
    if demo != settings.demo {
        return Err(StartError::Demo(
            "this state was made by `countersign demo` and cannot be served as production; run `countersign init` in a new directory",
        ));
    }
    if issuer != settings.url || rp_id != settings.rp_id {
        return Err(AppError::internal(format!(
            "the state belongs to `{issuer}` with RP id `{rp_id}`; the configuration says `{}` with `{}`; \
             an issuer and its RP id never change: every passkey and every cloud trust would break",
            settings.url, settings.rp_id
        ))
        .into());
    }
    Ok(())
}
