//! The `apple` statement: an anonymous certificate for the new key.
//! In: a statement. Out: what it certifies.
//! Implements WebAuthn L3 §8.8.
//! Never takes a certificate for another key or another ceremony.

use super::certificate::Reading;
use super::{Certified, Signed};
use crate::domain::ids::Digest;

/// The extension with the nonce.
pub(super) const NONCE: &str = "1.2.840.113635.100.8.2";
/// What stands before the nonce: SEQUENCE, [1], OCTET STRING of 32 bytes.
const BEFORE: [u8; 6] = [0x30, 0x24, 0xa1, 0x22, 0x04, 0x20];

pub(super) fn examine(signed: &Signed<'_>) -> Reading<Certified> {
    let path = signed.path()?;
    let leaf = path.first().ok_or("its `x5c` is empty")?;
    leaf.is_of_a_signer(false)?;
    let (nonce, _) = leaf.extension(NONCE)?.ok_or("its certificate has no nonce")?;
    let wanted = [BEFORE.as_slice(), Digest::of(&signed.to_be_signed()).as_bytes()].concat();
    if nonce != wanted {
        return Err("its certificate was made for another ceremony".to_owned());
    }
    if !signed.key.is(&leaf.key()?) {
        return Err("its certificate is for another key".to_owned());
    }
    signed.certified("apple", &path)
}
