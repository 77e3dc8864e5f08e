//! Who counts as the starter of a job: whom others say it is, and whoever says so of themselves.
//! In: a reader, the user whom GitLab names. Out: `Starters`.
//! Implements DESIGN §11.
//! Never lets what a person proved alone stand for what the console or admins say.

use std::collections::BTreeSet;

use crate::domain::ids::{IssuerName, PersonId};
use crate::domain::job::identity::IDENTITY;
use crate::domain::rules::StarterFault;
use crate::store::links::{LinkRow, ProvedRow};
use crate::store::requests::RequestRow;
use crate::store::{Reader, StoreError};

/// Who counts as the starter of a job.
#[derive(Debug, Clone, Default)]
pub struct Starters {
    /// The one person tied to the user by the console or admins.
    pub link: Option<LinkRow>,
    /// Whom GitLab signs the user in as through us, and whether that is somebody here.
    pub identity: Option<(PersonId, bool)>,
    /// People who proved by a pipeline that the user is theirs.
    pub proved: Vec<ProvedRow>,
}

impl Starters {
    /// The person who is known to have started the job, on the console's or admins' word alone: whom GitLab signs in as
    /// whom, its users choose themselves.
    pub fn known(&self) -> Option<&PersonId> {
        self.link.as_ref().map(|link| &link.person)
    }

    /// Why nobody can be named although somebody was.
    pub fn fault(&self) -> Option<StarterFault> {
        let (identity, known) = self.identity.as_ref()?;
        match &self.link {
            Some(link) if link.person != *identity => {
                Some(StarterFault::Disputed { linked: link.person.clone(), identity: identity.clone() })
            }
            _ if !known => Some(StarterFault::Unknown { identity: identity.clone() }),
            _ => None,
        }
    }

    /// The people whom it excludes beside the known one: those who proved it, and whom GitLab signs the user in as.
    pub fn proved_people(&self) -> BTreeSet<PersonId> {
        let identity = self.identity.iter().map(|(person, _)| person.clone());
        self.proved.iter().map(|row| row.person.clone()).chain(identity).collect()
    }

    /// Whether a rule that excludes the starter excludes this person.
    pub fn include(&self, person: &PersonId) -> bool {
        self.known() == Some(person) || self.proved_people().contains(person)
    }
}

/// Who counts as the starter of the jobs of an issuer's user, whom GitLab may sign in through us as `identity`.
pub fn starters(
    reader: &Reader<'_>,
    issuer: &IssuerName,
    user_id: Option<&str>,
    identity: Option<&str>,
) -> Result<Starters, StoreError> {
    let Some(id) = user_id.filter(|id| !id.is_empty()) else { return Ok(Starters::default()) };
    // It was read as a person's id before.
    let identity = identity.and_then(|text| PersonId::parse(text).ok());
    let identity = match identity {
        Some(person) => {
            let known = reader.person(&person)?.is_some();
            Some((person, known))
        }
        None => None,
    };
    Ok(Starters { link: reader.linked(issuer, id)?, identity, proved: reader.proved(issuer, id)? })
}

/// Who counts as the starter of the job of a request.
pub fn starters_of(reader: &Reader<'_>, row: &RequestRow) -> Result<Starters, StoreError> {
    let said = |name| row.request.job_claim(name);
    starters(reader, &row.issuer, said("user_id"), said(IDENTITY))
}
