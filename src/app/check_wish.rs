//! Checks a wish as far as that goes without looking at people: counts, issuers, numbers, names, addresses.
//! In: what somebody typed or chose. Out: values that are well formed, or what is wrong with them.
//! Implements DESIGN §11.
//! Never looks anybody up.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::email::Email;
use crate::domain::people::name;

use super::propose_change::Wish;
use super::{AppError, Countersign};

/// Most groups that one invitation names.
pub const MAX_GROUPS_OF_INVITATION: usize = 50;

impl Countersign {
    /// What can be said of a wish without looking at people.
    pub(super) fn check_wish(&self, wish: &Wish) -> Result<(), AppError> {
        if let Wish::Invite { groups, .. } = wish
            && groups.len() > MAX_GROUPS_OF_INVITATION
        {
            let text = format!("an invitation names at most {MAX_GROUPS_OF_INVITATION} groups");
            let refused = AppError::refused(ErrorCode::ParameterInvalid, text);
            return Err(refused.with_hint("let further groups follow: countersign people join"));
        }
        let (Wish::Link { issuer, user_id, .. } | Wish::Unlink { issuer, user_id, .. }) = wish else { return Ok(()) };
        // Whoever is tied to an issuer that is gone can still be untied.
        if matches!(wish, Wish::Link { .. }) && self.settings.issuer(issuer).is_none() {
            let known: Vec<_> = self.settings.issuers.iter().map(|one| one.terms.name.to_string()).collect();
            let text = format!("there is no issuer `{issuer}`; the configuration has {}", known.join(", "));
            return Err(AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("use one of these names"));
        }
        if user_id.is_empty() || user_id.len() > 20 || !user_id.bytes().all(|b| b.is_ascii_digit()) {
            let refused = AppError::refused(ErrorCode::ParameterInvalid, "a GitLab user id is a number");
            return Err(refused.with_hint("copy it from the user's page in GitLab: `User ID`"));
        }
        Ok(())
    }
}

/// An address as somebody typed it; nothing is none.
pub(super) fn typed_email(typed: &str) -> Result<Option<Email>, AppError> {
    match typed.trim() {
        "" => Ok(None),
        typed => Email::parse(typed).map(Some).map_err(|error| {
            AppError::refused(ErrorCode::ParameterInvalid, error.to_string()).with_hint("write it as name@host")
        }),
    }
}

/// A person's name as it is kept.
///
/// # Errors
/// What is wrong with it.
pub fn checked_name(typed: &str) -> Result<String, AppError> {
    name::checked(typed).map_err(|text| {
        AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("write the name on one line, in plain letters")
    })
}
