//! Refuses a verified call: the refusal is logged, then answered.
//! In: a refusal and the job it concerns. Out: the log entry's index, or none beyond the cap.
//! Implements DESIGN §5 (a refused call changes nothing but its own entry), facts of log growth.
//! Never logs what was not verified.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::ids::{Audience, Digest, IssuerName, PersonId};
use crate::domain::job::Job;
use crate::domain::log::entry::{Event, JobFields};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::rules::Refusal;
use crate::store::requests::RequestRow;
use crate::store::{StoreError, Unit};

use super::decide_request::fields;
use super::{AppError, Countersign};

/// Most refusals of one project, or of one person, that are logged in a minute; a project's next one names how many were not.
pub const MAX_LOGGED_A_MINUTE: u32 = 60;
/// Most projects and people remembered; beyond it the memory starts anew.
pub const MAX_PROJECTS: usize = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

/// How many refusals of each project and of each person were logged lately.
#[derive(Debug, Default)]
pub struct RefusalCap(Mutex<HashMap<Subject, Window>>);

/// Whose refusals are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// A project of an issuer.
    Project(IssuerName, String),
    /// A person who signs what they may not.
    Person(PersonId),
    /// A person whose passkey, or a copy of it, signs with a counter that went back: nothing else may crowd this out.
    Copy(PersonId),
}

impl Subject {
    fn of(job: &JobFields) -> Self {
        Self::Project(job.issuer.clone(), job.job_project_id.clone())
    }
}

#[derive(Debug, Default)]
struct Window {
    start: Duration,
    logged: u32,
    suppressed: u64,
    /// The job token logged last, by its own digest, and its digest in the evidence: a job that asks again and again
    /// with one token fills no disk.
    last: Option<(Digest, Digest)>,
}

/// Whether a refusal is logged, and what was left out before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Log it.
    Log(Admitted),
    /// Leave it out.
    Suppress,
}

/// How a refusal is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admitted {
    /// How many were left out before it.
    pub suppressed: u64,
    /// Where the evidence has this job token already.
    pub kept: Option<Digest>,
}

impl RefusalCap {
    /// Judges one refusal of a job at `now` (the monotonic clock).
    pub fn admit(&self, job: &JobFields, token_sha256: &Digest, now: Duration) -> Admit {
        self.judge(Subject::of(job), Some(token_sha256), now)
    }

    /// Judges one refusal of a person's decision.
    pub fn admit_person(&self, person: &PersonId, now: Duration) -> Admit {
        self.judge(Subject::Person(person.clone()), None, now)
    }

    /// Judges one signature of a passkey that may have been copied.
    pub fn admit_copy(&self, person: &PersonId, now: Duration) -> Admit {
        self.judge(Subject::Copy(person.clone()), None, now)
    }

    /// What was left out stays to be told: the refusal that would have told it could not be written.
    fn give_back(&self, job: &JobFields, suppressed: u64) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(&Subject::of(job)) {
            window.suppressed += suppressed + 1;
        }
    }

    fn judge(&self, subject: Subject, token_sha256: Option<&Digest>, now: Duration) -> Admit {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MAX_PROJECTS && !windows.contains_key(&subject) {
            windows.clear();
        }
        let window = windows.entry(subject).or_insert_with(|| Window { start: now, ..Window::default() });
        if now.saturating_sub(window.start) > MINUTE {
            window.start = now;
            window.logged = 0;
        }
        if window.logged >= MAX_LOGGED_A_MINUTE {
            window.suppressed += 1;
            return Admit::Suppress;
        }
        window.logged += 1;
        let kept = window.last.filter(|(token, _)| Some(token) == token_sha256).map(|(_, kept)| kept);
        Admit::Log(Admitted { suppressed: std::mem::take(&mut window.suppressed), kept })
    }

    /// Remembers where the evidence has a job token, once that is committed.
    pub fn keep(&self, job: &JobFields, token_sha256: Digest, kept: Digest) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(&Subject::of(job)) {
            window.last = Some((token_sha256, kept));
        }
    }
}

/// The numeric ids of a job, for entries.
pub fn job_fields(job: &Job) -> JobFields {
    JobFields {
        issuer: job.issuer.clone(),
        job_project_id: job.job_project_id().to_owned(),
        pipeline_id: job.pipeline_id().to_owned(),
        job_id: job.job_id().to_owned(),
    }
}

/// A job's call that is refused.
#[derive(Debug, Clone)]
pub struct RefusedCall {
    /// Whose call.
    pub job: JobFields,
    /// What it asked for.
    pub asked: Vec<Audience>,
    /// The job token, which goes into the evidence.
    pub token: SubjectToken,
    /// Its digest.
    pub token_sha256: Digest,
    /// Index of the entry with the keys that verified it.
    pub issuer_keys: u64,
}

