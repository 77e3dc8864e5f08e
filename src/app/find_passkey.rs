//! Finds the passkey that an answer names, and its owner.
//! In: a browser's answer. Out: both rows, where both may act.
//! Implements WebAuthn L3 §7.2 steps 6 to 8, ATTACKS 61.
//! Never shows by what it answers whether a credential id was made up: that is refused for its signature.

use serde_json::Value;

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::ids::{Digest, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::session::made_up;
use crate::domain::time::Timestamp;
use crate::passkeys::{assertion, nobody};
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;

use super::{AppError, Countersign};

impl Countersign {
    /// The passkey that an answer names, and its owner, where both may act.
    pub(super) fn passkey_of(&self, response: &Value) -> Result<(PasskeyRow, PersonRow), AppError> {
        let unknown = || AppError::refused(ErrorCode::PasskeyUnknown, "this passkey is not known here");
        let credential_id = assertion::credential_id(response)
            .ok_or_else(|| AppError::refused(ErrorCode::AssertionInvalid, "the answer names no credential"))?;
        self.store.read(|reader| {
            let made_up = made_up(&reader.decoys()?, &credential_id);
            let passkey = match (reader.passkey(&credential_id)?, made_up) {
                (None, Some(user_handle)) => return nobodys(&credential_id, user_handle),
                (found, _) => found.filter(|row| row.suspended.is_none()).ok_or_else(unknown)?,
            };
            let person = reader.person(&passkey.person)?.filter(|row| row.suspended.is_none()).ok_or_else(unknown)?;
            Ok((passkey, person))
        })
    }
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
