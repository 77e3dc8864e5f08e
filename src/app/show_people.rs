//! Shows people to those who look after them: everybody, one person, the changes that wait.
//! In: who looks, for everybody a place to go on from, or a person. Out: rows, judged.
//! Implements SCREENS (Admin: People), DESIGN §11.
//! Never decides who may look, and never changes anything.

use std::collections::BTreeSet;

use crate::domain::assurance::models::Trusted;
use crate::domain::ids::{GroupName, IssuerName, PersonId};
use crate::domain::time::Timestamp;
use crate::store::Reader;
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;

use super::add_passkey::{NamedBy, model_name};
use super::keep_passkeys::OwnPasskey;
use super::known::{approval_terms, judged};
use super::list_people::{ChangeLine, PersonLine, line};
use super::use_session::SignedIn;
use super::{AppError, Countersign};

/// People on one page of the list; further ones are a link away.
pub const MAX_PEOPLE_SHOWN: usize = 200;

/// A user of an issuer who is tied to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLink {
    /// Short name of the issuer.
    pub issuer: IssuerName,
    /// The user's number.
    pub user_id: String,
    /// Whose it is, on whose word.
    pub whose: Whose,
}

/// Whose an issuer's user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The person's own, the console or admins say.
    Theirs,
    /// A bot's, for which the person answers.
    Bots,
    /// The person's own, as they proved by a pipeline; nobody confirmed it.
    Proved,
}

/// What model a passkey is, and on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenModel {
    /// Its maker proves it.
    Proven(String),
    /// It claims to be this.
    Claimed(String),
    /// It does not say.
    Unsaid,
}

/// A passkey of somebody's.
#[derive(Debug, Clone)]
pub struct SeenKey {
    /// The row, and what it can prove.
    pub key: OwnPasskey,
    /// What it is.
    pub model: SeenModel,
}

/// A person, seen.
#[derive(Debug, Clone)]
pub struct SeenPerson {
    /// As listed.
    pub line: PersonLine,
    /// Their passkeys that were not removed, oldest first.
    pub keys: Vec<SeenKey>,
    /// Users of issuers.
    pub links: Vec<SeenLink>,
}

/// A part of everybody, by name.
#[derive(Debug, Clone)]
pub struct Everybody {
    /// Who.
    pub people: Vec<SeenPerson>,
    /// Where the next part begins, where there is one.
    pub next: Option<usize>,
    /// Whoever looks is the only admin who can sign.
    pub alone: bool,
}

impl Countersign {
    /// Everybody by name, from a place in the list.
    pub fn everybody(&self, me: &SignedIn, from: usize) -> Result<Everybody, AppError> {
        let (now, trusted) = (self.clock.now(), self.trusted());
        self.store.read(|reader| {
            let rows = reader.people()?;
            let end = from.saturating_add(MAX_PEOPLE_SHOWN);
            let next = (rows.len() > end).then_some(end);
            let shown = rows.into_iter().skip(from).take(MAX_PEOPLE_SHOWN);
            let people = shown.map(|row| seen(reader, row, &trusted, now)).collect::<Result<_, AppError>>()?;
            let council = reader.council()?;
            Ok(Everybody { people, next, alone: council.len() == 1 && council.contains(&me.person.id) })
        })
    }

    /// One person; `None` where there is nobody of that id.
    pub fn one_person(&self, id: &PersonId) -> Result<Option<SeenPerson>, AppError> {
        let (now, trusted) = (self.clock.now(), self.trusted());
        self.store.read(|reader| reader.person(id)?.map(|row| seen(reader, row, &trusted, now)).transpose())
    }

    /// Groups that rules name or people are in: what a form suggests.
    pub fn known_groups(&self) -> Result<BTreeSet<GroupName>, AppError> {
        let mut groups: BTreeSet<_> = self.store.read(|reader| reader.group_names())?;
        for rule in self.rules().rules.iter() {
            groups.extend(approval_terms(rule).into_iter().flat_map(|terms| terms.of.iter().cloned()));
        }
        Ok(groups)
    }

    /// How many changes want signatures.
    pub fn changes_to_sign(&self) -> Result<usize, AppError> {
        Ok(self.list_changes()?.iter().filter(|one| one.wants_signatures()).count())
    }

    /// Changes about one person that wait.
    pub fn changes_about(&self, person: &PersonId) -> Result<Vec<ChangeLine>, AppError> {
        let mut changes = self.list_changes()?;
        changes.retain(|one| one.person.as_ref() == Some(person));
        Ok(changes)
    }
}

fn model_of(row: &PasskeyRow) -> SeenModel {
    let aaguid = row.aaguid.map_or([0; 16], |aaguid| aaguid.0);
    match model_name(&aaguid, &row.vouched.attestation) {
        Some((name, NamedBy::Maker)) => SeenModel::Proven(name),
        Some((name, _)) => SeenModel::Claimed(name),
        None => SeenModel::Unsaid,
    }
}

fn seen(reader: &Reader<'_>, row: PersonRow, trusted: &Trusted, now: Timestamp) -> Result<SeenPerson, AppError> {
    let keys = reader.passkeys_of(&row.id)?.into_iter().map(|row| {
        let at = row.last_used.unwrap_or(now);
        let model = model_of(&row);
        let assurance = judged(trusted, (row.registered, row.registered), &row.vouched, at);
        SeenKey { key: OwnPasskey { row, assurance }, model }
    });
    let tied = reader.links_of(&row.id)?.into_iter().map(|(issuer, user_id, bot)| {
        let whose = if bot { Whose::Bots } else { Whose::Theirs };
        SeenLink { issuer, user_id, whose }
    });
    let proved = reader.proved_by(&row.id)?.into_iter();
    let proved = proved.map(|(issuer, user_id)| SeenLink { issuer, user_id, whose: Whose::Proved });
    Ok(SeenPerson { keys: keys.collect(), links: tied.chain(proved).collect(), line: line(reader, row)? })
}
