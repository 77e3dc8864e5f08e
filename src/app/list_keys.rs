//! Lists our own keys: those that sign tokens and what is done next with them, the log's, and where the others are kept.
//! In: nothing. Out: lines that print or serialise, and what `doctor` says of them.
//! Implements SCREENS' Admin (Keys), DESIGN §9, §12.
//! Never tells a private key, nor what a command that prints one says.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Kid;
use crate::domain::keys::{ALGORITHMS, Due, KeyState, is_overdue};
use crate::domain::rules::TokenAlg;
use crate::domain::time::{RECOVERY_TOLD, Timestamp, humane};
use crate::store::keys::SigningKeyRow;

use super::check_health::Finding;
use super::{AppError, Countersign};

/// A signing key, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyLine {
    /// Its id, as tokens and `/jwks` name it.
    pub kid: Kid,
    /// Its algorithm.
    pub alg: TokenAlg,
    /// Where it is in its life.
    pub state: KeyState,
    /// Since when it is published.
    pub since: Timestamp,
    /// Since when it signs, where it ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs: Option<Timestamp>,
    /// Until when it signed, or was published without ever signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The log entry that added it.
    pub entry: u64,
}

impl SigningKeyLine {
    fn of(row: SigningKeyRow) -> Self {
        let SigningKeyRow { kid, alg, state, created, signs, retired, gone, entry, .. } = row;
        Self { kid, alg, state, since: created, signs, until: retired.or(gone), entry }
    }
}

/// What is done next with the keys of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextLine {
    /// Of which algorithm.
    pub alg: TokenAlg,
    /// What, and from when on.
    #[serde(flatten)]
    pub due: Due,
}

/// Our keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysSeen {
    /// Those that sign tokens, newest first.
    pub signing: Vec<SigningKeyLine>,
    /// What is done next with them, by algorithm, the first step first.
    #[serde(default)]
    pub next: Vec<NextLine>,
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
        let plans = self.key_plans(&rows);
        let next = plans.into_iter().flat_map(|(alg, plan)| plan.into_iter().map(move |due| NextLine { alg, due }));
        let kept = &self.settings.kept;
        Ok(KeysSeen {
            next: next.collect(),
            signing: rows.into_iter().map(SigningKeyLine::of).collect(),
            log_key: self.log_vkey.clone(),
            entries,
            marked,
            mark: kept.mark.clone(),
            master_key: kept.master_key.clone(),
        })
    }

    /// Since when the key of each algorithm signs.
    pub(super) fn signing_since(&self) -> Result<Vec<(TokenAlg, Timestamp)>, AppError> {
        let rows = self.store.read(|reader| reader.signing_keys())?;
        let signing = rows.iter().filter(|row| row.state == KeyState::Signing);
        Ok(signing.map(|row| (row.alg, row.signs.unwrap_or(row.created))).collect())
    }

    /// The signing keys as `doctor` looks at them: who signs, what comes next, what is late, what was revoked lately.
    pub(super) fn key_findings(&self) -> Result<Vec<Finding>, AppError> {
        let now = self.clock.now();
        let rows = self.store.read(|reader| reader.signing_keys())?;
        let plans = self.key_plans(&rows);
        let mut findings = Vec::new();
        for (alg, name) in ALGORITHMS.map(|alg| (alg, alg.as_str())) {
            let Some(signing) = rows.iter().find(|row| row.alg == alg && row.state == KeyState::Signing) else {
                let text = format!("no {name} key signs");
                findings.push(Finding::fail("keys", text, "start the server: it makes one (countersign serve)"));
                continue;
            };
            let age = humane(now.since(signing.key().since));
            let next = plans.iter().find(|(of, _)| *of == alg).and_then(|(_, plan)| plan.first());
            let next = next.map_or_else(String::new, |due| format!("; next: {}", words(due)));
            if is_overdue(&signing.key(), now, &self.settings.keys) {
                let text = format!("the {name} key signs for {age}, longer than `keys.rotate_every`{next}");
                let cure = "let the server run: it changes keys by itself, and says in its diagnostics why it cannot";
                findings.push(Finding::warn("keys", text, cure));
            } else {
                findings.push(Finding::ok("keys", format!("the {name} key signs for {age}{next}")));
            }
        }
        for text in self.revocations()? {
            let cure = "look at what it signed, and let verifiers fetch /jwks again; if nobody did it, somebody was on this machine";
            findings.push(Finding::warn("keys", text, cure));
        }
        Ok(findings)
    }

    /// Signing keys that the console revoked lately.
    pub(super) fn revocations(&self) -> Result<Vec<String>, AppError> {
        let since = self.clock.now() - RECOVERY_TOLD;
        let revoked = self.store.read(|reader| reader.keys_revoked(since))?;
        let line = |(kid, alg, at): (Kid, TokenAlg, Timestamp)| {
            format!("the console revoked the {} key {kid} in an emergency at {at}", alg.as_str())
        };
        Ok(revoked.into_iter().map(line).collect())
    }
}

/// A step with its time.
pub fn words(due: &Due) -> String {
    format!("{}, {} {} UTC", due.step.words(), due.at.day_month(), due.at.hour_minute())
}
