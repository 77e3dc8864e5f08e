//! Who counts as the starter of a job: whom others say it is, and whoever says so of themselves.
//! In: a reader, the user whom GitLab names. Out: `Starters`.
//! Implements DESIGN §11.
//! Never lets what a person proved alone stand for what the console or admins say.

use std::collections::BTreeSet;

use crate::domain::ids::{IssuerName, PersonId};
use crate::store::links::{LinkRow, ProvedRow};
use crate::store::requests::RequestRow;
use crate::store::{Reader, StoreError};

/// Who counts as the starter of a job.
#[derive(Debug, Clone, Default)]
pub struct Starters {
    /// The one person tied to the user by the console or admins.
    pub link: Option<LinkRow>,
    /// People who proved by a pipeline that the user is theirs.
    pub proved: Vec<ProvedRow>,
}

impl Starters {
    /// The person who is known to have started the job.
    pub fn known(&self) -> Option<&PersonId> {
        self.link.as_ref().map(|link| &link.person)
    }

    /// The people who proved it.
    pub fn proved_people(&self) -> BTreeSet<PersonId> {
        self.proved.iter().map(|row| row.person.clone()).collect()
    }

    /// Whether a rule that excludes the starter excludes this person.
    pub fn include(&self, person: &PersonId) -> bool {
        self.known() == Some(person) || self.proved.iter().any(|row| row.person == *person)
    }
}

/// Who counts as the starter of the jobs of an issuer's user.
pub fn starters(reader: &Reader<'_>, issuer: &IssuerName, user_id: Option<&str>) -> Result<Starters, StoreError> {
    match user_id.filter(|id| !id.is_empty()) {
        None => Ok(Starters::default()),
        Some(id) => Ok(Starters { link: reader.linked(issuer, id)?, proved: reader.proved(issuer, id)? }),
    }
}

/// Who counts as the starter of the job of a request.
pub fn starters_of(reader: &Reader<'_>, row: &RequestRow) -> Result<Starters, StoreError> {
    starters(reader, &row.issuer, row.request.job_claim("user_id"))
}
