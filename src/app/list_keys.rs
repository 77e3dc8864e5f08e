//! Lists our own keys: those that sign tokens, the log's, and where the others are kept.
//! In: nothing. Out: lines that print or serialise.
//! Implements SCREENS' Admin (Keys), DESIGN §9, §12.
//! Never tells a private key, nor what a command that prints one says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Kid;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

use super::{AppError, Countersign};

/// What a signing key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It signs tokens, and is published.
    Signs,
    /// A newer one of its algorithm signs; it is published no more.
    Retired,
}

impl KeyState {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Signs => "signs, published",
            Self::Retired => "retired",
        }
    }
}

/// A signing key, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyLine {
    /// Its id, as tokens and `/jwks` name it.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: TokenAlg,
    /// What it does.
    pub state: KeyState,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where a newer one took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The log entry that added it.
    pub entry: u64,
}

/// Our keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysSeen {
    /// Those that sign tokens, newest first.
    pub signing: Vec<SigningKeyLine>,
    /// The line of the log key that verifiers pin.
    pub log_key: String,
    /// How many entries the log has.
    pub entries: u64,
    /// How many of them are under the high-water mark; none where no server runs that keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<u64>,
    /// Where the mark is kept.
    pub mark: String,
    /// Where the master key is kept.
    pub master_key: String,
}

impl KeysSeen {
    /// How the high-water mark stands.
    pub fn mark_words(&self) -> String {
        match self.marked {
            Some(marked) => format!("{} of {} entries are under it", marked.min(self.entries), self.entries),
            None => "no server runs that keeps it; `countersign doctor` compares it".to_owned(),
        }
    }
}

impl Countersign {
    /// Our keys.
    pub fn list_keys(&self) -> Result<KeysSeen, AppError> {
        // Before the log: it may grow meanwhile.
        let marked = self.store.marked();
        let (rows, entries) =
            self.store.read(|reader| -> Result<_, AppError> { Ok((reader.signing_keys()?, reader.size()?)) })?;
        let mut newer: BTreeSet<TokenAlg> = BTreeSet::new();
        let mut signing: Vec<SigningKeyLine> = Vec::new();
        for row in rows {
            // Newest first: the first of an algorithm signs.
            let signs = newer.insert(row.alg);
            let until = signing.iter().rfind(|line| line.alg == row.alg).map(|line| line.since);
            let state = if signs { KeyState::Signs } else { KeyState::Retired };
            let (kid, alg, since, entry) = (row.kid, row.alg, row.created, row.entry);
            signing.push(SigningKeyLine { kid, alg, state, since, until, entry });
        }
        let kept = &self.settings.kept;
        Ok(KeysSeen {
            signing,
            log_key: self.log_vkey.clone(),
            entries,
            marked,
            mark: kept.mark.clone(),
            master_key: kept.master_key.clone(),
        })
    }
}
