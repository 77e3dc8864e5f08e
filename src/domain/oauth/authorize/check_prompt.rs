//! `prompt`: what people must be asked, or that nobody may be asked.
//! In: the parameter. Out: its values.
//! Implements OpenID Connect Core §3.1.2.1 (`none` stands alone).
//! Never takes a value that it would not act on.

use crate::domain::rules::Refusal;

use super::{Asked, Draft, Prompt, invalid};

pub(super) fn run(asked: &Asked<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(said) = asked.said.get("prompt") else { return Ok(()) };
    for word in said.split(' ').filter(|word| !word.is_empty()) {
        let prompt = Prompt::ALL.into_iter().find(|prompt| prompt.as_str() == word);
        let prompt =
            prompt.ok_or_else(|| invalid("`prompt` has a value other than none, login, consent, select_account"))?;
        draft.prompt.insert(prompt);
    }
    if draft.prompt.contains(&Prompt::None) && draft.prompt.len() > 1 {
        return Err(invalid("`prompt` has `none` beside another value"));
    }
    Ok(())
}
