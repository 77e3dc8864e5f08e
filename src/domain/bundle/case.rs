//! One bundle under verification: its documents, and the steps over its form.
//! In: a bundle, the roles of its entries, a checker of signatures. Out: documents by the entry that names them.
//! Implements DESIGN §7: every part is named by another, and no part is left over.
//! Never reads a document that no entry names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::canonical;
use crate::domain::ids::Digest;
use crate::domain::log::entry::{Event, EvidenceDigests};
use crate::domain::request::Request;
use crate::domain::time::{NEW_PASSKEY_PAUSE, SECOND_PASSKEY};

use super::roles::{AskedPart, Roles};
use super::signatures::{Place, Signatures};
use super::{Bundle, Document};

/// What the steps share.
pub(super) struct Case<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) roles: &'a Roles<'a>,
    pub(super) signatures: &'a dyn Signatures,
}

impl Case<'_> {
    pub(super) fn document(&self, evidence: &EvidenceDigests, name: &str) -> Result<&Document, String> {
        let digest = evidence.get(name).ok_or_else(|| format!("the entry names no `{name}`"))?;
        self.bundle.evidence.get(digest).ok_or_else(|| format!("`{name}` ({digest}) is missing"))
    }

    pub(super) fn read<T: serde::de::DeserializeOwned>(
        &self,
        evidence: &EvidenceDigests,
        name: &str,
    ) -> Result<T, String> {
        let document = self.document(evidence, name)?;
        let value = canonical::strict_value(document.text.as_bytes()).map_err(|error| format!("`{name}`: {error}"))?;
        serde_json::from_value(value).map_err(|error| format!("`{name}`: {error}"))
    }

    pub(super) fn place(&self) -> Place<'_> {
        // The origin of an issuer URL is the URL up to its path.
        let issuer = self.roles.genesis.issuer;
        let after = issuer.find("://").map_or(0, |at| at + 3);
        let end = issuer.get(after..).and_then(|rest| rest.find('/')).map_or(issuer.len(), |at| after + at);
        Place { rp_id: self.roles.genesis.rp_id, origin: issuer.get(..end).unwrap_or(issuer) }
    }

    pub(super) fn times(&self) -> Result<String, String> {
        let token = self.roles.token.time;
        if let Some(asked) = &self.roles.asked {
            for decision in &self.roles.decisions {
                if decision.time < asked.time || decision.time > asked.asked.decide_by || decision.time > token {
                    return Err(format!("decision {} was not made between asking and issuing", decision.index));
                }
                if decision.passkey.time > decision.time {
                    return Err(format!("the passkey of decision {} was added later", decision.index));
                }
                if decision.passkey.admitted_by.is_some() && decision.time < decision.passkey.time + NEW_PASSKEY_PAUSE {
                    return Err(format!(
                        "the passkey of decision {} was admitted by another one too shortly before",
                        decision.index
                    ));
                }
                if decision.passkey.enrolled > decision.passkey.expires + SECOND_PASSKEY {
                    return Err(format!(
                        "the passkey of decision {} was added after its invitation ended",
                        decision.index
                    ));
                }
            }
        }
        Ok(format!("in order, issued at {token}"))
    }

    pub(super) fn request(&self, part: &AskedPart<'_>) -> Result<Request, String> {
        let document = self.document(part.evidence, "request")?;
        let request: Request =
            canonical::from_bytes(document.text.as_bytes()).map_err(|error| format!("`request`: {error}"))?;
        if Digest::of(document.text.as_bytes()) != part.asked.request_sha256 {
            return Err("the request is not the one that was asked".to_owned());
        }
        let same = request.id == *part.request
            && request.issuer == self.roles.genesis.issuer
            && request.decide_by == part.asked.decide_by
            && request.rule.sha256 == part.asked.rule
            && request.audiences().eq(part.asked.intake.audiences.iter())
            && request.job_claim("issuer") == Some(part.job.issuer.as_str())
            && request.job_claim("job_id") == Some(part.job.job_id.as_str())
            && request.job_claim("pipeline_id") == Some(part.job.pipeline_id.as_str())
            && request.job_claim("job_project_id").or(request.job_claim("project_id"))
                == Some(part.job.job_project_id.as_str());
        if !same {
            return Err("the request and its entry differ".to_owned());
        }
        if self.roles.token.time > request.use_by {
            return Err("the token was issued after the last moment that people signed for".to_owned());
        }
        Ok(request)
    }

    pub(super) fn signing_key(&self) -> Result<String, String> {
        let (kid, alg, evidence) = self.roles.signing_key;
        let jwk: Value = self.read(evidence, "jwk")?;
        let same = self.signatures.thumbprint(&jwk).as_ref() == Some(kid);
        let named = matches!(&self.roles.token.event,
            Event::Token { kid: used, .. } if used == kid);
        if same && named {
            Ok(format!("{} {kid}", alg.as_str()))
        } else {
            Err("the signing key is not the one that the token's entry names".to_owned())
        }
    }

    /// Every document is one that a step read.
    pub(super) fn everything_used(&self) -> Result<String, String> {
        let mut read: Vec<&EvidenceDigests> = vec![self.roles.issuer_keys.1, self.roles.signing_key.2];
        if let Some(part) = &self.roles.asked {
            read.push(part.evidence);
            read.extend(part.starter.iter().chain(&part.proved).map(|tie| tie.evidence));
        }
        for decision in &self.roles.decisions {
            read.extend([
                decision.evidence,
                decision.passkey.evidence,
                decision.passkey.invitation_evidence,
                decision.membership.2,
            ]);
        }
        let token = self.roles.token_part()?;
        read.push(token.evidence);
        let known: std::collections::BTreeSet<_> = read.into_iter().flat_map(BTreeMap::values).collect();
        match self.bundle.evidence.keys().find(|digest| !known.contains(digest)) {
            None => Ok("nothing in the file is left over".to_owned()),
            Some(digest) => Err(format!("document {digest} plays no part in this proof")),
        }
    }
}
