//! Shows a request: what the approval page draws.
//! In: a link id. Out: the record, where it stands, and what came before it.
//! Implements SCREENS' approval page.
//! Never shows another request: the link opens this one alone.

use crate::domain::change::LinkKind;
use crate::domain::ids::RequestId;
use crate::domain::request::standing::Standing;
use crate::domain::rules::difference::difference;
use crate::domain::time::Timestamp;
use crate::store::requests::{DecisionRow, RequestRow};
use crate::store::{Reader, StoreError};

use super::entitled::{standing_of, unchanged};
use super::known::approval_terms;
use super::starters::{Starters, starters_of};
use super::{AppError, Countersign};

/// A request, seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The record and its state.
    pub row: RequestRow,
    /// Where it stands.
    pub standing: Standing,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures that are needed.
    pub needed: u32,
    /// What people decided.
    pub decisions: Vec<DecisionRow>,
    /// The commit and time of the last approved job of this project and environment.
    pub since_last: Option<(String, Timestamp)>,
    /// Nothing was asked for this project and environment before.
    pub first_for_place: bool,
    /// What changed in the rule since the job asked, where that ended the request.
    pub differences: Vec<String>,
    /// Log entries of the tokens issued.
    pub issued: Vec<u64>,
    /// Who answers for the bot that started the job, where one did.
    pub bot_owner: Option<String>,
    /// The present.
    pub now: Timestamp,
}

impl Countersign {
    /// A request by its link id; `None` where there is none.
    pub fn view_request(&self, id: &RequestId) -> Result<Option<Seen>, AppError> {
        let (rules, trusted) = (self.rules(), self.trusted());
        let wall = self.clock.now();
        self.store.read(|reader| {
            let Some(row) = reader.request(id)? else { return Ok(None) };
            let now = reader.last_time()?.map_or(wall, |last| last.max(wall));
            let starters = starters_of(reader, &row)?;
            let (mut standing, signed, needed) = standing_of(reader, &row, (&starters, &trusted), now)?;
            if matches!(standing, Standing::Waiting | Standing::Approved) && !unchanged(&rules.rules, &row) {
                standing = Standing::Voided;
            }
            let differences = if standing == Standing::Voided {
                let now = rules.rules.by_name(&row.request.rule.name);
                difference(&row.rule, now.map(|rule| &***rule))
            } else {
                Vec::new()
            };
            Ok(Some(Seen {
                bot_owner: bot_owner(reader, &starters)?,
                differences,
                decisions: reader.decisions(id)?,
                since_last: reader.last_collected(&row)?,
                first_for_place: reader.is_first_for_place(&row)?,
                issued: reader.issued_for_request(id)?.into_iter().map(|row| row.entry).collect(),
                needed: approval_terms(&row.rule).map_or(needed, |terms| terms.count),
                standing,
                signed,
                now,
                row,
            }))
        })
    }
}

/// The name of whoever answers for the bot that started the job.
fn bot_owner(reader: &Reader<'_>, starters: &Starters) -> Result<Option<String>, StoreError> {
    let link = starters.link.as_ref().filter(|link| link.owner == LinkKind::Bot);
    Ok(link.map(|link| reader.person(&link.person)).transpose()?.flatten().map(|person| person.name))
}
