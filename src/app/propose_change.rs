//! Proposes a change for admins to sign, or does it at once where the console says so.
//! In: a wish, as somebody typed or chose it. Out: a change with its link, or what was done.
//! Implements DESIGN §11, §12: the same acts on both ways.
//! Never proposes what could not be done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::crypto::random;
use crate::domain::canonical;
use crate::domain::change::{About, Act, Change, Concern, LinkKind, Proposer};
use crate::domain::ids::{ChangeId, Digest, GroupName, IssuerName, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::Role;
use crate::domain::people::name;
use crate::domain::time::{CHANGE_OPEN, Timestamp};
use crate::store::people::PersonRow;
use crate::store::{Reader, Unit};

use super::apply_change::{self, Word};
use super::check_wish::{checked_name, typed_email};
use super::tie_user::tied_to;
use super::use_session::admin_actor;
use super::{AppError, Countersign};

/// Most changes that wait for signatures.
pub const MAX_OPEN_CHANGES: usize = 200;
/// Most of them that one admin proposed on a page: whoever holds one session leaves room for the others.
pub const MAX_OPEN_CHANGES_OF_PERSON: usize = 50;

/// Who asks for a change.
#[derive(Debug, Clone)]
pub enum Asker {
    /// The server's console.
    Console,
    /// A page, in the session whose secret has this digest.
    Page(Option<Digest>),
}

/// What somebody wants done, with people named as they type them: by id, or by a name that only one has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// Adds a person and makes an enrolment link.
    Invite {
        /// Decoration.
        name: String,
        /// Groups to join.
        groups: BTreeSet<GroupName>,
        /// What they may do.
        role: Role,
    },
    /// Puts a person into a group.
    Join {
        /// Who.
        person: String,
        /// Which.
        group: GroupName,
    },
    /// Takes a person out of a group.
    Leave {
        /// Who.
        person: String,
        /// Which.
        group: GroupName,
    },
    /// Gives a person another role.
    Role {
        /// Who.
        person: String,
        /// Which.
        role: Role,
    },
    /// Says what a person's e-mail address is.
    Email {
        /// Who.
        person: String,
        /// The address; nothing takes it away.
        address: String,
    },
    /// Ends what a person may do.
    Suspend {
        /// Who.
        person: String,
    },
    /// Lets a suspended person in again.
    Restore {
        /// Who.
        person: String,
    },
    /// Takes a passkey away.
    RemovePasskey {
        /// Whose.
        person: String,
        /// The first digits of its digest, as `people show` has them.
        passkey: String,
    },
    /// Ties a user of an issuer to a person.
    Link {
        /// Who.
        person: String,
        /// Short name of the issuer.
        issuer: IssuerName,
        /// The user's number.
        user_id: String,
        /// The person's own user, or a bot's.
        owner: LinkKind,
    },
    /// Unties a user of an issuer.
    Unlink {
        /// From whom; else from the one to whom it is tied.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// Short name of the issuer.
        issuer: IssuerName,
        /// The user's number.
        user_id: String,
    },
    /// Ends the rest of a passkey that was made after a recovery.
    Vouch {
        /// Whose.
        person: String,
        /// The first digits of its digest.
        passkey: String,
    },
    /// Lets a person who lost every passkey make a new one.
    Recover {
        /// Who.
        person: String,
    },
}

/// A change that waits for signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The record.
    pub change: Change,
    /// What it does, about whom.
    pub concern: Concern,
    /// The secret of the enrolment link, which works once admins have signed.
    pub secret: Option<String>,
}

/// What the console did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtOnce {
    /// What, about whom.
    pub concern: Concern,
    /// The secret of an enrolment link, and until when it works.
    pub link: Option<(String, Timestamp)>,
}

/// What a wish needs that only chance gives.
struct Drawn {
    id: ChangeId,
    person: PersonId,
    secret: String,
}

impl Drawn {
    fn new() -> Result<Self, AppError> {
        Ok(Self {
            id: ChangeId::from_random(random::bytes()?),
            person: PersonId::from_random(random::bytes()?),
            secret: super::console::link_secret()?,
        })
    }
}

