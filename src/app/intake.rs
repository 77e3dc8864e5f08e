//! Takes a job token in: from an unverified string to a job, with the issuer's keys in the log.
//! In: the token and what the configuration says of its issuer. Out: `Intake`, or a refusal that never enters the log.
//! Implements DESIGN §5.2.
//! Never decides by anything in an unverified token but `iss` and `kid`, and asks nobody whom the configuration does not name.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::jwk::KeySet;
use crate::crypto::jwt::UnverifiedToken;
use crate::domain::job::{Job, foreign, gitlab};
use crate::domain::log::entry::Event;
use crate::domain::log::evidence::MAX_EVIDENCE;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::rules::TokenAlg;
use crate::store::keys::IssuerKeysRow;
use crate::upstream::UpstreamError;
use crate::upstream::keys::{IssuerKeys, IssuerSource, KeyReader, Snapshot};

use super::settings::IssuerSettings;
use super::{AppError, Countersign};

/// An issuer and its cached keys.
pub struct Issuer {
    /// What the configuration says.
    pub settings: IssuerSettings,
    /// Its keys.
    pub keys: IssuerKeys<KeySet>,
    /// The keys last seen in the log, and where.
    logged: Mutex<Option<(Arc<Snapshot<KeySet>>, u64)>>,
}

impl Issuer {
    /// An issuer whose keys have not been asked for yet.
    ///
    /// # Errors
    /// A CA file or a pinned set that cannot be used.
    pub fn new(settings: IssuerSettings) -> Result<Self, UpstreamError> {
        Ok(Self { keys: issuer_keys(&settings)?, settings, logged: Mutex::new(None) })
    }
}

/// An issuer's source of keys.
fn issuer_keys(issuer: &IssuerSettings) -> Result<IssuerKeys<KeySet>, UpstreamError> {
    let reader = KeyReader { parse: parse_keys, has_kid: |keys: &KeySet, kid: &str| keys.has(kid) };
    IssuerKeys::new(
        IssuerSource {
            name: issuer.terms.name.clone(),
            url: issuer.terms.url.clone(),
            pinned_jwks: issuer.pinned_jwks.clone(),
            jwks_host: issuer.jwks_host.clone(),
            ca_file: issuer.ca_file.clone(),
            allow_private: issuer.allow_private,
            stale_use: issuer.stale_use,
        },
        reader,
    )
}

fn parse_keys(bytes: &[u8]) -> Result<KeySet, String> {
    let (keys, warnings) = KeySet::parse(bytes).map_err(|error| error.to_string())?;
    for warning in warnings {
        tracing::warn!(%warning, "a key of an issuer is not used");
    }
    // GitLab signs with RS256 alone.
    let keys = keys.allowing(&[TokenAlg::Rs256]);
    // The log keeps what was used, with the issuer's name and URL beside it.
    let (size, most) = (keys.document().len(), MAX_EVIDENCE - 4096);
    if size > most {
        return Err(format!("its usable keys have {size} bytes; {most} is the most that the log keeps"));
    }
    Ok(keys)
}

/// A job token that was taken in.
pub struct Taken {
    /// The job.
    pub job: Job,
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// The log entry with the keys that verified it.
    pub issuer_keys: u64,
}

impl Countersign {
    /// Verifies a job token.
    ///
    /// # Errors
    /// A refusal with its code, `issuer_unavailable`, or a fault of the log.
    pub async fn take_in(&self, token: &SubjectToken) -> Result<Taken, AppError> {
        self.take_in_for(token, &self.settings.url).await
    }

