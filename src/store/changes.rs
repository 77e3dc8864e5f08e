//! Changes that admins sign: the record, its signatures, and when it takes effect by itself.
//! In: a proposed change, then signatures. Out: rows.
//! Implements DESIGN §6, §11.
//! Never decides: when a change takes effect is the domain's to say.

use rusqlite::{Row, ToSql, params};

use crate::domain::assurance::evidence::Admission;
use crate::domain::canonical;
use crate::domain::change::Change;
use crate::domain::change::standing::{Council, Signature};
use crate::domain::ids::{ChangeId, PersonId};
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, corrupt, first, index, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// What the store keeps of a change's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeState {
    /// Admins may sign.
    Open,
    /// The same, and the invited person may come already.
    Admitted,
    /// It took effect.
    Done,
    /// Somebody said no.
    Refused,
    /// It could not take effect when its time came.
    Failed,
    /// A restore ended it.
    Voided,
    /// The files of the rules were read again, and no longer ask for it.
    Withdrawn,
}

impl ChangeState {
    const ALL: [Self; 7] =
        [Self::Open, Self::Admitted, Self::Done, Self::Refused, Self::Failed, Self::Voided, Self::Withdrawn];

    /// As the store spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Admitted => "admitted",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Voided => "voided",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether admins may still sign.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Admitted)
    }
}

/// A change and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The record.
    pub change: Change,
    /// Its state.
    pub state: ChangeState,
    /// When it takes effect by itself.
    pub due: Option<Timestamp>,
    /// The log entry that proposed it.
    pub entry: u64,
    /// The log entry that ended it.
    pub ended: Option<u64>,
}

fn change(row: &Row<'_>) -> Result<ChangeRow, StoreError> {
    let record: Vec<u8> = row.get("record")?;
    let ended: Option<i64> = row.get("ended")?;
    Ok(ChangeRow {
        change: canonical::from_bytes(&record).map_err(|_| corrupt("record"))?,
        state: parsed(row, "state", |text| {
            ChangeState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
        })?,
        due: optional_time(row, "due")?,
        entry: index(row, "entry")?,
        ended: ended.map(u64::try_from).transpose().map_err(|_| corrupt("ended"))?,
    })
}

impl Reader<'_> {
    /// A change by its link id.
    pub fn change(&self, id: &ChangeId) -> Result<Option<ChangeRow>, StoreError> {
        let sql = "SELECT * FROM change WHERE id = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], change)
    }

    /// Changes that may still be signed or take effect by themselves, oldest first; some may be too old.
    pub fn open_changes(&self) -> Result<Vec<ChangeRow>, StoreError> {
        let sql = "SELECT * FROM change WHERE state IN ('open', 'admitted') ORDER BY created, id";
        collect(&mut self.conn().prepare_cached(sql)?, [], change)
    }

    /// Changes whose time has come.
    pub fn due_changes(&self, now: Timestamp) -> Result<Vec<ChangeRow>, StoreError> {
        let sql = "SELECT * FROM change WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, id";
        collect(&mut self.conn().prepare_cached(sql)?, params![now.millis()], change)
    }

    /// When the next change takes effect by itself.
    pub fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(due) FROM change WHERE due IS NOT NULL";
        let due: Option<i64> = self.conn().prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(due.map(Timestamp::from_millis))
    }

    /// Signatures for and against a change that count still, oldest first.
    pub fn change_signatures(&self, id: &ChangeId) -> Result<Vec<Signature>, StoreError> {
        let sql = "SELECT person, choice, at FROM change_signature WHERE change = ?1 AND ended = 0 ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], |row| {
            Ok(Signature {
                person: parsed(row, "person", PersonId::parse)?,
                choice: parsed(row, "choice", |text| {
                    [Choice::Approve, Choice::Deny].into_iter().find(|choice| choice.as_str() == text).ok_or(())
                })?,
                at: time(row, "at")?,
            })
        })
    }

    /// What the signatures for a change proved that count still.
    pub fn change_proved(&self, id: &ChangeId) -> Result<Vec<Admission>, StoreError> {
        let sql = "SELECT proved FROM change_signature WHERE change = ?1 AND ended = 0 AND choice = 'approve'";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], |row| {
            let proved: String = row.get("proved")?;
            serde_json::from_str(&proved).map_err(|_| corrupt("proved"))
        })
    }

    /// Admins who can sign: active, with a passkey that is not suspended.
    pub fn council(&self) -> Result<Council, StoreError> {
        let sql = "SELECT DISTINCT person.id FROM person JOIN passkey ON passkey.person = person.id
                   WHERE admin = 1 AND person.suspended IS NULL AND passkey.suspended IS NULL";
        let admins = collect(&mut self.conn().prepare_cached(sql)?, [], |row| parsed(row, "id", PersonId::parse))?;
        Ok(admins.into_iter().collect())
    }
}

