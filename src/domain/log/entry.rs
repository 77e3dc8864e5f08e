//! A log entry: canonical JSON, a closed list of clear fields for each kind.
//! In: what happened. Out: leaf bytes, and the entry read back without tolerance.
//! Implements DESIGN §7.
//! Never holds a name, a login, an e-mail address or a token.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::canonical::{self, CanonicalError};
use crate::domain::ids::{Audience, ChangeId, Digest, IssuerName, Kid, PersonId, RequestId};
pub use crate::domain::log::fields::{Asked, GrantFields, Intake, JobFields};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::TokenAlg;
use crate::domain::session::SessionEnd;
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;

/// Largest entry, in bytes.
pub const MAX_ENTRY: usize = 16 * 1024;
/// The version of the entry format, written in `genesis`.
pub const FORMAT: u32 = 1;

/// Salted digests of the documents kept beside the log, by what they are (`statement`, `assertion`, …).
pub type EvidenceDigests = BTreeMap<String, Digest>;

/// One leaf of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Equals the leaf's index.
    pub seq: u64,
    /// When; never earlier than the entry before.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The first entry.
    Genesis {
        /// The log's origin, `<host>/log`.
        origin: String,
        /// Version of the entry format.
        format: u32,
        /// Our issuer URL.
        issuer: String,
        /// The WebAuthn RP id.
        rp_id: String,
        /// The state of a demo, never to be served as production.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        demo: bool,
    },
    /// The log goes on after a restore.
    Restored {
        /// Size of the tree that the high-water mark named.
        lost_size: u64,
        /// Root of that tree.
        lost_root: Digest,
    },
    /// The wall clock stepped.
    Clock {
        /// Milliseconds by which it stepped.
        step: i64,
    },
    /// The keys of an issuer as fetched, where they differ from those before. Evidence: `keys`.
    IssuerKeys {
        /// Whose.
        issuer: IssuerName,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// The FIDO metadata in force from here on; whoever wants to check it has the blob of that number from FIDO.
    Metadata {
        /// The blob's serial number.
        number: u64,
        /// SHA-256 of the blob.
        sha256: Digest,
        /// When the next one is due.
        next_update: Timestamp,
        /// How many models it lists that we read.
        models: u64,
        /// How many of its entries could not be read.
        skipped: u64,
    },
    /// The rules in force from here on. Evidence: `rules`, `rules.1`, …
    Rules {
        /// SHA-256 over the digests of all rules, in order.
        sha256: Digest,
        /// The same of the rules before, where there were any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Digest>,
        /// Index of the entry that proposed the change for which admins signed; absent where the files alone say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<u64>,
        /// How many.
        count: u64,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// A signing key. Evidence when added: `jwk`. The first of an algorithm signs from its `added` on.
    SigningKey {
        /// `added` (it is published), `published` (its publication counts anew: it could not be fetched), `signing`,
        /// `retired` (another one signs), `removed` (it is published no more), `revoked` (in an emergency, at once).
        outcome: String,
        /// Its id.
        kid: Kid,
        /// Its algorithm.
        alg: TokenAlg,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// A person was added. Evidence: `person`.
    Person {
        /// `added`.
        outcome: String,
        /// Who.
        person: PersonId,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// An invitation. Evidence: `invitation`.
    Enrolment {
        /// `invited`, `recovery` (the person lost every passkey) or `declined`.
        outcome: String,
        /// Whom.
        person: PersonId,
        /// SHA-256 of the link's secret.
        invitation: Digest,
        /// Until when the link works.
        expires: Timestamp,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// A passkey was added, or signs no more. Evidence when added: `statement`, `registration`.
    Passkey {
        /// `added`, `removed` or `reported` by its owner, `copied` where its counter went back.
        outcome: String,
        /// Whose.
        person: PersonId,
        /// SHA-256 of the COSE public key.
        credential: Digest,
        /// Index of the invitation that admitted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrolment: Option<u64>,
        /// Index of the entry that added the passkey which admitted it, where no invitation did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        admitted_by: Option<u64>,
        /// Index of the entry that added it, where this is not that entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        added: Option<u64>,
        /// Index of the entry that started the session in which its owner did this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
    /// A person signed in, or a session was ended. Evidence when started: `assertion`.
    Session {
        /// `started` or `ended`; `push_began`, `push_stopped` or `push_gone` of a device that its person is told on.
        outcome: String,
        /// Who.
        person: PersonId,
        /// Index of the entry that added the passkey.
        passkey: u64,
        /// Index of the entry that started it; not where it starts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started: Option<u64>,
        /// Why it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<SessionEnd>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
    /// A person was tied to a user of an issuer. Evidence: `link`; where it was proved also `statement`, `assertion` and
    /// `job_token`.
    Link {
        /// `added` or `removed`; `proved` where the person did it with a pipeline, which only excludes.
        outcome: String,
        /// Who.
        person: PersonId,
        /// Whose user.
        issuer: IssuerName,
        /// Index of the entry that added the signing passkey, where the person proved it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passkey: Option<u64>,
        /// Index of the entry with the keys that verified the job token, where the person proved it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer_keys: Option<u64>,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// What was done about a person, by the console or a change. Evidence: `act`.
    Admin {
        /// `joined` and `left` (groups), `role`, `suspended`, `restored`, `passkey_removed`, `vouched`, `recovered`.
        outcome: String,
        /// Whom it concerns.
        person: PersonId,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// A change that admins sign, known by the entry that proposed it. Evidence: `change` when proposed; `statement` and
    /// `assertion` of a signature.
    Change {
        /// `proposed`, `signed`, `refused`, `rejected`, `admitted` (an invited person may come), `done`, `failed`, or
        /// `withdrawn` (the files of the rules were read again, and no longer ask for it).
        outcome: String,
        /// Its link id: in entries from before it stayed with those who sign, and never written now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeId>,
        /// Whom it concerns; nobody where it is about the rules.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<PersonId>,
        /// Who signed, or proposed it on a page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PersonId>,
        /// Index of the entry that started the session in which it was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        /// Index of the entry that added the signing passkey.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passkey: Option<u64>,
        /// Index of the entry that proposed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposed: Option<u64>,
        /// When it takes effect, where it waits for an objection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effective: Option<Timestamp>,
        /// What kept it from taking effect, where something did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<ErrorCode>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
    /// A job asks people. Evidence when asked: `request`, `job_token`, `rule`.
    Request {
        /// `asked`, `contested`, `voided`, `expired`.
        outcome: String,
        /// Which request.
        request: RequestId,
        /// Where and what.
        #[serde(flatten)]
        job: JobFields,
        /// Only when asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
    /// A person decided. Evidence: `statement`, `assertion`.
    Decision {
        /// `approve` or `deny`.
        outcome: Choice,
        /// Who.
        person: PersonId,
        /// Which request.
        request: RequestId,
        /// Index of the entry that asked.
        asked: u64,
        /// Index of the entry that added the passkey.
        passkey: u64,
        /// Index of the entry by which the person joined a group that the rule names; absent where a starter withdraws.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        membership: Option<u64>,
        /// The documents.
        evidence: EvidenceDigests,
    },
    /// A token was issued. Evidence without people: `job_token`, `rule`; with people these are in the request's entry.
    Token {
        /// The token's `jti`.
        jti: String,
        /// Its `aud`.
        audience: Audience,
        /// Its `exp`.
        exp: Timestamp,
        /// The key that signs it.
        kid: Kid,
        /// Index of that key's entry.
        signing_key: u64,
        /// SHA-256 of the canonical claims without `log`.
        claims_sha256: Digest,
        /// Where and what.
        #[serde(flatten)]
        job: JobFields,
        /// The rule's digest.
        rule: Digest,
        /// Index of the entry that holds the job token and the rule: the request's, or none where this is it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<u64>,
        /// Only without people: what the job token's release depends on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        intake: Option<Intake>,
        /// Indices of the decisions that count, ascending.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        decisions: BTreeSet<u64>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
    /// What a person gave to a client, the tokens that came of it, and its end; or a client's own tokens. Evidence where a
    /// device was allowed: `statement`, `assertion`.
    Grant(GrantFields),
    /// A verified job token was refused. Evidence: `job_token`.
    Refusal {
        /// The code returned.
        outcome: ErrorCode,
        /// Where and what.
        #[serde(flatten)]
        job: JobFields,
        /// Who tried, where a person was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<PersonId>,
        /// Which request, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// What a job asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        audiences: Vec<Audience>,
        /// Index of the entry with the keys that verified the job token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer_keys: Option<u64>,
        /// How many refusals of this project were not logged before this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suppressed: Option<u64>,
        /// The documents.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        evidence: EvidenceDigests,
    },
}

impl Entry {
    /// The leaf's bytes.
    ///
    /// # Errors
    /// A value without canonical form, which no entry made here has.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// Reads a leaf back, canonical bytes of a known kind only.
    ///
    /// # Errors
    /// Anything that we would have written differently.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_from_before_changes_were_named_by_their_entries_reads_back() {
        let old = concat!(
            r#"{"by":"paaaaaaaaaaaaaaaa","change":"AQEBAQEBAQEBAQEBAQEBAQ","kind":"change","outcome":"signed","passkey":3,"#,
            r#""person":"paaaaaaaaaaaaaaaa","proposed":6,"seq":7,"time":"2026-11-23T10:40:00.000Z"}"#
        );
        let entry = Entry::from_bytes(old.as_bytes()).unwrap();
        assert_eq!(entry.to_bytes().unwrap(), old.as_bytes());
        let new = old.replace(r#""change":"AQEBAQEBAQEBAQEBAQEBAQ","#, "");
        assert_eq!(Entry::from_bytes(new.as_bytes()).unwrap().to_bytes().unwrap(), new.as_bytes());
        let null = old.replace(r#""AQEBAQEBAQEBAQEBAQEBAQ""#, "null");
        assert!(Entry::from_bytes(null.as_bytes()).is_err());
    }
}
