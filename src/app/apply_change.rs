//! Does what a change says: the one place that writes about people, for the console and for admins alike.
//! In: a change that may take effect, inside the writer's unit. Out: its entries and rows.
//! Implements DESIGN §11: what is done about somebody is in the log in the same unit.
//! Never asks who may: `sign_change` and the console do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::canonical;
use crate::domain::change::authority::Authority;
use crate::domain::change::{About, Act, Change, Concern};
use crate::domain::ids::{Digest, GroupName, PersonId, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::Role;
use crate::domain::people::email::Email;
use crate::domain::people::name::confusable;
use crate::domain::time::Timestamp;
use crate::store::changes::ChangeRow;
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::people::PersonRow;
use crate::store::{Reader, StoreError, Unit};

use super::AppError;
use super::enrolment_link::{Letter, renew_link};
use super::grants::{end_of_passkey, end_of_person};
use super::put_rules::may_follow;
use super::starters::starters;
use super::tie_user::{tie, untie};

/// On whose word something is done.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// The console's, at once.
    Console,
    /// Admins', who signed a change.
    Change(&'a ChangeRow),
}

impl Word<'_> {
    /// As documents spell it.
    pub const fn authority(self) -> Authority {
        match self {
            Self::Console => Authority::Console,
            Self::Change(row) => Authority::Change(row.entry),
        }
    }
}

/// What was done beside the entries.
#[derive(Debug, Default)]
pub struct Applied {
    /// Requests that ended, since nobody knows any more who started their job.
    pub voided: Vec<RequestId>,
    /// Until when the enrolment link works, where one was made.
    pub expires: Option<Timestamp>,
}

/// Whether a change can be done now.
///
/// # Errors
/// What keeps it from being done: it is done already, or would leave nobody.
pub fn possible(reader: &Reader<'_>, change: &Change) -> Result<(), AppError> {
    match &change.about {
        About::Person(concern) => possible_about(reader, concern),
        About::Rules { rules } => may_follow(reader, rules),
    }
}

/// Whether an act can be done about its person now.
fn possible_about(reader: &Reader<'_>, concern: &Concern) -> Result<(), AppError> {
    let refused = |code, text: String| Err(AppError::refused(code, text));
    let name = &concern.name;
    if let Act::Invite { .. } = &concern.act {
        return name_is_free(reader, name);
    }
    let person = reader.person(&concern.person)?;
    let person = person.ok_or_else(|| AppError::refused(ErrorCode::NotFound, format!("{name} is not known here")))?;
    let already = |what: &str| refused(ErrorCode::AlreadyDecided, format!("{name} {what} already"));
    let active = person.suspended.is_none();
    match &concern.act {
        Act::Restore if active => return refused(ErrorCode::AlreadyDecided, format!("{name} is not suspended")),
        Act::Suspend if !active => return already("is suspended"),
        Act::Restore | Act::Suspend | Act::Leave { .. } | Act::RemovePasskey { .. } | Act::Unlink { .. } => {}
        _ if !active => {
            let refused = AppError::refused(ErrorCode::AlreadyDecided, format!("{name} is suspended"));
            return Err(refused.with_hint("let them in again first: countersign people restore PERSON"));
        }
        _ => {}
    }
    let member = |group: &GroupName| Ok::<_, AppError>(reader.memberships(&person.id)?.contains_key(group));
    match &concern.act {
        Act::Join { group } if member(group)? => already(&format!("is in {group}")),
        Act::Leave { group } if !member(group)? => refused(ErrorCode::NotFound, format!("{name} is not in {group}")),
        Act::Role { role } if person.role() == *role => already(&format!("is {}", role.with_article())),
        Act::Email { address } if person.email == *address => {
            already(if address.is_some() { "has this e-mail address" } else { "has no e-mail address" })
        }
        Act::Email { address: Some(address) } => email_is_free(reader, &person.id, address),
        Act::Suspend => somebody_is_left(reader, &person),
        Act::Role { role } if *role != Role::Admin => somebody_is_left(reader, &person),
        Act::RemovePasskey { credential } => {
            passkey(reader, &person.id, credential)?;
            if active_passkeys(reader, &person.id)?.len() == 1 {
                return refused(ErrorCode::LastPasskey, format!("{name} has no other passkey"));
            }
            Ok(())
        }
        Act::Vouch { credential } => match passkey(reader, &person.id, credential)?.rests_until {
            Some(_) => Ok(()),
            None => already("may sign with this passkey"),
        },
        Act::Link { issuer, user_id, .. } => match reader.linked(issuer, user_id)? {
            Some(link) if link.person == person.id => already(&format!("is tied to user {user_id} of `{issuer}`")),
            Some(link) => {
                let text = format!("user {user_id} of `{issuer}` is tied to {} already", link.person);
                let cure = format!("untie it first: countersign people unlink --issuer {issuer} --user-id {user_id}");
                Err(AppError::refused(ErrorCode::AlreadyDecided, text).with_hint(&cure))
            }
            None => Ok(()),
        },
        Act::Unlink { issuer, user_id } if !starters(reader, issuer, Some(user_id), None)?.include(&person.id) => {
            refused(ErrorCode::NotFound, format!("user {user_id} of `{issuer}` is not tied to {name}"))
        }
        _ => Ok(()),
    }
}

