//! `claims`: which claims are asked for by name, and with which values.
//! In: the parameter, JSON. Out: names; a level that is wanted; whom the client expects.
//! Implements OpenID Connect Core §5.5 and §5.5.1.
//! Never promises a claim: what the scopes give is what is given, beside what every ID token has.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::domain::canonical::strict_value;
use crate::domain::ids::PersonId;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::check_acr::wish;
use super::{Asked, Draft, invalid, refuse};

/// Longest `claims`, in bytes.
pub const MAX_CLAIMS: usize = 4096;
/// Most claims that are asked for by name in one place.
pub const MAX_CLAIM_NAMES: usize = 64;

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(said) = asked.said.get("claims") else { return Ok(()) };
    if said.len() > MAX_CLAIMS {
        return Err(invalid(format!("`claims` is longer than {MAX_CLAIMS} bytes")));
    }
    let Ok(Value::Object(claims)) = strict_value(said.as_bytes()) else {
        return Err(invalid("`claims` is not a JSON object"));
    };
    let (id_token, userinfo) = (member(&claims, "id_token")?, member(&claims, "userinfo")?);
    draft.claims.id_token = names(id_token)?;
    draft.claims.userinfo = names(userinfo)?;
    // What tells of the authentication stands in the ID token; asked for elsewhere it says nothing of the sign-in.
    if let Some(acr) = id_token.and_then(|place| place.get("acr")).and_then(Value::as_object) {
        let essential = acr.get("essential").and_then(Value::as_bool).unwrap_or(false);
        draft.acr = wish(&values(acr), essential)?;
        let demanded = draft.acr.as_ref().filter(|wish| wish.essential);
        draft.claims.acr_most = demanded.and_then(|wish| wish.values.iter().copied().max());
    }
    for place in [id_token, userinfo].into_iter().flatten() {
        expect_subject(place, draft)?;
    }
    Ok(())
}

fn member<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(invalid(format!("`{name}` of `claims` is not an object"))),
    }
}

fn names(place: Option<&Map<String, Value>>) -> Result<BTreeSet<String>, Refusal> {
    let Some(place) = place else { return Ok(BTreeSet::new()) };
    if place.len() > MAX_CLAIM_NAMES {
        return Err(invalid(format!("`claims` names more than {MAX_CLAIM_NAMES} claims in one place")));
    }
    if place.values().any(|wish| !matches!(wish, Value::Null | Value::Object(_))) {
        return Err(invalid("a claim of `claims` is neither `null` nor an object"));
    }
    Ok(place.keys().cloned().collect())
}

/// The values of a claim's wish, in order; what is no text is none of ours.
fn values(wish: &Map<String, Value>) -> Vec<&str> {
    let one = wish.get("value").and_then(Value::as_str);
    let list = wish.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(list).collect()
}

/// A `sub` with a value: nobody else may be signed in (§5.5.1).
fn expect_subject(place: &Map<String, Value>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(subject) = place.get("sub").and_then(|wish| wish.get("value")) else { return Ok(()) };
    let person = subject.as_str().and_then(|text| PersonId::parse(text).ok());
    let person = person.ok_or_else(|| refuse(ErrorCode::HintInvalid, "`sub` of `claims` is nobody's id"))?;
    if draft.hinted.as_ref().is_some_and(|before| *before != person) {
        return Err(refuse(ErrorCode::HintInvalid, "`claims` names two people"));
    }
    draft.hinted = Some(person);
    Ok(())
}
