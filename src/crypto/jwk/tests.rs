use super::*;
use crate::crypto::fixtures::{EC, OTHER_RSA, RSA, set_of, vectors};

fn parse(keys: &Value) -> (KeySet, Vec<String>) {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn changed(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

#[expect(clippy::needless_pass_by_value, reason = "every caller makes its key for this call")]
fn assert_left_out(key: Value, why: &str) {
    let good = EC.public_jwk();
    let (set, warnings) = parse(&json!([key, good]));
    assert!(set.has(EC.kid().as_str()), "the good key stays");
    assert_eq!(set.len(), 1, "{why}");
    assert!(warnings.len() == 1 && warnings[0].contains(why), "{warnings:?} should say `{why}`");
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let example = vectors("rfc7638/example.json").unwrap();
    let kid = thumbprint(&example["jwk"]).unwrap();
    assert_eq!(kid.as_str(), example["thumbprint_sha256_base64url"].as_str().unwrap());
    assert!(thumbprint(&json!({"kty": "oct", "k": "AA"})).is_err());
}

#[test]
fn the_document_reads_back_as_the_same_set() {
    let set = set_of(&[&RSA, &EC, &OTHER_RSA]);
    let document = set.document();
    let (back, warnings) = KeySet::parse(&document).unwrap();
    assert_eq!((back.document(), back.len(), warnings.len()), (document.clone(), 3, 0));
    let shuffled = set_of(&[&OTHER_RSA, &EC, &RSA]);
    assert_eq!(shuffled.document(), document, "the order is by key id");
}

#[test]
fn a_key_without_alg_counts_by_its_type() {
    let mut key = RSA.public_jwk();
    key.as_object_mut().unwrap().remove("alg");
    key.as_object_mut().unwrap().remove("use");
    let (set, warnings) = parse(&json!([key]));
    assert_eq!((set.document(), warnings.len()), (set_of(&[&RSA]).document(), 0));
}

#[test]
fn an_issuer_may_be_held_to_some_algorithms() {
    let set = set_of(&[&RSA, &EC]).allowing(&[TokenAlg::Rs256]);
    assert!(set.has(RSA.kid().as_str()) && !set.has(EC.kid().as_str()));
}

#[test]
fn attack_017_two_keys_under_one_id_are_both_refused() {
    let one = changed(&RSA.public_jwk(), "kid", "k".into());
    let two = changed(&OTHER_RSA.public_jwk(), "kid", "k".into());
    let three = changed(&EC.public_jwk(), "kid", "k".into());
    for keys in [json!([one, two]), json!([one, three]), json!([one, two, one]), json!([one, one, two])] {
        let (set, warnings) = parse(&keys);
        assert!(set.is_empty() && warnings.len() == 1 && warnings[0].contains("different keys"), "{warnings:?}");
    }
    let (set, _) = parse(&json!([one, one]));
    assert_eq!(set.len(), 1, "the same key twice is one key");
}

#[test]
fn attack_017_weak_and_strange_keys_are_left_out_with_a_reason() {
    let rsa = RSA.public_jwk();
    let n = BASE64URL_NOPAD.decode(rsa["n"].as_str().unwrap().as_bytes()).unwrap();
    let short = |bits: usize| {
        let mut n = n[..bits / 8].to_vec();
        *n.last_mut().unwrap() |= 1;
        Value::from(BASE64URL_NOPAD.encode(&n))
    };
    assert_left_out(changed(&rsa, "n", short(512)), "512 bits");
    assert_left_out(changed(&rsa, "n", short(1024)), "1024 bits");
    assert_left_out(changed(&rsa, "n", short(2040)), "2040 bits");
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert_left_out(changed(&rsa, "n", BASE64URL_NOPAD.encode(&even).into()), "modulus is even");
    for e in ["AQ", "AA", "Ag", "AQAA", "AQAAAAAAAAAB"] {
        assert_left_out(changed(&rsa, "e", e.into()), "");
    }
    assert_left_out(changed(&rsa, "n", "A===".into()), "base64url");
    assert_left_out(changed(&rsa, "n", 7.into()), "no string `n`");
    assert_left_out(changed(&rsa, "alg", "PS256".into()), "alg");
    assert_left_out(changed(&rsa, "alg", "HS256".into()), "alg");
    assert_left_out(changed(&rsa, "alg", Value::Null), "alg");
    assert_left_out(changed(&rsa, "use", "enc".into()), "use");
    assert_left_out(changed(&rsa, "key_ops", json!(["encrypt"])), "key_ops");
    assert_left_out(changed(&rsa, "kid", "".into()), "kid");
    assert_left_out(changed(&rsa, "kid", 7.into()), "kid");
    assert_left_out(changed(&rsa, "kid", "k".repeat(300).into()), "kid");
    assert_left_out(json!({"kty": "oct", "kid": "o", "k": "AAAA", "alg": "HS256"}), "private member");
    assert_left_out(json!({"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AA"}), "kty");
    assert_left_out(json!("text"), "not an object");
    let mut anonymous = rsa.clone();
    anonymous.as_object_mut().unwrap().remove("kid");
    assert_left_out(anonymous, "kid");
    let (twice, _) = parse(&json!([changed(&rsa, "key_ops", json!(["verify"]))]));
    assert_eq!(twice.len(), 1);
}

#[test]
fn attack_017_points_off_the_curve_and_other_curves_are_left_out() {
    let ec = changed(&EC.public_jwk(), "kid", "other".into());
    let mut y = BASE64URL_NOPAD.decode(ec["y"].as_str().unwrap().as_bytes()).unwrap();
    y[31] ^= 1;
    assert_left_out(changed(&ec, "y", BASE64URL_NOPAD.encode(&y).into()), "curve");
    assert_left_out(changed(&ec, "y", BASE64URL_NOPAD.encode(&y[..31]).into()), "32 octets");
    assert_left_out(changed(&ec, "x", BASE64URL_NOPAD.encode(&[0; 32]).into()), "curve");
    assert_left_out(changed(&ec, "crv", "P-384".into()), "crv");
    assert_left_out(changed(&ec, "alg", "ES384".into()), "alg");
}

#[test]
fn attack_017_private_members_are_neither_kept_nor_shown() {
    let secret = RSA.to_secret_json().unwrap();
    let private: Value = serde_json::from_str(&secret).unwrap();
    let (set, warnings) = parse(&json!([private]));
    assert!(set.is_empty());
    let seen = format!("{set:?} {warnings:?} {}", String::from_utf8(set.document()).unwrap());
    for name in ["d", "p", "q", "dp", "dq", "qi"] {
        assert!(!seen.contains(private[name].as_str().unwrap()), "{name}");
    }
}

#[test]
fn attack_017_too_many_keys_or_repeated_members_refuse_the_document() {
    let key = |at: usize| changed(&EC.public_jwk(), "kid", at.to_string().into());
    let many: Vec<Value> = (0..MAX_KEYS).map(key).collect();
    assert_eq!(parse(&json!(many)).0.len(), MAX_KEYS);
    let more = json!({ "keys": (0..1000).map(key).collect::<Vec<_>>() });
    assert!(KeySet::parse(more.to_string().as_bytes()).is_err());
    for wrong in [r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kid":"a","kid":"b"}]}"#, "{}", "[]", r#"{"keys":{}}"#, ""] {
        assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert!(KeySet::parse(&vec![b' '; MAX_KEY_SET + 1]).is_err());
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().0.is_empty(), "an issuer may withdraw every key");
}

#[test]
fn attack_017_moduli_of_the_faulty_chip_are_left_out() {
    let Some(all) = vectors("wycheproof/json_web_crypto_test.json") else { return };
    let groups = all["testGroups"].as_array().unwrap();
    let roca = groups.iter().find(|group| group["comment"] == "jws_rsa_roca_key").unwrap();
    assert_left_out(roca["public"].clone(), "CVE-2017-15361");
    assert!(!weak::is_roca(&BASE64URL_NOPAD.decode(RSA.public_jwk()["n"].as_str().unwrap().as_bytes()).unwrap()));
}
