//! Shows what a person signed, and gives the receipt of a decision.
//! In: a person, and the entry of a decision. Out: decisions, newest first; a receipt that proves one without us.
//! Implements SCREENS (What I signed).
//! Never gives anybody else's receipt.

use serde::Serialize;

use crate::domain::bundle::{BundledEntry, Document};
use crate::domain::ids::{Digest, PersonId};
use crate::domain::log::entry::{Entry, Event};
use crate::domain::oauth::error_code::ErrorCode;
use crate::store::passkeys::PasskeyRow;
use crate::store::requests::{DecisionRow, RequestRow};

use super::make_bundle::decision_parts;
use super::{AppError, Countersign};

/// Most decisions on one page; older ones are a link away.
pub const MAX_SIGNED_SHOWN: usize = 50;

/// One decision.
#[derive(Debug, Clone)]
pub struct SignedDecision {
    /// What was decided, and when.
    pub decision: DecisionRow,
    /// Over what.
    pub request: RequestRow,
    /// With which passkey.
    pub passkey: PasskeyRow,
}

/// What proves a decision: its entry and those that it stands on, their documents, and the tree they are in.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    /// `countersign/receipt/v1`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Index of the decision's entry.
    pub decision: u64,
    /// A signed note over the tree that every entry is proven to be in.
    pub checkpoint: String,
    /// The entries, each with its inclusion proof.
    pub entries: Vec<BundledEntry>,
    /// The documents, by the digest under which an entry names them.
    pub evidence: std::collections::BTreeMap<Digest, Document>,
}

impl Countersign {
    /// A person's decisions, newest first, those before an entry where one is named; one more than is shown says that
    /// there are older ones.
    pub fn decisions_of(
        &self,
        person: &PersonId,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<SignedDecision>, AppError> {
        self.store.read(|reader| {
            let mut found = Vec::new();
            for (decision, request) in reader.decisions_of(person, before, most)? {
                let request = reader.request(&request)?;
                let passkey = reader.passkey_row(decision.passkey)?;
                if let Some((request, passkey)) = request.zip(passkey) {
                    found.push(SignedDecision { decision, request, passkey });
                }
            }
            Ok(found)
        })
    }

    /// The receipt of a person's own decision.
    pub fn receipt(&self, person: &PersonId, entry: u64) -> Result<Receipt, AppError> {
        let unknown = || AppError::refused(ErrorCode::NotFound, "you signed nothing under this number");
        self.store.read(|reader| {
            let bytes = reader.entry(entry)?.ok_or_else(unknown)?;
            match Entry::from_bytes(&bytes)?.event {
                Event::Decision { person: signer, .. } if signer == *person => {}
                _ => return Err(unknown()),
            }
            let (checkpoint, entries, evidence) = decision_parts(reader, entry)?;
            Ok(Receipt { kind: "countersign/receipt/v1", decision: entry, checkpoint, entries, evidence })
        })
    }
}
