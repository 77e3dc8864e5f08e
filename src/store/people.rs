//! People, their groups, and the invitations that admit them.
//! In: a person and what the console or an invitation says. Out: rows, and facts that rules ask for.
//! Implements DESIGN §11.
//! Never decides anything by a name.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Row, params};

use crate::domain::assurance::evidence::Admission;
use crate::domain::ids::{Digest, GroupName, PersonId};
use crate::domain::people::Role;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_digest, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Who.
    pub id: PersonId,
    /// Decoration; decides nothing.
    pub name: String,
    /// WebAuthn user handle, never shown.
    pub user_handle: [u8; 16],
    /// May administrate.
    pub admin: bool,
    /// Looks, and signs nothing.
    pub auditor: bool,
    /// When added.
    pub created: Timestamp,
    /// When suspended, if so.
    pub suspended: Option<Timestamp>,
    /// Decoration that tools may be told; nobody verified it.
    pub email: Option<String>,
    /// The log entry that added them.
    pub entry: u64,
}

impl PersonRow {
    /// What they may do beside what groups allow.
    #[must_use]
    pub const fn role(&self) -> Role {
        match (self.admin, self.auditor) {
            (true, _) => Role::Admin,
            (false, true) => Role::Auditor,
            (false, false) => Role::Member,
        }
    }
}

/// An invitation, by its secret's SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// SHA-256 of the link's secret.
    pub secret_sha256: Digest,
    /// Whom it admits.
    pub person: PersonId,
    /// Who invited, as the page says it.
    pub invited_by: String,
    /// Until when the link works.
    pub expires: Timestamp,
    /// When it was used, declined or replaced.
    pub ended: Option<Timestamp>,
    /// SHA-256 of the enrolment session's secret, once a first passkey was made.
    pub session_sha256: Option<Digest>,
    /// Until when that session may add a second passkey.
    pub session_until: Option<Timestamp>,
    /// It lets in a person who lost every passkey: on the console's word, or a change's.
    pub recovery: Option<String>,
    /// The most that a passkey made with it may carry, where admins let the person in.
    pub admitted: Option<Admission>,
    /// When it was made.
    pub created: Timestamp,
    /// The log entry of the invitation.
    pub entry: u64,
}

fn person(row: &Row<'_>) -> Result<PersonRow, StoreError> {
    Ok(PersonRow {
        id: parsed(row, "id", PersonId::parse)?,
        name: row.get("name")?,
        user_handle: row.get("user_handle")?,
        admin: row.get("admin")?,
        auditor: row.get("auditor")?,
        created: time(row, "created")?,
        suspended: optional_time(row, "suspended")?,
        email: row.get("email")?,
        entry: index(row, "entry")?,
    })
}

