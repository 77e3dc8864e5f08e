//! Whose GitLab user somebody is: what the console and admins said, what people proved, and codes on their way.
//! In: a user of an issuer, a person, a code's digest. Out: rows; a code is brought once.
//! Implements DESIGN §11.
//! Never takes what a person proved for what others said: they are two tables.

use rusqlite::{Row, params};

use crate::domain::change::LinkKind;
use crate::domain::ids::{Digest, IssuerName, PersonId};
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::people::proof::LinkedUser;
use crate::domain::time::{LINK_CODE, Timestamp};

use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_time, parsed, time};
use super::{Reader, StoreError, Unit};

/// Most codes of a person that a job may still bring, or that wait for their signature; another one ends the oldest.
pub const MAX_LINK_CODES: usize = 3;

/// A GitLab user's person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Who.
    pub person: PersonId,
    /// The person's own user, or a bot's for which the person answers.
    pub owner: LinkKind,
    /// The log entry that tied them.
    pub entry: u64,
}

/// A person who proved that an issuer's user is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedRow {
    /// Who.
    pub person: PersonId,
    /// The log entry.
    pub entry: u64,
}

/// What a job brought with a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// When.
    pub at: Timestamp,
    /// Whom GitLab names.
    pub user: LinkedUser,
    /// What pages show of it beside the ids, as GitLab's word.
    pub shown: String,
    /// The job token.
    pub token: SubjectToken,
    /// The log entry with the keys that verified it.
    pub issuer_keys: u64,
}

/// A code of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkCodeRow {
    /// SHA-256 of the code.
    pub code_sha256: Digest,
    /// Whose.
    pub person: PersonId,
    /// When it was made.
    pub made: Timestamp,
    /// What a job brought with it, if one has.
    pub brought: Option<Brought>,
}

impl LinkCodeRow {
    /// Whether a job may still bring it, or its person still sign what a job brought.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        now.since(self.brought.as_ref().map_or(self.made, |brought| brought.at)) <= LINK_CODE
    }
}

fn link_code(row: &Row<'_>) -> Result<LinkCodeRow, StoreError> {
    let brought = match optional_time(row, "brought")? {
        None => None,
        Some(at) => Some(Brought {
            at,
            user: serde_json::from_str(&row.get::<_, String>("user")?).map_err(|_| corrupt("user"))?,
            shown: row.get("shown")?,
            token: SubjectToken::new(row.get("token")?),
            issuer_keys: index(row, "issuer_keys")?,
        }),
    };
    Ok(LinkCodeRow {
        code_sha256: digest(row, "code_sha256")?,
        person: parsed(row, "person", PersonId::parse)?,
        made: time(row, "made")?,
        brought,
    })
}

impl Reader<'_> {
    /// The person tied to an issuer's user.
    pub fn linked(&self, issuer: &IssuerName, user_id: &str) -> Result<Option<LinkRow>, StoreError> {
        let sql = "SELECT person, bot, entry FROM link WHERE issuer = ?1 AND user_id = ?2";
        first(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), user_id], |row| {
            let bot: bool = row.get("bot")?;
            Ok(LinkRow {
                person: parsed(row, "person", PersonId::parse)?,
                owner: if bot { LinkKind::Bot } else { LinkKind::Person },
                entry: index(row, "entry")?,
            })
        })
    }

    /// Every user that a person is tied to: issuer and user id, and whether it is a bot.
    pub fn links_of(&self, id: &PersonId) -> Result<Vec<(IssuerName, String, bool)>, StoreError> {
        let sql = "SELECT issuer, user_id, bot FROM link WHERE person = ?1 ORDER BY issuer, user_id";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], |row| {
            Ok((parsed(row, "issuer", IssuerName::parse)?, row.get("user_id")?, row.get("bot")?))
        })
    }

    /// People who proved that an issuer's user is theirs.
    pub fn proved(&self, issuer: &IssuerName, user_id: &str) -> Result<Vec<ProvedRow>, StoreError> {
        let sql = "SELECT person, entry FROM proved_link WHERE issuer = ?1 AND user_id = ?2 ORDER BY entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), user_id], |row| {
            Ok(ProvedRow { person: parsed(row, "person", PersonId::parse)?, entry: index(row, "entry")? })
        })
    }

    /// Every user that a person proved to be theirs.
    pub fn proved_by(&self, id: &PersonId) -> Result<Vec<(IssuerName, String)>, StoreError> {
        let sql = "SELECT issuer, user_id FROM proved_link WHERE person = ?1 ORDER BY issuer, user_id";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], |row| {
            Ok((parsed(row, "issuer", IssuerName::parse)?, row.get("user_id")?))
        })
    }

    /// A code by its digest.
    pub fn link_code(&self, code_sha256: &Digest) -> Result<Option<LinkCodeRow>, StoreError> {
        let sql = "SELECT * FROM link_code WHERE code_sha256 = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![code_sha256.as_bytes()], link_code)
    }

    /// The codes of a person, newest first.
    pub fn link_codes_of(&self, id: &PersonId) -> Result<Vec<LinkCodeRow>, StoreError> {
        let sql = "SELECT * FROM link_code WHERE person = ?1 ORDER BY made DESC, code_sha256";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], link_code)
    }
}

