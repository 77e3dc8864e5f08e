//! Shows a change: what the page draws.
//! In: a link id, and who looks. Out: the record, where it stands, how things are now, and whether its names are shown.
//! Implements SCREENS (Admin: each change shows the difference and is signed with a passkey).
//! Never shows another change: the link opens this one alone; of one that is over it names nobody to strangers.

use crate::domain::change::standing::Standing;
use crate::domain::change::{About, Act, Change, Concern, OtherRules, Proposer};
use crate::domain::ids::ChangeId;
use crate::domain::people::Role;
use crate::domain::people::email::Email;
use crate::domain::rules::difference::{SetDifference, of_sets};
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;
use crate::store::changes::{ChangeRow, ChangeState};
use crate::store::{Reader, StoreError};

use super::apply_change::active_passkeys;
use super::put_rules::copy_of;
use super::settle_changes::stands;
use super::use_session::SignedIn;
use super::{AppError, Countersign};

/// Who looks at a change.
#[derive(Debug, Clone, Copy)]
pub enum Onlooker<'a> {
    /// Whoever has the link.
    LinkHolder,
    /// Somebody who is signed in.
    SignedIn(&'a SignedIn),
    /// Whoever has just signed it.
    Signer,
}

impl Onlooker<'_> {
    /// Whether names are shown to them whatever became of the change: to admins, auditors, and whom it concerns.
    fn is_concerned(self, change: &Change) -> bool {
        match self {
            Self::LinkHolder => false,
            Self::SignedIn(me) => me.sees_administration() || change.person() == Some(&me.person.id),
            Self::Signer => true,
        }
    }
}

/// A change, seen.
#[derive(Debug, Clone)]
pub struct SeenChange {
    /// The record and its state.
    pub row: ChangeRow,
    /// Where it stands.
    pub standing: Standing,
    /// How things are, and how they will be: `in no group`, `in release-managers`.
    pub difference: Option<(String, String)>,
    /// What becomes of the rules, where it is about those.
    pub rules: Option<SetDifference>,
    /// What people may not have meant with them.
    pub cautions: Vec<String>,
    /// When it was refused.
    pub refused_at: Option<Timestamp>,
    /// What keeps it from being done now, where something does.
    pub hindrance: Option<String>,
    /// Whether names are shown: while it waits whoever signs must see whom it concerns, afterwards not everybody.
    pub named: bool,
    /// What the admin is called who proposed it on a page, for those whom it concerns.
    pub proposer: Option<String>,
    /// The present, by the log.
    pub now: Timestamp,
}

impl Countersign {
    /// A change by its link id; `None` where there is none. Does what its time has come for first.
    pub async fn view_change(&self, id: &ChangeId, looks: Onlooker<'_>) -> Result<Option<SeenChange>, AppError> {
        self.settle_changes().await?;
        let (terms, wall) = (self.settings.people, self.clock.now());
        self.store.read(|reader| -> Result<_, AppError> {
            let Some(row) = reader.change(id)? else { return Ok(None) };
            let now = reader.last_time()?.map_or(wall, |last| last.max(wall));
            let standing = stands(reader, &row, &terms, now)?;
            let refusal = reader.change_signatures(id)?.into_iter().find(|one| one.choice == Choice::Deny);
            let concerned = looks.is_concerned(&row.change);
            let waits = matches!(standing, Standing::Waiting { .. } | Standing::Delayed { .. });
            let named = concerned || waits;
            let open = named && row.state.is_open();
            let (difference, rules) = match &row.change.about {
                About::Person(concern) if open => (Some(difference(reader, concern)?), None),
                About::Rules { rules } if named && waits => (None, Some(self.difference_of_rules(reader, rules)?)),
                About::Person(_) | About::Rules { .. } => (None, None),
            };
            let hindrance = match super::apply_change::possible(reader, &row.change) {
                Err(AppError::Refused { refusal, .. }) if named && row.state == ChangeState::Open => {
                    Some(refusal.description)
                }
                Err(fault @ AppError::Fault { .. }) => return Err(fault),
                _ => None,
            };
            let proposer = match &row.change.by {
                Proposer::Person(person) if concerned => reader.person(person)?.map(|person| person.name),
                _ => None,
            };
            Ok(Some(SeenChange {
                refused_at: refusal.map(|one| one.at),
                named,
                proposer,
                difference,
                cautions: if rules.is_some() { self.cautions_of_waiting_rules() } else { Vec::new() },
                rules,
                hindrance,
                standing,
                now,
                row,
            }))
        })
    }
}

