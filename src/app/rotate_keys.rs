//! Rotates the signing keys: by time, by hand, and in an emergency.
//! In: the keys as the store has them, the time. Out: rows and entries in one unit a step, then the signers in memory.
//! Implements DESIGN §9, OpenID Connect Core §10.1.1.
//! Never signs with a key before the log says so, and never with one that was revoked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crypto::master_key::MasterKey;
use crate::crypto::signing::SigningKey;
use crate::domain::canonical;
use crate::domain::ids::Kid;
use crate::domain::keys::{ALGORITHMS, Due, Key, KeyState, Step, Terms, counts_from, due, upcoming};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;
use crate::store::keys::SigningKeyRow;
use crate::store::{Reader, Unit};

use super::start::RSA_BITS;
use super::{AppError, Countersign};

/// Most steps of one algorithm in one round; what is left is done in the next.
const STEPS: usize = 8;

/// A key that was made and is in no store yet.
pub(super) struct NewKey {
    kid: Kid,
    alg: TokenAlg,
    public: Vec<u8>,
    wrapped: String,
}

/// A key that was published, and when it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedKey {
    /// Its id.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: TokenAlg,
    /// From when on it signs.
    pub signs: Timestamp,
    /// The log entry that added it.
    pub entry: u64,
}

/// What the console did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The keys that are new.
    pub keys: Vec<PublishedKey>,
    /// Those that are gone, in an emergency.
    pub revoked: Vec<Kid>,
}

/// The keys after a unit, and how many entries the log has with it.
type After = (Vec<SigningKeyRow>, u64);

impl NewKey {
    /// Wraps a key.
    pub(super) fn of(key: &SigningKey, master_key: &MasterKey) -> Result<Self, AppError> {
        Ok(Self {
            kid: key.kid().clone(),
            alg: key.alg(),
            public: canonical::to_bytes(&key.public_jwk())?,
            wrapped: master_key.wrap(key.to_secret_json()?.as_bytes(), key.kid().as_str())?,
        })
    }

    /// Adds it, published or signing: its entry and its row.
    pub(super) fn add(&self, unit: &mut Unit<'_>, state: KeyState) -> Result<u64, AppError> {
        let digest = unit.put_evidence("jwk", &self.public, None)?;
        let entry = unit.append(Event::SigningKey {
            outcome: "added".to_owned(),
            kid: self.kid.clone(),
            alg: self.alg,
            evidence: BTreeMap::from([("jwk".to_owned(), digest)]),
        })?;
        unit.insert_signing_key(&SigningKeyRow {
            kid: self.kid.clone(),
            alg: self.alg,
            public: String::from_utf8(self.public.clone()).map_err(AppError::internal)?,
            wrapped: self.wrapped.clone(),
            state,
            created: unit.now(),
            published: unit.now(),
            signs: (state == KeyState::Signing).then(|| unit.now()),
            retired: None,
            gone: None,
            entry,
        })?;
        Ok(entry)
    }
}

/// Notes that a key goes on in its life.
fn note(unit: &mut Unit<'_>, (alg, kid): (TokenAlg, &Kid), outcome: &str) -> Result<u64, AppError> {
    let (outcome, kid) = (outcome.to_owned(), kid.clone());
    Ok(unit.append(Event::SigningKey { outcome, kid, alg, evidence: BTreeMap::new() })?)
}

/// Moves a key on: its entry and its row.
fn move_on(unit: &mut Unit<'_>, alg: TokenAlg, kid: &Kid, state: KeyState) -> Result<(), AppError> {
    note(unit, (alg, kid), state.as_str())?;
    Ok(unit.move_signing_key(kid, state)?)
}

fn keys(reader: &Reader<'_>) -> Result<Vec<Key>, AppError> {
    Ok(reader.signing_keys()?.iter().map(SigningKeyRow::key).collect())
}

fn after(unit: &Unit<'_>) -> Result<After, AppError> {
    let reader = unit.reader();
    Ok((reader.signing_keys()?, reader.size()?))
}

