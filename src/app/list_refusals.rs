//! Lists refused tokens: calls of verified jobs that were refused and logged.
//! In: before which log entry. Out: lines that print or serialise, newest first, and where to go on.
//! Implements SCREENS' Admin (Refused tokens), DESIGN §12.
//! Never reads more of the log at once than its limit, and never tells a job token.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, IssuerName};
use crate::domain::log::entry::{Entry, Event, JobFields};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;
use crate::store::{MAX_ENTRIES_AT_ONCE, Reader};

use super::{AppError, Countersign};

/// Most refusals that one page or one answer of the console shows.
pub const MAX_REFUSALS_LISTED: usize = 25;
/// Most log entries that are looked at for them.
pub const MAX_LOOKED_AT: u64 = 10_000;
/// What every entry of a refusal has in it; inside a text, quotes are escaped.
const MARK: &[u8] = br#""kind":"refusal""#;

/// A refused call, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLine {
    /// The log entry.
    pub entry: u64,
    /// When.
    pub at: Timestamp,
    /// Short name of the issuer.
    pub issuer: IssuerName,
    /// Id of the project in which the job ran.
    pub project_id: String,
    /// Its path, as the job token spells it, where it does and was not erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The pipeline.
    pub pipeline_id: String,
    /// The job.
    pub job_id: String,
    /// What it asked for.
    pub audience: Vec<Audience>,
    /// Why not.
    pub code: ErrorCode,
    /// The same in words.
    pub sentence: String,
    /// How many of the project's refusals before it were not logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlogged_before: Option<u64>,
}

/// A part of the refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalsSeen {
    /// Newest first.
    pub refusals: Vec<RefusalLine>,
    /// Before which entry the next part is, where the log goes further back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

impl Countersign {
    /// Refused tokens before a log entry, or the newest.
    pub fn list_refusals(&self, before: Option<u64>) -> Result<RefusalsSeen, AppError> {
        let (found, reached) = self.store.read(|reader| {
            let size = reader.size()?;
            look_back(reader, before.map_or(size, |before| before.min(size)))
        })?;
        let refusals = found.into_iter().map(|refused| self.refusal_line(refused)).collect();
        Ok(RefusalsSeen { refusals, before: (reached > 0).then_some(reached) })
    }

    fn refusal_line(&self, refused: Refused) -> RefusalLine {
        let Refused { entry, at, code, job, audience, unlogged_before } = refused;
        // A job token that was erased, or that verifies no more, leaves the id.
        let project = self.job_of_entry(entry).ok().and_then(|(_, job)| job.project_path().map(str::to_owned));
        let JobFields { issuer, job_project_id: project_id, pipeline_id, job_id } = job;
        let sentence = sentence(code).to_owned();
        RefusalLine {
            entry,
            at,
            issuer,
            project_id,
            project,
            pipeline_id,
            job_id,
            audience,
            code,
            sentence,
            unlogged_before,
        }
    }
}

struct Refused {
    entry: u64,
    at: Timestamp,
    code: ErrorCode,
    job: JobFields,
    audience: Vec<Audience>,
    unlogged_before: Option<u64>,
}

/// Refusals of jobs' calls before `end`, newest first, and where the look ended.
fn look_back(reader: &Reader<'_>, end: u64) -> Result<(Vec<Refused>, u64), AppError> {
    let (mut found, mut end) = (Vec::new(), end);
    let last = end.saturating_sub(MAX_LOOKED_AT);
    while end > last {
        let start = end.saturating_sub(MAX_ENTRIES_AT_ONCE).max(last);
        for (index, bytes) in reader.entries(start..end)?.into_iter().rev() {
            found.extend(refused(&bytes)?);
            if found.len() == MAX_REFUSALS_LISTED {
                return Ok((found, index));
            }
        }
        end = start;
    }
    Ok((found, end))
}

/// The refusal of a job's call; `None` for every other entry, also for a refused signature, which holds no job token.
fn refused(bytes: &[u8]) -> Result<Option<Refused>, AppError> {
    if !bytes.windows(MARK.len()).any(|part| part == MARK) {
        return Ok(None);
    }
    let entry = Entry::from_bytes(bytes)?;
    Ok(match entry.event {
        Event::Refusal { outcome, job, person: None, audiences, suppressed, .. } => Some(Refused {
            entry: entry.seq,
            at: entry.time,
            code: outcome,
            job,
            audience: audiences,
            unlogged_before: suppressed,
        }),
        _ => None,
    })
}

/// What a refusal of a verified job says: the log keeps the code alone.
pub const fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NoRuleMatches => "no rule matches this job",
        ErrorCode::AudienceNotAllowed => "a rule matches this job, but not for what it asked",
        ErrorCode::AudienceNotInRequest => "its request is for other audiences",
        ErrorCode::DeniedByRule => "a deny rule matches this job",
        ErrorCode::DeniedByPerson => "somebody said no",
        ErrorCode::TokenSpent => "its job token had its tokens already",
        ErrorCode::TokenTooOld => "its job token was too old for a first call",
        ErrorCode::CollectorRequired => {
            "it brought neither an `Idempotency-Key` nor a DPoP proof, and people would be asked"
        }
        ErrorCode::OtherCollector => "it brought another `Idempotency-Key` or proved another key than its first call",
        ErrorCode::RequestContested => "two collectors asked for its token",
        ErrorCode::RequestExpired => "nobody signed in time, or it collected too late",
        ErrorCode::RuleChanged => "its rule changed after it had asked",
        ErrorCode::RuleNotEvaluable => "its rule cannot be evaluated for it",
        ErrorCode::GroupEmpty => "its rule wants more people than its groups have",
        ErrorCode::StarterNotLinked => {
            "nobody is tied to the GitLab user who started it, and its rule excludes the starter"
        }
        ErrorCode::StarterDisputed => "an admin tied its GitLab user to one person, and GitLab signs it in as another",
        ErrorCode::IdentityUnknown => "GitLab signs its user in as somebody who is not known here",
        // Rare ones are told by what to do.
        other => other.cure(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_looks_like_a_refusal_is_none() {
        let text = serde_json::to_string("\"kind\":\"refusal\"").unwrap();
        assert!(!text.as_bytes().windows(MARK.len()).any(|part| part == MARK), "{text}");
    }
}
