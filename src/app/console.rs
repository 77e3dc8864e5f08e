//! What the server's console may do at once: invite, link, list; logged as what it is.
//! In: a command. Out: an answer that prints or serialises.
//! Implements DESIGN §11, §12.
//! Never reachable over the network: the socket is 0600 in the state directory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::canonical;
use crate::domain::ids::{Digest, GroupName, IssuerName, MAX_NAME_CHARS, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::{ENROLMENT_LINK, Timestamp};
use crate::store::people::{InvitationRow, PersonRow};
use crate::store::{Reader, Unit};

use super::{AppError, Countersign};

/// Who invites when the console does.
pub const CONSOLE: &str = "the server's console";

/// A console command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum ConsoleCommand {
    /// Adds a person and makes an enrolment link; a person of that name and no passkey gets a new link.
    Invite {
        /// Decoration.
        name: String,
        /// Groups to join.
        groups: BTreeSet<GroupName>,
        /// May administrate.
        admin: bool,
    },
    /// Ties a GitLab user to a person.
    Link {
        /// A person id, or a name that only one person has.
        person: String,
        /// Short name of the issuer.
        issuer: IssuerName,
        /// GitLab's id of the user.
        user_id: String,
    },
    /// Lists people.
    List,
    /// Takes the wall clock as it is, after it stepped.
    AcceptTime,
    /// A new link for the first admin, while there is none with a passkey.
    NewAdminLink,
}

/// What the console answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ConsoleAnswer {
    /// An enrolment link.
    Invited {
        /// Who.
        person: PersonId,
        /// The link.
        link: String,
        /// Until when it works.
        expires: Timestamp,
    },
    /// A link was made.
    Linked {
        /// Who.
        person: PersonId,
    },
    /// The wall clock is believed again.
    TimeAccepted {
        /// Milliseconds by which it had stepped.
        step: i64,
        /// The entry that says so.
        entry: u64,
        /// The log's time: it never goes back, so it stands still until a clock that was set back comes to it.
        log_time: Timestamp,
    },
    /// Everybody.
    People {
        /// By name.
        people: Vec<PersonLine>,
    },
    /// The answer is no.
    Refused {
        /// The stable code.
        code: ErrorCode,
        /// What.
        description: String,
        /// What to do next.
        cure: String,
    },
}

/// A person, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonLine {
    /// Who.
    pub person: PersonId,
    /// Decoration.
    pub name: String,
    /// May administrate.
    pub admin: bool,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// How many passkeys.
    pub passkeys: usize,
    /// Users of issuers, `gitlab:88`.
    pub links: Vec<String>,
}

impl Countersign {
    /// Runs a console command.
    pub async fn console(&self, command: ConsoleCommand) -> Result<ConsoleAnswer, AppError> {
        // An entry at a wrong time would hold the log's time there for ever.
        if !matches!(command, ConsoleCommand::List | ConsoleCommand::AcceptTime) {
            self.steady_now()?;
        }
        match command {
            ConsoleCommand::Invite { name, groups, admin } => self.invite(name, groups, admin).await,
            ConsoleCommand::Link { person, issuer, user_id } => self.link(person, issuer, user_id).await,
            ConsoleCommand::List => self.list(),
            ConsoleCommand::NewAdminLink => self.new_admin_link().await,
            ConsoleCommand::AcceptTime => self.accept_time().await,
        }
    }

    async fn invite(&self, name: String, groups: BTreeSet<GroupName>, admin: bool) -> Result<ConsoleAnswer, AppError> {
        let name = checked_name(&name)?;
        let secret = link_secret()?;
        let digest = Digest::of(secret.as_bytes());
        let (person, expires) = self
            .store
            .write(move |unit| -> Result<_, AppError> { invite(unit, &Invitation { name, groups, admin, digest }) })
            .await?;
        Ok(ConsoleAnswer::Invited { person, link: self.enrolment_link(&secret), expires })
    }

    async fn accept_time(&self) -> Result<ConsoleAnswer, AppError> {
        let Some(step) = self.clock.step() else {
            return Err(AppError::refused(ErrorCode::AlreadyDecided, "the wall clock has not stepped"));
        };
        let before = self.clock.accept();
        let noted = self.store.write(move |unit| -> Result<_, AppError> {
            let entry = unit.append(Event::Clock { step })?;
            Ok((entry, unit.now()))
        });
        match noted.await {
            Ok((entry, log_time)) => Ok(ConsoleAnswer::TimeAccepted { step, entry, log_time }),
            Err(error) => {
                // What is not in the log is not accepted.
                self.clock.unaccept(before);
                Err(error)
            }
        }
    }

