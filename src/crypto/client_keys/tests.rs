//! Keys of clients, and what is forged with them.
//! In: keys of each kind. Out: verified, or refused.
//! Implements the tests of `crypto::client_keys`.
//! Never part of the product.

use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::*;
use crate::crypto::fixtures::{EC, OTHER_RSA, RSA, b64, token_with};

fn set(keys: &[Value]) -> Result<ClientKeys, String> {
    ClientKeys::parse(json!({ "keys": keys }).to_string().as_bytes()).map_err(|error| error.to_string())
}

fn without_alg(mut jwk: Value) -> Value {
    jwk.as_object_mut().unwrap().remove("alg");
    jwk
}

fn judged(keys: &ClientKeys, token: &str) -> Result<(), TokenError> {
    UnverifiedToken::parse(token).and_then(|token| keys.verify(token)).map(|_| ())
}

/// A token under an Ed25519 key, and the key.
fn edwards() -> (String, Value) {
    let key = PKey::generate_ed25519().unwrap();
    let input = format!("{}.{}", b64(r#"{"alg":"EdDSA"}"#), b64("{}"));
    let signature = Signer::new_without_digest(&key).unwrap().sign_oneshot_to_vec(input.as_bytes()).unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.raw_public_key().unwrap()) });
    (format!("{input}.{}", b64(signature)), jwk)
}

#[test]
fn each_kind_of_key_verifies_what_it_signed() {
    let keys = set(&[RSA.public_jwk(), EC.public_jwk()]).unwrap();
    for key in [&RSA, &EC] {
        assert_eq!(judged(&keys, &key.sign(b"{}").unwrap()), Ok(()));
    }
    let (token, jwk) = edwards();
    assert_eq!(judged(&set(&[jwk]).unwrap(), &token), Ok(()));
    let other = OTHER_RSA.sign(b"{}").unwrap();
    assert!(matches!(judged(&keys, &other), Err(TokenError::UnknownKey(_))));
}

#[test]
fn attack_069_an_algorithm_is_the_keys_own() {
    let keys = set(&[RSA.public_jwk()]).unwrap();
    let token = |alg: &str| token_with(&RSA, &json!({ "alg": alg, "kid": RSA.kid() }).to_string(), "{}");
    assert_eq!(judged(&keys, &token("RS256")), Ok(()));
    for alg in ["HS256", "none", "ES256", "PS256", "rs256", ""] {
        assert!(matches!(judged(&keys, &token(alg)), Err(TokenError::AlgNotAllowed(_))), "{alg}");
    }
    // A key that states no algorithm is good for both of its kind, and a signature for the one that made it.
    let keys = set(&[without_alg(RSA.public_jwk())]).unwrap();
    assert_eq!(judged(&keys, &token("PS256")), Err(TokenError::SignatureInvalid));
}

#[test]
fn what_is_no_public_key_makes_the_set_unusable() {
    let secret: Value = serde_json::from_str(&RSA.to_secret_json().unwrap()).unwrap();
    for (key, told) in [
        (secret, "private member"),
        (json!({ "kty": "oct", "k": "AAAA" }), "private member"),
        (json!({ "kty": "OKP", "crv": "X25519", "x": b64([7; 32]) }), "not `Ed25519`"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": b64([7; 31]) }), "32 octets"),
        (json!({ "kty": "EC", "crv": "P-384", "x": "", "y": "" }), "not `P-256`"),
        (json!({ "kty": "RSA" }), "no string `n`"),
        (json!(7), "not an object"),
    ] {
        let error = set(std::slice::from_ref(&key)).unwrap_err();
        assert!(error.contains(told), "{key}: {error}");
    }
    let mut hs = RSA.public_jwk();
    hs["alg"] = json!("HS256");
    assert!(set(&[hs]).unwrap_err().contains("`alg`"));
    assert!(set(&[]).unwrap_err().contains("0 keys"));
    assert!(ClientKeys::parse(b"{}").is_err());
    assert!(ClientKeys::parse(&vec![b' '; MAX_CLIENT_KEYS_BYTES + 1]).is_err());
    let many = |count: usize| {
        let one = |n: usize| {
            let mut jwk = EC.public_jwk();
            jwk["kid"] = n.to_string().into();
            jwk
        };
        set(&(0..count).map(one).collect::<Vec<_>>())
    };
    assert!(many(MAX_CLIENT_KEYS).is_ok() && many(MAX_CLIENT_KEYS + 1).is_err());
}

#[test]
fn attack_070_a_proof_is_signed_by_the_public_key_that_it_brings() {
    let proof = |alg: &str, jwk: &Value| {
        let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk }).to_string();
        Proof::verify(&token_with(&EC, &header, "{}"))
    };
    let good = proof("ES256", &EC.public_jwk()).unwrap();
    assert_eq!(good.jkt, *EC.kid());
    let secret: Value = serde_json::from_str(&EC.to_secret_json().unwrap()).unwrap();
    for (alg, jwk) in [
        ("ES256", secret),
        ("ES256", RSA.public_jwk()),
        ("HS256", EC.public_jwk()),
        ("none", EC.public_jwk()),
        ("ES256", json!({ "kty": "oct", "k": "AAAA" })),
        ("ES256", Value::Null),
    ] {
        assert!(proof(alg, &jwk).is_err(), "{alg} {jwk}");
    }
    let none = token_with(&EC, r#"{"typ":"dpop+jwt","alg":"ES256"}"#, "{}");
    assert!(Proof::verify(&none).unwrap_err().contains("no `jwk`"));
}

#[test]
fn attack_069_a_secret_is_compared_by_its_digest_and_all_of_them_are_looked_at() {
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    assert!(is_secret(&one, &[two, one]) && is_secret(&two, &[two, one]));
    assert!(!is_secret(&one, &[two]) && !is_secret(&one, &[]));
    assert!(!is_secret(&Digest::from_bytes([0; 32]), &[]));
}
