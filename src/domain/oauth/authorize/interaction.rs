//! What must happen before a code is given: a sign-in, a stronger one, a question, or nothing.
//! In: the request, its client, who is signed in, what they allowed, the time. Out: `Interaction`.
//! Implements OpenID Connect Core §3.1.2.3, §3.1.2.4, §3.1.2.6 and §5.5.1.1, RFC 8252 §8.6.
//! Never lets a session count that was there before a request which wants a new one, whatever happened in between.

use std::time::Duration;

use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::Miss;
use crate::domain::ids::{GroupName, PersonId};
use crate::domain::oauth::client::{Client, Consent};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::Timestamp;

use super::{AuthorizationRequest, Prompt};

/// Who is signed in, by today's knowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Who.
    pub person: PersonId,
    /// The groups that they are in.
    pub groups: Vec<GroupName>,
    /// When they touched their passkey.
    pub started: Timestamp,
    /// The log entry of that.
    pub entry: u64,
    /// The level that this reached.
    pub acr: Acr,
    /// The best level that a passkey of theirs could reach.
    pub could_reach: Acr,
    /// What their passkey misses of the client's device policy.
    pub missed: Option<Miss>,
    /// What they allowed the client before, and did not take back.
    pub allowed: Scopes,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is asked.
    pub request: &'a AuthorizationRequest,
    /// By whom.
    pub client: &'a Client,
    /// How many entries the log had when it came: what was before and what came after, whatever the clock says.
    pub came_at: u64,
    /// The log entry of the sign-in that was made for it, if one was.
    pub signed_in: Option<u64>,
    /// Who is signed in, if anybody.
    pub who: Option<&'a SessionFacts>,
    /// The person agrees just now.
    pub agrees: bool,
    /// The present.
    pub now: Timestamp,
}

/// Why somebody must sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInReason {
    /// Nobody is signed in.
    NotSignedIn,
    /// The client wants a new sign-in.
    Asked,
    /// The client wants to know who is meant.
    WhoIsMeant,
    /// The sign-in is older than the client takes.
    TooOld,
    /// The client expects somebody else.
    SomebodyElse,
}

/// Why a stronger passkey is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepUpReason {
    /// It must reach this level.
    Level(Acr),
    /// It misses something of the client's device policy.
    Device(Miss),
}

/// What must happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interaction {
    /// Somebody must sign in.
    SignIn(SignInReason),
    /// They must sign in with a stronger passkey.
    StepUp(StepUpReason),
    /// They must say whether they agree to these.
    Consent(Scopes),
    /// A code is given.
    Issue,
    /// They may not sign in there, and are told so.
    Outside,
    /// The client is told why not.
    Refuse(ErrorCode),
}

/// What must happen next.
#[must_use]
pub fn interaction(at: &Situation<'_>) -> Interaction {
    let next = next(at);
    if !at.request.prompts(Prompt::None) {
        return next;
    }
    // Nobody may be asked anything: what would be asked is what is told.
    match next {
        Interaction::SignIn(_) | Interaction::StepUp(_) => Interaction::Refuse(ErrorCode::LoginNeeded),
        Interaction::Consent(_) => Interaction::Refuse(ErrorCode::ConsentNeeded),
        Interaction::Outside => Interaction::Refuse(ErrorCode::NotInGroups),
        decided @ (Interaction::Issue | Interaction::Refuse(_)) => decided,
    }
}

fn next(at: &Situation<'_>) -> Interaction {
    let Some(who) = at.who else { return Interaction::SignIn(SignInReason::NotSignedIn) };
    if let Some(reason) = sign_in_again(at, who) {
        return Interaction::SignIn(reason);
    }
    if !at.client.admits(&who.groups) {
        return Interaction::Outside;
    }
    if let Some(reason) = step_up(at, who) {
        return Interaction::StepUp(reason);
    }
    match to_agree(at, who) {
        Some(scopes) if !at.agrees => Interaction::Consent(scopes),
        _ => Interaction::Issue,
    }
}

/// A sign-in that was made for the request, and so after it came. One that was made meanwhile for something else tells
/// the client nothing: whoever touched the key did not see its name.
fn is_new(at: &Situation<'_>, who: &SessionFacts) -> bool {
    who.entry >= at.came_at && at.signed_in == Some(who.entry)
}

fn sign_in_again(at: &Situation<'_>, who: &SessionFacts) -> Option<SignInReason> {
    let request = at.request;
    if request.hinted.as_ref().is_some_and(|hinted| *hinted != who.person) {
        return Some(SignInReason::SomebodyElse);
    }
    if is_new(at, who) {
        return None;
    }
    if request.prompts(Prompt::Login) {
        return Some(SignInReason::Asked);
    }
    if request.prompts(Prompt::SelectAccount) {
        return Some(SignInReason::WhoIsMeant);
    }
    let age = at.now.since(who.started);
    // With 0 every sign-in that was there before is too old (§3.1.2.1: as `prompt=login`).
    let too_old = request.max_age.is_some_and(|most| most == 0 || age > Duration::from_secs(most));
    too_old.then_some(SignInReason::TooOld)
}

fn step_up(at: &Situation<'_>, who: &SessionFacts) -> Option<StepUpReason> {
    let wish = at.request.acr.as_ref();
    let essential = wish.filter(|wish| wish.essential).map(super::AcrWish::least);
    let needed = essential.map_or(at.client.acr, |least| least.max(at.client.acr));
    if who.acr < needed {
        return Some(StepUpReason::Level(needed));
    }
    if let Some(missed) = &who.missed {
        return Some(StepUpReason::Device(missed.clone()));
    }
    // What would only be liked is asked for once, and of nobody who has no passkey for it.
    let liked = wish.filter(|wish| !wish.essential).map(super::AcrWish::best);
    let worth_asking = |best: &Acr| who.acr < *best && *best <= who.could_reach && !is_new(at, who);
    liked.filter(worth_asking).filter(|_| !at.request.prompts(Prompt::None)).map(StepUpReason::Level)
}

/// What the person must agree to; nothing where that is not asked.
fn to_agree(at: &Situation<'_>, who: &SessionFacts) -> Option<Scopes> {
    let scopes = at.request.told(at.client);
    let asks_again = at.client.asks_each_time(&at.request.redirect_uri) || at.request.prompts(Prompt::Consent);
    if asks_again {
        return Some(scopes);
    }
    // Which services it may use is not remembered, so it is asked each time.
    let is_more = !scopes.within(&who.allowed) || !at.request.resources.is_empty();
    (at.client.consent == Consent::Once && is_more).then_some(scopes)
}

#[cfg(test)]
mod tests;
