//! FLOOR 2: one file a use case, named by its verb. The only floor where a rule meets the store.
//! In: parsed values and one `Countersign`. Out: answers, or `AppError`.
//! Implements DESIGN §5 to §7, §11.
//! Never chooses a wire form: `http/problem.rs` does.

pub mod add_passkey;
pub mod allow_device;
pub mod answer_token;
pub mod apply_change;
pub mod ask;
pub mod ask_device;
pub mod authenticate_client;
pub mod authorize;
pub mod ceremony;
pub mod check_first_run;
pub mod check_health;
pub mod check_wish;
pub mod consent;
pub mod console;
pub mod course;
pub mod decide_request;
pub mod end_client_grants;
pub mod enrol;
pub mod enrolment_link;
pub mod entitled;
pub mod exchange;
pub mod explain;
pub mod fetch_metadata;
pub mod find_passkey;
pub mod gather;
pub mod grants;
pub mod intake;
pub mod introspect;
pub mod issue_tokens;
pub mod judge_grant;
mod keep_authorization;
pub mod keep_log;
pub mod keep_passkeys;
pub mod keep_pushes;
pub mod keyring;
pub mod known;
pub mod list_clients;
pub mod list_issuers;
pub mod list_keys;
pub mod list_people;
pub mod list_refusals;
pub mod list_requests;
pub mod list_rules;
pub mod load_clients;
pub mod load_metadata;
pub mod load_rules;
pub mod log_out;
pub mod look;
pub mod make_bundle;
pub mod measure;
pub mod notify;
pub mod own_tokens;
pub mod possession;
pub mod propose_change;
pub mod prove_key;
pub mod prove_link;
pub mod push_authorization;
pub mod push_requests;
pub mod put_rules;
pub mod record_token;
pub mod redeem;
pub mod redeem_device;
pub mod refuse;
pub mod revoke;
pub mod rotate_keys;
pub mod settings;
pub mod settle_changes;
pub mod show_client;
pub mod show_health;
pub mod show_people;
pub mod show_rule;
pub mod show_signed;
pub mod show_waiting;
pub mod sign_change;
pub mod sign_in;
pub mod start;
pub mod starters;
pub mod summary;
pub mod suspend_passkey;
pub mod tie_user;
pub mod use_access_token;
pub mod use_session;
pub mod verify_bundle;
pub mod view_change;
pub mod view_request;
pub mod vouching;
pub mod waiting;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

use crate::clock::Clock;
use crate::crypto::master_key::MasterKey;
use crate::crypto::signing::SigningKey;
use crate::domain::assurance::models::Trusted;
use crate::domain::ids::{Kid, RuleName};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::compile::{Place, Rules};
use crate::domain::rules::{Refusal, TokenAlg};
use crate::domain::time::Timestamp;
use crate::passkeys::RelyingParty;
use crate::store::{Store, StoreError};

use course::CallLimits;
use intake::Issuer;
use settings::Settings;
use waiting::Waiting;

/// The one value that everything is handed; built in `start`.
pub struct Countersign {
    /// What the operator decided.
    pub settings: Settings,
    /// The store and its log.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who asks for passkeys.
    pub relying_party: RelyingParty,
    /// The verifier's key line of the log.
    pub log_vkey: String,
    /// The tools that people sign in to, as they are configured now.
    pub clients: load_clients::Clients,
    issuers: Vec<Arc<Issuer>>,
    rules: RwLock<Arc<LoadedRules>>,
    /// Held by whoever changes the rules, from asking the log until they are in memory.
    rules_change: tokio::sync::Mutex<()>,
    vouching: vouching::Vouching,
    keyring: keyring::Keyring,
    /// Wraps new signing keys; `None` where the state is only looked at.
    master_key: Option<MasterKey>,
    kept_rules: Arc<record_token::KeptRules>,
    waiting: Waiting,
    refusals: Arc<refuse::RefusalCap>,
    next_due: Arc<settle_changes::NextDue>,
    counters: Counters,
    upkeep: check_health::Upkeep,
    fetching: fetch_metadata::Fetching,
    telling: notify::Telling,
    push_key: Option<crate::crypto::web_push::VapidKey>,
    key_fetches: check_first_run::KeyFetches,
    logouts: log_out::Logouts,
    possession: Arc<possession::Possession>,
    device_paces: redeem_device::DevicePaces,
}

/// The rules that decide just now.
#[derive(Debug, Clone)]
pub struct LoadedRules {
    /// Compiled.
    pub rules: Rules,
    /// What people may not have meant, by what is written alone.
    pub warnings: Vec<String>,
    /// Where each rule was written.
    pub places: BTreeMap<RuleName, Place>,
    /// When they were read.
    pub loaded: Timestamp,
    /// What the files say, where that is something else and waits for admins to sign it.
    pub waits: Option<Arc<LoadedRules>>,
}

