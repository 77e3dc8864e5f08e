//! Attestation statements: what a maker's signature over a new passkey says, and whether we believe the maker.
//! In: a statement, what it signs, the roots that are trusted. Out: `Statement`, then the verdict `Attestation`.
//! Implements WebAuthn L3 §8.2 (packed), §8.3 (tpm), §8.4 (android-key), §8.7 (none), §8.8 (apple).
//! Never takes a statement that does not verify, and never takes a good signature for a trusted one.

mod android;
mod apple;
mod certificate;
mod chain;
mod packed;
mod tpm;

use std::collections::BTreeMap;

use serde_cbor_2::Value as Cbor;

use super::authenticator_data::AttestedCredential;
use super::cose::PublicKey;
use super::error::{PasskeyError, shown};
use crate::domain::assurance::evidence::{Aaguid, Attestation, Proof};
use crate::domain::assurance::models::{EVERYBODYS, Trusted};
use crate::domain::canonical::Bytes;
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;
use certificate::Reading;

pub use certificate::MAX_CERTIFICATES;

pub(super) use certificate::{Certificate, verify};
pub(super) use chain::anchor;

/// A statement whose signature was verified, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// There is none, or none that we can read.
    None,
    /// Signed with the new key itself.
    SelfAttested,
    /// Signed with a certificate's key.
    Certified(Certified),
}

/// A statement that a certificate stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The statement's format.
    pub format: &'static str,
    /// The model that it signs.
    pub aaguid: Aaguid,
    /// The certificates, DER, the signer's first.
    pub certificates: Vec<Vec<u8>>,
    /// The signer's certificate names the model too.
    pub names_model: bool,
    /// What the statement itself says against keys in hardware.
    pub not_in_hardware: Option<&'static str>,
}

/// What a statement is over.
struct Signed<'a> {
    members: &'a BTreeMap<Cbor, Cbor>,
    authenticator_data: &'a [u8],
    client_data_sha256: Digest,
    aaguid: Aaguid,
    key: &'a PublicKey,
}

/// A statement that is refused.
fn invalid(why: impl AsRef<str>) -> PasskeyError {
    PasskeyError::AttestationInvalid(shown(why.as_ref()))
}

impl Signed<'_> {
    fn get(&self, name: &str) -> Option<&Cbor> {
        self.members.get(&Cbor::Text(name.to_owned()))
    }

    fn bytes(&self, name: &str) -> Reading<&[u8]> {
        match self.get(name) {
            Some(Cbor::Bytes(bytes)) => Ok(bytes),
            _ => Err(format!("its statement has no `{name}`")),
        }
    }

    fn algorithm(&self) -> Reading<i64> {
        match self.get("alg") {
            Some(Cbor::Integer(number)) => i64::try_from(*number).map_err(|_| "its `alg` is out of range".to_owned()),
            _ => Err("its statement has no `alg`".to_owned()),
        }
    }

    /// The certificates, where the statement has any.
    fn certificates(&self) -> Reading<Option<Vec<Certificate>>> {
        let Some(listed) = self.get("x5c") else { return Ok(None) };
        let Cbor::Array(listed) = listed else { return Err("its `x5c` is no list".to_owned()) };
        if listed.is_empty() || listed.len() > MAX_CERTIFICATES {
            return Err(format!("its `x5c` has {} certificates, not 1 to {MAX_CERTIFICATES}", listed.len()));
        }
        let read = listed.iter().map(|item| match item {
            Cbor::Bytes(der) => Certificate::read(der),
            _ => Err("its `x5c` holds something else than bytes".to_owned()),
        });
        read.collect::<Reading<Vec<_>>>().map(Some)
    }

    /// The certificates of a format that cannot be without.
    fn path(&self) -> Reading<Vec<Certificate>> {
        self.certificates()?.ok_or_else(|| "its statement has no `x5c`".to_owned())
    }

    /// `authenticatorData || clientDataHash`.
    fn to_be_signed(&self) -> Vec<u8> {
        [self.authenticator_data, self.client_data_sha256.as_bytes()].concat()
    }

    fn certified(&self, format: &'static str, path: &[Certificate]) -> Reading<Certified> {
        let leaf = path.first().ok_or("its `x5c` is empty")?;
        Ok(Certified {
            format,
            aaguid: self.aaguid,
            certificates: path.iter().map(|certificate| certificate.der().to_vec()).collect(),
            names_model: leaf.names_model(self.aaguid)?,
            not_in_hardware: None,
        })
    }
}