/// Appends a refusal of a job's call; gives the entry's index and the digest of the job token in the evidence.
pub fn append_refusal(
    unit: &mut Unit<'_>,
    call: &RefusedCall,
    code: ErrorCode,
    admitted: Admitted,
) -> Result<(u64, Digest), StoreError> {
    let digest = match admitted.kept {
        Some(digest) => digest,
        None => unit.put_evidence("job_token", call.token.expose().as_bytes(), None)?,
    };
    let entry = unit.append(Event::Refusal {
        outcome: code,
        job: call.job.clone(),
        person: None,
        request: None,
        audiences: call.asked.clone(),
        issuer_keys: Some(call.issuer_keys),
        suppressed: (admitted.suppressed > 0).then_some(admitted.suppressed),
        evidence: BTreeMap::from([("job_token".to_owned(), digest)]),
    })?;
    Ok((entry, digest))
}

impl Countersign {
    /// Logs a refused call, within its project's cap; what to answer.
    pub async fn log_refusal(&self, call: RefusedCall, refusal: Refusal) -> AppError {
        if refusal.code.status() == 429 {
            return logged(refusal, None);
        }
        let Admit::Log(admitted) = self.refusals.admit(&call.job, &call.token_sha256, self.clock.monotonic()) else {
            return logged(refusal, None);
        };
        let (job, token_sha256, code) = (call.job.clone(), call.token_sha256, refusal.code);
        match self.store.write_new(move |unit| append_refusal(unit, &call, code, admitted)).await {
            Ok((entry, kept)) => {
                self.refusals.keep(&job, token_sha256, kept);
                logged(refusal, Some(entry))
            }
            Err(fault) => {
                self.refusals.give_back(&job, admitted.suppressed);
                fault.into()
            }
        }
    }
}

/// Appends a refusal of a person's decision, unless the cap leaves it out; the entry's index.
pub fn append_person_refusal(
    unit: &mut Unit<'_>,
    row: &RequestRow,
    person: &PersonId,
    code: ErrorCode,
    admit: Admit,
) -> Result<Option<u64>, StoreError> {
    let Admit::Log(admitted) = admit else { return Ok(None) };
    let entry = unit.append(Event::Refusal {
        outcome: code,
        job: fields(row),
        person: Some(person.clone()),
        request: Some(row.request.id.clone()),
        audiences: Vec::new(),
        issuer_keys: None,
        suppressed: (admitted.suppressed > 0).then_some(admitted.suppressed),
        evidence: BTreeMap::new(),
    })?;
    Ok(Some(entry))
}

/// A refusal that was logged.
pub fn logged(refusal: Refusal, entry: Option<u64>) -> AppError {
    AppError::Refused { refusal, log: entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_closes_and_says_what_it_left_out() {
        let cap = RefusalCap::default();
        let token = Digest::of(b"token");
        let at = |issuer: &str, project: &str, millis: u64| {
            cap.admit(&job(issuer, project), &token, Duration::from_millis(millis))
        };
        for n in 0..MAX_LOGGED_A_MINUTE {
            assert_eq!(at("gitlab", "4711", u64::from(n)), Admit::Log(Admitted::default()));
        }
        assert_eq!(at("gitlab", "4711", 2000), Admit::Suppress);
        assert_eq!(at("gitlab", "4712", 2000), Admit::Log(Admitted::default()), "another project has its own cap");
        assert_eq!(at("other", "4711", 2000), Admit::Log(Admitted::default()), "and so has another issuer's");
        assert_eq!(at("gitlab", "4711", 61_000), Admit::Log(Admitted { suppressed: 1, kept: None }));
    }

    #[test]
    fn a_token_that_is_refused_again_is_kept_once() {
        let cap = RefusalCap::default();
        let (token, other, kept) = (Digest::of(b"token"), Digest::of(b"other"), Digest::of(b"kept"));
        let job = job("gitlab", "4711");
        assert_eq!(cap.admit(&job, &token, Duration::ZERO), Admit::Log(Admitted::default()));
        cap.keep(&job, token, kept);
        let again = Admit::Log(Admitted { suppressed: 0, kept: Some(kept) });
        assert_eq!(cap.admit(&job, &token, Duration::ZERO), again);
        assert_eq!(cap.admit(&job, &other, Duration::ZERO), Admit::Log(Admitted::default()));
    }

    fn job(issuer: &str, project: &str) -> JobFields {
        JobFields {
            issuer: IssuerName::parse(issuer).unwrap(),
            job_project_id: project.to_owned(),
            pipeline_id: "1".to_owned(),
            job_id: "2".to_owned(),
        }
    }
}
