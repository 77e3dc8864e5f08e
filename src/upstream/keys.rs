//! The keys of one issuer: fetched when needed, cached, never longer than they may be.
//! In: a key id and the monotonic time. Out: a snapshot of the keys, or why there is none.
//! Implements OpenID Connect Core §10.1.1 (rotation) within DESIGN's limits.
//! Never lets a token cause more than one fetch a cooldown, and never reads what the keys are: its reader does.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fetch::{FETCH_DEADLINE, Fetcher, Roots};
use super::{UpstreamError, discovery};
use crate::domain::ids::IssuerName;
use crate::domain::time::Timestamp;

/// How long keys are used without a look at the issuer, whatever its headers say.
pub const CACHE: Duration = Duration::from_hours(1);
/// Default age up to which keys are used while the issuer cannot be reached.
pub const STALE_USE: Duration = Duration::from_hours(24);
/// Least time between two fetches that unknown key ids cause.
pub const UNKNOWN_KID_COOLDOWN: Duration = Duration::from_mins(1);
/// Time from the start of a failed fetch to the next; longer than its two requests can take.
pub const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(15);
/// Most calls that wait for a fetch of one issuer.
pub const MAX_WAITING: usize = 64;

/// An issuer, as configured.
#[derive(Debug, Clone)]
pub struct IssuerSource {
    /// Its short name.
    pub name: IssuerName,
    /// Its URL, exactly as tokens spell `iss`.
    pub url: String,
    /// A pinned JWK set, the content of `jwks_file`; then nothing is ever fetched.
    pub pinned_jwks: Option<Vec<u8>>,
    /// Where its keys may be beside its own origin: `host` or `host:port`.
    pub jwks_host: Option<String>,
    /// The authorities for its certificate, where they are not the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether it may have a private address.
    pub allow_private: bool,
    /// Age up to which its keys are used while it cannot be reached.
    pub stale_use: Duration,
}

impl IssuerSource {
    /// An issuer with the defaults.
    #[must_use]
    pub fn new(name: IssuerName, url: &str) -> Self {
        Self {
            name,
            url: url.to_owned(),
            pinned_jwks: None,
            jwks_host: None,
            ca_file: None,
            allow_private: false,
            stale_use: STALE_USE,
        }
    }
}

/// How key documents are read; what they are is no matter of this module.
pub struct KeyReader<K> {
    /// Reads a document.
    pub parse: fn(&[u8]) -> Result<K, String>,
    /// Whether a key has this id.
    pub has_kid: fn(&K, &str) -> bool,
}

/// The keys as they were fetched.
#[derive(Debug)]
pub struct Snapshot<K> {
    /// The keys.
    pub keys: K,
    /// When the fetch began, on the monotonic clock; zero for pinned keys.
    pub fetched_at: Duration,
    /// What the issuer's clock said when it answered, where it said something.
    pub their_time: Option<Timestamp>,
}

/// How an issuer is doing, for `doctor` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// Which.
    pub issuer: IssuerName,
    /// Its URL.
    pub url: String,
    /// Whether the keys come from a file.
    pub pinned: bool,
    /// Whether tokens of this issuer can be verified now, as far as is known; no before the first fetch.
    pub usable: bool,
    /// The age of the keys, if there are any.
    pub age: Option<Duration>,
    /// What the last fetch failed at: a setting or a member of the document.
    pub field: Option<&'static str>,
    /// What happened, if the last fetch failed.
    pub last_error: Option<String>,
    /// How long ago that was.
    pub failed: Option<Duration>,
    /// In what time the next token has the issuer asked; `None` where nobody is asked, or the next token has it asked.
    pub next: Option<Duration>,
}

/// The keys of one issuer.
pub struct IssuerKeys<K> {
    source: IssuerSource,
    reader: KeyReader<K>,
    /// Absent where the keys are pinned.
    fetcher: Option<Fetcher>,
    state: Mutex<State<K>>,
    landed: Condvar,
}

struct State<K> {
    current: Option<Arc<Snapshot<K>>>,
    in_flight: bool,
    waiting: usize,
    /// When an unknown key id last caused a fetch.
    forced_at: Option<Duration>,
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Failure {
    at: Duration,
    field: &'static str,
    problem: String,
}

enum Next<K> {
    Use(Arc<Snapshot<K>>),
    Fail,
    Fetch { forced: bool },
}

impl<K> IssuerKeys<K> {
    /// The keys of an issuer; nothing is fetched yet.
    ///
    /// # Errors
    /// `Url`, `Roots`, or `Keys` for a pinned set that cannot be read: faults of the configuration.
    pub fn new(source: IssuerSource, reader: KeyReader<K>) -> Result<Self, UpstreamError> {
        Self::with_deadline(source, reader, FETCH_DEADLINE)
    }

