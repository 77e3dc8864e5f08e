//! When a change takes effect, and who may still sign it: decided from the record, its signatures and who is an admin now.
//! In: a change, signatures, the council, the terms, the time of the log. Out: `Standing`, or the refusal of a signature.
//! Implements DESIGN §11: one admin alone makes nobody an approver at once, and the person concerned never counts.
//! Never takes a signature of somebody who is no admin now, and never lets a refused change take effect.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Change, Weight};
use crate::domain::ids::PersonId;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::statement::Choice;
use crate::domain::time::{CHANGE_DELAY, RECOVERY_DELAY, Timestamp};

/// How many other admins let somebody in again, unless the operator says otherwise.
pub const RECOVERY_SIGNATURES: u32 = 2;

/// A signature that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whose.
    pub person: PersonId,
    /// For, or against.
    pub choice: Choice,
    /// When.
    pub at: Timestamp,
}

/// Admins who can sign now: active, with a passkey.
pub type Council = BTreeSet<PersonId>;

/// What the operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long one admin's signature waits for somebody to object.
    pub delay: Duration,
    /// How many other admins let somebody in again.
    pub recovery_signatures: u32,
    /// How many admins sign other rules before those are in force; `None` where the files alone say it.
    pub rule_signatures: Option<u32>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { delay: CHANGE_DELAY, recovery_signatures: RECOVERY_SIGNATURES, rule_signatures: None }
    }
}

/// Where a change stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Signatures are missing.
    Waiting {
        /// Those that count.
        signed: u32,
        /// Those that it takes.
        needed: u32,
    },
    /// Enough for it to take effect by itself, unless somebody objects before.
    Delayed {
        /// Those that count.
        signed: u32,
        /// Those with which it takes effect at once; no more than `signed` where it waits in any case.
        needed: u32,
        /// When it takes effect.
        from: Timestamp,
    },
    /// It takes effect now.
    Due,
    /// Somebody said no.
    Refused,
    /// Too late.
    Expired,
}

/// When a change is judged, and until when its delay runs, where one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With a signature: a delay that does not run yet starts.
    Signed(Option<Timestamp>),
    /// At any other time: only a delay that was started runs out.
    Seen(Option<Timestamp>),
}

/// Whether the person concerned is kept from signing: whoever gains has no say, but for the only admin there is.
fn is_barred(change: &Change, council: &Council, person: &PersonId) -> bool {
    let alone = council.iter().all(|admin| Some(admin) == change.person());
    Some(person) == change.person()
        && match change.weight() {
            Weight::Light | Weight::Rules => false,
            Weight::Staged | Weight::Heavy => !alone,
            Weight::Recovery | Weight::Vouch => true,
        }
}

/// How many signatures make it take effect without waiting for an objection.
#[must_use]
pub fn needed(change: &Change, council: &Council, terms: &Terms) -> u32 {
    match change.weight() {
        Weight::Light => 1,
        Weight::Staged | Weight::Heavy => 2,
        // Also where there are not so many admins: then nothing changes, and the operator is told. Where the files alone
        // say it, such a change is withdrawn before anybody could sign it.
        Weight::Rules => terms.rule_signatures.unwrap_or(1).max(1),
        Weight::Recovery | Weight::Vouch => {
            let others = council.iter().filter(|admin| Some(*admin) != change.person()).count();
            terms.recovery_signatures.min(u32::try_from(others).unwrap_or(u32::MAX)).max(1)
        }
    }
}

/// How many signatures count: one a person, of those who are admins now.
fn counted(change: &Change, signatures: &[Signature], council: &Council) -> u32 {
    let people: BTreeSet<_> = signatures
        .iter()
        .filter(|one| one.choice == Choice::Approve && one.at <= change.sign_by)
        .filter(|one| council.contains(&one.person) && !is_barred(change, council, &one.person))
        .map(|one| &one.person)
        .collect();
    u32::try_from(people.len()).unwrap_or(u32::MAX)
}