impl Unit<'_> {
    /// Ties an issuer's user to a person.
    pub fn insert_link(&mut self, issuer: &IssuerName, user_id: &str, link: &LinkRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO link (issuer, user_id, person, bot, entry) VALUES (?1, ?2, ?3, ?4, ?5)";
        let bot = link.owner == LinkKind::Bot;
        let values = params![issuer.as_str(), user_id, link.person.as_str(), bot, as_i64(link.entry)?];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Unties an issuer's user.
    pub fn delete_link(&mut self, issuer: &IssuerName, user_id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM link WHERE issuer = ?1 AND user_id = ?2";
        self.conn().prepare_cached(sql)?.execute(params![issuer.as_str(), user_id])?;
        Ok(())
    }

    /// Records that a person proved that an issuer's user is theirs.
    pub fn insert_proved(&mut self, issuer: &IssuerName, user_id: &str, row: &ProvedRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO proved_link (issuer, user_id, person, entry) VALUES (?1, ?2, ?3, ?4)";
        let values = params![issuer.as_str(), user_id, row.person.as_str(), as_i64(row.entry)?];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Forgets that a person proved it: others said the same, or that it is not so.
    pub fn delete_proved(&mut self, issuer: &IssuerName, user_id: &str, id: &PersonId) -> Result<(), StoreError> {
        let sql = "DELETE FROM proved_link WHERE issuer = ?1 AND user_id = ?2 AND person = ?3";
        self.conn().prepare_cached(sql)?.execute(params![issuer.as_str(), user_id, id.as_str()])?;
        Ok(())
    }

    /// Keeps a new code; the oldest of its person end, and everybody's that are over.
    pub fn start_link_code(&mut self, code_sha256: &Digest, id: &PersonId) -> Result<(), StoreError> {
        let now = self.now();
        self.conn()
            .prepare_cached("DELETE FROM link_code WHERE coalesce(brought, made) < ?1")?
            .execute(params![(now - LINK_CODE).millis()])?;
        let prune = "DELETE FROM link_code WHERE person = ?1 AND code_sha256 NOT IN
                     (SELECT code_sha256 FROM link_code WHERE person = ?1 ORDER BY made DESC LIMIT ?2)";
        let keep = i64::try_from(MAX_LINK_CODES - 1).unwrap_or(0);
        self.conn().prepare_cached(prune)?.execute(params![id.as_str(), keep])?;
        let sql = "INSERT INTO link_code (code_sha256, person, made) VALUES (?1, ?2, ?3)";
        self.conn().prepare_cached(sql)?.execute(params![code_sha256.as_bytes(), id.as_str(), now.millis()])?;
        Ok(())
    }

    /// Keeps what a job brought with a code, which no other job can bring from here on.
    pub fn bring_link_code(&mut self, code_sha256: &Digest, brought: &Brought) -> Result<(), StoreError> {
        let sql = "UPDATE link_code SET brought = ?2, user = ?3, shown = ?4, token = ?5, issuer_keys = ?6
                   WHERE code_sha256 = ?1 AND brought IS NULL";
        let user = serde_json::to_string(&brought.user).map_err(|_| corrupt("user"))?;
        let changed = self.conn().prepare_cached(sql)?.execute(params![
            code_sha256.as_bytes(),
            brought.at.millis(),
            user,
            brought.shown,
            brought.token.expose(),
            as_i64(brought.issuer_keys)?
        ])?;
        if changed == 1 { Ok(()) } else { Err(corrupt("link_code")) }
    }

    /// Ends a code, and what a job brought with it.
    pub fn end_link_code(&mut self, code_sha256: &Digest) -> Result<(), StoreError> {
        let sql = "DELETE FROM link_code WHERE code_sha256 = ?1";
        self.conn().prepare_cached(sql)?.execute(params![code_sha256.as_bytes()])?;
        Ok(())
    }
}
