use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::*;
use crate::domain::oauth::error_code::ErrorCode;
use crate::passkeys::testing::{authenticator, challenge, register, rp};
use crate::passkeys::{RelyingParty, assertion, registration};

/// The W3C test vectors (WebAuthn L3, "Test Vectors").
fn vectors() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/webauthn-l3/test-vectors.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let pairs = all["examples"].as_array().unwrap().iter().filter(|example| example.get("registration").is_some());
    pairs.cloned().collect()
}

fn hex(part: &Value, name: &str) -> Vec<u8> {
    HEXLOWER.decode(part[name].as_str().unwrap().as_bytes()).unwrap()
}

/// Our challenges are digests; one vector has a longer one, which can only be refused.
fn digest(part: &Value) -> Digest {
    Digest::from_bytes(hex(part, "challenge").try_into().unwrap_or([0; 32]))
}

fn expected(challenge: &Digest) -> Expected<'_> {
    Expected { rp_id: "example.org", origin: "https://example.org", challenge }
}

const RP_HASH: &str = "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5";

/// Where authenticator data starts in an attestation object.
fn start(object: &[u8]) -> usize {
    let hash = HEXLOWER.decode(RP_HASH.as_bytes()).unwrap();
    object.windows(32).position(|window| window == hash).unwrap()
}

