//! The models that are known: what the metadata service and the operator vouch for.
//! In: metadata that was read, roots that the operator named. Out: the root and model of a statement; a model's standing.
//! Implements FIDO Metadata Service 3 §3.1 as far as trust depends on it.
//! Never lets an entry vouch for another model than its own, nor the key that everybody has for any.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Aaguid, Attestation, KeyProtection, Model, Proof, Source, Standing};
use crate::domain::canonical::Bytes;
use crate::domain::time::Timestamp;

/// Largest metadata blob, in bytes.
pub const MAX_BLOB: usize = 32 * 1024 * 1024;

/// The model of Chromium's virtual authenticator: the key that attests it is in Chromium's source, so it proves nothing.
pub const EVERYBODYS: Aaguid = Aaguid([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8]);

/// Statements whose certificates are revoked by a list that the operator names with the root, and that metadata lacks.
const ANDROID: &str = "android-key";

/// A metadata blob, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Its serial number.
    pub number: u64,
    /// When the next one is due; this one vouches for no new key afterwards.
    pub next_update: Timestamp,
    /// Its models.
    pub entries: BTreeMap<Aaguid, Listed>,
    /// How many entries could not be read.
    pub skipped: usize,
}

/// A model that metadata lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// What it says of it.
    pub model: Model,
    /// Certificates that stand for it, DER.
    pub roots: BTreeSet<Vec<u8>>,
    /// It is revoked, or its keys are compromised.
    pub compromised: bool,
    /// Its verification of users can be got round.
    pub bypassed: bool,
}

/// Roots that the operator vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoot {
    /// What the operator calls them.
    pub name: String,
    /// The format of statements that they stand for.
    pub format: String,
    /// The models that they stand for; none means every model of that format.
    pub aaguids: BTreeSet<Aaguid>,
    /// The certificates, DER.
    pub roots: BTreeSet<Vec<u8>>,
    /// Serial numbers of certificates below them that are revoked, lower-case hex without leading zeros.
    pub revoked: BTreeSet<String>,
}

/// Everything that vouches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// The metadata in force.
    pub metadata: Option<Metadata>,
    /// The operator's own roots.
    pub own: Vec<OwnRoot>,
    /// Believe every device that says it verified its user.
    pub unattested_uv: bool,
}

/// Roots that may stand for a statement, and what they prove of its model.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Certificates, DER.
    pub roots: &'a BTreeSet<Vec<u8>>,
    /// Who says so.
    pub source: Source,
    /// What is proven.
    pub model: Model,
}

impl Metadata {
    /// Whether the next one is overdue.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now > self.next_update
    }
}

impl Trusted {
    /// Who may vouch for a new key of this model, metadata first; or why nobody does.
    ///
    /// # Errors
    /// What is missing, in a few words.
    pub fn candidates(&self, format: &str, aaguid: Aaguid, now: Timestamp) -> Result<Vec<Candidate<'_>>, String> {
        if aaguid == EVERYBODYS {
            return Err("everybody has the key that attests this model".to_owned());
        }
        let mut found = Vec::new();
        let listed = self.metadata.as_ref().and_then(|metadata| Some((metadata, metadata.entries.get(&aaguid)?)));
        let mut why = match (&self.metadata, listed) {
            (None, _) => "no metadata is configured".to_owned(),
            (Some(metadata), None) => format!("metadata no. {} does not list the model", metadata.number),
            (Some(_), Some(_)) => String::new(),
        };
        if let Some((metadata, listed)) = listed {
            if metadata.is_stale(now) {
                why = format!("metadata no. {} is older than it may be", metadata.number);
            } else if listed.compromised {
                why = format!("metadata no. {} lists the model as revoked or compromised", metadata.number);
            } else if format == ANDROID && !self.own.iter().any(|own| own.format == ANDROID) {
                "no list of Android's revoked certificates is configured".clone_into(&mut why);
            } else {
                let source = Source::Metadata(metadata.number);
                let model = listed.model.clone();
                found.push(Candidate { roots: &listed.roots, source, model });
            }
        }
        let known_bad = listed.is_some_and(|(_, listed)| listed.compromised);
        for own in self.own.iter().filter(|own| !known_bad && own.stands_for(format, aaguid)) {
            let source = Source::Configured(own.name.clone());
            found.push(Candidate { roots: &own.roots, source, model: own.model() });
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }

    /// Whether a certificate stands for several models.
    #[must_use]
    pub fn is_shared(&self, root: &Vec<u8>) -> bool {
        let listed = self.metadata.iter().flat_map(|metadata| &metadata.entries);
        let mut models: BTreeSet<_> = listed.filter(|(_, one)| one.roots.contains(root)).map(|(id, _)| *id).collect();
        let own = self.own.iter().filter(|own| own.roots.contains(root));
        models.extend(own.flat_map(|own| own.aaguids.iter().copied()));
        models.len() > 1
    }

    /// How a key's proven model stands today; for a key without proof the answer says nothing.
    #[must_use]
    pub fn standing(&self, attestation: &Attestation) -> Standing {
        let Attestation::Proven(proof) = attestation else { return Standing::Unlisted };
        let listed = self.metadata.as_ref().and_then(|metadata| metadata.entries.get(&proof.aaguid));
        if self.has_revoked(&proof.serials) {
            return Standing::Compromised;
        }
        // What metadata knows against a model counts, whoever vouched for the key.
        if listed.is_some_and(|listed| listed.compromised) {
            return Standing::Compromised;
        }
        if !self.vouches(proof) {
            return Standing::Unlisted;
        }
        // A level follows from the model as the log has it, so that holds only while metadata says the same of it.
        match (&proof.source, listed) {
            (Source::Metadata(_), Some(listed)) if listed.model.key_protection != proof.model.key_protection => {
                Standing::Unlisted
            }
            (_, Some(listed)) if listed.bypassed => Standing::VerificationBypassed,
            (Source::Metadata(_), Some(listed)) if !listed.model.verifies_as(&proof.model) => {
                Standing::VerificationBypassed
            }
            _ => Standing::Good,
        }
    }

    /// Whether the operator's lists of revoked certificates have one of these.
    #[must_use]
    pub fn has_revoked(&self, serials: &[String]) -> bool {
        self.own.iter().any(|own| serials.iter().any(|serial| own.revoked.contains(serial)))
    }

    /// Whether the certificate that a key's chain ended in still stands for its model.
    fn vouches(&self, proof: &Proof) -> bool {
        let Bytes(anchor) = &proof.anchor;
        match &proof.source {
            Source::Metadata(_) => self
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.entries.get(&proof.aaguid))
                .is_some_and(|listed| listed.roots.contains(anchor)),
            Source::Configured(name) => self.own.iter().any(|own| {
                own.name == *name
                    && own.roots.contains(anchor)
                    && (own.aaguids.is_empty() || own.aaguids.contains(&proof.aaguid))
            }),
        }
    }
}

impl OwnRoot {
    fn stands_for(&self, format: &str, aaguid: Aaguid) -> bool {
        self.format == format && (self.aaguids.is_empty() || self.aaguids.contains(&aaguid))
    }

    /// The operator's word is that such keys are kept in hardware; how they verify users it does not say.
    fn model(&self) -> Model {
        Model { name: self.name.clone(), key_protection: BTreeSet::from([KeyProtection::Hardware]), ..Model::default() }
    }
}

#[cfg(test)]
mod tests;