/// An admin with a passkey must remain, or nobody but the console could let anybody in.
fn somebody_is_left(reader: &Reader<'_>, person: &PersonRow) -> Result<(), AppError> {
    let council = reader.council()?;
    if council.contains(&person.id) && council.len() == 1 {
        let text = format!("{} is the only admin with a passkey", person.name);
        return Err(AppError::refused(ErrorCode::LastAdmin, text));
    }
    Ok(())
}

/// Nobody is called so, nor so that one could be taken for the other.
pub fn name_is_free(reader: &Reader<'_>, name: &str) -> Result<(), AppError> {
    match reader.people()?.into_iter().find(|row| confusable(&row.name, name)) {
        None => Ok(()),
        Some(row) => {
            let text = if row.name == name {
                format!("somebody is called `{name}` already")
            } else {
                format!("`{name}` could be taken for {}", row.id)
            };
            Err(AppError::refused(ErrorCode::NameTaken, text)
                .with_hint("choose a name that tells them apart, or see `countersign people list`"))
        }
    }
}

/// Nobody else has this address: tools that go by it would take one for the other.
fn email_is_free(reader: &Reader<'_>, person: &PersonId, address: &Email) -> Result<(), AppError> {
    let mut others = reader.people()?.into_iter().filter(|row| row.id != *person);
    match others.find(|row| row.email.as_ref().is_some_and(|known| known.may_be(address))) {
        None => Ok(()),
        Some(row) => {
            let text = format!("`{address}` is the address of {}", row.id);
            Err(AppError::refused(ErrorCode::NameTaken, text).with_hint("take it from them first, or use another"))
        }
    }
}

/// A person's passkeys that sign, oldest first.
pub fn active_passkeys(reader: &Reader<'_>, person: &PersonId) -> Result<Vec<PasskeyRow>, StoreError> {
    Ok(reader.passkeys_of(person)?.into_iter().filter(|key| key.suspended.is_none()).collect())
}

/// The groups of a person, and those of changes that wait: a passkey that is added now signs for them later.
pub fn groups_to_be(reader: &Reader<'_>, person: &PersonId) -> Result<BTreeSet<GroupName>, StoreError> {
    let mut groups: BTreeSet<_> = reader.memberships(person)?.into_keys().collect();
    for row in reader.open_changes()?.into_iter().filter(|row| row.change.person() == Some(person)) {
        match row.change.concern().map(|concern| &concern.act) {
            Some(Act::Invite { groups: asked, .. }) => groups.extend(asked.iter().cloned()),
            Some(Act::Join { group }) => {
                groups.insert(group.clone());
            }
            _ => {}
        }
    }
    Ok(groups)
}

/// A person's passkey by its public key.
pub fn passkey(reader: &Reader<'_>, person: &PersonId, credential: &Digest) -> Result<PasskeyRow, AppError> {
    let found = active_passkeys(reader, person)?.into_iter().find(|key| key.public_key_sha256 == *credential);
    found.ok_or_else(|| AppError::refused(ErrorCode::NotFound, "the person has no such passkey"))
}

/// The first stage of an invitation: the person is there and may come; groups and role wait.
pub fn admit(unit: &mut Unit<'_>, concern: &Concern, word: Word<'_>) -> Result<Applied, AppError> {
    possible_about(&unit.reader(), concern)?;
    add_person(unit, &concern.person, &concern.name, Role::Member, word.authority())?;
    let Act::Invite { invitation, .. } = &concern.act else { return Ok(Applied::default()) };
    let letter = Letter { word, recovery: false, from: unit.now() };
    let expires = renew_link(unit, &concern.person, *invitation, &letter)?;
    Ok(Applied { expires: Some(expires), ..Applied::default() })
}

