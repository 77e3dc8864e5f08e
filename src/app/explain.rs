//! Explains what the rules say of a job, for the operator: the full trace.
//! In: a job token or the log entry of a refusal. Out: every rule and its first mismatch.
//! Implements DESIGN §12 (`rule explain`).
//! Never decides anything and never writes.

use std::sync::Arc;

use crate::crypto::jwk::KeySet;
use crate::crypto::jwt::UnverifiedToken;
use crate::domain::ids::Audience;
use crate::domain::job::gitlab::IssuerTerms;
use crate::domain::job::{Job, gitlab};
use crate::domain::log::entry::{Entry, Event};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::compile::Rules;
use crate::domain::rules::{Outcome, Trace};
use crate::domain::verified::{RawClaims, Verified};

use super::course::{Call, trace};
use super::intake::IssuerKeysEvidence;
use super::known::know;
use super::{AppError, Countersign};
use crate::store::Reader;

/// What the rules say.
#[derive(Debug)]
pub struct Explanation {
    /// The job.
    pub job: Arc<Job>,
    /// What was asked.
    pub asked: Vec<Audience>,
    /// What follows.
    pub outcome: Outcome,
    /// Every rule looked at.
    pub trace: Trace,
    /// What was refused at the time, where a log entry is explained.
    pub refused: Option<ErrorCode>,
}

impl Countersign {
    /// Explains a job under today's rules and people.
    pub fn explain_job(&self, job: Job, asked: Vec<Audience>) -> Result<Explanation, AppError> {
        self.explain_under(&self.rules().rules, job, asked)
    }

    fn explain_under(&self, rules: &Rules, job: Job, asked: Vec<Audience>) -> Result<Explanation, AppError> {
        let now = self.clock.now();
        let call = Call { job: Arc::new(job), asked, collector: None, proven: None };
        let known = self.store.read(|reader| know(reader, (rules, &self.trusted()), &call, now))?;
        let (outcome, trace) = trace(&call, &known, rules, now);
        Ok(Explanation { job: call.job, asked: call.asked, outcome, trace, refused: None })
    }

    /// Explains a log entry that keeps a job token: a refusal, a request or a token.
    pub fn explain_entry(&self, index: u64, asked: Vec<Audience>) -> Result<Explanation, AppError> {
        let (entry, job) = self.job_of_entry(index)?;
        let (refused, known) = match entry.event {
            Event::Refusal { outcome, audiences, .. } => (Some(outcome), audiences),
            Event::Request { asked: Some(asked), .. } => (None, asked.intake.audiences),
            Event::Token { audience, .. } => (None, vec![audience]),
            _ => (None, Vec::new()),
        };
        let asked = if asked.is_empty() { known } else { asked };
        Ok(Explanation { refused, ..self.explain_job(job, asked)? })
    }

    /// A log entry that keeps a job token, and the job of that token.
    pub(super) fn job_of_entry(&self, index: u64) -> Result<(Entry, Job), AppError> {
        let (entry, token, keys) = self.store.read(|reader| -> Result<_, AppError> {
            let entry = read(reader, index)?;
            // Where people were asked, the request's entry holds the job token.
            let holder = match &entry.event {
                Event::Token { asked: Some(asked), .. } => read(reader, *asked)?,
                _ => entry.clone(),
            };
            let token = evidence(reader, &holder, "job_token")?;
            let keys = match issuer_keys(&holder.event) {
                Some(keys) => evidence(reader, &read(reader, keys)?, "keys")?,
                None => None,
            };
            Ok((entry, token, keys))
        })?;
        let none = || {
            let text = format!("entry {index} (`{}`) keeps no job token", entry.event.kind());
            AppError::refused(ErrorCode::NotFound, text).with_hint("name the entry of a refusal, a request or a token")
        };
        let token = String::from_utf8(token.ok_or_else(none)?).map_err(AppError::internal)?;
        let job = match keys {
            // Under the keys of that time: the issuer may have others today.
            Some(keys) => self.job_under(&token, &keys)?,
            None => self.job_of(&token)?,
        };
        Ok((entry, job))
    }

    /// As `job_of`, asking the issuer for keys where the log holds none that fit.
    pub async fn job_of_asking(&self, token: &str) -> Result<Job, AppError> {
        match self.job_of(token) {
            Err(error) if error.code() == ErrorCode::UnknownKey => {}
            known => return known,
        }
        let token =
            UnverifiedToken::parse(token.trim()).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        let issuer = self.issuer_of(&token)?;
        let keys = self.keys_of(&issuer, token.unverified_kid()).await?;
        let verified = token.verify(&keys.keys).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        from_log(&verified, &issuer.settings.terms)
    }

    /// The job of a token whose time may be long over; verified under the keys that the log holds.
    pub fn job_of(&self, token: &str) -> Result<Job, AppError> {
        let parsed =
            UnverifiedToken::parse(token.trim()).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        let name = self.issuer_of(&parsed)?.settings.terms.name.clone();
        let row = self.store.read(|reader| reader.issuer_keys(&name))?;
        let row = row.ok_or_else(|| {
            AppError::refused(ErrorCode::UnknownKey, format!("no keys of `{name}` have been seen yet"))
                .with_hint("let a job of this issuer call the server once")
        })?;
        self.job_under(token, &row.document)
    }

    fn job_under(&self, token: &str, keys: &[u8]) -> Result<Job, AppError> {
        let token =
            UnverifiedToken::parse(token.trim()).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        let issuer = self.issuer_of(&token)?;
        let terms = &issuer.settings.terms;
        let document: IssuerKeysEvidence = serde_json::from_slice(keys).map_err(AppError::internal)?;
        let keys = serde_json::to_vec(&document.jwks).map_err(AppError::internal)?;
        let (keys, _) = KeySet::parse(&keys)?;
        let verified = token.verify(&keys).map_err(|error| AppError::refused(error.code(), error.to_string()))?;
        from_log(&verified, terms)
    }
}

fn from_log(verified: &Verified<RawClaims>, terms: &IssuerTerms) -> Result<Job, AppError> {
    let provider = terms.identity_provider.as_deref();
    Ok(gitlab::from_log(verified, &terms.name, &terms.url, &terms.our_url, provider)?)
}

fn read(reader: &Reader<'_>, index: u64) -> Result<Entry, AppError> {
    let missing = || AppError::refused(ErrorCode::NotFound, format!("the log has no entry {index}"));
    Ok(Entry::from_bytes(&reader.entry(index)?.ok_or_else(missing)?)?)
}

/// A document that an entry names, unless it was erased.
fn evidence(reader: &Reader<'_>, entry: &Entry, name: &str) -> Result<Option<Vec<u8>>, AppError> {
    let digest = entry.event.evidence().and_then(|evidence| evidence.get(name)).copied();
    let row = digest.map(|digest| reader.evidence(entry.seq, &digest)).transpose()?.flatten();
    Ok(row.and_then(|row| row.bytes))
}

/// The entry with the keys that verified the job token of an entry.
const fn issuer_keys(event: &Event) -> Option<u64> {
    match event {
        Event::Refusal { issuer_keys, .. } => *issuer_keys,
        Event::Request { asked: Some(asked), .. } => Some(asked.intake.issuer_keys),
        Event::Token { intake: Some(intake), .. } => Some(intake.issuer_keys),
        _ => None,
    }
}
