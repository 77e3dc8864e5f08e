//! What the tests of this folder share: a relying party and an authenticator that can lie.

use serde_json::Value;

use super::assertion::StoredCredential;
use super::registration::{self, Registered};
use super::{PasskeyError, RelyingParty};
pub(super) use crate::cli::demo::authenticator::{Attestation, SoftAuthenticator, UserHandle};
use crate::domain::ids::Digest;

pub(super) const HANDLE: [u8; 16] = [7; 16];

pub(super) fn rp() -> RelyingParty {
    RelyingParty::new("sign.example.com", "https://sign.example.com", "Countersign").unwrap()
}

/// Different seeds make different keys; the same seed the same ones.
pub(super) fn authenticator(seed: u8) -> SoftAuthenticator {
    let mut drawn = u64::from(seed) << 32;
    let random = move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(32) {
            drawn += 1;
            let digest = Digest::of(&drawn.to_be_bytes());
            chunk.copy_from_slice(&digest.as_bytes()[..chunk.len()]);
        }
    };
    SoftAuthenticator::new("https://sign.example.com", Box::new(random))
}

pub(super) fn challenge(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// One registration over the challenge of "register".
pub(super) fn create(authenticator: &mut SoftAuthenticator) -> Value {
    let options = registration::options(&rp(), &HANDLE, "mara", "Mara Voss", &[], challenge("register")).unwrap();
    authenticator.create(&options).unwrap()
}

pub(super) fn register(authenticator: &mut SoftAuthenticator) -> Result<Registered, PasskeyError> {
    let answer = create(authenticator);
    registration::finish(&rp(), challenge("register"), &answer)
}

pub(super) fn stored(registered: &Registered) -> StoredCredential<'_> {
    StoredCredential {
        credential: &registered.credential,
        credential_id: &registered.credential_id,
        user_handle: &HANDLE,
    }
}