/// Does the step of an algorithm that is due inside the unit, whatever was due before; `None` where none is, or where it
/// needs a key and none was made.
fn do_due(unit: &mut Unit<'_>, alg: TokenAlg, terms: &Terms, made: Option<&NewKey>) -> Result<Option<Step>, AppError> {
    let known = keys(&unit.reader())?;
    let Some(step) = due(&known, alg, terms, unit.now()) else { return Ok(None) };
    match (&step, made) {
        (Step::Publish, Some(made)) => {
            made.add(unit, KeyState::Published)?;
        }
        (Step::Begin, Some(made)) => {
            made.add(unit, KeyState::Signing)?;
            note(unit, (alg, &made.kid), KeyState::Signing.as_str())?;
        }
        (Step::Publish | Step::Begin, None) => return Ok(None),
        (Step::Sign(kid), _) => {
            let before = known.iter().find(|key| key.alg == alg && key.state == KeyState::Signing);
            if let Some(before) = before {
                move_on(unit, alg, &before.kid, KeyState::Retired)?;
            }
            move_on(unit, alg, kid, KeyState::Signing)?;
        }
        (Step::Remove(kid), _) => move_on(unit, alg, kid, KeyState::Removed)?,
    }
    Ok(Some(step))
}

impl Countersign {
    fn master_key(&self) -> Result<&MasterKey, AppError> {
        self.master_key.as_ref().ok_or_else(|| AppError::internal("this state is only looked at"))
    }

    /// Makes a key like the one that signs, beside whoever waits for this thread.
    async fn make_key(&self, alg: TokenAlg) -> Result<NewKey, AppError> {
        let like = self.keyring.signing(alg);
        let made = tokio::task::spawn_blocking(move || match like {
            Some(like) => like.key.another(),
            None => SigningKey::generate(alg, RSA_BITS),
        });
        // The runtime's error quotes a panic's message.
        let key = made.await.map_err(|_| AppError::internal("a key was not made to the end"))??;
        NewKey::of(&key, self.master_key()?)
    }

    /// Takes the keys into memory as the store has them, where they are newer there.
    pub(super) fn catch_up_keys(&self) -> Result<(), AppError> {
        let (rows, size) =
            self.store.read(|reader| -> Result<_, AppError> { Ok((reader.signing_keys()?, reader.size()?)) })?;
        if self.keyring.is_behind(size) {
            self.keyring.take(&rows, size, self.master_key()?)?;
        }
        Ok(())
    }

    /// Does every step whose time has come, each in a unit of its own; how many there were.
    ///
    /// # Errors
    /// The store cannot be written, the clock stepped; what is left is done by the next round.
    pub async fn turn_keys(&self) -> Result<usize, AppError> {
        let told = self.turn_each().await;
        let problem = told.as_ref().err().map(|error| format!("they are not rotated: {error}"));
        self.upkeep().tell("keys", problem);
        told
    }

    async fn turn_each(&self) -> Result<usize, AppError> {
        self.steady_now()?;
        // What a process that could not finish committed, memory may not have yet.
        self.catch_up_keys()?;
        let mut done = 0;
        for alg in ALGORITHMS {
            for _ in 0..STEPS {
                let Some(step) = self.turn_one(alg).await? else { break };
                tracing::info!(alg = alg.as_str(), what = step.words(), "signing keys");
                done += 1;
            }
        }
        Ok(done)
    }

