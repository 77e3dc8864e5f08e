//! `acr_values`: the level that would be liked.
//! In: the parameter; what `claims` wants stands before it. Out: the levels that exist here.
//! Implements OpenID Connect Core §3.1.2.1 and §5.5.1.1, OpenID EAP ACR Values 1.0.
//! Never takes a level that does not exist for one that does: where nothing else will do, that is told.

use crate::domain::assurance::Acr;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

use super::{AcrWish, Asked, Draft, refuse};

/// The levels of this server.
pub const LEVELS: [Acr; 2] = [Acr::Phr, Acr::Phrh];

/// What is wanted, by the names of levels; nothing where none of them exists, unless nothing else will do.
pub(super) fn wish(names: &[&str], essential: bool) -> Result<Option<AcrWish>, Refusal> {
    let known = |name: &&str| LEVELS.into_iter().find(|level| level.as_str() == *name);
    let values: Vec<Acr> = names.iter().filter_map(known).collect();
    if values.is_empty() && !names.is_empty() && essential {
        let text = "the level that `acr` demands does not exist here; there are `phr` and `phrh`";
        return Err(refuse(ErrorCode::AcrUnmet, text));
    }
    Ok((!values.is_empty()).then_some(AcrWish { values, essential }))
}

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(said) = asked.said.get("acr_values") else { return Ok(()) };
    // The same wish may come in both places (§3.1.2.1 says the one, §5.5 the other): the one that says more stands.
    if draft.acr.as_ref().is_none_or(|before| !before.essential) {
        let names: Vec<_> = said.split(' ').filter(|name| !name.is_empty()).collect();
        draft.acr = wish(&names, false)?.or(draft.acr.take());
    }
    Ok(())
}