impl Unit<'_> {
    /// Records a proposed change.
    pub fn insert_change(&mut self, proposed: &Change, entry: u64) -> Result<(), StoreError> {
        let record = canonical::to_bytes(proposed).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let sql = "INSERT INTO change (id, kind, person, record, state, created, entry)
                   VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6)";
        let values = params![
            proposed.id.as_str(),
            proposed.kind(),
            proposed.person().map(PersonId::as_str),
            record,
            proposed.at.millis(),
            as_i64(entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Records a signature, by the passkey of that row id, and what it proved; it takes the place of one that was ended.
    pub fn insert_change_signature(
        &mut self,
        id: &ChangeId,
        by: &Signature,
        (passkey, proved): (i64, &Admission),
        entry: u64,
    ) -> Result<(), StoreError> {
        let proved = serde_json::to_string(proved).map_err(|_| corrupt("proved"))?;
        let sql = "INSERT INTO change_signature (change, person, choice, at, entry, passkey, proved)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (change, person, choice) DO UPDATE SET at = excluded.at, entry = excluded.entry,
                   passkey = excluded.passkey, proved = excluded.proved, ended = 0 WHERE ended = 1";
        let (person, choice, entry) = (by.person.as_str(), by.choice.as_str(), as_i64(entry)?);
        let values = params![id.as_str(), person, choice, by.at.millis(), entry, passkey, proved];
        let changed = self.conn().prepare_cached(sql)?.execute(values)?;
        if changed == 1 { Ok(()) } else { Err(corrupt("change_signature")) }
    }

    /// Ends what a passkey signed for open changes.
    pub(super) fn end_change_signatures_of_passkey(&mut self, passkey: i64) -> Result<(), StoreError> {
        self.end_change_signatures("passkey = ?1", params![passkey])
    }

    /// Ends what a person signed for open changes.
    pub(super) fn end_change_signatures_of(&mut self, person: &PersonId) -> Result<(), StoreError> {
        self.end_change_signatures("person = ?1", params![person.as_str()])
    }

    /// Ends signatures for open changes. A delay that ran by one of them runs no more: the next signature starts it.
    fn end_change_signatures(&mut self, whose: &str, value: &[&dyn ToSql]) -> Result<(), StoreError> {
        let ends = format!(
            "{whose} AND ended = 0 AND choice = 'approve'
             AND change IN (SELECT id FROM change WHERE state IN ('open', 'admitted'))"
        );
        let disarm =
            format!("UPDATE change SET due = NULL WHERE id IN (SELECT change FROM change_signature WHERE {ends})");
        self.conn().prepare_cached(&disarm)?.execute(value)?;
        let end = format!("UPDATE change_signature SET ended = 1 WHERE {ends}");
        self.conn().prepare_cached(&end)?.execute(value)?;
        Ok(())
    }

    /// Says when a change takes effect by itself; `None` where it does not.
    pub fn set_change_due(&mut self, id: &ChangeId, due: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE change SET due = ?2 WHERE id = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id.as_str(), due.map(Timestamp::millis)])?;
        Ok(())
    }

    /// The invited person may come; what others count on still waits.
    pub fn admit_change(&mut self, id: &ChangeId) -> Result<(), StoreError> {
        let sql = "UPDATE change SET state = 'admitted' WHERE id = ?1 AND state = 'open'";
        self.conn().prepare_cached(sql)?.execute(params![id.as_str()])?;
        Ok(())
    }

    /// Ends a change.
    pub fn end_change(&mut self, id: &ChangeId, state: ChangeState, entry: u64) -> Result<(), StoreError> {
        let sql = "UPDATE change SET state = ?2, due = NULL, ended = ?3
                   WHERE id = ?1 AND state IN ('open', 'admitted')";
        let changed = self.conn().prepare_cached(sql)?.execute(params![id.as_str(), state.as_str(), as_i64(entry)?])?;
        if changed == 1 { Ok(()) } else { Err(corrupt("change")) }
    }
}
