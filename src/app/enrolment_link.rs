//! Makes an enrolment link: its entry, its row, who invites, and the most that a passkey made with it may carry.
//! In: a person, the digest of a secret, on whose word. Out: until when the link works.
//! Implements DESIGN §11.
//! Never sees the secret itself.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::assurance::Acr;
use crate::domain::assurance::evidence::Admission;
use crate::domain::canonical;
use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::statement::Choice;
use crate::domain::time::{ENROLMENT_LINK, Timestamp};
use crate::store::changes::ChangeRow;
use crate::store::people::InvitationRow;
use crate::store::{Reader, StoreError, Unit};

use super::AppError;
use super::apply_change::Word;

/// An enrolment link that is made.
pub struct Letter<'a> {
    /// On whose word.
    pub word: Word<'a>,
    /// The person lost every passkey.
    pub recovery: bool,
    /// When its day begins.
    pub from: Timestamp,
}

/// Makes an enrolment link; earlier ones of the person end.
pub fn renew_link(
    unit: &mut Unit<'_>,
    person: &PersonId,
    secret_sha256: Digest,
    letter: &Letter<'_>,
) -> Result<Timestamp, AppError> {
    let expires = letter.from + ENROLMENT_LINK;
    let by = letter.word.authority().to_string();
    let (invited_by, admitted) = match letter.word {
        Word::Console => (super::console::CONSOLE.to_owned(), None),
        Word::Change(row) => (inviter(&unit.reader(), row)?, Some(vouching(&unit.reader(), row)?)),
    };
    let document = json!({ "expires": expires, "invitation": secret_sha256, "invited_by": by, "person": person });
    let evidence = unit.put_evidence("invitation", &canonical::to_bytes(&document)?, Some(person))?;
    let entry = unit.append(Event::Enrolment {
        outcome: if letter.recovery { "recovery" } else { "invited" }.to_owned(),
        person: person.clone(),
        invitation: secret_sha256,
        expires,
        evidence: BTreeMap::from([("invitation".to_owned(), evidence)]),
    })?;
    unit.insert_invitation(&InvitationRow {
        secret_sha256,
        person: person.clone(),
        invited_by,
        expires,
        ended: None,
        session_sha256: None,
        session_until: None,
        recovery: letter.recovery.then_some(by),
        admitted,
        created: unit.now(),
        entry,
    })?;
    Ok(expires)
}

/// Who invites, as the page says it: the admin who signed first.
fn inviter(reader: &Reader<'_>, row: &ChangeRow) -> Result<String, AppError> {
    let signatures = reader.change_signatures(&row.change.id)?;
    let first = signatures.iter().find(|one| one.choice == Choice::Approve).map(|one| reader.person(&one.person));
    Ok(first.transpose()?.flatten().map_or_else(|| "An admin".to_owned(), |person| person.name))
}

/// The least that the admins proved whose signatures let somebody in.
fn vouching(reader: &Reader<'_>, row: &ChangeRow) -> Result<Admission, StoreError> {
    let proved = reader.change_proved(&row.change.id)?;
    let acr = proved.iter().map(|one| one.acr).min().unwrap_or(Acr::Phr);
    Ok(Admission { acr, mfa: !proved.is_empty() && proved.iter().all(|one| one.mfa) })
}
