//! Lists what waits now: every request that people may still sign, or whose job may still collect.
//! In: nothing. Out: lines that print or serialise, grouped by rule.
//! Implements SCREENS' Admin (Requests), DESIGN §12 (`requests`).
//! Never tells a collector or a code, nor who signed.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Audience, IssuerName, RequestId, RuleName};
use crate::domain::request::standing::Standing;
use crate::domain::time::Timestamp;
use crate::store::Reader;
use crate::store::requests::RequestRow;

use super::entitled::{standing_of, unchanged};
use super::known::approval_terms;
use super::starters::starters_of;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// Most requests that are listed; beyond it the ones that end last are left out.
pub const MAX_REQUESTS_LISTED: usize = 500;

/// Where a request that waits stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waits {
    /// For signatures.
    Signatures,
    /// For its job, which has not collected yet.
    Job,
    /// For a denial: somebody else tried to collect its token.
    Denial,
}

impl Waits {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Signatures => "waits for signatures",
            Self::Job => "approved, not collected",
            Self::Denial => "contested: it can only be denied",
        }
    }
}

/// A request, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    /// Which.
    pub request: RequestId,
    /// Where people sign.
    pub link: String,
    /// The rule.
    pub rule: RuleName,
    /// Short name of the issuer.
    pub issuer: IssuerName,
    /// Id of the project in which the job runs.
    pub project_id: String,
    /// Its path, as GitLab spells it, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The pipeline.
    pub pipeline_id: String,
    /// The job.
    pub job_id: String,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Whom the tokens are for.
    pub audience: Vec<Audience>,
    /// What it waits for.
    pub waits: Waits,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures that are needed.
    pub needed: u32,
    /// When the job asked.
    pub asked: Timestamp,
    /// The last moment at which a signature counts.
    pub decide_by: Timestamp,
    /// The last moment at which the job may collect.
    pub use_by: Timestamp,
    /// The log entry that asked.
    pub entry: u64,
}

impl RequestLine {
    /// When it ends, for what it waits for.
    pub const fn ends(&self) -> Timestamp {
        match self.waits {
            Waits::Signatures => self.decide_by,
            Waits::Job | Waits::Denial => self.use_by,
        }
    }
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsSeen {
    /// By rule, then the one that ends first in front.
    pub requests: Vec<RequestLine>,
    /// There are more, which end later.
    pub more: bool,
    /// The log's time.
    pub now: Timestamp,
}

impl Countersign {
    /// What waits now.
    pub fn list_requests(&self) -> Result<RequestsSeen, AppError> {
        let (rules, wall) = (self.rules(), self.clock.now());
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let rows = reader.live_requests(now, MAX_REQUESTS_LISTED + 1)?;
            let more = rows.len() > MAX_REQUESTS_LISTED;
            let mut requests = Vec::new();
            for row in rows.into_iter().take(MAX_REQUESTS_LISTED) {
                if unchanged(&rules.rules, &row) {
                    requests.extend(self.line(reader, &row, now)?);
                }
            }
            requests.sort_by(|a, b| (&a.rule, a.decide_by, &a.request).cmp(&(&b.rule, b.decide_by, &b.request)));
            Ok(RequestsSeen { requests, more, now })
        })
    }

    fn line(&self, reader: &Reader<'_>, row: &RequestRow, now: Timestamp) -> Result<Option<RequestLine>, AppError> {
        let request = &row.request;
        let claim = |name: &str| request.job_claim(name).filter(|value| !value.is_empty());
        let starters = starters_of(reader, row)?;
        let (standing, signed, needed) = standing_of(reader, row, (&starters, &self.trusted()), now)?;
        let waits = match standing {
            Standing::Waiting => Waits::Signatures,
            Standing::Approved => Waits::Job,
            Standing::Contested => Waits::Denial,
            _ => return Ok(None),
        };
        let text = |name: &str| claim(name).unwrap_or_default().to_owned();
        Ok(Some(RequestLine {
            request: request.id.clone(),
            link: format!("{}/a/{}", self.settings.url, request.id),
            rule: request.rule.name.clone(),
            issuer: row.issuer.clone(),
            project: path(row),
            project_id: text("job_project_id"),
            pipeline_id: text("pipeline_id"),
            job_id: text("job_id"),
            environment: claim("environment").map(str::to_owned),
            audience: request.audiences().cloned().collect(),
            waits,
            signed,
            needed: approval_terms(&row.rule).map_or(needed, |terms| terms.count),
            asked: row.created,
            decide_by: request.decide_by,
            use_by: request.use_by,
            entry: row.entry,
        }))
    }
}

/// The path of the project in which the job runs.
pub(super) fn path(row: &RequestRow) -> Option<String> {
    let said: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&row.display).unwrap_or_default();
    let runs_in = said.get("job_project_path").and_then(serde_json::Value::as_str);
    row.request.project_path(runs_in).map(str::to_owned)
}
