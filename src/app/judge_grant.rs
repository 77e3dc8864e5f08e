//! Judges a grant at each use: who gave it, whether it still holds, and what it proves today.
//! In: a grant's row, its client, a reader. Out: the person and what their sign-in proves, or why it is over.
//! Implements DESIGN §10, RFC 9700 §4.14, ATTACKS 64, 68 (after sign-out, after a passkey was suspended).
//! Never believes that what held when it was given holds now.

use std::collections::BTreeSet;

use crate::domain::assurance::Assurance;
use crate::domain::assurance::models::Trusted;
use crate::domain::ids::GroupName;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::tokens::Subject;
use crate::domain::rules::Refusal;
use crate::domain::session::SessionLimits;
use crate::domain::time::Timestamp;
use crate::store::Reader;
use crate::store::grants::GrantRow;
use crate::store::people::PersonRow;

use super::AppError;
use super::known::{device_of, judged};

/// A grant that holds.
#[derive(Debug, Clone)]
pub struct Holding {
    /// The grant.
    pub grant: GrantRow,
    /// Who gave it.
    pub person: PersonRow,
    /// The log entry that added their passkey.
    pub passkey: u64,
    /// The groups that they are in.
    pub groups: BTreeSet<GroupName>,
    /// What their sign-in proves today.
    pub assurance: Assurance,
}

impl Holding {
    /// The person, as tokens tell of them.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            person: &self.person.id,
            name: &self.person.name,
            email: self.person.email.as_ref(),
            groups: &self.groups,
            assurance: &self.assurance,
            sid: &self.grant.sid,
        }
    }
}

fn over(what: impl Into<String>) -> AppError {
    Refusal::new(ErrorCode::GrantOver, what).into()
}

/// What a grant is judged by.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Its client, as it is configured now.
    pub client: &'a Client,
    /// How long sessions live.
    pub limits: SessionLimits,
    /// Who vouches for passkeys today.
    pub trusted: &'a Trusted,
    /// The log's time.
    pub now: Timestamp,
}

/// The grant, if it holds.
pub(super) fn judge(reader: &Reader<'_>, grant: GrantRow, by: By<'_>) -> Result<Holding, AppError> {
    let By { client, limits, trusted, now } = by;
    if grant.ended.is_some() || now > grant.ends {
        return Err(over("what this token came of has ended"));
    }
    if !grant.offline && now > grant.auth_time + limits.absolute {
        return Err(over("the session that this token came of is over"));
    }
    let person = reader.person(&grant.person)?.filter(|row| row.suspended.is_none());
    let person = person.ok_or_else(|| over("the person is suspended"))?;
    let passkey = reader.passkey_row(grant.passkey)?.filter(|row| row.suspended.is_none());
    let passkey = passkey.ok_or_else(|| over("the passkey that signed in counts no more"))?;
    if !grant.scopes.within(&client.scopes) {
        return Err(over("the client may not have all that was granted any more"));
    }
    // What is the client's no more may be anybody's: a rule's audience, too.
    if grant.resources.iter().any(|resource| !client.resources.contains(resource)) {
        return Err(over("the client may not have tokens for all resources that were granted any more"));
    }
    let groups: BTreeSet<_> = reader.memberships(&grant.person)?.into_keys().collect();
    if !client.admits(&groups) {
        return Err(over("the person is in no group that may sign in to this client"));
    }
    let facts = (grant.facts, passkey.registered);
    let assurance = judged(trusted, facts, &passkey.vouched, grant.auth_time);
    if assurance.acr < grant.acr.max(client.acr) {
        return Err(over(format!("the sign-in reaches `{}` today, and a higher level is demanded", assurance.acr)));
    }
    if let Some(policy) = &client.device_policy
        && let Some(miss) = policy.miss(&device_of(trusted, facts, &passkey.vouched))
    {
        return Err(over(format!("the passkey misses the policy \"{}\": {}", miss.policy, miss.what)));
    }
    Ok(Holding { grant, person, passkey: passkey.entry, groups, assurance })
}
