//! Makes the proof bundle of an issued token.
//! In: the index of a `token` entry. Out: a `Bundle`, everything at the newest checkpoint.
//! Implements DESIGN §7 (when a job token leaves), facts of the bundle's parts.
//! Never lets out a job token that may still be exchanged, nor anybody's name.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::bundle::{Bundle, BundledEntry, Document, TYPE};
use crate::domain::canonical::Bytes;
use crate::domain::ids::Digest;
use crate::domain::log::entry::{Entry, Event, Intake};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::LEEWAY;
use crate::store::Reader;

use super::{AppError, Countersign};

impl Countersign {
    /// The bundle of a token's entry.
    ///
    /// # Errors
    /// `not_found` where the entry is no token's.
    pub fn make_bundle(&self, index: u64) -> Result<Bundle, AppError> {
        self.store.read(|reader| Collector::new(reader)?.collect(index))
    }
}

struct Collector<'a> {
    reader: &'a Reader<'a>,
    size: u64,
    entries: BTreeSet<u64>,
    evidence: BTreeMap<Digest, Document>,
}

impl<'a> Collector<'a> {
    fn new(reader: &'a Reader<'a>) -> Result<Self, AppError> {
        Ok(Self { reader, size: reader.size()?, entries: BTreeSet::new(), evidence: BTreeMap::new() })
    }

    fn collect(mut self, index: u64) -> Result<Bundle, AppError> {
        let token = self.take(index)?;
        let Event::Token { asked, decisions, signing_key, intake, .. } = &token.event else {
            let text = format!("entry {index} is of kind `{}`, not a token", token.event.kind());
            return Err(AppError::refused(ErrorCode::NotFound, text)
                .with_hint("name a token's entry: the `log` claim of a token"));
        };
        self.take(0)?;
        self.documents(&token, &["standing"])?;
        match (asked, intake) {
            (Some(asked), _) => self.request(*asked)?,
            (None, Some(intake)) => {
                self.documents(&token, &["rule"])?;
                let collected = self.reader.issued_beside(index)?;
                self.job_token(&token, intake, collected)?;
                self.keys(intake.issuer_keys)?;
            }
            (None, None) => return Err(AppError::internal("a token's entry without intake")),
        }
        for decision in decisions {
            self.decision(*decision)?;
        }
        let key = self.take(*signing_key)?;
        if matches!(key.event, Event::SigningKey { .. }) {
            self.documents(&key, &["jwk"])?;
        }
        let row =
            self.reader.issued_at_entry(index)?.ok_or_else(|| AppError::internal("a token's entry without row"))?;
        let claims = serde_json::from_slice(&row.claims).map_err(AppError::internal)?;
        self.take(self.size.saturating_sub(1))?;
        self.finish(claims)
    }

    fn take(&mut self, index: u64) -> Result<Entry, AppError> {
        let missing = || {
            AppError::refused(ErrorCode::NotFound, format!("the log has no entry {index}; its size is {}", self.size))
        };
        let bytes = self.reader.entry(index)?.ok_or_else(missing)?;
        self.entries.insert(index);
        Ok(Entry::from_bytes(&bytes)?)
    }

    fn documents(&mut self, entry: &Entry, names: &[&str]) -> Result<(), AppError> {
        for (name, digest) in entry.event.evidence().into_iter().flatten() {
            if !names.contains(&name.as_str()) {
                continue;
            }
            let row =
                self.reader.evidence(entry.seq, digest)?.ok_or_else(|| AppError::internal("evidence without row"))?;
            if let Some(bytes) = row.bytes {
                let text = String::from_utf8(bytes).map_err(AppError::internal)?;
                self.evidence.insert(*digest, Document { salt: Bytes(row.salt.unwrap_or_default().to_vec()), text });
            }
        }
        Ok(())
    }

    fn keys(&mut self, index: u64) -> Result<(), AppError> {
        let keys = self.take(index)?;
        if matches!(keys.event, Event::IssuerKeys { .. }) {
            self.documents(&keys, &["keys"])?;
        }
        Ok(())
    }

