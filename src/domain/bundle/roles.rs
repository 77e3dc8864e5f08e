//! Which entry plays which part in a proof: reached from the token's entry by the indices that entries name.
//! In: entries whose inclusion was checked. Out: the parts, each of its kind.
//! Implements DESIGN §7 (parts of a bundle name each other).
//! Never takes a part that no other part names.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{Digest, IssuerName, PersonId, RequestId};
use crate::domain::log::entry::{Asked, Entry, Event, EvidenceDigests, Intake, JobFields};
use crate::domain::rules::TokenAlg;
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;

/// The parts of a proof.
pub(super) struct Roles<'a> {
    pub genesis: Genesis<'a>,
    pub token: &'a Entry,
    pub asked: Option<AskedPart<'a>>,
    pub decisions: Vec<DecisionPart<'a>>,
    pub issuer_keys: (&'a IssuerName, &'a EvidenceDigests),
    pub signing_key: (&'a crate::domain::ids::Kid, TokenAlg, &'a EvidenceDigests),
    pub newest: &'a Entry,
}

pub(super) struct Genesis<'a> {
    pub origin: &'a str,
    pub issuer: &'a str,
    pub rp_id: &'a str,
    pub demo: bool,
}

pub(super) struct AskedPart<'a> {
    pub index: u64,
    pub time: Timestamp,
    pub request: &'a RequestId,
    pub job: &'a JobFields,
    pub asked: &'a Asked,
    pub evidence: &'a EvidenceDigests,
    pub starter: Option<TiePart<'a>>,
    /// People who proved by a pipeline that the job's user is theirs.
    pub proved: Vec<TiePart<'a>>,
}

/// Whose a user is.
#[derive(Clone, Copy)]
pub(super) struct TiePart<'a> {
    pub index: u64,
    pub person: &'a PersonId,
    pub issuer: &'a IssuerName,
    pub evidence: &'a EvidenceDigests,
}

pub(super) struct DecisionPart<'a> {
    pub index: u64,
    pub time: Timestamp,
    pub person: &'a PersonId,
    pub evidence: &'a EvidenceDigests,
    pub passkey: PasskeyPart<'a>,
    pub membership: (u64, &'a PersonId, &'a EvidenceDigests),
}

pub(super) struct PasskeyPart<'a> {
    pub time: Timestamp,
    pub person: &'a PersonId,
    pub credential: &'a Digest,
    pub evidence: &'a EvidenceDigests,
    /// The passkey that admitted it, where no invitation did.
    pub admitted_by: Option<&'a Digest>,
    /// When the passkey was added that the invitation admitted: this one, or the first of those that admitted each other.
    pub enrolled: Timestamp,
    pub invitation: &'a Digest,
    pub invited: &'a PersonId,
    pub expires: Timestamp,
    pub invitation_evidence: &'a EvidenceDigests,
}

/// What the token's entry says.
pub(super) struct TokenPart<'a> {
    pub jti: &'a str,
    pub exp: Timestamp,
    pub claims_sha256: &'a Digest,
    pub job: &'a JobFields,
    pub rule: &'a Digest,
    pub audience: &'a crate::domain::ids::Audience,
    pub evidence: &'a EvidenceDigests,
    pub intake: Option<&'a Intake>,
}

struct Walk<'a> {
    entries: &'a BTreeMap<u64, Entry>,
    used: BTreeSet<u64>,
}

impl<'a> Walk<'a> {
    fn get(&mut self, index: u64, what: &str) -> Result<&'a Entry, String> {
        self.used.insert(index);
        self.entries.get(&index).ok_or_else(|| format!("entry {index} ({what}) is missing"))
    }
}

fn wrong(entry: &Entry, what: &str) -> String {
    format!("entry {} is of kind `{}`, not {what}", entry.seq, entry.event.kind())
}

