//! Finds the passkey that an answer names, and its owner; and the passkeys to look for by a user name.
//! In: a browser's answer, or a name. Out: both rows, where both may act; credential ids.
//! Implements WebAuthn L3 §7.2 steps 6 to 8, ATTACKS 61.
//! Never shows by what it answers whether somebody is called so, or whether a credential id was made up: that is refused
//! for its signature.

use serde_json::Value;

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::ids::{Digest, MAX_NAME_CHARS, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::session::{decoys, made_up};
use crate::domain::time::Timestamp;
use crate::passkeys::{assertion, nobody};
use crate::store::passkeys::{PasskeyRow, SuspendedWhy};
use crate::store::people::PersonRow;
use crate::store::{Reader, StoreError};

use super::{AppError, Countersign};

impl Countersign {
    /// The passkey that an answer names, and its owner, where both may act.
    pub(super) fn passkey_of(&self, response: &Value) -> Result<(PasskeyRow, PersonRow), AppError> {
        let credential_id = assertion::credential_id(response)
            .ok_or_else(|| AppError::refused(ErrorCode::AssertionInvalid, "the answer names no credential"))?;
        self.store.read(|reader| {
            let made_up = made_up(&reader.decoys()?, &credential_id);
            let passkey = match (reader.passkey(&credential_id)?, made_up) {
                (None, Some(user_handle)) => return nobodys(&credential_id, user_handle),
                (found, _) => found.ok_or_else(unknown)?,
            };
            let person = able(reader, &passkey)?;
            Ok((passkey, person))
        })
    }

    /// The credential ids for a user name or a person's id; a name that nobody has gets ids that nobody has.
    pub(super) fn keys_of_name(&self, name: &str) -> Result<Vec<Vec<u8>>, AppError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            let text = format!("a user name has 1 to {MAX_NAME_CHARS} characters and no control characters");
            return Err(AppError::refused(ErrorCode::ParameterInvalid, text));
        }
        self.store.read(|reader| {
            let decoys = decoys(&reader.decoys()?, name);
            let known = known_keys(reader, name)?;
            Ok(if known.is_empty() { decoys } else { known })
        })
    }
}

/// The person of a passkey, where both may act. One that was removed is not known any more, so that a browser may forget
/// it; one that is suspended, itself or with its owner, may come back.
pub(super) fn able(reader: &Reader<'_>, passkey: &PasskeyRow) -> Result<PersonRow, AppError> {
    if passkey.suspended_why == Some(SuspendedWhy::Removed) {
        return Err(unknown());
    }
    if passkey.suspended.is_some() {
        return Err(AppError::refused(ErrorCode::PasskeySuspended, "this passkey is suspended"));
    }
    let person = reader.person(&passkey.person)?.ok_or_else(unknown)?;
    if person.suspended.is_some() {
        return Err(AppError::refused(ErrorCode::PasskeySuspended, "the owner of this passkey is suspended"));
    }
    Ok(person)
}

/// No such passkey.
pub(super) fn unknown() -> AppError {
    AppError::refused(ErrorCode::PasskeyUnknown, "this passkey is not known here (any more)")
}

/// The credential ids of a person's passkeys that may act.
pub(super) fn keys_of(reader: &Reader<'_>, person: &PersonId) -> Result<Vec<Vec<u8>>, StoreError> {
    let own = reader.passkeys_of(person)?.into_iter().filter(|key| key.suspended.is_none());
    Ok(own.map(|key| key.credential_id).collect())
}

fn known_keys(reader: &Reader<'_>, name: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let called = name.to_lowercase();
    let mut keys = Vec::new();
    for person in reader.people()? {
        let meant = person.id.as_str() == called || person.name.to_lowercase() == called;
        if meant && person.suspended.is_none() {
            keys.extend(keys_of(reader, &person.id)?);
        }
    }
    Ok(keys)
}

/// A passkey that is in no table: no signature verifies against it, and no unit finds it.
fn nobodys(credential_id: &[u8], user_handle: [u8; 16]) -> Result<(PasskeyRow, PersonRow), AppError> {
    let never = Timestamp::default();
    let person = PersonId::from_random([0; 10]);
    let passkey = PasskeyRow {
        id: -1,
        person: person.clone(),
        credential_id: credential_id.to_vec(),
        public_key_sha256: Digest::of(credential_id),
        credential: nobody::credential(credential_id)?,
        registered: AuthenticatorFacts { backup_eligible: false, backup_state: false, counter: 0 },
        aaguid: None,
        format: None,
        vouched: Vouched::default(),
        name: String::new(),
        added: never,
        last_used: None,
        suspended: None,
        suspended_why: None,
        rests_until: None,
        admitted_by: None,
        entry: 0,
    };
    let person = PersonRow {
        id: person,
        name: String::new(),
        user_handle,
        admin: false,
        auditor: false,
        created: never,
        suspended: None,
        email: None,
        entry: 0,
    };
    Ok((passkey, person))
}
