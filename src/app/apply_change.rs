//! Does what a change says: the one place that writes about people, for the console and for admins alike.
//! In: a change that may take effect, inside the writer's unit. Out: its entries and rows.
//! Implements DESIGN §11: what is done about somebody is in the log in the same unit.
//! Never asks who may: `sign_change` and the console do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::assurance::Acr;
use crate::domain::assurance::evidence::Admission;
use crate::domain::canonical;
use crate::domain::change::{Act, Change};
use crate::domain::ids::{ChangeId, Digest, GroupName, PersonId, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::Role;
use crate::domain::people::name::confusable;
use crate::domain::statement::Choice;
use crate::domain::time::{ENROLMENT_LINK, Timestamp};
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::people::{InvitationRow, PersonRow};
use crate::store::{Reader, StoreError, Unit};

use super::AppError;
use super::starters::starters;
use super::tie_user::{tie, untie};

/// Who does something at once, in documents and rows.
pub const CONSOLE: &str = "console";

/// What was done beside the entries.
#[derive(Debug, Default)]
pub struct Applied {
    /// Requests that ended, since nobody knows any more who started their job.
    pub voided: Vec<RequestId>,
    /// Until when the enrolment link works, where one was made.
    pub expires: Option<Timestamp>,
}

/// Whether the act can be done now.
///
/// # Errors
/// What keeps it from being done: it is done already, or would leave nobody.
pub fn possible(reader: &Reader<'_>, change: &Change) -> Result<(), AppError> {
    let refused = |code, text: String| Err(AppError::refused(code, text));
    let name = &change.name;
    if let Act::Invite { .. } = &change.act {
        return name_is_free(reader, name);
    }
    let person = reader.person(&change.person)?;
    let person = person.ok_or_else(|| AppError::refused(ErrorCode::NotFound, format!("{name} is not known here")))?;
    let already = |what: &str| refused(ErrorCode::AlreadyDecided, format!("{name} {what} already"));
    let active = person.suspended.is_none();
    match &change.act {
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
    match &change.act {
        Act::Join { group } if member(group)? => already(&format!("is in {group}")),
        Act::Leave { group } if !member(group)? => refused(ErrorCode::NotFound, format!("{name} is not in {group}")),
        Act::Role { role } if person.role() == *role => already(&format!("is {}", role.with_article())),
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

/// A person's passkeys that sign, oldest first.
pub fn active_passkeys(reader: &Reader<'_>, person: &PersonId) -> Result<Vec<PasskeyRow>, StoreError> {
    Ok(reader.passkeys_of(person)?.into_iter().filter(|key| key.suspended.is_none()).collect())
}

/// The groups of a person, and those of changes that wait: a passkey that is added now signs for them later.
pub fn groups_to_be(reader: &Reader<'_>, person: &PersonId) -> Result<BTreeSet<GroupName>, StoreError> {
    let mut groups: BTreeSet<_> = reader.memberships(person)?.into_keys().collect();
    for row in reader.open_changes()?.into_iter().filter(|row| row.change.person == *person) {
        match row.change.act {
            Act::Invite { groups: asked, .. } => groups.extend(asked),
            Act::Join { group } => {
                groups.insert(group);
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
pub fn admit(unit: &mut Unit<'_>, change: &Change, by: &str) -> Result<Applied, AppError> {
    possible(&unit.reader(), change)?;
    add_person(unit, &change.person, &change.name, Role::Member, by)?;
    let Act::Invite { invitation, .. } = &change.act else { return Ok(Applied::default()) };
    let expires = renew_link(unit, &change.person, *invitation, &Letter { by, recovery: false, from: unit.now() })?;
    Ok(Applied { expires: Some(expires), ..Applied::default() })
}

/// Does it all; `admitted` says that the first stage of an invitation is done.
pub fn apply(unit: &mut Unit<'_>, change: &Change, by: &str, admitted: bool) -> Result<Applied, AppError> {
    let mut applied = if let (Act::Invite { .. }, false) = (&change.act, admitted) {
        admit(unit, change, by)?
    } else {
        if !admitted {
            possible(&unit.reader(), change)?;
        }
        Applied::default()
    };
    let person = &change.person;
    match &change.act {
        Act::Invite { groups, role, .. } => {
            // Whoever was suspended meanwhile gets nothing.
            if unit.reader().person(person)?.is_none_or(|row| row.suspended.is_some()) {
                return Err(AppError::refused(ErrorCode::AlreadyDecided, format!("{} is suspended", change.name)));
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
        Act::Suspend => {
            act(unit, "suspended", person, by, json!({}))?;
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
            if by == CONSOLE {
                act(unit, "recovered", person, by, json!({}))?;
            }
            let letter = Letter { by, recovery: true, from: unit.now() };
            applied.expires = Some(renew_link(unit, person, *invitation, &letter)?);
        }
    }
    Ok(applied)
}

/// Ends what the first stage of an invitation began: the invited person gets nothing.
pub fn shut_out(unit: &mut Unit<'_>, change: &Change) -> Result<(), AppError> {
    if unit.reader().person(&change.person)?.is_some_and(|row| row.suspended.is_none()) {
        act(unit, "suspended", &change.person, change.id.as_str(), json!({}))?;
        unit.suspend_person(&change.person)?;
    }
    Ok(())
}

/// Adds a person.
pub fn add_person(unit: &mut Unit<'_>, id: &PersonId, name: &str, role: Role, by: &str) -> Result<(), AppError> {
    let user_handle = unit.random()?;
    let document = json!({ "admin": role == Role::Admin, "name": name, "person": id, "by": by });
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
        entry,
    })?;
    Ok(())
}

/// Puts a person into groups.
pub fn join(unit: &mut Unit<'_>, person: &PersonId, groups: &BTreeSet<GroupName>, by: &str) -> Result<(), AppError> {
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
pub fn remove_passkey(unit: &mut Unit<'_>, person: &PersonId, key: &PasskeyRow, by: &str) -> Result<(), AppError> {
    act(unit, "passkey_removed", person, by, json!({ "credential": key.public_key_sha256 }))?;
    Ok(unit.suspend_passkey(key.id, SuspendedWhy::Removed)?)
}

fn set_role(unit: &mut Unit<'_>, person: &PersonId, role: Role, by: &str) -> Result<(), AppError> {
    let before = unit.reader().person(person)?.map(|row| row.role());
    act(unit, "role", person, by, json!({ "before": before, "role": role }))?;
    Ok(unit.set_role(person, role)?)
}

/// An entry about a person: what was done, on whose word, and the values of it.
fn act(unit: &mut Unit<'_>, what: &str, person: &PersonId, by: &str, values: Value) -> Result<u64, AppError> {
    let mut document = json!({ "act": what, "by": by, "person": person });
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

/// Who invites, as the page says it: the console, or the admin who signed first.
fn inviter(reader: &Reader<'_>, by: &str) -> Result<String, AppError> {
    let Ok(change) = ChangeId::parse(by) else { return Ok(super::console::CONSOLE.to_owned()) };
    let signatures = reader.change_signatures(&change)?;
    let first = signatures.iter().find(|one| one.choice == Choice::Approve).map(|one| reader.person(&one.person));
    Ok(first.transpose()?.flatten().map_or_else(|| "An admin".to_owned(), |person| person.name))
}

/// The least that the admins proved whose signatures let somebody in; the console's word has no level.
fn vouching(reader: &Reader<'_>, by: &str) -> Result<Option<Admission>, StoreError> {
    let Ok(change) = ChangeId::parse(by) else { return Ok(None) };
    let proved = reader.change_proved(&change)?;
    let acr = proved.iter().map(|one| one.acr).min().unwrap_or(Acr::Phr);
    Ok(Some(Admission { acr, mfa: !proved.is_empty() && proved.iter().all(|one| one.mfa) }))
}

/// An enrolment link that is made.
pub struct Letter<'a> {
    /// On whose word.
    pub by: &'a str,
    /// The person lost every passkey.
    pub recovery: bool,
    /// When its day begins.
    pub from: Timestamp,
}

/// Makes an enrolment link; earlier ones of the person end.
pub fn renew_link(
    unit: &mut Unit<'_>,
    person: &PersonId,
    secret_sha256: Digest,
    letter: &Letter<'_>,
) -> Result<Timestamp, AppError> {
    let expires = letter.from + ENROLMENT_LINK;
    let invited_by = inviter(&unit.reader(), letter.by)?;
    let document =
        json!({ "expires": expires, "invitation": secret_sha256, "invited_by": letter.by, "person": person });
    let evidence = unit.put_evidence("invitation", &canonical::to_bytes(&document)?, Some(person))?;
    let entry = unit.append(Event::Enrolment {
        outcome: if letter.recovery { "recovery" } else { "invited" }.to_owned(),
        person: person.clone(),
        invitation: secret_sha256,
        expires,
        evidence: BTreeMap::from([("invitation".to_owned(), evidence)]),
    })?;
    unit.insert_invitation(&InvitationRow {
        secret_sha256,
        person: person.clone(),
        invited_by,
        expires,
        ended: None,
        session_sha256: None,
        session_until: None,
        recovery: letter.recovery.then(|| letter.by.to_owned()),
        admitted: vouching(&unit.reader(), letter.by)?,
        created: unit.now(),
        entry,
    })?;
    Ok(expires)
}
