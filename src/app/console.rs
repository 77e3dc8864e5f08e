//! What the server's console may do: everything about people, at once or for admins to sign; logged as what it is.
//! In: a command. Out: an answer that prints or serialises.
//! Implements DESIGN §11, §12.
//! Never reachable over the network: the socket is 0600 in the state directory.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::change::LinkKind;
use crate::domain::ids::{ChangeId, Digest, GroupName, IssuerName, Kid, PersonId};
use crate::domain::log::entry::Event;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::people::Role;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;
use crate::store::Unit;

use super::apply_change::{self, Word, add_person, join};
use super::check_wish::checked_name;
use super::enrolment_link::{Letter, renew_link};
use super::fetch_metadata::MetadataLine;
use super::list_people::{ChangeLine, PersonDetails, PersonLine};
use super::look::{Look, Sight};
use super::propose_change::{Asker, AtOnce, Proposed, Wish};
use super::rotate_keys::{PublishedKey, Rotated};
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
    /// Does something about a person at once, or makes it a change that admins sign.
    Change {
        /// What.
        wish: Wish,
        /// Nothing is done before admins have signed.
        propose: bool,
    },
    /// Lists people.
    List,
    /// One person, with their passkeys.
    Show {
        /// A person id, or a name that only one person has.
        person: String,
    },
    /// Lists changes that wait.
    Changes,
    /// What wants an operator, though it keeps the server from nothing yet.
    Warnings,
    /// Fetches FIDO's metadata.
    FetchMetadata,
    /// The metadata in force.
    ShowMetadata,
    /// Publishes a new signing key, or in an emergency lets it sign at once and drops every other.
    RotateKeys {
        /// Of one algorithm alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alg: Option<TokenAlg>,
        /// At once.
        emergency: bool,
    },
    /// Takes the wall clock as it is, after it stepped.
    AcceptTime,
    /// A new link for the first admin, while there is none with a passkey.
    NewAdminLink,
    /// Ends everything that people gave to a client.
    EndClientGrants {
        /// Its id.
        client: String,
    },
    /// Looks, as the admin's pages do.
    Look {
        /// At what.
        at: Look,
    },
}