/// Finds every part; an entry that plays none fails.
pub(super) fn assign(entries: &BTreeMap<u64, Entry>, size: u64) -> Result<Roles<'_>, String> {
    let mut walk = Walk { entries, used: BTreeSet::new() };
    let genesis = genesis(walk.get(0, "genesis")?)?;
    let token = find_token(entries, &mut walk)?;
    let newest = walk.get(size.saturating_sub(1), "the newest of the checkpoint")?;
    let Event::Token { asked, decisions, signing_key, intake, .. } = &token.event else {
        return Err(wrong(token, "a token"));
    };
    let asked = asked.map(|index| asked_part(&mut walk, index)).transpose()?;
    let intake = match (&asked, intake) {
        (Some(part), None) => &part.asked.intake,
        (None, Some(intake)) => intake,
        _ => return Err("the token's entry must name a request or its own intake".to_owned()),
    };
    let mut parts = Vec::new();
    for index in decisions {
        let part = asked.as_ref().ok_or("the token's entry names decisions but no request")?;
        parts.push(decision_part(&mut walk, *index, part)?);
    }
    let issuer_keys = match &walk.get(intake.issuer_keys, "the issuer's keys")?.event {
        Event::IssuerKeys { issuer, evidence } => (issuer, evidence),
        other => return Err(format!("entry {} is of kind `{}`, not keys", intake.issuer_keys, other.kind())),
    };
    let signing_key = match &walk.get(*signing_key, "the signing key")?.event {
        Event::SigningKey { outcome, kid, alg, evidence } if outcome == "added" => (kid, *alg, evidence),
        other => return Err(format!("entry {signing_key} is of kind `{}`, not a signing key", other.kind())),
    };
    if let Some(idle) = entries.keys().find(|index| !walk.used.contains(index)) {
        return Err(format!("entry {idle} plays no part in this proof"));
    }
    Ok(Roles { genesis, token, asked, decisions: parts, issuer_keys, signing_key, newest })
}

/// The token is the one entry of its kind, or of several the last but for the newest: named by nobody, so there must be
/// exactly one beside the newest.
fn find_token<'a>(entries: &'a BTreeMap<u64, Entry>, walk: &mut Walk<'a>) -> Result<&'a Entry, String> {
    let newest = entries.keys().next_back().copied();
    let mut tokens: Vec<_> = entries
        .iter()
        .filter(|(_, entry)| matches!(entry.event, Event::Token { .. }))
        .map(|(index, _)| *index)
        .collect();
    if tokens.len() > 1 {
        tokens.retain(|index| Some(*index) != newest);
    }
    match tokens.as_slice() {
        [index] => walk.get(*index, "the token"),
        [] => Err("no entry records a token".to_owned()),
        _ => Err("several entries record tokens".to_owned()),
    }
}

fn genesis(entry: &Entry) -> Result<Genesis<'_>, String> {
    match &entry.event {
        Event::Genesis { origin, format: 1, issuer, rp_id, demo } => Ok(Genesis { origin, issuer, rp_id, demo: *demo }),
        Event::Genesis { .. } => Err("the log's format is unknown to this version".to_owned()),
        _ => Err(wrong(entry, "the genesis")),
    }
}

fn asked_part<'a>(walk: &mut Walk<'a>, index: u64) -> Result<AskedPart<'a>, String> {
    let entry = walk.get(index, "the request")?;
    let Event::Request { outcome, request, job, asked: Some(asked), evidence } = &entry.event else {
        return Err(wrong(entry, "a request"));
    };
    if outcome != "asked" {
        return Err(wrong(entry, "a request that asked"));
    }
    // What a person proved alone is never taken for what the console or admins said.
    let starter = asked.starter.map(|link| tie(walk, link, "added")).transpose()?;
    let proved = asked.proved.iter().map(|link| tie(walk, *link, "proved")).collect::<Result<_, _>>()?;
    Ok(AskedPart { index, time: entry.time, request, job, asked, evidence, starter, proved })
}

fn tie<'a>(walk: &mut Walk<'a>, index: u64, wanted: &str) -> Result<TiePart<'a>, String> {
    match &walk.get(index, "a starter's link")?.event {
        Event::Link { outcome, person, issuer, evidence, .. } if outcome == wanted => {
            Ok(TiePart { index, person, issuer, evidence })
        }
        other => Err(format!("entry {index} is of kind `{}`, not a link that was {wanted}", other.kind())),
    }
}