impl Countersign {
    /// Makes a change and its link; nothing is done about anybody yet. Whoever asks on a page is judged in the same unit.
    ///
    /// # Errors
    /// What could not be done in any case, or waits already; whoever may not ask.
    pub async fn propose(&self, wish: Wish, asker: Asker) -> Result<Proposed, AppError> {
        self.steady_now()?;
        let (drawn, issuer, limits) = (Drawn::new()?, self.settings.url.clone(), self.settings.sessions);
        self.check_wish(&wish)?;
        let proposed = self.store.write(move |unit| -> Result<Proposed, AppError> {
            let (by, session) = match asker {
                Asker::Console => (Proposer::Console, None),
                Asker::Page(session) => {
                    let me = admin_actor(unit, session.as_ref(), limits)?;
                    (Proposer::Person(me.person.id), Some(me.session.entry))
                }
            };
            let concern = resolve(&unit.reader(), &wish, &drawn)?;
            let change = Change {
                id: drawn.id,
                issuer,
                by,
                at: unit.now(),
                sign_by: unit.now() + CHANGE_OPEN,
                about: About::Person(concern.clone()),
            };
            apply_change::possible(&unit.reader(), &change)?;
            room_for(&unit.reader(), &change)?;
            let entry = append(unit, &change, session)?;
            unit.insert_change(&change, entry)?;
            let secret = has_link(&concern.act).then_some(drawn.secret);
            Ok(Proposed { change, concern, secret })
        });
        let proposed = proposed.await?;
        self.tell_change(&proposed.change);
        Ok(proposed)
    }

    /// Does what the console says, at once.
    ///
    /// # Errors
    /// What cannot be done.
    pub async fn do_at_once(&self, wish: Wish) -> Result<AtOnce, AppError> {
        self.steady_now()?;
        let drawn = Drawn::new()?;
        self.check_wish(&wish)?;
        let done = self.store.write(move |unit| -> Result<_, AppError> {
            let concern = resolve(&unit.reader(), &wish, &drawn)?;
            let applied = apply_change::apply(unit, &concern, Word::Console, false)?;
            Ok((AtOnce { concern, link: applied.expires.map(|until| (drawn.secret, until)) }, applied.voided))
        });
        let (done, voided) = done.await?;
        for request in &voided {
            self.waiting.wake(request);
        }
        if let Act::Recover { .. } = &done.concern.act {
            self.tell_recovery(&done.concern.person, &done.concern.name);
        }
        Ok(done)
    }
}

/// Whether this change may wait beside those that do.
fn room_for(reader: &Reader<'_>, change: &Change) -> Result<(), AppError> {
    let mut open = reader.open_changes()?;
    open.retain(|row| change.at <= row.change.sign_by);
    if open.iter().any(|row| is_same(&row.change, change)) {
        return Err(AppError::refused(ErrorCode::AlreadyDecided, "this change waits for signatures already")
            .with_hint("see `countersign people changes`"));
    }
    let limited =
        |text: String| Err(AppError::refused(ErrorCode::RateLimited, text).with_hint("let admins sign or refuse some"));
    if open.len() >= MAX_OPEN_CHANGES {
        return limited(format!("{MAX_OPEN_CHANGES} changes wait for signatures already"));
    }
    let own = open.iter().filter(|row| row.change.by == change.by).count();
    if change.by != Proposer::Console && own >= MAX_OPEN_CHANGES_OF_PERSON {
        return limited(format!("{MAX_OPEN_CHANGES_OF_PERSON} changes that you proposed wait for signatures already"));
    }
    Ok(())
}

/// The entry of a proposal: who made it, where a page did, and in which session.
pub(super) fn append(unit: &mut Unit<'_>, change: &Change, session: Option<u64>) -> Result<u64, AppError> {
    let document = canonical::to_bytes(change)?;
    let evidence = BTreeMap::from([("change".to_owned(), unit.put_evidence("change", &document, change.person())?)]);
    Ok(unit.append(Event::Change {
        outcome: "proposed".to_owned(),
        change: None,
        person: change.person().cloned(),
        by: match &change.by {
            Proposer::Console => None,
            Proposer::Person(person) => Some(person.clone()),
        },
        session,
        passkey: None,
        proposed: None,
        effective: None,
        fault: None,
        evidence,
    })?)
}

const fn has_link(act: &Act) -> bool {
    matches!(act, Act::Invite { .. } | Act::Recover { .. })
}