    /// As `take_in`, for a token whose only audience is `audience`; none of a removed kind, which name no audience.
    pub(super) async fn take_in_for(&self, token: &SubjectToken, audience: &str) -> Result<Taken, AppError> {
        let taken = self.verify(token, audience).await;
        if matches!(taken, Err(AppError::Refused { .. })) {
            self.counters.unverified_refusals.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    async fn verify(&self, token: &SubjectToken, audience: &str) -> Result<Taken, AppError> {
        let unverified = UnverifiedToken::parse(token.expose())
            .map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        let issuer = self.issuer_of(&unverified)?;
        let keys = self.keys_of(&issuer, unverified.unverified_kid()).await?;
        let verified =
            unverified.verify(&keys.keys).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        let terms = &issuer.settings.terms;
        let job = if audience == terms.our_url {
            gitlab::parse(&verified, terms, self.clock.now())?
        } else {
            gitlab::parse(&verified, &terms.with_audience(audience), self.clock.now())?
        };
        if !job.unknown_claims.is_empty() {
            let count = u64::try_from(job.unknown_claims.len()).unwrap_or(u64::MAX);
            self.counters.unknown_claims.fetch_add(count, Ordering::Relaxed);
            tracing::debug!(claims = ?job.unknown_claims, "the issuer sends claims that the inventory does not know");
        }
        let issuer_keys = self.log_keys(&issuer, &keys).await?;
        Ok(Taken { job, issuer, issuer_keys })
    }

    pub(super) fn issuer_of(&self, token: &UnverifiedToken) -> Result<Arc<Issuer>, AppError> {
        let unverified_issuer = token.unverified_issuer();
        let named = |issuer: &&Arc<Issuer>| unverified_issuer.is_some_and(|iss| issuer.settings.terms.has_iss(iss));
        if let Some(issuer) = self.issuers.iter().find(named) {
            return Ok(Arc::clone(issuer));
        }
        let urls = self.issuers.iter().map(|issuer| issuer.settings.terms.url.as_str());
        Err(foreign::refusal(token.unverified_claims(), &self.settings.url, urls).into())
    }

    pub(super) async fn keys_of(
        &self,
        issuer: &Arc<Issuer>,
        kid: Option<&str>,
    ) -> Result<Arc<Snapshot<KeySet>>, AppError> {
        let now = self.clock.monotonic();
        if let Some(snapshot) = issuer.keys.cached(kid, now) {
            return Ok(snapshot);
        }
        let (issuer, kid) = (Arc::clone(issuer), kid.map(str::to_owned));
        let fetched = tokio::task::spawn_blocking(move || issuer.keys.key_set(kid.as_deref(), now)).await;
        // The runtime's error quotes a panic's message.
        fetched.map_err(|_| AppError::internal("an issuer's keys were not read to the end"))?.map_err(
            |error: UpstreamError| AppError::Fault { code: ErrorCode::IssuerUnavailable, detail: error.to_string() },
        )
    }

    /// Makes sure that the log holds the keys that verified a token, before anything depends on them.
    async fn log_keys(&self, issuer: &Arc<Issuer>, keys: &Arc<Snapshot<KeySet>>) -> Result<u64, AppError> {
        {
            let logged = issuer.logged.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((seen, entry)) = &*logged
                && Arc::ptr_eq(seen, keys)
            {
                return Ok(*entry);
            }
        }
        let name = issuer.settings.terms.name.clone();
        let document = keys_document(&issuer.settings, &keys.keys)?;
        let known = self.store.read(|reader| reader.issuer_keys(&name))?;
        let entry = match known {
            Some(row) if row.document == document => row.entry,
            _ => {
                self.store
                    .write(move |unit| -> Result<u64, AppError> {
                        if let Some(row) = unit.reader().issuer_keys(&name)?
                            && row.document == document
                        {
                            return Ok(row.entry);
                        }
                        let digest = unit.put_evidence("keys", &document, None)?;
                        let evidence = BTreeMap::from([("keys".to_owned(), digest)]);
                        let entry = unit.append(Event::IssuerKeys { issuer: name.clone(), evidence })?;
                        unit.put_issuer_keys(&name, &IssuerKeysRow { document, entry })?;
                        Ok(entry)
                    })
                    .await?
            }
        };
        *issuer.logged.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(keys), entry));
        Ok(entry)
    }
}

/// What the log keeps of an issuer's keys.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct IssuerKeysEvidence {
    /// The issuer's URL.
    pub issuer: String,
    /// Its short name.
    pub name: crate::domain::ids::IssuerName,
    /// The keys as we use them.
    pub jwks: serde_json::Value,
}

/// The evidence of an issuer's keys: its URL, and the keys as we use them.
fn keys_document(settings: &IssuerSettings, keys: &KeySet) -> Result<Vec<u8>, AppError> {
    let keys: serde_json::Value = serde_json::from_slice(&keys.document()).map_err(AppError::internal)?;
    let document =
        IssuerKeysEvidence { issuer: settings.terms.url.clone(), name: settings.terms.name.clone(), jwks: keys };
    Ok(crate::domain::canonical::to_bytes(&document)?)
}
