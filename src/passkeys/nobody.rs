//! A credential that nobody can sign for: what an answer is verified against that names a made-up credential id.
//! In: the id. Out: the credential as the store would have it.
//! Implements ATTACKS 61 (who is here shows neither in what is answered nor in the work of it).
//! Never one that a signature could be made for: its point is a hash.

use webauthn_rs_core::proto;

use super::error::PasskeyError;

/// SHA-256 of `countersign: a key that nobody has, 1`: the first such hash that is the x of a point of P-256.
const X: [u8; 32] = [
    0xd8, 0xba, 0xf6, 0xde, 0x3f, 0x6c, 0x9d, 0x82, 0x09, 0x2a, 0xde, 0x59, 0xe4, 0x39, 0x02, 0x81, 0x30, 0x36, 0x0f,
    0x94, 0x0f, 0xd5, 0x5e, 0x20, 0x8f, 0x6f, 0x94, 0xd5, 0x24, 0xe9, 0xd3, 0x5e,
];
/// A y to it.
const Y: [u8; 32] = [
    0x1c, 0x27, 0x52, 0x98, 0x17, 0x99, 0xcf, 0x39, 0x80, 0x9d, 0xe6, 0x02, 0xcd, 0xa7, 0x27, 0xbe, 0xaa, 0xe6, 0xd1,
    0x57, 0x31, 0xbf, 0x40, 0x85, 0x10, 0xb0, 0x75, 0x4c, 0x91, 0x7b, 0xad, 0x8b,
];

/// The credential of an id that was made up.
///
/// # Errors
/// None that occurs: it is plain data.
pub fn credential(credential_id: &[u8]) -> Result<String, PasskeyError> {
    let key = proto::COSEEC2Key { curve: proto::ECDSACurve::SECP256R1, x: X.to_vec(), y: Y.to_vec() };
    let made = proto::Credential {
        cred_id: credential_id.to_vec(),
        cred: proto::COSEKey { type_: proto::COSEAlgorithm::ES256, key: proto::COSEKeyType::EC_EC2(key) },
        counter: 0,
        transports: None,
        user_verified: true,
        backup_eligible: false,
        backup_state: false,
        registration_policy: proto::UserVerificationPolicy::Required,
        extensions: proto::RegisteredExtensions::none(),
        attestation: proto::ParsedAttestation::default(),
        attestation_format: proto::AttestationFormat::None,
    };
    serde_json::to_string(&made).map_err(|_| PasskeyError::StoredCredential)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::ids::Digest;
    use crate::passkeys::assertion::{StoredCredential, options, verify};
    use crate::passkeys::testing::{HANDLE, authenticator, challenge, register, rp};

    #[test]
    fn attack_061_a_made_up_key_is_refused_for_its_signature_like_a_true_one() {
        assert_eq!(Digest::of(b"countersign: a key that nobody has, 1").as_bytes(), &X);
        let mut soft = authenticator(1);
        let registered = register(&mut soft).unwrap();
        let answer = soft.get(&options(&rp(), challenge("sign in"), &[])).unwrap();
        let mut forged = answer.clone();
        forged["response"]["signature"] = {
            let mut bytes = data_encoding::BASE64URL_NOPAD
                .decode(answer["response"]["signature"].as_str().unwrap().as_bytes())
                .unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            json!(data_encoding::BASE64URL_NOPAD.encode(&bytes))
        };
        let against = |credential: &str, answer| {
            let id = &registered.credential_id;
            let stored = StoredCredential { credential, credential_id: id, user_handle: &HANDLE };
            verify(&rp(), challenge("sign in"), &stored, answer).unwrap_err()
        };
        let nobodys = credential(&registered.credential_id).unwrap();
        assert_eq!(against(&nobodys, &answer), PasskeyError::SignatureInvalid);
        assert_eq!(against(&nobodys, &forged), against(&registered.credential, &forged));
    }
}
