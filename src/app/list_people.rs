//! Lists people, one person's passkeys, and the changes that wait.
//! In: nothing, or a person. Out: lines that print, serialise, or stand on a page.
//! Implements DESIGN §11, §12.
//! Never changes anything.

use serde::{Deserialize, Serialize};

use crate::domain::change::standing::Standing;
use crate::domain::ids::{ChangeId, Digest, GroupName, PersonId};
use crate::domain::people::Role;
use crate::domain::people::email::Email;
use crate::domain::time::Timestamp;
use crate::store::Reader;
use crate::store::people::PersonRow;

use super::apply_change::active_passkeys;
use super::console::ConsoleAnswer;
use super::propose_change::find_person;
use super::settle_changes::stands;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// A person, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonLine {
    /// Who.
    pub person: PersonId,
    /// Decoration.
    pub name: String,
    /// What they may do beside what groups allow.
    pub role: Role,
    /// Their e-mail address, where admins said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Since when suspended, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Timestamp>,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// How many passkeys.
    pub passkeys: usize,
    /// Users of issuers, `gitlab:88`; a bot's with `(bot)`, one that the person proved alone
    /// with `(proved)`.
    pub links: Vec<String>,
}

/// A person's passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyLine {
    /// SHA-256 of its public key.
    pub credential: Digest,
    /// As its owner calls it.
    pub name: String,
    /// When it was added.
    pub added: Timestamp,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Until when it approves nothing: it was made after a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
}

/// A person, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonDetails {
    /// As listed.
    #[serde(flatten)]
    pub line: PersonLine,
    /// Each passkey, oldest first.
    pub keys: Vec<PasskeyLine>,
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeLine {
    /// Which.
    pub change: ChangeId,
    /// Whom it concerns; nobody where it is about the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// What, as an instruction.
    pub words: String,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures with which it takes effect at once.
    pub needed: u32,
    /// When it takes effect by itself, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Timestamp>,
    /// Until when it may be signed.
    pub sign_by: Timestamp,
    /// Where admins sign.
    pub link: String,
}

impl ChangeLine {
    /// Whether more signatures would do something.
    pub const fn wants_signatures(&self) -> bool {
        self.signed < self.needed
    }
}

impl Countersign {
    /// Everybody, by name.
    pub(super) fn list_people(&self) -> Result<Vec<PersonLine>, AppError> {
        self.store.read(|reader| reader.people()?.into_iter().map(|row| line(reader, row)).collect())
    }

    /// One person, with their passkeys.
    pub(super) fn show_person(&self, text: &str) -> Result<ConsoleAnswer, AppError> {
        let person = self.store.read(|reader| -> Result<_, AppError> {
            let row = find_person(reader, text)?;
            let keys = active_passkeys(reader, &row.id)?.into_iter().map(|key| PasskeyLine {
                credential: key.public_key_sha256,
                name: key.name,
                added: key.added,
                last_used: key.last_used,
                rests_until: key.rests_until,
            });
            Ok(PersonDetails { keys: keys.collect(), line: line(reader, row)? })
        })?;
        Ok(ConsoleAnswer::Person { person: Box::new(person) })
    }

    /// Changes that wait for signatures, or for their time.
    pub fn list_changes(&self) -> Result<Vec<ChangeLine>, AppError> {
        let (wall, terms) = (self.clock.now(), self.settings.people);
        self.store.read(|reader| -> Result<_, AppError> {
            let now = log_time(reader, wall)?;
            let mut lines = Vec::new();
            for row in reader.open_changes()? {
                let (signed, needed, effective) = match stands(reader, &row, &terms, now)? {
                    Standing::Waiting { signed, needed } => (signed, needed, None),
                    Standing::Delayed { signed, needed, from } => (signed, needed, Some(from)),
                    Standing::Due | Standing::Refused | Standing::Expired => continue,
                };
                lines.push(ChangeLine {
                    words: row.change.words(),
                    sign_by: row.change.sign_by,
                    link: self.change_link(&row.change.id),
                    person: row.change.person().cloned(),
                    change: row.change.id,
                    signed,
                    needed,
                    effective,
                });
            }
            Ok(lines)
        })
    }
}

pub(super) fn line(reader: &Reader<'_>, row: PersonRow) -> Result<PersonLine, AppError> {
    let links = reader.links_of(&row.id)?.into_iter();
    let links = links.map(|(issuer, id, bot)| format!("{issuer}:{id}{}", if bot { " (bot)" } else { "" }));
    let proved = reader.proved_by(&row.id)?.into_iter().map(|(issuer, id)| format!("{issuer}:{id} (proved)"));
    Ok(PersonLine {
        groups: reader.memberships(&row.id)?.into_keys().collect(),
        passkeys: active_passkeys(reader, &row.id)?.len(),
        links: links.chain(proved).collect(),
        role: row.role(),
        person: row.id,
        name: row.name,
        email: row.email,
        suspended: row.suspended,
    })
}