fn decision_part<'a>(walk: &mut Walk<'a>, index: u64, part: &AskedPart<'_>) -> Result<DecisionPart<'a>, String> {
    let entry = walk.get(index, "a decision")?;
    let Event::Decision { outcome, person, request, asked, passkey, membership, evidence } = &entry.event else {
        return Err(wrong(entry, "a decision"));
    };
    if *outcome != Choice::Approve {
        return Err(format!("entry {index} is a denial"));
    }
    if request != part.request || *asked != part.index {
        return Err(format!("entry {index} decides another request"));
    }
    let joined = membership.ok_or_else(|| format!("entry {index} names no membership"))?;
    let membership = match &walk.get(joined, "a membership")?.event {
        Event::Admin { outcome, person, evidence } if outcome == "joined" => (joined, person, evidence),
        other => return Err(format!("entry {joined} is of kind `{}`, not a membership", other.kind())),
    };
    let passkey = passkey_part(walk, *passkey)?;
    Ok(DecisionPart { index, time: entry.time, person, evidence, passkey, membership })
}

fn passkey_part<'a>(walk: &mut Walk<'a>, index: u64) -> Result<PasskeyPart<'a>, String> {
    let entry = walk.get(index, "a passkey")?;
    let key = added(entry)?;
    let (mut root, mut enrolled, mut admitted_by) = (key, entry.time, None);
    let mut before = index;
    // Each stands before the one that it admitted, so this ends.
    while let Some(by) = root.admitted_by {
        if by >= before {
            return Err(format!("entry {before} names a passkey that came later"));
        }
        let entry = walk.get(by, "the passkey that admitted another")?;
        let admitting = added(entry)?;
        if admitting.person != key.person {
            return Err(format!("entry {before} was admitted by another person's passkey"));
        }
        admitted_by = admitted_by.or(Some(admitting.credential));
        (root, enrolled, before) = (admitting, entry.time, by);
    }
    let enrolment = root.enrolment.ok_or_else(|| format!("entry {before} names nothing that admitted the passkey"))?;
    let invited = walk.get(enrolment, "the invitation")?;
    match &invited.event {
        Event::Enrolment { outcome, person: invited, invitation, expires, evidence: invitation_evidence }
            if outcome == "invited" || outcome == "recovery" =>
        {
            Ok(PasskeyPart {
                time: entry.time,
                person: key.person,
                credential: key.credential,
                evidence: key.evidence,
                admitted_by,
                enrolled,
                invitation,
                invited,
                expires: *expires,
                invitation_evidence,
            })
        }
        _ => Err(wrong(invited, "an invitation")),
    }
}

/// A passkey that was added, and what admitted it.
#[derive(Clone, Copy)]
struct Added<'a> {
    person: &'a PersonId,
    credential: &'a Digest,
    enrolment: Option<u64>,
    admitted_by: Option<u64>,
    evidence: &'a EvidenceDigests,
}

fn added(entry: &Entry) -> Result<Added<'_>, String> {
    match &entry.event {
        Event::Passkey { outcome, person, credential, enrolment, admitted_by, evidence, .. } => {
            if outcome != "added" {
                return Err(wrong(entry, "a passkey that was added"));
            }
            Ok(Added { person, credential, enrolment: *enrolment, admitted_by: *admitted_by, evidence })
        }
        _ => Err(wrong(entry, "a passkey")),
    }
}

impl<'a> Roles<'a> {
    /// What the token's entry says.
    pub fn token_part(&self) -> Result<TokenPart<'a>, String> {
        match &self.token.event {
            Event::Token { jti, exp, claims_sha256, job, rule, audience, evidence, intake, .. } => {
                Ok(TokenPart { jti, exp: *exp, claims_sha256, job, rule, audience, evidence, intake: intake.as_ref() })
            }
            _ => Err(wrong(self.token, "a token")),
        }
    }
}
