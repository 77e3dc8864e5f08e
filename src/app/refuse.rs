//! Refuses a verified call: the refusal is logged, then answered.
//! In: a refusal and the job it concerns. Out: the log entry's index, or none beyond the cap.
//! Implements DESIGN §5 (a refused call changes nothing but its own entry), facts of log growth.
//! Never logs what was not verified.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::ids::{PersonId, RequestId};
use crate::domain::job::Job;
use crate::domain::log::entry::{Event, JobFields};
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::rules::Refusal;
use crate::store::{StoreError, Unit};

use super::AppError;

/// Most refusals of one project that are logged in a minute; the next one logged names how many were not.
pub const MAX_LOGGED_A_MINUTE: u32 = 60;
/// Most projects remembered; beyond it the memory starts anew.
pub const MAX_PROJECTS: usize = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

/// How many refusals of each project were logged lately.
#[derive(Debug, Default)]
pub struct RefusalCap(Mutex<HashMap<String, Window>>);

#[derive(Debug, Default)]
struct Window {
    start: Duration,
    logged: u32,
    suppressed: u64,
}

/// Whether a refusal is logged, and what was left out before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Log it, with the number of those suppressed before it.
    Log(u64),
    /// Leave it out.
    Suppress,
}

impl RefusalCap {
    /// Judges one refusal of a project at `now` (the monotonic clock).
    pub fn admit(&self, project: &str, now: Duration) -> Admit {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MAX_PROJECTS && !windows.contains_key(project) {
            windows.clear();
        }
        let window = windows.entry(project.to_owned()).or_insert_with(|| Window { start: now, ..Window::default() });
        if now.saturating_sub(window.start) > MINUTE {
            window.start = now;
            window.logged = 0;
        }
        if window.logged >= MAX_LOGGED_A_MINUTE {
            window.suppressed += 1;
            return Admit::Suppress;
        }
        window.logged += 1;
        Admit::Log(std::mem::take(&mut window.suppressed))
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

/// Appends a refusal of a job's call.
pub fn append_refusal(
    unit: &mut Unit<'_>,
    job: &Job,
    token: &SubjectToken,
    refusal: &Refusal,
    suppressed: u64,
) -> Result<u64, StoreError> {
    let digest = unit.put_evidence("job_token", token.expose().as_bytes(), None)?;
    unit.append(Event::Refusal {
        outcome: refusal.code,
        job: job_fields(job),
        person: None,
        request: None,
        suppressed: (suppressed > 0).then_some(suppressed),
        evidence: BTreeMap::from([("job_token".to_owned(), digest)]),
    })
}

/// Appends a refusal of a person's decision.
pub fn append_person_refusal(
    unit: &mut Unit<'_>,
    job: JobFields,
    person: &PersonId,
    request: &RequestId,
    refusal: &Refusal,
) -> Result<u64, StoreError> {
    unit.append(Event::Refusal {
        outcome: refusal.code,
        job,
        person: Some(person.clone()),
        request: Some(request.clone()),
        suppressed: None,
        evidence: BTreeMap::new(),
    })
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
        for n in 0..MAX_LOGGED_A_MINUTE {
            assert_eq!(cap.admit("4711", Duration::from_millis(u64::from(n))), Admit::Log(0));
        }
        assert_eq!(cap.admit("4711", Duration::from_secs(2)), Admit::Suppress);
        assert_eq!(cap.admit("4712", Duration::from_secs(2)), Admit::Log(0), "another project has its own cap");
        assert_eq!(cap.admit("4711", Duration::from_secs(61)), Admit::Log(1));
    }
}