impl Countersign {
    /// What differs between the sets of a change: those in memory, where they are these, else the store's copies.
    fn difference_of_rules(&self, reader: &Reader<'_>, other: &OtherRules) -> Result<SetDifference, AppError> {
        let known = self.rules();
        match known.waits.as_ref().filter(|waits| waits.rules.digest() == other.after) {
            Some(waits) if known.rules.digest() == other.before => Ok(of_sets(&known.rules, &waits.rules)),
            _ => Ok(of_sets(&copy_of(reader, &other.before)?, &copy_of(reader, &other.after)?)),
        }
    }

    fn cautions_of_waiting_rules(&self) -> Vec<String> {
        self.rules().waits.as_ref().map(|waits| waits.warnings.clone()).unwrap_or_default()
    }
}

impl SeenChange {
    /// What it does, as an instruction; of nobody by name where names are not shown.
    pub fn words(&self) -> String {
        let change = &self.row.change;
        if self.named { change.words() } else { change.words_without_name() }
    }

    /// Whether it could not be done when its time came.
    pub fn has_failed(&self) -> bool {
        self.row.state == ChangeState::Failed
    }

    /// Whether a restore ended it.
    pub fn is_voided(&self) -> bool {
        self.row.state == ChangeState::Voided
    }

    /// Whether the files of the rules ended it.
    pub fn is_withdrawn(&self) -> bool {
        self.row.state == ChangeState::Withdrawn
    }

    /// Whether the invited person may come already.
    pub fn is_admitted(&self) -> bool {
        self.row.state == ChangeState::Admitted
    }
}

fn listed(groups: impl Iterator<Item = String>) -> String {
    let groups: Vec<_> = groups.collect();
    if groups.is_empty() { "in no group".to_owned() } else { format!("in {}", groups.join(", ")) }
}

/// The same thing before and after, as words.
fn difference(reader: &Reader<'_>, concern: &Concern) -> Result<(String, String), StoreError> {
    let Concern { person, name, act } = concern;
    let known = reader.person(person)?;
    let groups: Vec<_> = reader.memberships(person)?.into_keys().map(|group| group.to_string()).collect();
    let keys = || Ok::<_, StoreError>(active_passkeys(reader, person)?.len());
    Ok(match act {
        Act::Invite { groups, role, .. } => {
            let then = format!("{}, {}", role.with_article(), listed(groups.iter().map(ToString::to_string)));
            ("not known here".to_owned(), then)
        }
        Act::Join { group } => {
            let mut then = groups.clone();
            then.push(group.to_string());
            then.sort();
            (listed(groups.into_iter()), listed(then.into_iter()))
        }
        Act::Leave { group } => {
            let then: Vec<_> = groups.iter().filter(|one| **one != group.as_str()).cloned().collect();
            (listed(groups.into_iter()), listed(then.into_iter()))
        }
        Act::Role { role } => {
            let now = known.map_or(Role::Member, |row| row.role());
            (now.with_article().to_owned(), role.with_article().to_owned())
        }
        Act::Email { address } => {
            let words = |email: Option<&Email>| email.map_or_else(|| "no address".to_owned(), ToString::to_string);
            (words(known.as_ref().and_then(|row| row.email.as_ref())), words(address.as_ref()))
        }
        Act::Suspend => ("may sign".to_owned(), "may do nothing, at once".to_owned()),
        Act::Restore => ("suspended".to_owned(), "may sign again".to_owned()),
        Act::RemovePasskey { credential } => {
            let key = active_passkeys(reader, person)?.into_iter().find(|key| key.public_key_sha256 == *credential);
            let count = keys()?;
            let key = key.map_or_else(|| "a passkey".to_owned(), |key| format!("“{}”", key.name));
            (counted(count), format!("{} without {key}", counted(count.saturating_sub(1))))
        }
        Act::Vouch { .. } => ("its new passkey rests".to_owned(), "its new passkey signs".to_owned()),
        Act::Recover { .. } => (counted(keys()?), "one new passkey; all others are removed".to_owned()),
        Act::Link { .. } => ("tied to nobody".to_owned(), name.clone()),
        Act::Unlink { .. } => (name.clone(), "tied to nobody".to_owned()),
    })
}

fn counted(keys: usize) -> String {
    match keys {
        0 => "no passkey".to_owned(),
        1 => "1 passkey".to_owned(),
        many => format!("{many} passkeys"),
    }
}