    /// As `new`, with a deadline of its own for each of the two requests.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_deadline(
        source: IssuerSource,
        reader: KeyReader<K>,
        deadline: Duration,
    ) -> Result<Self, UpstreamError> {
        let mut current = None;
        let mut fetcher = None;
        if let Some(bytes) = &source.pinned_jwks {
            let keys = (reader.parse)(bytes).map_err(UpstreamError::Keys)?;
            current = Some(Arc::new(Snapshot { keys, fetched_at: Duration::ZERO, their_time: None }));
        } else {
            discovery::location(&source.url)?;
            let roots = source.ca_file.clone().map_or(Roots::System, Roots::CaFile);
            fetcher = Some(Fetcher::with_deadline(&roots, source.allow_private, deadline)?);
        }
        let state = State { current, in_flight: false, waiting: 0, forced_at: None, failure: None };
        Ok(Self { source, reader, fetcher, state: Mutex::new(state), landed: Condvar::new() })
    }

    /// The issuer, as configured.
    #[must_use]
    pub const fn source(&self) -> &IssuerSource {
        &self.source
    }

    /// The keys to verify a token with. It may block for a fetch; callers run it where that is allowed.
    ///
    /// An unknown `kid` causes one look at the issuer a cooldown; what comes back may still lack it.
    ///
    /// # Errors
    /// `Unavailable` where there are no keys that may be used and the issuer cannot be asked.
    pub fn key_set(&self, kid: Option<&str>, now: Duration) -> Result<Arc<Snapshot<K>>, UpstreamError> {
        let mut state = self.lock();
        loop {
            let forced = match self.next(&state, kid, now) {
                Next::Use(snapshot) => return Ok(snapshot),
                Next::Fail => return Err(self.unavailable(&state)),
                Next::Fetch { forced } => forced,
            };
            if !state.in_flight {
                if forced {
                    state.forced_at = Some(now);
                }
                state.in_flight = true;
                drop(state);
                return self.fly(kid, now);
            }
            if state.waiting >= MAX_WAITING {
                return self.what_there_is(&state, now);
            }
            state.waiting += 1;
            state = self.landed.wait_while(state, |state| state.in_flight).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// The keys, where no fetch is needed to say which: for callers that may not block.
    #[must_use]
    pub fn cached(&self, kid: Option<&str>, now: Duration) -> Option<Arc<Snapshot<K>>> {
        match self.next(&self.lock(), kid, now) {
            Next::Use(snapshot) => Some(snapshot),
            Next::Fail | Next::Fetch { .. } => None,
        }
    }

    /// Whether the last fetch failed, and so long ago that the next may be made.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        is_due(&self.lock(), now)
    }

    /// Fetches again after a failure, whatever the cache holds; nothing, before it is due. It may block.
    pub fn ask_again(&self, now: Duration) {
        let mut state = self.lock();
        if is_due(&state, now) {
            state.in_flight = true;
            drop(state);
            // What came of it is in the state.
            let _ = self.fly(None, now);
        }
    }

    /// How the issuer is doing.
    #[must_use]
    pub fn status(&self, now: Duration) -> IssuerStatus {
        let state = self.lock();
        let pinned = self.fetcher.is_none();
        let age = state.current.as_ref().map(|keys| now.saturating_sub(keys.fetched_at));
        let healthy = state.failure.is_none();
        let due = match (&state.failure, &state.current) {
            _ if pinned => None,
            (Some(failure), _) => Some(failure.at.saturating_add(RETRY_AFTER_FAILURE)),
            (None, current) => current.as_ref().map(|keys| keys.fetched_at.saturating_add(CACHE)),
        };
        IssuerStatus {
            issuer: self.source.name.clone(),
            url: self.source.url.clone(),
            pinned,
            usable: pinned || self.stale(&state, now).is_some() || (healthy && age.is_some()),
            age: age.filter(|_| !pinned),
            field: state.failure.as_ref().map(|failure| failure.field),
            last_error: state.failure.as_ref().map(|failure| failure.problem.clone()),
            failed: state.failure.as_ref().map(|failure| now.saturating_sub(failure.at)),
            next: due.and_then(|due| due.checked_sub(now)).filter(|left| !left.is_zero()),
        }
    }

    /// The keys as they were fetched last, however old; `None` before the first fetch.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Snapshot<K>>> {
        self.lock().current.clone()
    }