/// Verifies a statement; every format that is not named in the head of this file counts as none.
pub(super) fn examine(
    (format, members): (&str, &BTreeMap<Cbor, Cbor>),
    authenticator_data: &[u8],
    client_data_json: &[u8],
    credential: &AttestedCredential<'_>,
) -> Result<Statement, PasskeyError> {
    let key = PublicKey::parse(credential.public_key)?;
    let signed = Signed {
        members,
        authenticator_data,
        client_data_sha256: Digest::of(client_data_json),
        aaguid: Aaguid(credential.aaguid),
        key: &key,
    };
    let examined = match format {
        "packed" => packed::examine(&signed),
        "tpm" => tpm::examine(&signed).map(Statement::Certified),
        "android-key" => android::examine(&signed).map(Statement::Certified),
        "apple" => apple::examine(&signed).map(Statement::Certified),
        _ => Ok(Statement::None),
    };
    examined.map_err(invalid)
}

/// The verdict over a statement at the time of its registration.
#[must_use]
pub fn judge(statement: &Statement, trusted: &Trusted, at: Timestamp) -> Attestation {
    let certified = match statement {
        Statement::None => return Attestation::None,
        Statement::SelfAttested => return Attestation::SelfAttested,
        Statement::Certified(certified) => certified,
    };
    match prove(certified, trusted, at) {
        Ok(proof) => Attestation::Proven(Box::new(proof)),
        Err(why) => Attestation::Untrusted { why },
    }
}

fn prove(certified: &Certified, trusted: &Trusted, at: Timestamp) -> Result<Proof, String> {
    if let Some(why) = certified.not_in_hardware {
        return Err(why.to_owned());
    }
    if certificate::is_everybodys(certified)? {
        return Err("everybody has the key that attests this model".to_owned());
    }
    let mut why = String::new();
    for candidate in trusted.candidates(certified.format, certified.aaguid, at)? {
        match chain::anchor(&certified.certificates, candidate.roots, at) {
            Err(error) => why = error,
            Ok(path) => {
                let anchor = path.anchor;
                // Whoever vouches for the root: metadata lists no certificate that is revoked.
                if trusted.has_revoked(&path.serials) {
                    return Err("a certificate of its chain is revoked".to_owned());
                }
                // Under a root of several models only the certificate itself can say which one this is.
                if certified.format == "packed" && !certified.names_model && trusted.is_shared(&anchor) {
                    why = String::from("its root stands for several models, and its certificate names none");
                    continue;
                }
                let (source, model, serials) = (candidate.source, candidate.model, path.serials);
                return Ok(Proof { aaguid: certified.aaguid, anchor: Bytes(anchor), source, model, serials });
            }
        }
    }
    Err(why)
}

/// Whether a statement still proves what the log says it proved: the same model, and a chain up to the same certificate.
///
/// # Errors
/// What does not hold.
pub fn confirms(statement: &Statement, attestation: &Attestation, at: Timestamp) -> Result<(), String> {
    let differs = || Err("the registration's statement is of another kind than the log says".to_owned());
    match (statement, attestation) {
        (Statement::None, Attestation::None)
        | (Statement::SelfAttested, Attestation::SelfAttested)
        | (Statement::Certified(_), Attestation::Untrusted { .. }) => Ok(()),
        (Statement::Certified(certified), Attestation::Proven(proof)) => {
            if proof.aaguid == EVERYBODYS || certificate::is_everybodys(certified)? {
                return Err("everybody has the key that attests this model".to_owned());
            }
            if certified.aaguid != proof.aaguid {
                return Err("the registration's statement is over another model".to_owned());
            }
            if let Some(why) = certified.not_in_hardware {
                return Err(why.to_owned());
            }
            let roots = std::iter::once(proof.anchor.0.clone()).collect();
            let path = chain::anchor(&certified.certificates, &roots, at)?;
            if path.serials != proof.serials {
                return Err("the registration's chain is of other certificates than the log says".to_owned());
            }
            Ok(())
        }
        _ => differs(),
    }
}

#[cfg(test)]
mod tests;
