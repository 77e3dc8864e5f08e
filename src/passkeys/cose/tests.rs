use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value as Json;

use super::*;

/// A file of the Wycheproof project, where it is at hand.
fn groups(name: &str) -> Vec<Json> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/wycheproof").join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no vectors at {}", file.display());
        return Vec::new();
    };
    let all: Json = serde_json::from_str(&text).unwrap();
    all["testGroups"].as_array().unwrap().clone()
}

fn hex(value: &Json) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn es256(point: &[u8]) -> Vec<u8> {
    let (x, y) = point[1..].split_at(32);
    [&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20], x, &[0x22, 0x58, 0x20], y].concat()
}

fn rs256(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let head = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00];
    [&head, modulus, &[0x21, 0x43], exponent].concat()
}

/// How often each answer came, over every case whose answer is not open.
fn judge(groups: &[Json], key_of: impl Fn(&Json) -> Vec<u8>) -> (u32, u32) {
    let (mut good, mut bad) = (0, 0);
    for group in groups {
        let key = PublicKey::parse(&key_of(group)).unwrap();
        for case in group["tests"].as_array().unwrap().iter().filter(|case| case["result"] != "acceptable") {
            let verified = key.verify(&hex(&case["sig"]), &hex(&case["msg"]));
            assert_eq!(verified, case["result"] == "valid", "case {}: {}", case["tcId"], case["comment"]);
            if verified { good += 1 } else { bad += 1 }
        }
    }
    (good, bad)
}

#[test]
fn es256_signatures_are_judged_as_wycheproof_says() {
    let groups = groups("ecdsa_secp256r1_sha256_test.json");
    let (good, bad) = judge(&groups, |group| es256(&hex(&group["publicKey"]["uncompressed"])));
    assert!(groups.is_empty() || (good > 100 && bad > 100), "{good} good, {bad} bad");
}

#[test]
fn rs256_signatures_are_judged_as_wycheproof_says() {
    let (groups, weak): (Vec<_>, Vec<_>) = groups("rsa_signature_2048_sha256_test.json")
        .into_iter()
        .partition(|group| group["publicKey"]["publicExponent"] == "010001");
    assert!(
        weak.iter()
            .all(|group| PublicKey::parse(&rs256(&hex(&group["publicKey"]["modulus"])[1..], &[0, 0, 3])).is_err())
    );
    let (good, bad) = judge(&groups, |group| rs256(&hex(&group["publicKey"]["modulus"])[1..], &[1, 0, 1]));
    assert!(groups.is_empty() || (good > 5 && bad > 100), "{good} good, {bad} bad");
}

#[test]
fn attack_053_an_rsa_key_that_anybody_could_sign_for_is_not_taken() {
    let mut modulus = [0xff; 256];
    modulus[0] = 0xc0;
    assert!(PublicKey::parse(&rs256(&modulus, &[1, 0, 1])).is_ok());
    for exponent in [[0, 0, 1], [0, 0, 3], [1, 0, 0]] {
        assert!(PublicKey::parse(&rs256(&modulus, &exponent)).is_err(), "exponent {exponent:?}");
    }
}