fn invitation(row: &Row<'_>) -> Result<InvitationRow, StoreError> {
    let admitted: Option<String> = row.get("admitted")?;
    Ok(InvitationRow {
        secret_sha256: digest(row, "secret_sha256")?,
        person: parsed(row, "person", PersonId::parse)?,
        invited_by: row.get("invited_by")?,
        expires: time(row, "expires")?,
        ended: optional_time(row, "ended")?,
        session_sha256: optional_digest(row, "session_sha256")?,
        session_until: optional_time(row, "session_until")?,
        recovery: row.get("recovery")?,
        admitted: admitted.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| corrupt("admitted"))?,
        created: time(row, "created")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// A person by id.
    pub fn person(&self, id: &PersonId) -> Result<Option<PersonRow>, StoreError> {
        first(&mut self.conn().prepare_cached("SELECT * FROM person WHERE id = ?1")?, params![id.as_str()], person)
    }

    /// Everybody, by name.
    pub fn people(&self) -> Result<Vec<PersonRow>, StoreError> {
        collect(&mut self.conn().prepare_cached("SELECT * FROM person ORDER BY name, id")?, [], person)
    }

    /// Whether an admin with a passkey exists.
    pub fn has_admin(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM person JOIN passkey ON passkey.person = person.id
                   WHERE admin = 1 AND person.suspended IS NULL AND passkey.suspended IS NULL)";
        Ok(self.conn().prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Active members of every group.
    pub fn groups(&self) -> Result<BTreeMap<GroupName, BTreeSet<PersonId>>, StoreError> {
        let sql = "SELECT group_name, person FROM membership JOIN person ON person.id = membership.person
                   WHERE person.suspended IS NULL AND auditor = 0";
        let pairs = collect(&mut self.conn().prepare_cached(sql)?, [], |row| {
            Ok((parsed(row, "group_name", GroupName::parse)?, parsed(row, "person", PersonId::parse)?))
        })?;
        let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (group, member) in pairs {
            groups.entry(group).or_default().insert(member);
        }
        Ok(groups)
    }

    /// Active members of one group.
    pub fn members(&self, group: &GroupName) -> Result<BTreeSet<PersonId>, StoreError> {
        let sql = "SELECT person FROM membership JOIN person ON person.id = membership.person
                   WHERE group_name = ?1 AND person.suspended IS NULL AND auditor = 0";
        let members = collect(&mut self.conn().prepare_cached(sql)?, params![group.as_str()], |row| {
            parsed(row, "person", PersonId::parse)
        })?;
        Ok(members.into_iter().collect())
    }

    /// The groups of a person, each with the log entry by which they joined.
    pub fn memberships(&self, id: &PersonId) -> Result<BTreeMap<GroupName, u64>, StoreError> {
        let sql = "SELECT group_name, entry FROM membership WHERE person = ?1";
        let rows = collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], |row| {
            Ok((parsed(row, "group_name", GroupName::parse)?, index(row, "entry")?))
        })?;
        Ok(rows.into_iter().collect())
    }

    /// Every group that somebody is in.
    pub fn group_names(&self) -> Result<BTreeSet<GroupName>, StoreError> {
        let sql = "SELECT DISTINCT group_name FROM membership";
        let names =
            collect(&mut self.conn().prepare_cached(sql)?, [], |row| parsed(row, "group_name", GroupName::parse))?;
        Ok(names.into_iter().collect())
    }

    /// People whom the console let in after they lost every passkey, since a time; newest first.
    pub fn recovered_on_console(&self, since: Timestamp) -> Result<Vec<(PersonId, Timestamp)>, StoreError> {
        let sql = "SELECT person, created FROM invitation WHERE recovery = 'console' AND created >= ?1
                   ORDER BY created DESC";
        collect(&mut self.conn().prepare_cached(sql)?, params![since.millis()], |row| {
            Ok((parsed(row, "person", PersonId::parse)?, time(row, "created")?))
        })
    }

    /// The invitation behind a link.
    pub fn invitation(&self, secret_sha256: &Digest) -> Result<Option<InvitationRow>, StoreError> {
        let sql = "SELECT * FROM invitation WHERE secret_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![secret_sha256.as_bytes()], invitation)
    }
}

