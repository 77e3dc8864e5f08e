//! A ceremony over a statement: what a browser is asked, and whether it answered with the signature.
//! In: a statement of the server's own; a browser's answer. Out: options; the verified assertion.
//! Implements DESIGN §6, WebAuthn L3 §7.2.
//! Never takes a statement from the client, and says the same of a challenge that was used, is old or was never given.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::bundle::signatures::AssertionEvidence;
use crate::domain::canonical::{self, Bytes};
use crate::domain::ids::{Digest, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::statement::challenge;
use crate::passkeys::assertion::{self, StoredCredential, Verification};
use crate::passkeys::{PasskeyError, RelyingParty};
use crate::store::ceremonies::{CeremonyFor, CeremonyKind};
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;
use crate::store::{StoreError, Unit};

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

/// What was signed is not what is at hand.
pub(super) fn mismatch(text: &str) -> AppError {
    AppError::refused(ErrorCode::StatementMismatch, text)
}

/// A ceremony that was started for something or somebody else.
fn anothers(kind: CeremonyKind) -> AppError {
    mismatch(match kind {
        CeremonyKind::Approval => "this ceremony is over another request",
        CeremonyKind::Change => "this ceremony is over another change",
        CeremonyKind::Registration => "this ceremony is over another invitation",
        CeremonyKind::Addition | CeremonyKind::Link | CeremonyKind::Device => "this ceremony is of another session",
    })
}

/// The document of a verified assertion.
pub(super) fn assertion_document(passkey: &PasskeyRow, verified: &Verification) -> Result<Vec<u8>, AppError> {
    Ok(canonical::to_bytes(&AssertionEvidence {
        authenticator_data: Bytes(verified.authenticator_data.clone()),
        client_data_json: Bytes(verified.client_data_json.clone()),
        credential_id: Bytes(passkey.credential_id.clone()),
        signature: Bytes(verified.signature.clone()),
    })?)
}

/// Keeps documents, each with whose it is, where it is somebody's; the digests by which an entry names them.
pub(super) fn put_documents(
    unit: &mut Unit<'_>,
    documents: &[(&str, &[u8], Option<&PersonId>)],
) -> Result<BTreeMap<String, Digest>, StoreError> {
    let put = documents
        .iter()
        .map(|(name, bytes, person)| Ok(((*name).to_owned(), unit.put_evidence(name, bytes, *person)?)));
    put.collect()
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

    /// Takes a ceremony in a unit of its own, so that it is gone whatever comes of it. Where nobody says for what, it is not
    /// theirs.
    pub(super) async fn take(
        &self,
        kind: CeremonyKind,
        id: &str,
        subject: Option<CeremonyFor>,
    ) -> Result<Asked, AppError> {
        let id = id.to_owned();
        let taken = self.store.write(move |unit| -> Result<_, StoreError> {
            let now = unit.now();
            Ok(unit.take_ceremony(kind, &id)?.filter(|row| row.is_fresh(now)))
        });
        let row = taken.await?.ok_or_else(challenge_unknown)?;
        if subject.is_none_or(|subject| row.subject != subject) {
            return Err(anothers(kind));
        }
        Ok(Asked { statement: row.statement, listed: row.listed })
    }

    /// The passkey of this person that signed what was asked; one whose counter went back is suspended.
    pub(super) async fn signed_by(
        &self,
        person: &PersonId,
        asked: &Asked,
        response: &Value,
    ) -> Result<(PasskeyRow, Verification), AppError> {
        let (passkey, owner) = self.passkey_of(response)?;
        if owner.id != *person {
            return Err(AppError::refused(ErrorCode::PasskeyUnknown, "this passkey is not yours"));
        }
        match self.is_signed((&passkey, &owner), asked, response) {
            Err(error @ PasskeyError::CounterRolledBack { .. }) => Err(self.suspect(&owner, passkey, error).await),
            verified => Ok((passkey, verified?)),
        }
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
