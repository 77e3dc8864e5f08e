//! `id_token_hint`: whom the client expects.
//! In: the parameter, already verified. Out: the person.
//! Implements OpenID Connect Core §3.1.2.1 and §3.1.2.2; an old token is as good a hint as a new one.
//! Never takes a token that another client was given.

use crate::domain::ids::PersonId;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{Asked, Draft, Hinted, refuse};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let wrong = |text: &str| refuse(ErrorCode::HintInvalid, text);
    let hint = match &asked.hint {
        Hinted::Absent => return Ok(()),
        Hinted::NotOurs => return Err(wrong("`id_token_hint` is no ID token of this server")),
        Hinted::By(hint) => hint,
    };
    if hint.audience != draft.client()?.id.as_str() {
        return Err(wrong("`id_token_hint` was made for another client"));
    }
    let person = PersonId::parse(&hint.subject).map_err(|_| wrong("`id_token_hint` names no person"))?;
    if draft.hinted.as_ref().is_some_and(|before| *before != person) {
        return Err(wrong("`id_token_hint` and `claims` name two people"));
    }
    draft.hinted = Some(person);
    Ok(())
}