    fn request(&mut self, index: u64) -> Result<(), AppError> {
        let entry = self.take(index)?;
        let Event::Request { request, asked: Some(asked), .. } = &entry.event else {
            return Err(AppError::internal("a token's request is not one"));
        };
        self.documents(&entry, &["request", "rule"])?;
        let collected = self.reader.issued_for_request(request)?.len();
        self.job_token(&entry, &asked.intake, collected)?;
        self.keys(asked.intake.issuer_keys)?;
        for link in asked.starter.iter().chain(&asked.proved) {
            let link = self.take(*link)?;
            if matches!(link.event, Event::Link { .. }) {
                self.documents(&link, &["link"])?;
            }
        }
        Ok(())
    }

    /// The job token leaves once its `jti` is spent for every audience, or past its `exp`; judged by the log's time.
    fn job_token(&mut self, entry: &Entry, intake: &Intake, collected: usize) -> Result<(), AppError> {
        let newest = self.reader.last_time()?;
        let over = newest.is_some_and(|time| time > intake.job_token_exp + LEEWAY);
        if over || collected >= intake.audiences.len() {
            self.documents(entry, &["job_token"])?;
        }
        Ok(())
    }

    fn decision(&mut self, index: u64) -> Result<(), AppError> {
        let decision = self.take(index)?;
        let Event::Decision { passkey, membership, .. } = &decision.event else {
            return Err(AppError::internal("a token's decision is not one"));
        };
        self.documents(&decision, &["statement", "assertion"])?;
        self.passkey(*passkey)?;
        if let Some(joined) = membership {
            let joined = self.take(*joined)?;
            if matches!(joined.event, Event::Admin { .. }) {
                self.documents(&joined, &["act"])?;
            }
        }
        Ok(())
    }

    /// A passkey, and what admitted it: an invitation, or passkeys down to one that an invitation admitted.
    fn passkey(&mut self, index: u64) -> Result<(), AppError> {
        let mut next = Some(index);
        while let Some(at) = next {
            let key = self.take(at)?;
            let Event::Passkey { enrolment, admitted_by, .. } = &key.event else {
                return Err(AppError::internal("a decision's passkey is not one"));
            };
            if at == index {
                self.documents(&key, &["statement", "registration", "attestation"])?;
            }
            if let Some(enrolment) = enrolment {
                let invited = self.take(*enrolment)?;
                if matches!(invited.event, Event::Enrolment { .. }) {
                    self.documents(&invited, &["invitation"])?;
                }
            }
            // Never upwards: an entry names what came before it.
            next = admitted_by.filter(|by| *by < at);
        }
        Ok(())
    }

    fn finish(self, claims: serde_json::Map<String, serde_json::Value>) -> Result<Bundle, AppError> {
        let (checkpoint, entries, evidence) = self.parts()?;
        Ok(Bundle { kind: TYPE.to_owned(), checkpoint, entries, evidence, claims })
    }

    /// The newest checkpoint, every entry with its proof, every document.
    fn parts(self) -> Result<Parts, AppError> {
        let checkpoint = self
            .reader
            .checkpoint_at(self.size)?
            .ok_or_else(|| AppError::internal("the newest size has no checkpoint"))?;
        let mut entries = Vec::new();
        for index in self.entries {
            let bytes = self.reader.entry(index)?.unwrap_or_default();
            entries.push(BundledEntry {
                index,
                entry: String::from_utf8(bytes).map_err(AppError::internal)?,
                proof: self.reader.inclusion(index, self.size)?,
            });
        }
        Ok((checkpoint, entries, self.evidence))
    }
}

type Parts = (String, Vec<BundledEntry>, BTreeMap<Digest, Document>);

/// What proves one decision: its entry and the passkey's, with their documents.
pub(super) fn decision_parts(reader: &Reader<'_>, index: u64) -> Result<Parts, AppError> {
    let mut collector = Collector::new(reader)?;
    collector.take(0)?;
    collector.decision(index)?;
    collector.parts()
}
