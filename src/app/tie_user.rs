//! Ties an issuer's user to a person, on the word of the console or of admins, and unties it.
//! In: whose user, inside the writer's unit. Out: entries and rows, and the requests that ended with it.
//! Implements DESIGN §11.
//! Never asks who may: `sign_change` and the console do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::canonical;
use crate::domain::change::LinkKind;
use crate::domain::change::authority::Authority;
use crate::domain::ids::{IssuerName, PersonId, RequestId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::standing::Mark;
use crate::store::links::LinkRow;
use crate::store::people::PersonRow;
use crate::store::{Reader, Unit};

use super::AppError;
use super::decide_request::end;
use super::starters::starters;

/// Ties a user to a person; what the person proved of it is confirmed by that, and is not needed any more.
pub(super) fn tie(
    unit: &mut Unit<'_>,
    person: &PersonId,
    by: Authority,
    (issuer, user_id, owner): (&IssuerName, &str, LinkKind),
) -> Result<Vec<RequestId>, AppError> {
    let mut document = document(&by.to_string(), issuer, person, user_id);
    if let (LinkKind::Bot, Value::Object(members)) = (owner, &mut document) {
        members.insert("owner".to_owned(), json!(owner));
    }
    let entry = append(unit, "added", person, issuer, &document)?;
    unit.delete_proved(issuer, user_id, person)?;
    unit.insert_link(issuer, user_id, &LinkRow { person: person.clone(), owner, entry })?;
    void_requests_of(unit, issuer, user_id)
}

/// Unties a user from a person, whoever said that it is theirs.
pub(super) fn untie(
    unit: &mut Unit<'_>,
    person: &PersonId,
    by: Authority,
    (issuer, user_id): (&IssuerName, &str),
) -> Result<Vec<RequestId>, AppError> {
    append(unit, "removed", person, issuer, &document(&by.to_string(), issuer, person, user_id))?;
    if unit.reader().linked(issuer, user_id)?.is_some_and(|link| link.person == *person) {
        unit.delete_link(issuer, user_id)?;
    }
    unit.delete_proved(issuer, user_id, person)?;
    void_requests_of(unit, issuer, user_id)
}

/// The one person to whom a user is tied; where nobody else says whose it is, the one who proved it.
pub(super) fn tied_to(reader: &Reader<'_>, issuer: &IssuerName, user_id: &str) -> Result<PersonRow, AppError> {
    let starters = starters(reader, issuer, Some(user_id), None)?;
    let person = match (&starters.link, starters.proved.as_slice()) {
        (Some(link), _) => &link.person,
        (None, [one]) => &one.person,
        (None, []) => {
            let text = format!("user {user_id} of `{issuer}` is tied to nobody");
            return Err(AppError::refused(ErrorCode::NotFound, text).with_hint("see `countersign people list`"));
        }
        (None, [_, ..]) => {
            let text = format!("several people proved that user {user_id} of `{issuer}` is theirs");
            return Err(AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("say from whom: `--person`"));
        }
    };
    reader.person(person)?.ok_or_else(|| AppError::internal("a link without its person"))
}

/// The document of a link: whose user it is, and on whose word.
pub(super) fn document(by: &str, issuer: &IssuerName, person: &PersonId, user_id: &str) -> Value {
    json!({ "by": by, "issuer": issuer, "person": person, "user_id": user_id })
}

fn append(
    unit: &mut Unit<'_>,
    outcome: &str,
    person: &PersonId,
    issuer: &IssuerName,
    document: &Value,
) -> Result<u64, AppError> {
    let digest = unit.put_evidence("link", &canonical::to_bytes(document)?, Some(person))?;
    Ok(unit.append(Event::Link {
        outcome: outcome.to_owned(),
        person: person.clone(),
        issuer: issuer.clone(),
        passkey: None,
        issuer_keys: None,
        evidence: BTreeMap::from([("link".to_owned(), digest)]),
    })?)
}

/// Requests of jobs that this user started: what was signed says who the starter was, and that is not so any more.
pub(super) fn void_requests_of(
    unit: &mut Unit<'_>,
    issuer: &IssuerName,
    user_id: &str,
) -> Result<Vec<RequestId>, AppError> {
    let mut voided = Vec::new();
    for row in unit.reader().live_requests_of_issuer(issuer, unit.now())? {
        if row.request.job_claim("user_id") == Some(user_id) {
            end(unit, &row, Mark::Voided)?;
            voided.push(row.request.id);
        }
    }
    Ok(voided)
}
