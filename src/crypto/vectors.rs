//! Vectors made by others, for signatures and keys.
//! In: Wycheproof's files where they are at hand, the JOSE cookbook. Out: the answer that the vectors or our policy state.
//! Implements RFC 7515, RFC 7517, RFC 7520 and RFC 7797 as tests.
//! Never part of the product.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::fixtures::{b64, vectors};
use super::jwk::KeySet;
use super::jwt::{Parts, UnverifiedToken};

/// The answer of the intake to a signature alone, whatever the payload is.
fn check_jws(keys: &Value, jws: &str) -> bool {
    let document = if keys.get("keys").is_some() { keys.clone() } else { json!({ "keys": [keys] }) };
    let Ok((set, _)) = KeySet::parse(document.to_string().as_bytes()) else { return false };
    let Ok(parts) = Parts::split(jws) else { return false };
    let Ok(header) = serde_json::from_slice::<Value>(&parts.header) else { return false };
    let Some(alg) = header["alg"].as_str() else { return false };
    header.get("crit").is_none()
        && set.check(alg, header["kid"].as_str(), parts.signing_input.as_bytes(), &parts.signature).is_ok()
}

#[test]
fn attack_003_published_jws_and_jwk_vectors_get_their_answer() {
    let mut taken = 0;
    for file in ["json_web_signature", "json_web_key", "json_web_crypto"] {
        let Some(all) = vectors(&format!("wycheproof/{file}_test.json")) else { return };
        for group in all["testGroups"].as_array().unwrap() {
            let Some(public) = group.get("public") else { continue };
            for test in group["tests"].as_array().unwrap() {
                let Some(jws) = test.get("jws") else { continue };
                let jws = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
                let accepted = check_jws(public, &jws);
                let name = format!("{file} {} {}", test["tcId"], test["comment"]);
                // Others' vectors take more algorithms, keys and payloads (an empty one) than an issuer may use here.
                let ours = !jws.contains("..")
                    && ["eyJhbGciOiJSUzI1NiI", "eyJhbGciOiJFUzI1NiI"].iter().any(|start| jws.starts_with(start));
                if test["result"] == "valid" && ours {
                    taken += usize::from(accepted);
                    assert!(accepted || is_narrower(public), "{name} is valid");
                }
                assert!(!accepted || test["result"] != "invalid", "{name} is invalid");
            }
        }
    }
    assert!(taken >= 4, "{taken}");
}

/// Keys that an issuer may not use here although others take them.
fn is_narrower(public: &Value) -> bool {
    let document = if public.get("keys").is_some() { public.clone() } else { json!({ "keys": [public] }) };
    KeySet::parse(document.to_string().as_bytes()).map_or(true, |(_, warnings)| !warnings.is_empty())
}

#[test]
fn attack_003_published_raw_signatures_get_their_answer() {
    let hex = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    for (file, alg, least) in
        [("ecdsa_secp256r1_sha256_p1363", "ES256", 200), ("rsa_signature_2048_sha256", "RS256", 200)]
    {
        let Some(all) = vectors(&format!("wycheproof/{file}_test.json")) else { return };
        let mut counted = 0;
        for group in all["testGroups"].as_array().unwrap() {
            let key = &group["publicKey"];
            let jwk = if alg == "ES256" {
                let fixed = |name: &str| b64(padded(&hex(&key[name])));
                json!({"kty": "EC", "kid": "k", "crv": "P-256", "x": fixed("wx"), "y": fixed("wy")})
            } else {
                let plain = |name: &str| b64(hex(&key[name]));
                json!({"kty": "RSA", "kid": "k", "n": plain("modulus"), "e": plain("publicExponent")})
            };
            let (set, warnings) = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
            for test in group["tests"].as_array().unwrap() {
                let valid = set.check(alg, Some("k"), &hex(&test["msg"]), &hex(&test["sig"])).is_ok();
                let stated = &test["result"];
                // "acceptable" here means a legacy encoding: refused.
                assert_eq!(valid, stated == "valid" && warnings.is_empty(), "{file} {} {warnings:?}", test["tcId"]);
                counted += 1;
            }
        }
        assert!(counted >= least, "{file}: {counted}");
    }
}

fn padded(number: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    [vec![0; 32 - digits.len()], digits].concat()
}

/// One file of the JOSE cookbook and every serialisation in it.
fn cookbook(file: &str) -> (Value, Vec<String>) {
    let file = vectors(&format!("jose-cookbook/{file}.json")).unwrap();
    let outputs = file["output"].as_object().unwrap().values();
    let texts = outputs.map(|output| output.as_str().map_or_else(|| output.to_string(), str::to_owned));
    let texts: Vec<_> = texts.collect();
    (file, texts)
}

#[test]
fn attack_003_of_the_jose_cookbook_only_rs256_in_compact_form_verifies() {
    let mut verified = Vec::new();
    for name in [
        "jws/4_1.rsa_v15_signature",
        "jws/4_2.rsa-pss_signature",
        "jws/4_3.ecdsa_signature",
        "jws/4_4.hmac-sha2_integrity_protection",
        "jws/4_5.signature_with_detached_content",
        "jws/4_6.protecting_specific_header_fields",
        "jws/4_7.protecting_content_only",
        "jws/4_8.multiple_signatures",
        "rfc7797/4.2.hmac-sha2_b64_false",
        "rfc7797/hmac-sha2_b64_false",
        "curve25519/jws",
    ] {
        let (file, texts) = cookbook(name);
        assert!(!texts.is_empty(), "{name}");
        // The issuer publishes just this key, under the id that the token names.
        let mut keys = file["input"]["key"].clone();
        if !keys.is_array() {
            keys = json!([keys]);
        }
        for key in keys.as_array_mut().unwrap() {
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                key.as_object_mut().unwrap().remove(private);
            }
        }
        for text in texts {
            assert!(UnverifiedToken::parse(&text).is_err(), "{name}: no payload of the cookbook is a set of claims");
            if check_jws(&json!({ "keys": keys }), &text) {
                verified.push(name);
            }
            let (head, tail) = text.split_at(text.len() - 8);
            let broken = format!("{head}{}", if tail.starts_with('A') { "BAAAAAAA" } else { "AAAAAAAA" });
            assert!(!check_jws(&json!({ "keys": keys }), &broken), "{name}");
        }
    }
    assert_eq!(verified, ["jws/4_1.rsa_v15_signature"]);
}

#[test]
fn attack_017_of_the_jose_cookbook_one_key_may_be_an_issuers() {
    for (name, answer) in [
        ("3_1.ec_public_key", "its `crv` is `P-521`, not `P-256`"),
        ("3_2.ec_private_key", "private member"),
        ("3_3.rsa_public_key", ""),
        ("3_4.rsa_private_key", "private member"),
        ("3_5.symmetric_key_mac_computation", "private member"),
        ("3_6.symmetric_key_encryption", "private member"),
    ] {
        let key = vectors(&format!("jose-cookbook/jwk/{name}.json")).unwrap();
        let (set, warnings) = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        assert_eq!((set.len(), warnings.len()), if answer.is_empty() { (1, 0) } else { (0, 1) }, "{name}");
        assert!(warnings.concat().contains(answer), "{name}: {warnings:?}");
    }
}
