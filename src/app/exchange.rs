//! Exchanges a job token: the whole of `POST /token`.
//! In: a well-formed call, and the key that it proved. Out: a token, a pending answer, or a refusal that is in the log.
//! Implements RFC 8693 §2, RFC 9449 §5 and DESIGN §5.
//! Never answers with a token before its entry is committed.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::canonical;
use crate::domain::ids::{Digest, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::{Collector, ExchangeForm, SubjectToken, key_collector};
use crate::domain::request::Request;
use crate::domain::request::standing::Mark;
use crate::domain::rules::{Effect, Refusal, Require, TokenAlg};
use crate::domain::time::Timestamp;
use crate::store::requests::RequestRow;
use crate::store::tokens::{Binding, IssuedRow, TokenUseRow};
use crate::store::{StoreError, Unit, Unmarked};

use super::answer_token::TokenAnswer;
use super::course::{Call, Course, Issuing, course, refusal};
use super::intake::Taken;
use super::known::know;
use super::possession::Proven;
use super::record_token::KeptRule;
use super::refuse::{Admitted, RefusedCall, append_refusal, job_fields, logged};
use super::waiting::{Subscription, Woken};
use super::{AppError, Countersign, record_token, summary};

/// How often a call may find that something changed before it gives up; a held call sees one turn a signature.
const MAX_TURNS: usize = 64;
/// How long a call waits for metadata that is in the log and not yet in memory.
const METADATA_SETTLE: Duration = Duration::from_millis(10);

/// The answer to a call.
#[derive(Debug)]
pub enum Answer {
    /// A token.
    Token(Box<TokenAnswer>),
    /// People are being asked.
    Pending(Box<PendingAnswer>),
}

/// A request that waits.
#[derive(Debug)]
pub struct PendingAnswer {
    /// The request.
    pub request: Request,
    /// Where people approve.
    pub approval_uri: String,
    /// Seconds until `decide_by`.
    pub expires_in: u64,
    /// Seconds between polls.
    pub interval: u64,
    /// The lines that a terminal shows.
    pub summary: Vec<String>,
    /// The poll came too fast.
    pub too_fast: bool,
}

/// What one turn came to.
enum Turn {
    Answer(Answer),
    /// Something changed meanwhile.
    Again,
    /// People are being asked.
    Hold {
        id: RequestId,
        decide_by: Timestamp,
    },
}

/// What one unit of the writer did.
enum Done {
    /// And where the evidence has the rule, where it was not asked of people.
    Issued(Box<IssuedRow>, Option<KeptRule>),
    Opened(Box<RequestRow>),
    Refused(Refusal, u64),
    Again,
    /// The log knows newer rules, metadata or signing keys than memory.
    Stale,
}

impl Countersign {
    /// Exchanges a job token; `proven` is the key that collects, where the call proves one, and `wait` how long the caller
    /// lets itself be held (RFC 7240).
    ///
    /// # Errors
    /// Every refusal of DESIGN §5, and faults.
    pub async fn exchange(
        &self,
        form: ExchangeForm,
        proven: Option<Proven>,
        wait: Option<Duration>,
    ) -> Result<Answer, AppError> {
        self.settle_changes_if_possible().await;
        let mut deadline = wait.map(|wait| self.clock.monotonic() + wait.min(self.settings.wait_limit));
        let mut held: Option<Subscription> = None;
        let mut paced = false;
        for _ in 0..MAX_TURNS {
            // In a box that is gone when the turn is over: while a call is held, all that it keeps is its form.
            match Box::pin(self.turn((&form, proven.as_ref()), wait.is_some(), deadline.is_some(), &mut paced)).await? {
                Turn::Answer(answer) => return Ok(answer),
                Turn::Again => {}
                Turn::Hold { id, decide_by } => match &mut held {
                    // Subscribe, then look again: a change in between is not missed.
                    None => held = Some(self.waiting.hold(&id)),
                    Some(subscription) => {
                        if !self.hold(subscription, decide_by, deadline.unwrap_or_default()).await {
                            deadline = None;
                        }
                    }
                },
            }
        }
        Err(AppError::Fault { code: ErrorCode::QueueFull, detail: "the request kept changing".to_owned() })
    }

    /// One turn: the token is verified anew, the store read anew. `may_hold`: there is time left to be held in.
    async fn turn(
        &self,
        (form, proven): (&ExchangeForm, Option<&Proven>),
        waits: bool,
        may_hold: bool,
        paced: &mut bool,
    ) -> Result<Turn, AppError> {
        self.steady_now()?;
        let Taken { job, issuer_keys, .. } = self.take_in(&form.subject_token).await?;
        let brought = form.collector.as_ref().map(Collector::digest);
        let collector = proven.map(|proven| key_collector(&proven.jkt)).or(brought);
        let call = Call { job: Arc::new(job), asked: form.audiences.clone(), collector, proven: proven.cloned() };
        // Where the rule asks nobody, a reader could only say what the unit must say again.
        if !*paced && self.asks_nobody(&call) {
            match self.act_and_answer(form, &call, issuer_keys, true).await {
                Ok(Some(answer)) => return Ok(Turn::Answer(answer)),
                // New work gives way when too much waits, and only a reader can tell it from a call that was made before.
                Ok(None) | Err(AppError::Fault { code: ErrorCode::QueueFull, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match self.look(&call)? {
            Course::Repeat(row) => {
                self.use_proof(&form.subject_token, &call, issuer_keys).await?;
                self.store.settled(row.entry).await?;
                let signed = self.token_answer(&row);
                Ok(Turn::Answer(self.token_or_refusal(form, &call, issuer_keys, signed).await?))
            }
            Course::Pending { row, .. } => {
                self.use_proof(&form.subject_token, &call, issuer_keys).await?;
                let id = &row.request.id;
                if !std::mem::replace(paced, true)
                    && let Err(interval) = self.waiting.pace(id, waits, self.clock.monotonic())
                {
                    return Ok(Turn::Answer(self.pending(&row, interval, true)));
                }
                if may_hold {
                    return Ok(Turn::Hold { id: id.clone(), decide_by: row.request.decide_by });
                }
                Ok(Turn::Answer(self.pending(&row, self.waiting.interval(id), false)))
            }
            Course::Refuse { refusal, transition: None } => {
                Err(self.log_refusal(refused_call(&form.subject_token, &call, issuer_keys), refusal).await)
            }
            course @ (Course::Open { .. } | Course::Join(_) | Course::Issue(_) | Course::Refuse { .. }) => {
                let answer = self.act_and_answer(form, &call, issuer_keys, is_new(&course)).await?;
                Ok(answer.map_or(Turn::Again, Turn::Answer))
            }
        }
    }

    /// Whether the rules alone say that the job gets its token and nobody is asked.
    fn asks_nobody(&self, call: &Call) -> bool {
        let rules = self.rules();
        let rule = rules.rules.allowing(&call.job, &call.asked);
        rule.and_then(|rule| rule.allow()).is_some_and(|allow| allow.require == Require::None)
    }

    /// What the call must do next, as a reader sees it.
    fn look(&self, call: &Call) -> Result<Course, AppError> {
        let (rules, trusted) = (self.rules(), self.trusted());
        let wall = self.clock.now();
        self.store.read(|reader| {
            // INVARIANT(log time): judged by the log's time, which never goes back, here and inside the unit.
            let now = reader.last_time()?.map_or(wall, |last| last.max(wall));
            let known = know(reader, (&rules.rules, &trusted), call, now)?;
            Ok(course(call, &known, &rules.rules, &self.limits(), now))
        })
    }

    /// Holds a call; says whether to look again. It ends with the deadline, the server, or a newer call.
    async fn hold(&self, subscription: &mut Subscription, decide_by: Timestamp, deadline: Duration) -> bool {
        let left = deadline.saturating_sub(self.clock.monotonic());
        if left.is_zero() {
            return false;
        }
        // Time alone ends a request: then the answer is that it is too late, at once.
        let over = decide_by.since(self.clock.now()) + Duration::from_millis(1);
        match subscription.wait(left.min(over)).await {
            Woken::Changed => true,
            Woken::TimeUp => self.clock.monotonic() < deadline,
            Woken::Replaced => false,
        }
    }

    async fn act_and_answer(
        &self,
        form: &ExchangeForm,
        call: &Call,
        issuer_keys: u64,
        is_new: bool,
    ) -> Result<Option<Answer>, AppError> {
        let unmarked = match self.act(form, call, issuer_keys, is_new).await {
            // The unit is rolled back whole; the refusal is logged like any other, within its cap.
            Err(AppError::Refused { refusal, .. }) => {
                return Err(self.log_refusal(refused_call(&form.subject_token, call, issuer_keys), refusal).await);
            }
            unmarked => unmarked?,
        };
        // Signed while the mark is synced; what was signed leaves after it.
        let signed = match unmarked.recorded() {
            Done::Issued(row, _) => Some(self.token_answer(row)),
            _ => None,
        };
        match unmarked.marked().await? {
            Done::Issued(row, kept) => {
                self.kept_rules.keep(kept);
                if let Some(id) = &row.request {
                    self.waiting.wake(id);
                    self.waiting.forget(id);
                }
                let signed = signed.unwrap_or_else(|| self.token_answer(&row));
                Ok(Some(self.token_or_refusal(form, call, issuer_keys, signed).await?))
            }
            Done::Opened(row) => {
                self.waiting.begin(&row.request.id, self.clock.monotonic());
                self.tell_request(&row);
                Ok(Some(self.pending(&row, self.waiting.interval(&row.request.id), false)))
            }
            Done::Refused(refusal, entry) => {
                let rows = self.store.read(|reader| reader.requests_of_job(&call.job.issuer, call.job.job_id()))?;
                for row in rows {
                    self.waiting.wake(&row.request.id);
                }
                Err(logged(refusal, Some(entry)))
            }
            Done::Again => Ok(None),
            Done::Stale => {
                // The log has newer rules, keys or metadata than memory.
                self.catch_up_rules().await;
                self.catch_up_keys()?;
                // Metadata is swapped a moment after its commit by whoever loads it, and nobody is told.
                tokio::time::sleep(METADATA_SETTLE).await;
                Ok(None)
            }
        }
    }

    /// One unit of the writer: judges again on facts re-read in its savepoint, and only then acts.
    async fn act(
        &self,
        form: &ExchangeForm,
        call: &Call,
        issuer_keys: u64,
        is_new: bool,
    ) -> Result<Unmarked<Done>, AppError> {
        let rules = self.rules();
        let limits = self.limits();
        let (call, token) = (call.clone(), form.subject_token.clone());
        let (vouching, keyring) = (self.vouching.clone(), self.keyring.clone());
        let (possession, wall) = (Arc::clone(&self.possession), self.clock.now());
        let mut issue = record_token::Minting {
            our_issuer: self.settings.url.clone(),
            kept_rules: Arc::clone(&self.kept_rules),
            trusted: self.trusted(),
            issuer_keys,
        };
        let act = move |unit: &mut Unit<'_>| -> Result<Done, AppError> {
            // Nothing is decided by rules that an earlier entry replaced, however long this unit was queued.
            if unit.reader().rules_in_force()?.is_some_and(|(logged, _)| logged != rules.rules.digest()) {
                return Ok(Done::Stale);
            }
            let Some(trusted) = vouching.in_unit(&unit.reader())? else { return Ok(Done::Stale) };
            issue.trusted = trusted;
            let now = unit.now();
            let known = know(&unit.reader(), (&rules.rules, &issue.trusted), &call, now)?;
            match course(&call, &known, &rules.rules, &limits, now) {
                Course::Issue(issuing) => {
                    let alg = alg_of(&issuing)?;
                    // Who signs is said by the log alone: a key that was retired or revoked meanwhile signs nothing.
                    let Some(signer) = keyring.in_unit(&unit.reader(), alg)? else { return Ok(Done::Stale) };
                    let (row, kept) = record_token::record(unit, &issue, &signer, (&call, &token), &issuing)?;
                    possession.spend_of_job(&call, wall)?;
                    Ok(Done::Issued(Box::new(row), kept))
                }
                Course::Open { rule } => {
                    let row = super::ask::open_request(unit, &issue, &call, &token, &rule, &known)?;
                    possession.spend_of_job(&call, wall)?;
                    Ok(Done::Opened(Box::new(row)))
                }
                Course::Join(row) => {
                    let audiences = row.request.audiences().cloned().collect();
                    let bound = TokenUseRow {
                        token_sha256: call.job.token_sha256,
                        audiences,
                        request: Some(row.request.id.clone()),
                        collector: Some(row.request.collector),
                    };
                    unit.bind_token(&binding(&call), &bound)?;
                    Ok(Done::Again)
                }
                Course::Refuse { refusal, transition: Some((row, mark)) } => {
                    end(unit, &call, &row, mark)?;
                    let refused = refused_call(&token, &call, issuer_keys);
                    let (entry, _) = append_refusal(unit, &refused, refusal.code, Admitted::default())?;
                    Ok(Done::Refused(refusal, entry))
                }
                Course::Repeat(_) | Course::Pending { .. } | Course::Refuse { .. } => Ok(Done::Again),
            }
        };
        if is_new { self.store.write_new_unmarked(act).await } else { self.store.write_unmarked(act).await }
    }

    fn pending(&self, row: &RequestRow, interval: Duration, too_fast: bool) -> Answer {
        let approval_uri = format!("{}/a/{}", self.settings.url, row.request.id);
        let now = self.clock.now();
        Answer::Pending(Box::new(PendingAnswer {
            summary: summary::pending(&row.request, &row.rule, &approval_uri, now),
            approval_uri,
            expires_in: row.request.decide_by.since(now).as_secs(),
            interval: interval.as_secs(),
            request: row.request.clone(),
            too_fast,
        }))
    }
}

/// The algorithm that the rule has tokens signed with.
fn alg_of(issuing: &Issuing) -> Result<TokenAlg, AppError> {
    match &issuing.rule.effect {
        Effect::Allow(allow) => Ok(allow.token.alg),
        Effect::Deny(_) => Err(not_evaluable("a deny rule issues nothing").into()),
    }
}

/// New work gives way when too much waits: whoever asked before collects, and whoever signs is heard.
const fn is_new(course: &Course) -> bool {
    match course {
        Course::Open { .. } => true,
        Course::Issue(issuing) => issuing.bind,
        _ => false,
    }
}

pub(super) fn refused_call(token: &SubjectToken, call: &Call, issuer_keys: u64) -> RefusedCall {
    RefusedCall {
        job: job_fields(&call.job),
        asked: call.asked.clone(),
        token: token.clone(),
        token_sha256: call.job.token_sha256,
        issuer_keys,
    }
}

/// What binds the call's job token.
pub fn binding(call: &Call) -> Binding<'_> {
    Binding { issuer: &call.job.issuer, jti: &call.job.jti, exp: call.job.expires_at }
}

/// Ends a request: its entry, then its row.
pub fn end(unit: &mut Unit<'_>, call: &Call, row: &RequestRow, mark: Mark) -> Result<u64, StoreError> {
    let entry = unit.append(Event::Request {
        outcome: mark.as_str().to_owned(),
        request: row.request.id.clone(),
        job: job_fields(&call.job),
        asked: None,
        evidence: std::collections::BTreeMap::new(),
    })?;
    unit.end_request(&row.request.id, mark, entry)?;
    Ok(entry)
}

/// A refusal of something that cannot be evaluated.
pub fn not_evaluable(text: impl Into<String>) -> Refusal {
    refusal(ErrorCode::RuleNotEvaluable, text)
}

/// The digest of canonical bytes together with the bytes.
pub fn hashed<T: serde::Serialize>(value: &T) -> Result<(Vec<u8>, Digest), AppError> {
    let bytes = canonical::to_bytes(value)?;
    let digest = Digest::of(&bytes);
    Ok((bytes, digest))
}
