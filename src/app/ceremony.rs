//! A ceremony over a statement: what a browser is asked, and whether it answered with the signature.
//! In: a statement of the server's own; a browser's answer. Out: options; the verified assertion.
//! Implements DESIGN §6, WebAuthn L3 §7.2.
//! Never takes a statement from the client, and says the same of a challenge that was used, is old or was never given.

use serde_json::Value;

use crate::domain::ids::Digest;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::statement::challenge;
use crate::passkeys::assertion::{self, StoredCredential, Verification};
use crate::passkeys::{PasskeyError, RelyingParty};
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;

use super::{AppError, Countersign};

/// A ceremony that a browser may start.
#[derive(Debug)]
pub struct Ceremony {
    /// Its id, named when it is finished.
    pub id: String,
    /// Options for `navigator.credentials.get` or `create`.
    pub options: Value,
    /// The statement, as it is signed.
    pub statement: String,
}

/// What a ceremony asked to be signed, once it is taken.
pub(super) struct Asked {
    /// The canonical statement.
    pub statement: Vec<u8>,
    /// The passkeys that the browser was told to look for; `None`: the person picked any.
    pub listed: Option<Vec<Vec<u8>>>,
}

/// There is no such ceremony any more.
pub(super) fn challenge_unknown() -> AppError {
    AppError::refused(ErrorCode::ChallengeUnknown, "this challenge was used, has expired or was never given")
}

/// A passkey, as an assertion is verified against it.
pub(super) fn stored<'a>(passkey: &'a PasskeyRow, person: &'a PersonRow) -> StoredCredential<'a> {
    StoredCredential {
        credential: &passkey.credential,
        credential_id: &passkey.credential_id,
        user_handle: &person.user_handle,
    }
}

/// Whether an answer is a passkey's signature over a challenge, where it was one of those that were listed.
pub(super) fn verified(
    relying_party: &RelyingParty,
    (challenge, listed): (Digest, Option<&[Vec<u8>]>),
    stored: &StoredCredential<'_>,
    response: &Value,
) -> Result<Verification, PasskeyError> {
    match listed {
        Some(listed) if !listed.iter().any(|id| id == stored.credential_id) => Err(PasskeyError::PasskeyUnknown),
        Some(_) => assertion::verify_listed(relying_party, challenge, stored, response),
        None => assertion::verify(relying_party, challenge, stored, response),
    }
}

impl Countersign {
    /// What a browser is asked, so that a passkey signs a statement: one of those listed, or any.
    pub(super) fn ask_to_sign(&self, id: String, asked: Asked) -> Result<Ceremony, AppError> {
        let Asked { statement, listed } = asked;
        let options = assertion::options(&self.relying_party, challenge(&statement), &listed.unwrap_or_default());
        let statement = String::from_utf8(statement).map_err(AppError::internal)?;
        Ok(Ceremony { id, options, statement })
    }

    /// Whether an answer is this passkey's signature over a statement.
    pub(super) fn is_signed(
        &self,
        (passkey, person): (&PasskeyRow, &PersonRow),
        asked: &Asked,
        response: &Value,
    ) -> Result<Verification, PasskeyError> {
        let (rp, challenge) = (&self.relying_party, challenge(&asked.statement));
        verified(rp, (challenge, asked.listed.as_deref()), &stored(passkey, person), response)
    }
}