fn flipped(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// What our policy says to each pair, registration and assertion; `None`: taken. `tests/vectors/README.md` says why.
const VERDICTS: [(&str, Option<ErrorCode>, Option<ErrorCode>); 15] = {
    use ErrorCode::{OriginWrong, PolicyNotMet, StatementMismatch, UvRequired};
    [
        ("ES256 Credential with No Attestation", Some(UvRequired), Some(UvRequired)),
        ("ES256 Credential with Self Attestation", None, Some(UvRequired)),
        ("ES256 Credential with \"crossOrigin\": true in clientDataJSON", Some(OriginWrong), Some(OriginWrong)),
        ("ES256 Credential with \"topOrigin\" in clientDataJSON", Some(OriginWrong), Some(OriginWrong)),
        ("ES256 Credential with very long credential ID", Some(UvRequired), None),
        ("Packed Attestation with ES256 Credential", None, None),
        ("Packed Attestation with ES384 Credential", Some(UvRequired), None),
        ("Packed Attestation with ES512 Credential", Some(StatementMismatch), Some(StatementMismatch)),
        ("Packed Attestation with RS256 Credential", Some(PolicyNotMet), Some(UvRequired)),
        ("Packed Attestation with Ed25519 Credential", Some(UvRequired), Some(UvRequired)),
        ("Packed Attestation with Ed448 Credential", Some(UvRequired), Some(PolicyNotMet)),
        ("TPM Attestation with ES256 Credential", None, None),
        ("Android Key Attestation with ES256 Credential", None, Some(UvRequired)),
        ("Apple Anonymous Attestation with ES256 Credential", Some(UvRequired), Some(UvRequired)),
        ("FIDO U2F Attestation with ES256 Credential", Some(UvRequired), Some(UvRequired)),
    ]
};

#[test]
fn every_w3c_pair_has_its_verdict() {
    let titles: Vec<_> = vectors().iter().map(|example| example["title"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles, VERDICTS.map(|(title, _, _)| title));
}

#[test]
fn attack_048_w3c_registrations_are_taken_as_policy_allows() {
    for (example, (title, wanted, _)) in vectors().into_iter().zip(VERDICTS) {
        let part = &example["registration"];
        let (object, client_data, challenge) =
            (hex(part, "attestationObject"), hex(part, "clientDataJSON"), digest(part));
        let at = start(&object);
        let found = verify_registration(&expected(&challenge), &object, &client_data);
        assert_eq!(found.as_ref().err().map(PasskeyError::code), wanted, "{title}: {found:?}");

        // The whole verification, attestation statement included, agrees.
        let answer = json!({
            "id": BASE64URL_NOPAD.encode(&hex(part, "credential_id")),
            "rawId": BASE64URL_NOPAD.encode(&hex(part, "credential_id")),
            "type": "public-key",
            "response": {
                "clientDataJSON": BASE64URL_NOPAD.encode(&client_data),
                "attestationObject": BASE64URL_NOPAD.encode(&object),
            },
        });
        let rp = RelyingParty::new("example.org", "https://example.org", "W3C").unwrap();
        let whole = registration::finish(&rp, challenge, &answer);
        assert_eq!(whole.as_ref().err().map(PasskeyError::code), wanted, "{title}: {whole:?}");
        if let (Ok(found), Ok(whole)) = (&found, &whole) {
            assert_eq!(found.public_key, whole.public_key, "{title}");
            assert_eq!(found.aaguid.to_vec(), hex(part, "aaguid"), "{title}");
            assert_eq!(found.credential_id, hex(part, "credential_id"), "{title}");
        }

        let other = Digest::from_bytes(flipped(challenge.as_bytes(), 31, 0).try_into().unwrap());
        assert!(verify_registration(&expected(&other), &object, &client_data).is_err(), "{title}: challenge");
        assert!(
            verify_registration(&expected(&challenge), &flipped(&object, at, 0), &client_data).is_err(),
            "{title}: rpIdHash"
        );
        if wanted.is_none() {
            // UP, reserved, UV, reserved, AT, ED: none may change. (BE and BS are signed only where a statement is.)
            for bit in [0, 1, 2, 5, 6, 7] {
                let object = flipped(&object, at + 32, bit);
                assert!(
                    verify_registration(&expected(&challenge), &object, &client_data).is_err(),
                    "{title}: bit {bit}"
                );
            }
        }
    }
}

#[test]
fn attack_048_w3c_assertions_are_taken_as_policy_allows() {
    for (example, (title, _, wanted)) in vectors().into_iter().zip(VERDICTS) {
        let part = &example["authentication"];
        let object = hex(&example["registration"], "attestationObject");
        let at = start(&object) + 32 + 1 + 4 + 16;
        let id_length = usize::from(u16::from_be_bytes([object[at], object[at + 1]]));
        let rest = &object[at + 2 + id_length..];
        let key = &rest[..crate::passkeys::cbor::item_length(rest).unwrap()];
        let (client_data, data) = (hex(part, "clientDataJSON"), hex(part, "authenticatorData"));
        let (signature, challenge) = (hex(part, "signature"), digest(part));

        let check = |challenge: &Digest, client_data: &[u8], data: &[u8], signature: &[u8]| {
            verify_assertion(&expected(challenge), key, client_data, data, signature)
        };
        let found = check(&challenge, &client_data, &data, &signature);
        assert_eq!(found.as_ref().err().map(PasskeyError::code), wanted, "{title}: {found:?}");

        let other = Digest::from_bytes(flipped(challenge.as_bytes(), 0, 0).try_into().unwrap());
        assert!(check(&other, &client_data, &data, &signature).is_err(), "{title}: challenge");
        assert!(check(&challenge, &client_data, &flipped(&data, 0, 0), &signature).is_err(), "{title}: rpIdHash");
        for bit in 0..8 {
            assert!(
                check(&challenge, &client_data, &flipped(&data, 32, bit), &signature).is_err() || data[32] & 4 == 0
            );
        }
        let last = signature.len() - 1;
        assert!(check(&challenge, &client_data, &data, &flipped(&signature, last, 0)).is_err(), "{title}: signature");

        // The signatures alone, whatever policy says about the rest.
        if let Ok(key) = PublicKey::parse(key) {
            let signed = |data: &[u8]| [data, Digest::of(&client_data).as_bytes()].concat();
            assert!(key.verify(&signature, &signed(&data)), "{title}");
            for bit in 0..8 {
                assert!(!key.verify(&signature, &signed(&flipped(&data, 32, bit))), "{title}: flag {bit}");
            }
            assert!(!key.verify(&flipped(&signature, last, 0), &signed(&data)), "{title}");
        }
    }
}

#[test]
fn offline_and_online_agree_on_key_and_facts() {
    let mut authenticator = authenticator(4);
    authenticator.behaviour.backup_eligible = true;
    let registered = register(&mut authenticator).unwrap();
    let (rp, over) = (rp(), challenge("register"));
    let offline =
        verify_registration(&rp.expecting(&over), &registered.attestation_object, &registered.client_data_json)
            .unwrap();
    assert_eq!(offline.public_key, registered.public_key);
    assert_eq!(offline.public_key_sha256, registered.public_key_sha256);
    assert_eq!(offline.credential_id, registered.credential_id);
    assert_eq!((offline.facts, offline.aaguid), (registered.facts, registered.aaguid));

    let over = challenge("approve");
    let answer = authenticator.get(&assertion::options(&rp, over, &[])).unwrap();
    let stored = crate::passkeys::testing::stored(&registered);
    let online = assertion::verify(&rp, over, &stored, &answer).unwrap();
    let check = |expected: &Expected<'_>, key: &[u8]| {
        verify_assertion(expected, key, &online.client_data_json, &online.authenticator_data, &online.signature)
    };
    assert_eq!(check(&rp.expecting(&over), &offline.public_key), Ok(online.facts));

    let other = register(&mut crate::passkeys::testing::authenticator(5)).unwrap();
    assert_eq!(check(&rp.expecting(&over), &other.public_key), Err(PasskeyError::SignatureInvalid));
    let elsewhere = Expected { rp_id: "example.com", ..rp.expecting(&over) };
    assert_eq!(check(&elsewhere, &offline.public_key), Err(PasskeyError::RpIdWrong));
    let elsewhere = Expected { origin: "https://example.com", ..rp.expecting(&over) };
    assert!(matches!(check(&elsewhere, &offline.public_key), Err(PasskeyError::OriginWrong { .. })));
}
