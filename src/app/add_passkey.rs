//! Adds a passkey: what is kept of it, what it is called, and what is said where a policy does not take it.
//! In: a verified registration, the verdict over its attestation. Out: the log entry, or the refusal.
//! Implements DESIGN §11 (device policies), SCREENS' refused device.
//! Never shows a claimed name as a proven one.

use crate::domain::assurance::evidence::{Aaguid, Attestation, Source, Vouched};
use crate::domain::assurance::models::Trusted;
use crate::domain::assurance::policy::{Miss, first_miss};
use crate::domain::bundle::signatures::RegistrationEvidence;
use crate::domain::canonical::{self, Bytes};
use crate::domain::ids::{MAX_NAME_CHARS, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::session::made_up;
use crate::domain::statement::challenge;
use crate::domain::time::Timestamp;
use crate::passkeys::registration::{self, Registered};
use crate::passkeys::{RelyingParty, device};
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;
use crate::store::{Reader, Unit};

use super::AppError;
use super::apply_change::groups_to_be;
use super::ceremony::{Ceremony, put_documents};
use super::known::device_of;
use super::settings::DeviceSettings;

/// What a browser is asked, so that the passkey it makes signs the statement.
pub(super) fn ask_for_passkey(
    relying_party: &RelyingParty,
    id: String,
    statement: Vec<u8>,
    person: &PersonRow,
    known: &[Vec<u8>],
) -> Result<Ceremony, AppError> {
    let (handle, name, challenge) = (&person.user_handle, &person.name, challenge(&statement));
    let options = registration::options(relying_party, handle, name, name, known, challenge);
    let options = options.map_err(AppError::internal)?;
    let statement = String::from_utf8(statement).map_err(AppError::internal)?;
    Ok(Ceremony { id, options, statement })
}

/// A passkey that is added.
pub(super) struct NewPasskey<'a> {
    /// As it was registered.
    pub registered: &'a Registered,
    /// What is proven of it.
    pub vouched: &'a Vouched,
    /// Its name.
    pub name: &'a str,
}

/// Whose word admits a passkey.
#[derive(Debug, Default)]
pub(super) struct AdmittedBy {
    /// Index of the invitation's entry.
    pub enrolment: Option<u64>,
    /// The passkey that admits it.
    pub by: Option<PasskeyRow>,
    /// Index of the entry of the session in which that happens.
    pub session: Option<u64>,
    /// Until when it approves nothing: it is made after a recovery.
    pub rests_until: Option<Timestamp>,
}

/// A key is enrolled once, whoever has it.
pub(super) fn unknown_so_far(reader: &Reader<'_>, registered: &Registered) -> Result<(), AppError> {
    let id = &registered.credential_id;
    // Whoever tries out an id that was listed for a name learns nothing of it here either.
    let listed = reader.passkey(id)?.is_some() || made_up(&reader.decoys()?, id).is_some();
    if listed || reader.has_public_key(&registered.public_key_sha256)? {
        return Err(AppError::refused(ErrorCode::PasskeyKnown, "this passkey is enrolled already"));
    }
    Ok(())
}

/// A passkey's name: 1 to 100 characters, no control characters, no white space around it. Its owner alone reads it.
pub(super) fn passkey_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    let count = name.chars().count();
    if count == 0 || count > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let text = format!("a name has 1 to {MAX_NAME_CHARS} characters and no control characters");
        return Err(AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("write the name on one line"));
    }
    Ok(name.to_owned())
}

/// The device is what the policies of enrolments and of the person's groups ask for, those that wait included.
pub(super) fn meets_policies(
    reader: &Reader<'_>,
    person: &PersonId,
    (devices, trusted): (&DeviceSettings, &Trusted),
    (registered, vouched): (&Registered, &Vouched),
) -> Result<(), AppError> {
    let groups: Vec<_> = groups_to_be(reader, person)?.into_iter().collect();
    let device = device_of(trusted, (registered.facts, registered.facts), vouched);
    match first_miss(devices.policies_for(&groups), &device) {
        None => Ok(()),
        Some(miss) => Err(not_taken(registered, &vouched.attestation, &miss)),
    }
}