impl ConsoleCommand {
    /// It changes nothing: where no server runs, the store is read without its lock.
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::Look { .. })
    }
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
    /// Something was done about a person.
    Done {
        /// Who.
        person: PersonId,
        /// What, as an instruction: `add Tom Ahl to release-managers`.
        words: String,
    },
    /// A change waits for admins.
    Proposed {
        /// Whom it concerns.
        person: PersonId,
        /// What, as an instruction.
        words: String,
        /// Where admins sign.
        link: String,
        /// Until when.
        sign_by: Timestamp,
        /// The enrolment link for that person, which works once admins have signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrolment: Option<String>,
    },
    /// What wants an operator.
    Warnings {
        /// One a line.
        warnings: Vec<String>,
    },
    /// Changes that wait, oldest first.
    Changes {
        /// Each.
        changes: Vec<ChangeLine>,
    },
    /// One person.
    Person {
        /// All that there is to see.
        person: Box<PersonDetails>,
    },
    /// The metadata in force.
    Metadata {
        /// What it is.
        metadata: MetadataLine,
        /// Whether it was fetched now, or was here already; only where it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is_new: Option<bool>,
        /// Why the last fetch failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// New signing keys.
    Rotated {
        /// Those that are new, with the time from which each signs.
        keys: Vec<PublishedKey>,
        /// Those that were dropped at once.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        revoked: Vec<Kid>,
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
    /// What people gave to a client ended.
    GrantsEnded {
        /// How many grants those were.
        ended: u64,
    },
    /// Everybody.
    People {
        /// By name.
        people: Vec<PersonLine>,
    },
    /// What there is to see.
    Seen {
        /// It.
        sight: Sight,
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

impl Countersign {
    /// Runs a console command.
    pub async fn console(&self, command: ConsoleCommand) -> Result<ConsoleAnswer, AppError> {
        // An entry at a wrong time would hold the log's time there for ever.
        if !matches!(command, ConsoleCommand::List | ConsoleCommand::Warnings | ConsoleCommand::AcceptTime)
            && !command.only_looks()
        {
            self.steady_now()?;
            self.settle_changes().await?;
        }
        match command {
            ConsoleCommand::Invite { name, groups, admin } => self.invite(name, groups, admin).await,
            ConsoleCommand::Link { person, issuer, user_id } => self.link(person, issuer, user_id).await,
            ConsoleCommand::Change { wish, propose: true } => {
                self.propose(wish, Asker::Console).await.map(|made| self.proposed(made))
            }
            ConsoleCommand::Change { wish: Wish::Invite { name, groups, role }, propose: false }
                if role != Role::Auditor =>
            {
                self.invite(name, groups, role == Role::Admin).await
            }
            ConsoleCommand::Change { wish, propose: false } => self.do_at_once(wish).await.map(|done| self.done(done)),
            ConsoleCommand::List => Ok(ConsoleAnswer::People { people: self.list_people()? }),
            ConsoleCommand::Show { person } => self.show_person(&person),
            ConsoleCommand::Changes => Ok(ConsoleAnswer::Changes { changes: self.list_changes()? }),
            ConsoleCommand::Warnings => Ok(ConsoleAnswer::Warnings { warnings: self.warnings() }),
            ConsoleCommand::FetchMetadata => {
                let (_, is_new) = self.fetch_metadata().await?;
                self.show_metadata(Some(is_new))
            }
            ConsoleCommand::ShowMetadata => self.show_metadata(None),
            ConsoleCommand::RotateKeys { alg, emergency: false } => self.rotate_keys(alg).await.map(rotated),
            ConsoleCommand::RotateKeys { alg, emergency: true } => self.replace_keys(alg).await.map(rotated),
            ConsoleCommand::NewAdminLink => self.new_admin_link().await,
            ConsoleCommand::AcceptTime => self.accept_time().await,
            ConsoleCommand::EndClientGrants { client } => {
                Ok(ConsoleAnswer::GrantsEnded { ended: self.end_client_grants(&client, &Asker::Console).await? })
            }
            ConsoleCommand::Look { at } => Ok(ConsoleAnswer::Seen { sight: self.sight(&at)? }),
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

    /// The URL of a change.
    pub fn change_link(&self, id: &ChangeId) -> String {
        format!("{}/changes/{id}", self.settings.url)
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
            let expires = renew_console_link(unit, &admin.id, digest)?;
            Ok((admin.id, expires))
        });
        let (person, expires) = made.await?;
        Ok(ConsoleAnswer::Invited { person, link: self.enrolment_link(&secret), expires })
    }

    /// Ties a GitLab user to a person; doing it twice is no fault.
    async fn link(&self, person: String, issuer: IssuerName, user_id: String) -> Result<ConsoleAnswer, AppError> {
        let tied = self.store.read(|reader| -> Result<_, AppError> {
            let wanted = super::propose_change::find_person(reader, &person)?;
            Ok(reader.linked(&issuer, &user_id)?.filter(|link| link.person == wanted.id).map(|link| link.person))
        })?;
        if let Some(person) = tied {
            return Ok(ConsoleAnswer::Linked { person });
        }
        let wish = Wish::Link { person, issuer, user_id, owner: LinkKind::Person };
        let done = self.do_at_once(wish).await?;
        Ok(ConsoleAnswer::Linked { person: done.concern.person })
    }

    fn done(&self, done: AtOnce) -> ConsoleAnswer {
        let AtOnce { concern, link } = done;
        match link {
            Some((secret, expires)) => {
                ConsoleAnswer::Invited { person: concern.person, link: self.enrolment_link(&secret), expires }
            }
            None => ConsoleAnswer::Done { words: concern.words(), person: concern.person },
        }
    }

    fn proposed(&self, made: Proposed) -> ConsoleAnswer {
        let Proposed { change, concern, secret } = made;
        ConsoleAnswer::Proposed {
            words: change.words(),
            link: self.change_link(&change.id),
            sign_by: change.sign_by,
            enrolment: secret.map(|secret| self.enrolment_link(&secret)),
            person: concern.person,
        }
    }
}

fn rotated(Rotated { keys, revoked }: Rotated) -> ConsoleAnswer {
    ConsoleAnswer::Rotated { keys, revoked }
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
    let by = Word::Console.authority();
    let same = unit.reader().people()?.into_iter().find(|row| row.name == invitation.name);
    let person = match same {
        Some(one)
            if unit.reader().passkeys_of(&one.id)?.is_empty()
                && one.admin == invitation.admin
                && one.suspended.is_none() =>
        {
            one.id
        }
        _ => {
            apply_change::name_is_free(&unit.reader(), &invitation.name)?;
            let id = PersonId::from_random(unit.random()?);
            let role = if invitation.admin { Role::Admin } else { Role::Member };
            add_person(unit, &id, &invitation.name, role, by)?;
            id
        }
    };
    join(unit, &person, &invitation.groups, by)?;
    let expires = renew_console_link(unit, &person, invitation.digest)?;
    Ok((person, expires))
}

fn renew_console_link(unit: &mut Unit<'_>, person: &PersonId, digest: Digest) -> Result<Timestamp, AppError> {
    let letter = Letter { word: Word::Console, recovery: false, from: unit.now() };
    renew_link(unit, person, digest, &letter)
}
