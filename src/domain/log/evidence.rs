//! The salted digest under which a document beside the log is named by an entry.
//! In: 32 random bytes and a document. Out: HMAC-SHA-256 of the document under them.
//! Implements DESIGN §7, RFC 2104.
//! Never names a document by its bare hash: what is short or well known could be guessed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::ids::Digest;

/// Largest document kept as evidence, in bytes.
pub const MAX_EVIDENCE: usize = 64 * 1024;
/// Length of a salt, in bytes.
pub const SALT: usize = 32;

/// The digest by which an entry names the document.
#[must_use]
pub fn evidence_digest(salt: &[u8; SALT], bytes: &[u8]) -> Digest {
    // RFC 2104 §2 fills a short key up with zeros to the block; done here, making the key cannot fail.
    let mut key = [0; 64];
    for (place, byte) in key.iter_mut().zip(salt) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(bytes);
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // An independent computation of the same function.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; SALT]);
        for document in [&b""[..], b"a", &[0xff; 1000]] {
            let tag = ring::hmac::sign(&key, document);
            assert_eq!(evidence_digest(&[7; SALT], document).as_bytes().as_slice(), tag.as_ref());
        }
    }

    #[test]
    fn equal_documents_do_not_link() {
        assert_ne!(evidence_digest(&[1; SALT], b"same"), evidence_digest(&[2; SALT], b"same"));
    }
}