/// How long one admin's signature waits for somebody to object; `None` where time alone does nothing. Where admins sign the
/// rules nobody becomes an admin by time alone: one could make a second self, and sign twice.
#[must_use]
pub fn delay(change: &Change, terms: &Terms) -> Option<Duration> {
    match change.weight() {
        Weight::Staged | Weight::Heavy if terms.rule_signatures.is_some() && change.makes_an_admin() => None,
        Weight::Staged | Weight::Heavy => Some(terms.delay),
        Weight::Recovery => Some(RECOVERY_DELAY),
        Weight::Light | Weight::Vouch | Weight::Rules => None,
    }
}

/// Where the change stands at `now` (the log's time, which never goes back).
#[must_use]
pub fn standing(
    change: &Change,
    signatures: &[Signature],
    council: &Council,
    terms: &Terms,
    (moment, now): (Moment, Timestamp),
) -> Standing {
    if signatures.iter().any(|one| one.choice == Choice::Deny) {
        return Standing::Refused;
    }
    let (signed, needed) = (counted(change, signatures, council), needed(change, council, terms));
    let enough = signed >= needed;
    // The delay with which these signatures take effect; `None` where they do not.
    let delay = match change.weight() {
        Weight::Recovery => enough.then_some(RECOVERY_DELAY),
        _ if enough => Some(Duration::ZERO),
        Weight::Staged | Weight::Heavy if signed > 0 => delay(change, terms),
        _ => None,
    };
    let from = match (delay, moment) {
        (Some(Duration::ZERO), Moment::Signed(_)) => Some(now),
        (Some(delay), Moment::Signed(runs)) => Some(runs.unwrap_or(now + delay)),
        (Some(_), Moment::Seen(runs)) => runs,
        (None, _) => None,
    };
    match from {
        Some(from) if now >= from => Standing::Due,
        Some(from) => Standing::Delayed { signed, needed, from },
        None if now > change.sign_by => Standing::Expired,
        None => Standing::Waiting { signed, needed },
    }
}

/// Whether the first stage of an invitation may be done: the person is let in, with nothing that others count on.
#[must_use]
pub fn lets_in(change: &Change, standing: Standing) -> bool {
    change.weight() == Weight::Staged && matches!(standing, Standing::Delayed { .. } | Standing::Due)
}

/// Whether a person's signature would count.
///
/// # Errors
/// The code and what it means here.
pub fn admits(
    change: &Change,
    signatures: &[Signature],
    council: &Council,
    (person, choice): (&PersonId, Choice),
    standing: Standing,
    now: Timestamp,
) -> Result<(), (ErrorCode, String)> {
    let no = |code: ErrorCode, text: &str| Err((code, text.to_owned()));
    let own_recovery = change.weight() == Weight::Recovery && Some(person) == change.person();
    if !(council.contains(person) || (choice == Choice::Deny && own_recovery)) {
        return no(ErrorCode::NotAnAdmin, "only an admin can sign this");
    }
    if choice == Choice::Approve && is_barred(change, council, person) {
        return no(ErrorCode::SelfApproval, "this change concerns you, so somebody else must sign it");
    }
    match standing {
        Standing::Refused => return no(ErrorCode::AlreadyDecided, "this change was refused"),
        Standing::Due => return no(ErrorCode::AlreadyDecided, "this change is in effect"),
        Standing::Expired => return no(ErrorCode::ChangeOver, "too late: this change has ended"),
        Standing::Waiting { .. } | Standing::Delayed { .. } => {}
    }
    if choice == Choice::Deny {
        return Ok(());
    }
    if signatures.iter().any(|one| one.person == *person && one.choice == Choice::Approve) {
        return no(ErrorCode::AlreadyApproved, "your signature counts already");
    }
    match standing {
        Standing::Delayed { signed, needed, .. } if signed >= needed => {
            no(ErrorCode::AlreadyApproved, "enough admins have signed; it takes effect by itself")
        }
        _ if now > change.sign_by => no(ErrorCode::ChangeOver, "too late: this change takes no more signatures"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