/// A signing key, ready.
#[derive(Clone)]
pub struct Signer {
    /// The key.
    pub key: Arc<SigningKey>,
    /// The log entry that added it.
    pub entry: u64,
}

/// What is counted but not logged.
#[derive(Debug, Default)]
pub struct Counters {
    /// Claims that the inventory does not know.
    pub unknown_claims: AtomicU64,
    /// Job tokens whose signature, issuer or form was refused before they could be logged.
    pub unverified_refusals: AtomicU64,
}

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A refusal: somebody may not, and is told why.
    #[error("{}", refusal.sentence())]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The log entry of the refusal, where there is one.
        log: Option<u64>,
    },
    /// A fault of ours or of those we need; the detail is for diagnostics alone.
    #[error("{detail}")]
    Fault {
        /// What the caller is told.
        code: ErrorCode,
        /// What the operator reads.
        detail: String,
    },
}

impl AppError {
    /// A refusal that is not logged.
    pub fn refused(code: ErrorCode, description: impl Into<String>) -> Self {
        Self::Refused { refusal: course::refusal(code, description), log: None }
    }

    /// The same refusal with a better cure.
    pub fn with_hint(self, hint: &str) -> Self {
        match self {
            Self::Refused { mut refusal, log } => {
                refusal.hint = Some(hint.to_owned());
                Self::Refused { refusal, log }
            }
            fault @ Self::Fault { .. } => fault,
        }
    }

    /// A fault of ours.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::Fault { code: ErrorCode::Internal, detail: detail.to_string() }
    }

    /// The stable code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Refused { refusal, .. } => refusal.code,
            Self::Fault { code, .. } => *code,
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal, log: None }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Full | StoreError::Crowded(_) => ErrorCode::QueueFull,
            StoreError::ClockStepped(_) => ErrorCode::ClockStepped,
            _ => ErrorCode::LogUnavailable,
        };
        Self::Fault { code, detail: error.to_string() }
    }
}

impl From<crate::passkeys::PasskeyError> for AppError {
    /// What was found, and its own cure instead of the code's: pages show both.
    fn from(error: crate::passkeys::PasskeyError) -> Self {
        let text = error.to_string();
        match text.rsplit_once("; ") {
            Some((found, cure)) => Self::refused(error.code(), found).with_hint(cure),
            None => Self::refused(error.code(), text),
        }
    }
}

impl From<crate::crypto::CryptoError> for AppError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::internal(error)
    }
}

impl From<crate::domain::canonical::CanonicalError> for AppError {
    fn from(error: crate::domain::canonical::CanonicalError) -> Self {
        Self::internal(error)
    }
}

impl Countersign {
    /// The rules that decide just now.
    pub fn rules(&self) -> Arc<LoadedRules> {
        match self.rules.read() {
            Ok(rules) => Arc::clone(&rules),
            // A panic while the pointer was swapped leaves a whole pointer behind.
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    fn swap_rules(&self, rules: LoadedRules) {
        let rules = Arc::new(rules);
        match self.rules.write() {
            Ok(mut slot) => *slot = rules,
            Err(poisoned) => *poisoned.into_inner() = rules,
        }
    }

    /// Who vouches for passkeys just now.
    pub fn trusted(&self) -> Arc<Trusted> {
        self.vouching.get()
    }

    /// The key of an algorithm that signs just now; what it signs lives for at most `LIFETIME_MOST`
    /// (relies on INVARIANT(retired)).
    pub fn signer(&self, alg: TokenAlg) -> Result<Signer, AppError> {
        let signs = self.keyring.signing(alg);
        signs.ok_or_else(|| AppError::internal(format!("no {} signing key", alg.as_str())))
    }

    /// The key that recorded claims are to be signed with; refuses where it is published no more.
    fn signer_by_kid(&self, kid: &Kid) -> Result<Signer, AppError> {
        let gone = || {
            let text = format!("the key {kid} that was to sign this token has been revoked");
            AppError::refused(ErrorCode::KeyRevoked, text)
        };
        self.keyring.by_kid(kid).ok_or_else(gone)
    }

    /// A key of ours that is published, by its id.
    fn published_key(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.keyring.by_kid(&Kid::parse(kid).ok()?).map(|signer| signer.key)
    }

    /// Our public keys, as the narrowest consumer takes them (RFC 7517 §5).
    pub fn jwks(&self) -> serde_json::Value {
        self.keyring.jwks()
    }

    /// Whoever waits.
    pub const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// What is counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn limits(&self) -> CallLimits {
        self.settings.limits
    }

    /// The present; refuses where the wall clock stepped.
    fn steady_now(&self) -> Result<Timestamp, AppError> {
        match self.clock.step() {
            None => Ok(self.clock.now()),
            Some(step) => Err(AppError::Fault {
                code: ErrorCode::ClockStepped,
                detail: format!("the wall clock stepped by {step} ms against the monotonic one"),
            }),
        }
    }
}