    /// One step of an algorithm, if one is due.
    async fn turn_one(&self, alg: TokenAlg) -> Result<Option<Step>, AppError> {
        let (terms, wall) = (self.settings.keys, self.clock.now());
        let seen = self.store.read(|reader| -> Result<_, AppError> {
            // INVARIANT(log time): judged by the log's time, which never goes back, here and inside the unit.
            let now = reader.last_time()?.map_or(wall, |last| last.max(wall));
            Ok(due(&keys(reader)?, alg, &terms, now))
        })?;
        let made = match seen {
            None => return Ok(None),
            Some(Step::Publish | Step::Begin) => Some(self.make_key(alg).await?),
            Some(Step::Sign(_) | Step::Remove(_)) => None,
        };
        let act = move |unit: &mut Unit<'_>| -> Result<_, AppError> {
            let step = do_due(unit, alg, &terms, made.as_ref())?;
            Ok((step, after(unit)?))
        };
        let (step, after) = self.store.write(act).await?;
        self.keep(&after)?;
        Ok(step)
    }

    /// Takes the keys into memory: after the commit, and all of them at once.
    fn keep(&self, (rows, size): &After) -> Result<(), AppError> {
        Ok(self.keyring.take(rows, *size, self.master_key()?)?)
    }

    /// What a start must see to before anything is signed: a key for each algorithm; and that time in which nobody could
    /// fetch a key does not count as its publication. `last` is the log's newest time before this start.
    pub(super) async fn begin_keys(&self, last: Option<Timestamp>) -> Result<(), AppError> {
        let (terms, wall) = (self.settings.keys, self.clock.now());
        let known = self.store.read(keys)?;
        let put_off = move |key: &Key, now| last.and_then(|last| counts_from(key, last, now, &terms));
        if known.iter().any(|key| put_off(key, wall).is_some()) {
            let moved = self.store.write(move |unit| -> Result<_, AppError> {
                for key in keys(&unit.reader())? {
                    if let Some(from) = put_off(&key, unit.now()) {
                        note(unit, (key.alg, &key.kid), KeyState::Published.as_str())?;
                        unit.put_off_signing_key(&key.kid, from)?;
                    }
                }
                after(unit)
            });
            self.keep(&moved.await?)?;
        }
        for alg in ALGORITHMS {
            if !known.iter().any(|key| key.alg == alg && key.state == KeyState::Signing) {
                self.turn_one(alg).await?;
            }
        }
        Ok(())
    }

    /// Publishes a new key of an algorithm, or of each, now; it signs once it was published long enough.
    ///
    /// # Errors
    /// `already_decided` where the next key is published already.
    pub async fn rotate_keys(&self, alg: Option<TokenAlg>) -> Result<Rotated, AppError> {
        let terms = self.settings.keys;
        let mut made = Vec::new();
        for alg in wanted(alg) {
            made.push(self.make_key(alg).await?);
        }
        let published = self.store.write(move |unit| -> Result<_, AppError> {
            let known = keys(&unit.reader())?;
            let mut published = Vec::new();
            for new in made {
                if let Some(next) = known.iter().find(|key| key.alg == new.alg && key.state == KeyState::Published) {
                    return Err(published_already(next, &terms));
                }
                let entry = new.add(unit, KeyState::Published)?;
                let signs = unit.now() + terms.publish_before;
                published.push(PublishedKey { kid: new.kid, alg: new.alg, signs, entry });
            }
            Ok((published, after(unit)?))
        });
        let (published, after) = published.await?;
        self.keep(&after)?;
        for key in &published {
            tracing::info!(alg = key.alg.as_str(), kid = %key.kid, signs = %key.signs, "the console published a new signing key");
        }
        Ok(Rotated { keys: published, revoked: Vec::new() })
    }

    /// In an emergency: a new key of an algorithm, or of each, signs at once, and every other one of it is dropped at once,
    /// with all that it signed. Everybody who is told of security is told.
    ///
    /// # Errors
    /// The store cannot be written; then nothing changed.
    pub async fn replace_keys(&self, alg: Option<TokenAlg>) -> Result<Rotated, AppError> {
        let mut made = Vec::new();
        for alg in wanted(alg) {
            made.push(self.make_key(alg).await?);
        }
        let replaced = self.store.write(move |unit| -> Result<_, AppError> {
            let (mut keys_now, mut revoked) = (Vec::new(), Vec::new());
            for new in made {
                let of_alg = keys(&unit.reader())?.into_iter().filter(|key| key.alg == new.alg);
                for key in of_alg.filter(|key| key.state.is_published()) {
                    move_on(unit, key.alg, &key.kid, KeyState::Revoked)?;
                    revoked.push(key.kid);
                }
                let entry = new.add(unit, KeyState::Signing)?;
                note(unit, (new.alg, &new.kid), KeyState::Signing.as_str())?;
                keys_now.push(PublishedKey { kid: new.kid, alg: new.alg, signs: unit.now(), entry });
            }
            Ok((Rotated { keys: keys_now, revoked }, after(unit)?))
        });
        let (replaced, after) = replaced.await?;
        self.keep(&after)?;
        for kid in &replaced.revoked {
            tracing::error!(%kid, "the console revoked a signing key in an emergency: what it signed is not to be believed");
        }
        self.tell_revoked(&replaced);
        Ok(replaced)
    }

    /// What is done next with the keys of each algorithm, and when.
    pub(super) fn key_plans(&self, rows: &[SigningKeyRow]) -> Vec<(TokenAlg, Vec<Due>)> {
        let known: Vec<_> = rows.iter().map(SigningKeyRow::key).collect();
        ALGORITHMS.map(|alg| (alg, upcoming(&known, alg, &self.settings.keys))).into()
    }
}

fn wanted(alg: Option<TokenAlg>) -> Vec<TokenAlg> {
    alg.map_or_else(|| ALGORITHMS.to_vec(), |alg| vec![alg])
}

fn published_already(next: &Key, terms: &Terms) -> AppError {
    let signs = next.since + terms.publish_before;
    let text = format!(
        "the next {} key {} is published already and begins to sign on {} at {} UTC",
        next.alg.as_str(),
        next.kid,
        signs.day_month(),
        signs.hour_minute()
    );
    AppError::refused(ErrorCode::AlreadyDecided, text)
        .with_hint("wait until then; if a key leaked: countersign keys rotate --emergency")
}