/// Adds a passkey, with its evidence: the log entry.
pub(super) fn write_passkey(
    unit: &mut Unit<'_>,
    admission: &AdmittedBy,
    person: &PersonRow,
    statement: &[u8],
    passkey: &NewPasskey<'_>,
) -> Result<u64, AppError> {
    let NewPasskey { registered, vouched, name } = *passkey;
    let document = canonical::to_bytes(&RegistrationEvidence {
        attestation_object: Bytes(registered.attestation_object.clone()),
        client_data_json: Bytes(registered.client_data_json.clone()),
        transports: registered.transports.clone(),
    })?;
    let owner = Some(&person.id);
    let documents = [("statement", statement, owner), ("registration", &document, owner)];
    let mut evidence = put_documents(unit, &documents)?;
    if *vouched != Vouched::default() {
        let document = canonical::to_bytes(vouched)?;
        evidence.insert("attestation".to_owned(), unit.put_evidence("attestation", &document, Some(&person.id))?);
    }
    let entry = unit.append(Event::Passkey {
        outcome: "added".to_owned(),
        person: person.id.clone(),
        credential: registered.public_key_sha256,
        enrolment: admission.enrolment,
        admitted_by: admission.by.as_ref().map(|by| by.entry),
        added: None,
        session: admission.session,
        evidence,
    })?;
    unit.insert_passkey(&PasskeyRow {
        id: 0,
        person: person.id.clone(),
        credential_id: registered.credential_id.clone(),
        public_key_sha256: registered.public_key_sha256,
        credential: registered.credential.clone(),
        registered: registered.facts,
        aaguid: Some(Aaguid(registered.aaguid)),
        format: Some(registered.format.clone()),
        vouched: vouched.clone(),
        name: name.to_owned(),
        added: unit.now(),
        last_used: None,
        suspended: None,
        suspended_why: None,
        rests_until: admission.rests_until,
        admitted_by: admission.by.as_ref().map(|by| by.id),
        entry,
    })?;
    Ok(entry)
}

/// Whose word a device's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// Its maker's, proven.
    Maker,
    /// The client's.
    Client,
    /// Ours, for want of another.
    Us,
}

/// What a model is called, and on whose word; `None` where nobody says.
pub(super) fn model_name(aaguid: &[u8; 16], attestation: &Attestation) -> Option<(String, NamedBy)> {
    let known = device::claimed_name(aaguid);
    let Attestation::Proven(proof) = attestation else { return Some((known?.to_owned(), NamedBy::Client)) };
    // The operator's own roots have a name that is not a device's; the model is proven all the same.
    let name = match proof.source {
        Source::Metadata(_) => proof.model.name.as_str(),
        Source::Configured(_) => known.unwrap_or("Passkey"),
    };
    Some((name.chars().take(MAX_NAME_CHARS).collect(), NamedBy::Maker))
}

/// A name for a device.
pub(super) fn device_name(registered: &Registered, attestation: &Attestation) -> (String, NamedBy) {
    model_name(&registered.aaguid, attestation).unwrap_or_else(|| {
        let ours = if registered.facts.backup_eligible { "Synced passkey" } else { "Passkey" };
        (ours.to_owned(), NamedBy::Us)
    })
}

/// A device that a policy does not take: what was seen, which policy, what would do.
fn not_taken(registered: &Registered, attestation: &Attestation, miss: &Miss) -> AppError {
    let (name, named_by) = device_name(registered, attestation);
    let seen = match named_by {
        NamedBy::Maker => format!("This is a {name}, proven by its maker"),
        NamedBy::Client => format!("This looks like {name} (claimed)"),
        NamedBy::Us => "This device does not say what it is".to_owned(),
    };
    let text = format!("{seen}, and policy \"{}\" does not take it: {}", miss.policy, miss.what);
    let place = if named_by == NamedBy::Us { "your device" } else { &name };
    let cure = format!("{}. Nothing was kept. You may delete the new passkey in {place}.", capital(&miss.cure));
    AppError::refused(ErrorCode::PolicyNotMet, text).with_hint(&cure)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
