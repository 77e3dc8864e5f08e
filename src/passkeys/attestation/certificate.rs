//! Certificates of attestation statements, and signatures by their keys.
//! In: DER. Out: the fields that statements are bound by; whether a signature is the key's.
//! Implements RFC 5280 §4.1 as far as WebAuthn L3 §8.2.1 and §8.3.1 ask, and the algorithms of RFC 9053, RFC 8812.
//! Never judges whether a certificate is trusted.

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::Certified;
use crate::domain::assurance::evidence::Aaguid;

/// Most certificates of a statement.
pub const MAX_CERTIFICATES: usize = 8;

/// What was read, or what is wrong with it, as a clause about the passkey.
pub(in crate::passkeys) type Reading<T> = Result<T, String>;

/// `id-fido-gen-ce-aaguid`, as its dotted text.
const AAGUID_EXTENSION: &str = "1.3.6.1.4.1.45724.1.1.4";

/// A certificate.
pub(in crate::passkeys) struct Certificate(Vec<u8>);

impl Certificate {
    pub(in crate::passkeys) fn read(der: &[u8]) -> Reading<Self> {
        let certificate = Self(der.to_vec());
        certificate.parsed().map(|_| ())?;
        Ok(certificate)
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::passkeys) fn parsed(&self) -> Reading<X509Certificate<'_>> {
        match X509Certificate::from_der(&self.0) {
            Ok(([], certificate)) => Ok(certificate),
            _ => Err("a certificate of its statement cannot be read".to_owned()),
        }
    }

    pub(in crate::passkeys) fn key(&self) -> Reading<PKey<Public>> {
        let certificate = openssl::x509::X509::from_der(&self.0);
        certificate
            .and_then(|certificate| certificate.public_key())
            .map_err(|_| "the key of its certificate cannot be read".to_owned())
    }

    /// The content of an extension, with whether it is critical.
    pub(super) fn extension(&self, dotted: &str) -> Reading<Option<(Vec<u8>, bool)>> {
        let certificate = self.parsed()?;
        let mut found = certificate.iter_extensions().filter(|extension| extension.oid.to_id_string() == dotted);
        let one = found.next().map(|extension| (extension.value.to_vec(), extension.critical));
        if found.next().is_some() { Err(format!("its certificate has the extension {dotted} twice")) } else { Ok(one) }
    }

    /// A certificate of version 3 that signs no others, and says so where it must.
    pub(super) fn is_of_a_signer(&self, must_say_so: bool) -> Reading<()> {
        let certificate = self.parsed()?;
        if certificate.version() != X509Version::V3 {
            return Err("its certificate is not of version 3".to_owned());
        }
        match certificate.basic_constraints() {
            Ok(Some(constraints)) if !constraints.value.ca => Ok(()),
            Ok(None) if !must_say_so => Ok(()),
            Ok(None) => Err("its certificate does not say that it signs no others".to_owned()),
            _ => Err("its certificate may sign others".to_owned()),
        }
    }

    /// Whether the certificate names the model, which must then be this one.
    pub(super) fn names_model(&self, aaguid: Aaguid) -> Reading<bool> {
        match self.extension(AAGUID_EXTENSION)? {
            None => Ok(false),
            Some((_, true)) => Err("the model in its certificate is marked critical".to_owned()),
            // An OCTET STRING of 16 bytes.
            Some((value, false)) => match value.as_slice() {
                [0x04, 0x10, model @ ..] if model == aaguid.0 => Ok(true),
                _ => Err("its certificate is for another model".to_owned()),
            },
        }
    }

    /// The values of an attribute of the subject.
    pub(in crate::passkeys) fn subject(&self, attribute: &Oid<'_>) -> Reading<Vec<String>> {
        let certificate = self.parsed()?;
        let values = certificate.subject().iter_by_oid(attribute);
        Ok(values.filter_map(|value| value.as_str().ok().map(str::to_owned)).collect())
    }
}

/// Whether the signer is Chromium's virtual authenticator, whose key is in Chromium's source.
pub(super) fn is_everybodys(certified: &Certified) -> Reading<bool> {
    use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
    let Some(leaf) = certified.certificates.first() else { return Ok(false) };
    let leaf = Certificate::read(leaf)?;
    let is = |attribute: &Oid<'_>, text: &str| leaf.subject(attribute).map(|values| values == [text]);
    Ok(is(&OID_X509_ORGANIZATION_NAME, "Chromium")? && is(&OID_X509_COMMON_NAME, "Batch Certificate")?)
}

/// The hash of a COSE signature algorithm; SHA-1 only where old TPMs sign with it.
pub(super) fn hash_of(algorithm: i64) -> Option<MessageDigest> {
    match algorithm {
        -7 | -37 | -257 => Some(MessageDigest::sha256()),
        -35 | -38 | -258 => Some(MessageDigest::sha384()),
        -36 | -39 | -259 => Some(MessageDigest::sha512()),
        -65535 => Some(MessageDigest::sha1()),
        _ => None,
    }
}

/// Whether a signature over `signed` is the key's, by a COSE algorithm that fits the key.
pub(in crate::passkeys) fn verify(key: &PKey<Public>, algorithm: i64, signature: &[u8], signed: &[u8]) -> bool {
    let fits = match algorithm {
        -7 | -35 | -36 => key.id() == Id::EC,
        -39..=-37 | -259..=-257 | -65535 => key.id() == Id::RSA,
        -8 => key.id() == Id::ED25519,
        _ => false,
    };
    let verified = || {
        let mut verifier = match hash_of(algorithm) {
            Some(hash) => Verifier::new(hash, key)?,
            None => Verifier::new_without_digest(key)?,
        };
        if matches!(algorithm, -39..=-37) {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        verifier.verify_oneshot(signature, signed)
    };
    fits && verified().unwrap_or(false)
}