    /// Whether the issuer was never asked, so that nothing is known of it.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        let state = self.lock();
        self.fetcher.is_some() && state.current.is_none() && state.failure.is_none() && !state.in_flight
    }

    /// What to do for this key id, as far as the state tells.
    fn next(&self, state: &State<K>, kid: Option<&str>, now: Duration) -> Next<K> {
        let within = |since: Duration, span: Duration| now < since.saturating_add(span);
        let failed = state.failure.as_ref().is_some_and(|failure| within(failure.at, RETRY_AFTER_FAILURE));
        let fresh = state.current.as_ref().filter(|keys| self.fetcher.is_none() || within(keys.fetched_at, CACHE));
        let known = |keys: &Snapshot<K>| kid.is_none_or(|kid| (self.reader.has_kid)(&keys.keys, kid));
        match fresh {
            Some(keys) if self.fetcher.is_none() || known(keys) => Next::Use(Arc::clone(keys)),
            // The key may be a new one that could not be fetched: that is the issuer's fault, not the token's.
            Some(_) if failed => Next::Fail,
            Some(keys) if state.forced_at.is_some_and(|at| within(at, UNKNOWN_KID_COOLDOWN)) && !state.in_flight => {
                Next::Use(Arc::clone(keys))
            }
            Some(_) => Next::Fetch { forced: true },
            None if failed => match self.stale(state, now).filter(|keys| known(keys)) {
                Some(keys) => Next::Use(keys),
                None => Next::Fail,
            },
            None => Next::Fetch { forced: false },
        }
    }

    /// The one fetch; everybody who waits for it is woken, even if it panics.
    fn fly(&self, kid: Option<&str>, now: Duration) -> Result<Arc<Snapshot<K>>, UpstreamError> {
        let mut landing = Landing { keys: self, landed: false };
        let fetched = self.fetch();
        let mut state = self.lock();
        match fetched {
            Ok((keys, their_time)) => {
                state.failure = None;
                state.current = Some(Arc::new(Snapshot { keys, fetched_at: now, their_time }));
            }
            Err((field, error)) => state.failure = Some(Failure { at: now, field, problem: error.to_string() }),
        }
        state.in_flight = false;
        landing.landed = true;
        let answer = match self.next(&state, kid, now) {
            Next::Use(keys) => Ok(keys),
            // A key id that even the fresh set lacks.
            Next::Fetch { .. } if state.failure.is_none() => self.what_there_is(&state, now),
            Next::Fail | Next::Fetch { .. } => Err(self.unavailable(&state)),
        };
        drop(state);
        self.landed.notify_all();
        answer
    }

    fn fetch(&self) -> Result<(K, Option<Timestamp>), (&'static str, UpstreamError)> {
        let fetcher = self.fetcher.as_ref().ok_or_else(|| ("jwks_file", UpstreamError::Keys("it is pinned".into())))?;
        let url = |error| ("url", error);
        let location = discovery::location(&self.source.url).map_err(url)?;
        let document = fetcher.get_json(&location).map_err(url)?;
        let jwks_uri =
            discovery::jwks_uri(&document, &self.source.url, self.source.jwks_host.as_deref()).map_err(|error| {
                (if let UpstreamError::Discovery { field, .. } = &error { field } else { "url" }, error)
            })?;
        let (bytes, their_time) = fetcher.get_dated_json(&jwks_uri).map_err(|error| ("jwks_uri", error))?;
        let keys = (self.reader.parse)(&bytes).map_err(|why| ("keys", UpstreamError::Keys(why)))?;
        Ok((keys, their_time))
    }

    /// Keys that may be used although they should be looked at again.
    fn stale(&self, state: &State<K>, now: Duration) -> Option<Arc<Snapshot<K>>> {
        let limit = self.source.stale_use.max(CACHE);
        state.current.as_ref().filter(|keys| now < keys.fetched_at.saturating_add(limit)).map(Arc::clone)
    }

    fn what_there_is(&self, state: &State<K>, now: Duration) -> Result<Arc<Snapshot<K>>, UpstreamError> {
        self.stale(state, now).ok_or_else(|| self.unavailable(state))
    }

    fn unavailable(&self, state: &State<K>) -> UpstreamError {
        let (field, problem) = match &state.failure {
            Some(failure) => (failure.field, failure.problem.clone()),
            None => ("url", "too many calls wait for the first answer".to_owned()),
        };
        UpstreamError::Unavailable { issuer: self.source.name.clone(), field, problem }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Each change of the state is one assignment, so it is whole even where a thread died beside it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_due<K>(state: &State<K>, now: Duration) -> bool {
    let pause_is_over = |failure: &Failure| now >= failure.at.saturating_add(RETRY_AFTER_FAILURE);
    !state.in_flight && state.failure.as_ref().is_some_and(pause_is_over)
}

/// Ends a flight that broke off, so that nobody waits for it for ever.
struct Landing<'a, K> {
    keys: &'a IssuerKeys<K>,
    landed: bool,
}

impl<K> Drop for Landing<'_, K> {
    fn drop(&mut self) {
        if !self.landed {
            self.keys.lock().in_flight = false;
            self.keys.landed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
