//! What deciding needs to know of people: groups, who started the job, what was signed.
//! In: rows of the store, or the parts of a proof. Out: `Facts`.
//! Implements DESIGN §5.3.
//! Never read here: whoever decides brings them.

use std::collections::{BTreeMap, BTreeSet};

use super::Refusal;
use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::Device;
use crate::domain::ids::{Digest, GroupName, PersonId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;

/// What the store knows about a job and the people that a rule names; read anew inside the writer's unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Active members of each group that the rule names.
    pub groups: BTreeMap<GroupName, BTreeSet<PersonId>>,
    /// The person linked to the job's user.
    pub starter: Option<PersonId>,
    /// Why nobody can be named as the starter although somebody was.
    pub starter_fault: Option<StarterFault>,
    /// People who proved by a pipeline that the job's user is theirs: their own word, which only ever excludes them.
    pub proved: BTreeSet<PersonId>,
    /// Approve decisions over the job's request, oldest first.
    pub approvals: Vec<Approver>,
}

/// Why nobody can be named as the starter although somebody was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StarterFault {
    /// An admin says one, GitLab's identity another.
    Disputed {
        /// Whom an admin tied to the user.
        linked: PersonId,
        /// Whom GitLab signs the user in as.
        identity: PersonId,
    },
    /// GitLab's identity is nobody here.
    Unknown {
        /// Whom GitLab signs the user in as.
        identity: PersonId,
    },
}

impl StarterFault {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Disputed { linked, identity } => {
                let what = format!("the GitLab user is tied to {linked} here, and GitLab signs it in as {identity}");
                Refusal::new(ErrorCode::StarterDisputed, what)
            }
            Self::Unknown { identity } => {
                let what = format!("GitLab signs the user in as {identity}, and nobody here has that id");
                Refusal::new(ErrorCode::IdentityUnknown, what)
            }
        }
    }
}

/// One approve decision, as far as deciding needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    /// Who signed.
    pub person: PersonId,
    /// SHA-256 of the public key that signed: one key counts once, whoever it belongs to.
    pub credential: Digest,
    /// The level that the signature reached, judged now.
    pub acr: Acr,
    /// The device that it came from, as it stands now.
    pub device: Device,
    /// When it was signed.
    pub at: Timestamp,
    /// The passkey or the person has been suspended or removed since.
    pub void: bool,
}