    /// The URL of an enrolment link.
    pub fn enrolment_link(&self, secret: &str) -> String {
        format!("{}/enrol/{secret}", self.settings.url)
    }

    async fn new_admin_link(&self) -> Result<ConsoleAnswer, AppError> {
        let secret = link_secret()?;
        let digest = Digest::of(secret.as_bytes());
        let made = self.store.write(move |unit| -> Result<_, AppError> {
            if unit.reader().has_admin()? {
                return Err(AppError::refused(ErrorCode::AlreadyDecided, "an admin with a passkey exists")
                    .with_hint("ask an admin: countersign people invite NAME --admin"));
            }
            let admin = unit.reader().people()?.into_iter().find(|person| person.admin);
            let admin = admin.ok_or_else(|| AppError::refused(ErrorCode::NotFound, "there is no admin yet"))?;
            let expires = renew_link(unit, &admin.id, digest)?;
            Ok((admin.id, expires))
        });
        let (person, expires) = made.await?;
        Ok(ConsoleAnswer::Invited { person, link: self.enrolment_link(&secret), expires })
    }

    async fn link(&self, person: String, issuer: IssuerName, user_id: String) -> Result<ConsoleAnswer, AppError> {
        if self.settings.issuer(&issuer).is_none() {
            let known: Vec<_> = self.settings.issuers.iter().map(|one| one.terms.name.to_string()).collect();
            let text = format!("there is no issuer `{issuer}`; the configuration has {}", known.join(", "));
            return Err(AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("use one of these names"));
        }
        if user_id.is_empty() || user_id.len() > 20 || !user_id.bytes().all(|b| b.is_ascii_digit()) {
            let refused = AppError::refused(ErrorCode::ParameterInvalid, "a GitLab user id is a number");
            return Err(refused.with_hint("copy it from the user's page in GitLab: `User ID`"));
        }
        let person = self
            .store
            .write(move |unit| -> Result<PersonId, AppError> {
                let person = find_person(&unit.reader(), &person)?;
                if let Some(link) = unit.reader().linked(&issuer, &user_id)? {
                    if link.person == person.id {
                        return Ok(person.id);
                    }
                    let text = format!("user {user_id} of `{issuer}` is tied to {} already", link.person);
                    return Err(AppError::refused(ErrorCode::AlreadyDecided, text)
                        .with_hint("a user of GitLab belongs to one person"));
                }
                let document = json!({ "issuer": issuer, "person": person.id, "user_id": user_id, "by": "console" });
                let digest = unit.put_evidence("link", &canonical::to_bytes(&document)?, Some(&person.id))?;
                let entry = unit.append(Event::Link {
                    outcome: "added".to_owned(),
                    person: person.id.clone(),
                    issuer: issuer.clone(),
                    evidence: BTreeMap::from([("link".to_owned(), digest)]),
                })?;
                unit.insert_link(&issuer, &user_id, &person.id, entry)?;
                Ok(person.id)
            })
            .await?;
        Ok(ConsoleAnswer::Linked { person })
    }

    fn list(&self) -> Result<ConsoleAnswer, AppError> {
        let people = self.store.read(|reader| -> Result<_, AppError> {
            let mut lines = Vec::new();
            for row in reader.people()? {
                lines.push(PersonLine {
                    groups: reader.memberships(&row.id)?.into_keys().collect(),
                    passkeys: reader.passkeys_of(&row.id)?.len(),
                    links: reader.links_of(&row.id)?.into_iter().map(|(issuer, id)| format!("{issuer}:{id}")).collect(),
                    person: row.id,
                    name: row.name,
                    admin: row.admin,
                });
            }
            Ok(lines)
        })?;
        Ok(ConsoleAnswer::People { people })
    }
}

impl AppError {
    /// The same refusal with a better cure.
    pub fn with_hint(self, hint: &str) -> Self {
        match self {
            Self::Refused { mut refusal, log } => {
                refusal.hint = Some(hint.to_owned());
                Self::Refused { refusal, log }
            }
            fault @ Self::Fault { .. } => fault,
        }
    }
}

