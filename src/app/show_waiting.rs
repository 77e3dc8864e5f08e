//! Shows what waits for a person: the requests that they may sign now.
//! In: a person. Out: requests, the one that ends first in front.
//! Implements SCREENS (Home).
//! Never shows a request to somebody whom its rule does not name.

use crate::domain::assurance::models::Trusted;
use crate::domain::ids::PersonId;
use crate::domain::request::standing::Standing;
use crate::domain::rules::Excluded;
use crate::domain::time::Timestamp;
use crate::store::requests::RequestRow;
use crate::store::{Reader, StoreError};

use super::entitled::{standing_of, unchanged};
use super::known::approval_terms;
use super::starters::starters_of;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// Most requests that Home looks at for one person; beyond it the ones that end last are left out.
pub const MAX_WAITING_LOOKED_AT: usize = 500;

/// A request that waits.
#[derive(Debug, Clone)]
pub struct WaitingRequest {
    /// The record.
    pub row: RequestRow,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures that are needed.
    pub needed: u32,
}

/// What waits for a person, at a time.
#[derive(Debug, Clone)]
pub struct WaitingList {
    /// The requests.
    pub requests: Vec<WaitingRequest>,
    /// The log's time.
    pub now: Timestamp,
}

impl Countersign {
    /// The requests that a person may sign now, soonest deadline first.
    pub fn waiting_for(&self, person: &PersonId) -> Result<WaitingList, AppError> {
        let (rules, trusted, wall) = (self.rules(), self.trusted(), self.clock.now());
        self.store.read(|reader| {
            let now = log_time(reader, wall)?;
            let mut requests = Vec::new();
            for row in reader.open_requests_for(person, now, MAX_WAITING_LOOKED_AT)? {
                if unchanged(&rules.rules, &row) {
                    requests.extend(judge((reader, &trusted), person, row, now)?);
                }
            }
            requests.sort_by_key(|one| one.row.request.decide_by);
            Ok(WaitingList { requests, now })
        })
    }
}

/// A request that a person may sign now; `None` where they may not.
pub(super) fn judge(
    (reader, trusted): (&Reader<'_>, &Trusted),
    person: &PersonId,
    row: RequestRow,
    now: Timestamp,
) -> Result<Option<WaitingRequest>, StoreError> {
    let Some(terms) = approval_terms(&row.rule) else { return Ok(None) };
    let starters = starters_of(reader, &row)?;
    let memberships = reader.memberships(person)?;
    let named = terms.of.iter().any(|group| memberships.contains_key(group));
    let excluded = terms.not.contains(&Excluded::Starter) && starters.include(person);
    let decided = reader.decisions(&row.request.id)?.iter().any(|decision| decision.person == *person);
    let (standing, signed, needed) = standing_of(reader, &row, (&starters, trusted), now)?;
    let waits = named && !excluded && !decided && standing == Standing::Waiting;
    Ok(waits.then_some(WaitingRequest { row, signed, needed }))
}