impl Unit<'_> {
    /// Adds a person.
    pub fn insert_person(&mut self, row: &PersonRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO person (id, name, user_handle, admin, auditor, created, entry)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![
            row.id.as_str(),
            row.name,
            row.user_handle,
            row.admin,
            row.auditor,
            row.created.millis(),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Sets or clears a person's e-mail address.
    pub fn set_email(&mut self, id: &PersonId, email: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE person SET email = ?2 WHERE id = ?1";
        self.conn().prepare_cached(sql)?.execute(params![id.as_str(), email])?;
        Ok(())
    }

    /// Puts a person into a group; joining twice keeps the first entry.
    pub fn insert_membership(&mut self, group: &GroupName, id: &PersonId, entry: u64) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO membership (group_name, person, entry) VALUES (?1, ?2, ?3)";
        self.conn().prepare_cached(sql)?.execute(params![group.as_str(), id.as_str(), as_i64(entry)?])?;
        Ok(())
    }

    /// Takes a person out of a group.
    pub fn delete_membership(&mut self, group: &GroupName, id: &PersonId) -> Result<(), StoreError> {
        let sql = "DELETE FROM membership WHERE group_name = ?1 AND person = ?2";
        self.conn().prepare_cached(sql)?.execute(params![group.as_str(), id.as_str()])?;
        Ok(())
    }

    /// Gives a person another role; what they signed as an admin does not count again.
    pub fn set_role(&mut self, id: &PersonId, role: Role) -> Result<(), StoreError> {
        let sql = "UPDATE person SET admin = ?2, auditor = ?3 WHERE id = ?1";
        let values = params![id.as_str(), role == Role::Admin, role == Role::Auditor];
        self.conn().prepare_cached(sql)?.execute(values)?;
        if role == Role::Admin { Ok(()) } else { self.end_change_signatures_of(id) }
    }

    /// Suspends a person: their links and ceremonies end, and what they signed for open requests does not count again.
    pub fn suspend_person(&mut self, id: &PersonId) -> Result<(), StoreError> {
        let now = self.now().millis();
        let conn = self.conn();
        let suspend = "UPDATE person SET suspended = ?2 WHERE id = ?1 AND suspended IS NULL";
        conn.prepare_cached(suspend)?.execute(params![id.as_str(), now])?;
        let end = "DELETE FROM registration_ceremony WHERE invitation IN
                   (SELECT secret_sha256 FROM invitation WHERE person = ?1)";
        conn.prepare_cached(end)?.execute(params![id.as_str()])?;
        let end = "UPDATE invitation SET ended = coalesce(ended, ?2), session_sha256 = NULL, session_until = NULL
                   WHERE person = ?1";
        conn.prepare_cached(end)?.execute(params![id.as_str(), now])?;
        conn.prepare_cached("UPDATE decision SET ended = 1 WHERE person = ?1")?.execute(params![id.as_str()])?;
        // A session does not come back with its person.
        let end = "UPDATE session SET ended = coalesce(ended, ?2) WHERE person = ?1";
        conn.prepare_cached(end)?.execute(params![id.as_str(), now])?;
        self.delete_pushes_of_person(id)?;
        self.end_change_signatures_of(id)
    }

    /// Lets a suspended person in again.
    pub fn restore_person(&mut self, id: &PersonId) -> Result<(), StoreError> {
        self.conn()
            .prepare_cached("UPDATE person SET suspended = NULL WHERE id = ?1")?
            .execute(params![id.as_str()])?;
        Ok(())
    }

    /// Records an invitation; earlier ones of the same person end, and the sessions that they began.
    pub fn insert_invitation(&mut self, row: &InvitationRow) -> Result<(), StoreError> {
        let now = self.now().millis();
        self.conn()
            .prepare_cached(
                "UPDATE invitation SET ended = coalesce(ended, ?2), session_sha256 = NULL, session_until = NULL
                 WHERE person = ?1",
            )?
            .execute(params![row.person.as_str(), now])?;
        let sql =
            "INSERT INTO invitation (secret_sha256, person, invited_by, expires, recovery, created, entry, admitted)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let admitted = row.admitted.map(|admitted| serde_json::to_string(&admitted)).transpose();
        let values = params![
            row.secret_sha256.as_bytes(),
            row.person.as_str(),
            row.invited_by,
            row.expires.millis(),
            row.recovery,
            row.created.millis(),
            as_i64(row.entry)?,
            admitted.map_err(|_| corrupt("admitted"))?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Ends an invitation: used (then a session may add a second passkey) or declined.
    pub fn end_invitation(
        &mut self,
        secret_sha256: &Digest,
        session: Option<(&Digest, Timestamp)>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE invitation SET ended = ?2, session_sha256 = ?3, session_until = ?4
                   WHERE secret_sha256 = ?1 AND ended IS NULL";
        let changed = self.conn().prepare_cached(sql)?.execute(params![
            secret_sha256.as_bytes(),
            self.now().millis(),
            session.map(|(digest, _)| digest.as_bytes().to_vec()),
            session.map(|(_, until)| until.millis()),
        ])?;
        if changed == 1 { Ok(()) } else { Err(corrupt("invitation")) }
    }
}