/// The secret of an enrolment link: 256 random bits, base64url.
pub fn link_secret() -> Result<String, AppError> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&crate::crypto::random::bytes::<32>()?))
}

/// What an invitation needs.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Decoration.
    pub name: String,
    /// Groups to join.
    pub groups: BTreeSet<GroupName>,
    /// May administrate.
    pub admin: bool,
    /// SHA-256 of the link's secret.
    pub digest: Digest,
}

/// Adds a person (or finds the one of that name who has no passkey), joins the groups, makes the link.
pub fn invite(unit: &mut Unit<'_>, invitation: &Invitation) -> Result<(PersonId, Timestamp), AppError> {
    let same: Vec<_> = unit.reader().people()?.into_iter().filter(|row| row.name == invitation.name).collect();
    let person = match same.as_slice() {
        [] => add_person(unit, invitation)?,
        [one] if unit.reader().passkeys_of(&one.id)?.is_empty() && one.admin == invitation.admin => one.id.clone(),
        _ => {
            return Err(AppError::refused(
                ErrorCode::AlreadyDecided,
                format!("somebody is called `{}` already", invitation.name),
            )
            .with_hint("choose a name that tells them apart, or see `countersign people list`"));
        }
    };
    join(unit, &person, &invitation.groups)?;
    let expires = renew_link(unit, &person, invitation.digest)?;
    Ok((person, expires))
}

fn add_person(unit: &mut Unit<'_>, invitation: &Invitation) -> Result<PersonId, AppError> {
    let id = PersonId::from_random(unit.random()?);
    let user_handle = unit.random()?;
    let document = json!({ "admin": invitation.admin, "name": invitation.name, "person": id, "by": "console" });
    let digest = unit.put_evidence("person", &canonical::to_bytes(&document)?, Some(&id))?;
    let entry = unit.append(Event::Person {
        outcome: "added".to_owned(),
        person: id.clone(),
        evidence: BTreeMap::from([("person".to_owned(), digest)]),
    })?;
    unit.insert_person(&PersonRow {
        id: id.clone(),
        name: invitation.name.clone(),
        user_handle,
        admin: invitation.admin,
        created: unit.now(),
        suspended: None,
        entry,
    })?;
    Ok(id)
}

fn join(unit: &mut Unit<'_>, person: &PersonId, groups: &BTreeSet<GroupName>) -> Result<(), AppError> {
    if groups.is_empty() {
        return Ok(());
    }
    let document = json!({ "act": "joined", "groups": groups, "person": person, "by": "console" });
    let digest = unit.put_evidence("act", &canonical::to_bytes(&document)?, Some(person))?;
    let entry = unit.append(Event::Admin {
        outcome: "joined".to_owned(),
        person: person.clone(),
        evidence: BTreeMap::from([("act".to_owned(), digest)]),
    })?;
    for group in groups {
        unit.insert_membership(group, person, entry)?;
    }
    Ok(())
}

fn renew_link(unit: &mut Unit<'_>, person: &PersonId, digest: Digest) -> Result<Timestamp, AppError> {
    let expires = unit.now() + ENROLMENT_LINK;
    let document = json!({ "expires": expires, "invitation": digest, "invited_by": "console", "person": person });
    let evidence = unit.put_evidence("invitation", &canonical::to_bytes(&document)?, Some(person))?;
    let entry = unit.append(Event::Enrolment {
        outcome: "invited".to_owned(),
        person: person.clone(),
        invitation: digest,
        expires,
        evidence: BTreeMap::from([("invitation".to_owned(), evidence)]),
    })?;
    unit.insert_invitation(&InvitationRow {
        secret_sha256: digest,
        person: person.clone(),
        invited_by: CONSOLE.to_owned(),
        expires,
        ended: None,
        session_sha256: None,
        session_until: None,
        entry,
    })?;
    Ok(expires)
}

fn find_person(reader: &Reader<'_>, text: &str) -> Result<PersonRow, AppError> {
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

/// A person's name: 1 to 100 characters, no control characters, no white space around it.
pub fn checked_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    let count = name.chars().count();
    if count == 0 || count > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let text = format!("a name has 1 to {MAX_NAME_CHARS} characters and no control characters");
        return Err(AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("write the name on one line"));
    }
    Ok(name.to_owned())
}