/// Does it all; `admitted` says that the first stage of an invitation is done.
pub fn apply(unit: &mut Unit<'_>, concern: &Concern, word: Word<'_>, admitted: bool) -> Result<Applied, AppError> {
    let mut applied = if let (Act::Invite { .. }, false) = (&concern.act, admitted) {
        admit(unit, concern, word)?
    } else {
        if !admitted {
            possible_about(&unit.reader(), concern)?;
        }
        Applied::default()
    };
    let (person, by) = (&concern.person, word.authority());
    match &concern.act {
        Act::Invite { groups, role, .. } => {
            // Whoever was suspended meanwhile gets nothing.
            if unit.reader().person(person)?.is_none_or(|row| row.suspended.is_some()) {
                return Err(AppError::refused(ErrorCode::AlreadyDecided, format!("{} is suspended", concern.name)));
            }
            join(unit, person, groups, by)?;
            if *role != Role::Member {
                set_role(unit, person, *role, by)?;
            }
        }
        Act::Join { group } => join(unit, person, &BTreeSet::from([group.clone()]), by)?,
        Act::Leave { group } => {
            act(unit, "left", person, by, json!({ "groups": [group] }))?;
            unit.delete_membership(group, person)?;
        }
        Act::Role { role } => set_role(unit, person, *role, by)?,
        Act::Email { address } => {
            act(unit, "email", person, by, json!({ "email": address }))?;
            unit.set_email(person, address.as_ref())?;
        }
        Act::Suspend => {
            act(unit, "suspended", person, by, json!({}))?;
            end_of_person(unit, person)?;
            unit.suspend_person(person)?;
        }
        Act::Restore => {
            act(unit, "restored", person, by, json!({}))?;
            unit.restore_person(person)?;
        }
        Act::RemovePasskey { credential } => {
            let key = passkey(&unit.reader(), person, credential)?;
            remove_passkey(unit, person, &key, by)?;
        }
        Act::Vouch { credential } => {
            let key = passkey(&unit.reader(), person, credential)?;
            act(unit, "vouched", person, by, json!({ "credential": credential }))?;
            unit.end_rest(key.id)?;
        }
        Act::Link { issuer, user_id, owner } => applied.voided = tie(unit, person, by, (issuer, user_id, *owner))?,
        Act::Unlink { issuer, user_id } => applied.voided = untie(unit, person, by, (issuer, user_id))?,
        Act::Recover { invitation } => {
            if by == Authority::Console {
                act(unit, "recovered", person, by, json!({}))?;
            }
            let letter = Letter { word, recovery: true, from: unit.now() };
            applied.expires = Some(renew_link(unit, person, *invitation, &letter)?);
        }
    }
    Ok(applied)
}

/// Ends what the first stage of an invitation began: the invited person gets nothing.
pub fn shut_out(unit: &mut Unit<'_>, person: &PersonId, row: &ChangeRow) -> Result<(), AppError> {
    if unit.reader().person(person)?.is_some_and(|found| found.suspended.is_none()) {
        act(unit, "suspended", person, Word::Change(row).authority(), json!({}))?;
        end_of_person(unit, person)?;
        unit.suspend_person(person)?;
    }
    Ok(())
}

/// Adds a person.
pub fn add_person(unit: &mut Unit<'_>, id: &PersonId, name: &str, role: Role, by: Authority) -> Result<(), AppError> {
    let user_handle = unit.random()?;
    let document = json!({ "admin": role == Role::Admin, "name": name, "person": id, "by": by.to_string() });
    let digest = unit.put_evidence("person", &canonical::to_bytes(&document)?, Some(id))?;
    let entry = unit.append(Event::Person {
        outcome: "added".to_owned(),
        person: id.clone(),
        evidence: BTreeMap::from([("person".to_owned(), digest)]),
    })?;
    unit.insert_person(&PersonRow {
        id: id.clone(),
        name: name.to_owned(),
        user_handle,
        admin: role == Role::Admin,
        auditor: role == Role::Auditor,
        created: unit.now(),
        suspended: None,
        email: None,
        entry,
    })?;
    Ok(())
}

/// Puts a person into groups.
pub fn join(
    unit: &mut Unit<'_>,
    person: &PersonId,
    groups: &BTreeSet<GroupName>,
    by: Authority,
) -> Result<(), AppError> {
    if groups.is_empty() {
        return Ok(());
    }
    let entry = act(unit, "joined", person, by, json!({ "groups": groups }))?;
    for group in groups {
        unit.insert_membership(group, person, entry)?;
    }
    Ok(())
}

/// Takes a passkey away.
pub fn remove_passkey(unit: &mut Unit<'_>, person: &PersonId, key: &PasskeyRow, by: Authority) -> Result<(), AppError> {
    act(unit, "passkey_removed", person, by, json!({ "credential": key.public_key_sha256 }))?;
    end_of_passkey(unit, person, key.id)?;
    Ok(unit.suspend_passkey(key.id, SuspendedWhy::Removed)?)
}

fn set_role(unit: &mut Unit<'_>, person: &PersonId, role: Role, by: Authority) -> Result<(), AppError> {
    let before = unit.reader().person(person)?.map(|row| row.role());
    act(unit, "role", person, by, json!({ "before": before, "role": role }))?;
    Ok(unit.set_role(person, role)?)
}

/// An entry about a person: what was done, on whose word, and the values of it.
fn act(unit: &mut Unit<'_>, what: &str, person: &PersonId, by: Authority, values: Value) -> Result<u64, AppError> {
    let mut document = json!({ "act": what, "by": by.to_string(), "person": person });
    if let (Value::Object(document), Value::Object(values)) = (&mut document, values) {
        document.extend(values);
    }
    let digest = unit.put_evidence("act", &canonical::to_bytes(&document)?, Some(person))?;
    Ok(unit.append(Event::Admin {
        outcome: what.to_owned(),
        person: person.clone(),
        evidence: BTreeMap::from([("act".to_owned(), digest)]),
    })?)
}
