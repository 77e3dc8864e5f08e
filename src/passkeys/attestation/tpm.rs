//! The `tpm` statement: a TPM certifies the new key with its attestation identity key.
//! In: a statement. Out: what it certifies, and whether the TPM made the key and keeps it.
//! Implements WebAuthn L3 §8.3 and §8.3.1; TPM 2.0 part 2, §10.12.8 (TPMS_ATTEST) and §12.2.4 (TPMT_PUBLIC), §8.3 (TPMA_OBJECT).
//! Never takes a structure with a byte left over.

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Public};
use serde_cbor_2::Value as Cbor;
use x509_parser::extensions::GeneralName;

use super::certificate::{self, Certificate, Reading};
use super::{Certified, Signed};
use crate::passkeys::cose;

/// `TPM_GENERATED_VALUE`.
const MAGIC: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`.
const CERTIFY: u16 = 0x8017;
/// `TPM_ALG_NULL`.
const NULL: u16 = 0x0010;
/// `TPMA_OBJECT`: `fixedTPM`, `fixedParent` and `sensitiveDataOrigin`, without which the key may have come from elsewhere.
const MADE_AND_KEPT: u32 = 1 << 1 | 1 << 4 | 1 << 5;
/// The extended key usage of attestation identity keys.
const AIK_USAGE: &str = "2.23.133.8.3";
/// Manufacturer, model and version, in the subject's alternative name.
const DEVICE: [&str; 3] = ["2.23.133.2.1", "2.23.133.2.2", "2.23.133.2.3"];

pub(super) fn examine(signed: &Signed<'_>) -> Reading<Certified> {
    if signed.get("ver") != Some(&Cbor::Text("2.0".to_owned())) {
        return Err("its statement is not of a TPM 2.0".to_owned());
    }
    let (algorithm, signature) = (signed.algorithm()?, signed.bytes("sig")?);
    let (info, public) = (signed.bytes("certInfo")?, signed.bytes("pubArea")?);
    let path = signed.path()?;
    let leaf = path.first().ok_or("its `x5c` is empty")?;
    if !certificate::verify(&leaf.key()?, algorithm, signature, info) {
        return Err("the signature of its statement does not verify".to_owned());
    }
    let area = Area::read(public).ok_or("its `pubArea` cannot be read")?;
    if !signed.key.is(&area.key) {
        return Err("its `pubArea` is another key's".to_owned());
    }
    let attest = Attest::read(info).ok_or("its `certInfo` cannot be read")?;
    let digest = |kind: MessageDigest, bytes: &[u8]| hash(kind, bytes).map_err(|_| "it cannot be hashed".to_owned());
    let kind = certificate::hash_of(algorithm).ok_or("its algorithm has no hash")?;
    if attest.extra != digest(kind, &signed.to_be_signed())?.as_ref() {
        return Err("its TPM certified another ceremony".to_owned());
    }
    let name = [area.name_alg.as_slice(), digest(area.name_hash, public)?.as_ref()].concat();
    if attest.name != name {
        return Err("its TPM certified another key".to_owned());
    }
    requirements(leaf)?;
    let mut certified = signed.certified("tpm", &path)?;
    let in_hardware = area.attributes & MADE_AND_KEPT == MADE_AND_KEPT;
    certified.not_in_hardware = (!in_hardware).then_some("its TPM does not say that it made and keeps the key");
    Ok(certified)
}

/// §8.3.1.
fn requirements(leaf: &Certificate) -> Reading<()> {
    leaf.is_of_a_signer(true)?;
    let parsed = leaf.parsed()?;
    let unnamed = parsed.subject().iter().next().is_none();
    let usage = parsed.extended_key_usage().ok().flatten();
    let for_aik = usage.is_some_and(|usage| usage.value.other.iter().any(|oid| oid.to_id_string() == AIK_USAGE));
    let names = parsed.subject_alternative_name().ok().flatten();
    let described = names.is_some_and(|names| {
        let attributes = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name.iter_attributes()),
            _ => None,
        });
        let found: Vec<_> = attributes.flatten().map(|attribute| attribute.attr_type().to_id_string()).collect();
        DEVICE.iter().all(|wanted| found.iter().any(|found| found == wanted))
    });
    if unnamed && for_aik && described { Ok(()) } else { Err("its certificate is not a TPM's".to_owned()) }
}

/// Reads big-endian fields from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// `TPM2B_…`: a length and that many bytes.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A scheme, with its hash unless it is none.
    fn scheme(&mut self) -> Option<()> {
        if self.u16()? != NULL {
            self.u16()?;
        }
        Some(())
    }

    fn ended(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `TPMT_PUBLIC`.
struct Area {
    name_alg: [u8; 2],
    name_hash: MessageDigest,
    attributes: u32,
    key: PKey<Public>,
}

impl Area {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let kind = fields.u16()?;
        let name_alg: [u8; 2] = fields.take()?;
        let name_hash = match u16::from_be_bytes(name_alg) {
            0x0004 => MessageDigest::sha1(),
            0x000b => MessageDigest::sha256(),
            0x000c => MessageDigest::sha384(),
            0x000d => MessageDigest::sha512(),
            _ => return None,
        };
        let (attributes, _policy) = (fields.u32()?, fields.sized()?);
        // A symmetric algorithm is only that of a key that keeps others.
        if fields.u16()? != NULL {
            fields.u32()?;
        }
        fields.scheme()?;
        let key = match kind {
            0x0001 => {
                let (_bits, exponent) = (fields.u16()?, fields.u32()?);
                let exponent = if exponent == 0 { 65_537 } else { exponent };
                cose::rsa_key(fields.sized()?, &exponent.to_be_bytes())?
            }
            0x0023 => {
                let _curve = fields.u16()?;
                fields.scheme()?;
                cose::ec_key(fields.sized()?, fields.sized()?)?
            }
            _ => return None,
        };
        fields.ended()?;
        Some(Self { name_alg, name_hash, attributes, key })
    }
}

/// `TPMS_ATTEST` of a certified key.
struct Attest<'a> {
    extra: &'a [u8],
    name: &'a [u8],
}

impl<'a> Attest<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u32()? != MAGIC || fields.u16()? != CERTIFY {
            return None;
        }
        let _signer = fields.sized()?;
        let extra = fields.sized()?;
        // Clock, counts of resets and restarts, whether the clock is safe; then the firmware's version.
        let _clock: [u8; 17] = fields.take()?;
        let _firmware: [u8; 8] = fields.take()?;
        let name = fields.sized()?;
        let _qualified = fields.sized()?;
        fields.ended()?;
        Some(Self { extra, name })
    }
}
