//! The `packed` statement: signed by a batch of authenticators' certificate, or by the new key itself.
//! In: a statement. Out: what kind it is, its signature verified.
//! Implements WebAuthn L3 §8.2 and §8.2.1.
//! Never takes a certificate that does not say what it is for.

use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT,
};

use super::certificate::{self, Certificate, Reading};
use super::{Signed, Statement, android, apple};

/// What the certificate's subject must say it is.
const UNIT: &str = "Authenticator Attestation";

pub(super) fn examine(signed: &Signed<'_>) -> Reading<Statement> {
    let (algorithm, signature) = (signed.algorithm()?, signed.bytes("sig")?);
    let wrong = || "the signature of its statement does not verify".to_owned();
    let Some(path) = signed.certificates()? else {
        if algorithm != signed.key.algorithm() {
            return Err("its statement is signed by another algorithm than its key's".to_owned());
        }
        let good = signed.key.verify(signature, &signed.to_be_signed());
        return if good { Ok(Statement::SelfAttested) } else { Err(wrong()) };
    };
    let leaf = path.first().ok_or_else(wrong)?;
    // Old TPMs alone sign with SHA-1.
    if algorithm == -65535 || !certificate::verify(&leaf.key()?, algorithm, signature, &signed.to_be_signed()) {
        return Err(wrong());
    }
    requirements(leaf)?;
    signed.certified("packed", &path).map(Statement::Certified)
}

/// §8.2.1.
fn requirements(leaf: &Certificate) -> Reading<()> {
    leaf.is_of_a_signer(true)?;
    // Under a root that stands for several formats: a certificate for one key of a phone attests no batch.
    for foreign in [android::DESCRIPTION, apple::NONCE] {
        if leaf.extension(foreign)?.is_some() {
            return Err("its certificate is for statements of another format".to_owned());
        }
    }
    let country = leaf.subject(&OID_X509_COUNTRY_NAME)?;
    let one = |values: Vec<String>| values.len() == 1 && values.iter().all(|value| !value.is_empty());
    let named = matches!(country.as_slice(), [country] if country.len() == 2)
        && one(leaf.subject(&OID_X509_ORGANIZATION_NAME)?)
        && leaf.subject(&OID_X509_ORGANIZATIONAL_UNIT)? == [UNIT]
        && one(leaf.subject(&OID_X509_COMMON_NAME)?);
    if named { Ok(()) } else { Err("its certificate is not one for attestation".to_owned()) }
}