/// Whether two changes want the same, whatever link each would make.
fn is_same(one: &Change, other: &Change) -> bool {
    let (Some(one), Some(other)) = (one.concern(), other.concern()) else { return false };
    match (&one.act, &other.act) {
        (Act::Invite { .. }, Act::Invite { .. }) => name::confusable(&one.name, &other.name),
        (Act::Recover { .. }, Act::Recover { .. }) => one.person == other.person,
        (one_act, other_act) => one.person == other.person && one_act == other_act,
    }
}

/// What a wish means, about the person whom it names.
fn resolve(reader: &Reader<'_>, wish: &Wish, drawn: &Drawn) -> Result<Concern, AppError> {
    let invitation = Digest::of(drawn.secret.as_bytes());
    let (person, name, act) = match wish {
        Wish::Invite { name, groups, role } => {
            let act = Act::Invite { groups: groups.clone(), role: *role, invitation };
            (drawn.person.clone(), checked_name(name)?, act)
        }
        Wish::Unlink { person, issuer, user_id } => {
            let row = match person {
                Some(person) => find_person(reader, person)?,
                None => tied_to(reader, issuer, user_id)?,
            };
            (row.id, row.name, Act::Unlink { issuer: issuer.clone(), user_id: user_id.clone() })
        }
        Wish::Join { person, group } => about(reader, person, Act::Join { group: group.clone() })?,
        Wish::Leave { person, group } => about(reader, person, Act::Leave { group: group.clone() })?,
        Wish::Role { person, role } => about(reader, person, Act::Role { role: *role })?,
        Wish::Email { person, address } => about(reader, person, Act::Email { address: typed_email(address)? })?,
        Wish::Suspend { person } => about(reader, person, Act::Suspend)?,
        Wish::Restore { person } => about(reader, person, Act::Restore)?,
        Wish::Recover { person } => about(reader, person, Act::Recover { invitation })?,
        Wish::Link { person, issuer, user_id, owner } => {
            let act = Act::Link { issuer: issuer.clone(), user_id: user_id.clone(), owner: *owner };
            about(reader, person, act)?
        }
        Wish::RemovePasskey { person, passkey } => {
            let row = find_person(reader, person)?;
            let credential = find_passkey(reader, &row, passkey)?;
            (row.id, row.name, Act::RemovePasskey { credential })
        }
        Wish::Vouch { person, passkey } => {
            let row = find_person(reader, person)?;
            let credential = find_passkey(reader, &row, passkey)?;
            (row.id, row.name, Act::Vouch { credential })
        }
    };
    Ok(Concern { person, name, act })
}

fn about(reader: &Reader<'_>, person: &str, act: Act) -> Result<(PersonId, String, Act), AppError> {
    let row = find_person(reader, person)?;
    Ok((row.id, row.name, act))
}

/// A person by id, or by a name that only one has.
///
/// # Errors
/// Nobody, or several.
pub fn find_person(reader: &Reader<'_>, text: &str) -> Result<PersonRow, AppError> {
    if let Ok(id) = PersonId::parse(text)
        && let Some(person) = reader.person(&id)?
    {
        return Ok(person);
    }
    let named: Vec<_> = reader.people()?.into_iter().filter(|row| row.name == text).collect();
    match <[PersonRow; 1]>::try_from(named) {
        Ok([person]) => Ok(person),
        Err(named) if named.is_empty() => {
            Err(AppError::refused(ErrorCode::NotFound, format!("there is nobody with the id or name `{text}`"))
                .with_hint("see `countersign people list`"))
        }
        Err(_) => Err(AppError::refused(ErrorCode::ParameterInvalid, format!("several people are called `{text}`"))
            .with_hint("use the person's id: `countersign people list`")),
    }
}

/// A passkey by the first digits of its digest; at least eight, so that a slip names none.
fn find_passkey(reader: &Reader<'_>, person: &PersonRow, text: &str) -> Result<Digest, AppError> {
    let keys = apply_change::active_passkeys(reader, &person.id)?;
    let mut found = keys.iter().filter(|key| text.len() >= 8 && key.public_key_sha256.to_string().starts_with(text));
    if let (Some(key), None) = (found.next(), found.next()) {
        return Ok(key.public_key_sha256);
    }
    let text = format!("{} has no passkey `{text}`", person.name);
    Err(AppError::refused(ErrorCode::NotFound, text).with_hint("see `countersign people show PERSON`"))
}
