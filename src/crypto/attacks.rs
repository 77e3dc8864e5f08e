//! Attacks on signatures and keys.
//! In: forged tokens. Out: every one refused.
//! Implements RFC 8725 §2 and §3 as tests.
//! Never part of the product.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Value, json};

use super::fixtures::{EC, OTHER_RSA, RSA, b64, set_of, token_with};
use super::jwt::{TokenError, UnverifiedToken};

const CLAIMS: &str = r#"{"iss":"https://gitlab.example.com"}"#;

fn code(token: &str) -> &'static str {
    let judged = UnverifiedToken::parse(token).and_then(|token| token.verify(&set_of(&[&RSA])));
    judged.map_or_else(|error| error.code().as_str(), |_| "accepted")
}

fn header(alg: &str) -> String {
    json!({"alg": alg, "kid": RSA.kid().as_str(), "typ": "JWT"}).to_string()
}

#[test]
fn attack_001_alg_none_is_refused_with_and_without_a_signature() {
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS512", "PS256", "EdDSA", "ES256K"] {
        let signed = token_with(&RSA, &header(alg), CLAIMS);
        assert_eq!(code(&signed), "alg_not_allowed", "{alg}");
        let (input, _) = signed.rsplit_once('.').unwrap();
        assert_eq!(code(&format!("{input}.")), "alg_not_allowed", "{alg}");
    }
    for header in [r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"alg":0}"#, r#"{"typ":"JWT"}"#] {
        assert_eq!(code(&token_with(&RSA, header, CLAIMS)), "alg_not_allowed", "{header}");
    }
    let good = RSA.sign(CLAIMS.as_bytes()).unwrap();
    let (input, _) = good.rsplit_once('.').unwrap();
    assert_eq!(code(&format!("{input}.")), "signature_invalid");
}

#[test]
fn attack_002_a_mac_keyed_with_the_public_key_is_refused() {
    let jwk = RSA.public_jwk();
    let number = |name: &str| BASE64URL_NOPAD.decode(jwk[name].as_str().unwrap().as_bytes()).unwrap();
    let big = |name| openssl::bn::BigNum::from_slice(&number(name)).unwrap();
    let public = Rsa::from_public_components(big("n"), big("e")).unwrap();
    let mut keys = vec![
        public.public_key_to_pem().unwrap(),
        public.public_key_to_pem_pkcs1().unwrap(),
        public.public_key_to_der().unwrap(),
        public.public_key_to_der_pkcs1().unwrap(),
        jwk.to_string().into_bytes(),
        number("n"),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
    ];
    keys.extend(keys.clone().iter().map(|key| key.strip_suffix(b"\n").unwrap_or(key).to_vec()));
    for alg in ["HS256", "HS384", "HS512", "hs256"] {
        for key in &keys {
            let key = PKey::hmac(key).unwrap();
            let input = format!("{}.{}", b64(header(alg)), b64(CLAIMS));
            let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
            let mac = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
            assert_eq!(code(&format!("{input}.{}", b64(&mac))), "alg_not_allowed");
            // The same MAC under a header that states what the issuer allows.
            let input = format!("{}.{}", b64(header("RS256")), b64(CLAIMS));
            let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
            let mac = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
            assert_eq!(code(&format!("{input}.{}", b64(&mac))), "signature_invalid");
        }
    }
}

#[test]
fn attack_003_the_key_fixes_the_algorithm() {
    let both = set_of(&[&RSA, &EC]);
    let judge = |token: &str| UnverifiedToken::parse(token).unwrap().verify(&both).unwrap_err();
    for alg in ["ES256", "EdDSA", "PS256", "RS384"] {
        let token = token_with(&EC, &header(alg), CLAIMS);
        assert_eq!(judge(&token), TokenError::AlgNotAllowed(alg.to_owned()));
    }
    let crossed = json!({"alg": "RS256", "kid": EC.kid().as_str()}).to_string();
    assert_eq!(judge(&token_with(&RSA, &crossed, CLAIMS)), TokenError::AlgNotAllowed("RS256".to_owned()));
}

#[test]
fn attack_003_malformed_signatures_are_refused() {
    let ec = set_of(&[&EC]);
    let kid = Some(EC.kid().as_str());
    let good = EC.sign_raw(b"message").unwrap();
    assert!(ec.check("ES256", kid, b"message", &good).is_ok());
    let order = HEXLOWER.decode(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let der = openssl::ecdsa::EcdsaSig::from_private_components(
        openssl::bn::BigNum::from_slice(&good[..32]).unwrap(),
        openssl::bn::BigNum::from_slice(&good[32..]).unwrap(),
    );
    for bad in [
        vec![0; 64],
        [order.clone(), good[32..].to_vec()].concat(),
        [good[..32].to_vec(), order.clone()].concat(),
        [order.clone(), order].concat(),
        [vec![0; 32], good[32..].to_vec()].concat(),
        [good[..32].to_vec(), vec![0; 32]].concat(),
        der.unwrap().to_der().unwrap(),
        good[..63].to_vec(),
        [good.clone(), vec![0]].concat(),
        [vec![0], good].concat(),
        Vec::new(),
        vec![0xff; 64],
    ] {
        assert_eq!(ec.check("ES256", kid, b"message", &bad), Err(TokenError::SignatureInvalid), "{}", bad.len());
    }
    let rsa = set_of(&[&RSA]);
    let kid = Some(RSA.kid().as_str());
    let good = RSA.sign_raw(b"message").unwrap();
    for bad in
        [vec![0; 256], good[..255].to_vec(), [vec![0], good.clone()].concat(), Vec::new(), vec![1], vec![0xff; 256]]
    {
        assert_eq!(rsa.check("RS256", kid, b"message", &bad), Err(TokenError::SignatureInvalid));
    }
    assert!(rsa.check("RS256", kid, b"message", &good).is_ok());
}

/// The RSA operation on a block of any form: what a signer without care would sign.
fn raw_rsa(block: &[u8]) -> Vec<u8> {
    let secret: Value = serde_json::from_str(&RSA.to_secret_json().unwrap()).unwrap();
    let number = |name: &str| {
        openssl::bn::BigNum::from_slice(&BASE64URL_NOPAD.decode(secret[name].as_str().unwrap().as_bytes()).unwrap())
            .unwrap()
    };
    let key = Rsa::from_private_components(
        number("n"),
        number("e"),
        number("d"),
        number("p"),
        number("q"),
        number("dp"),
        number("dq"),
        number("qi"),
    )
    .unwrap();
    let mut signature = vec![0; 256];
    key.private_encrypt(block, &mut signature, openssl::rsa::Padding::NONE).unwrap();
    signature
}

#[test]
fn attack_003_a_padding_of_another_form_is_refused() {
    let rsa = set_of(&[&RSA]);
    let check = |block: &[u8]| rsa.check("RS256", Some(RSA.kid().as_str()), b"message", &raw_rsa(block));
    let hash = openssl::sha::sha256(b"message");
    let info = HEXLOWER.decode(b"3031300d060960864801650304020105000420").unwrap();
    let without_null = HEXLOWER.decode(b"302f300b06096086480165030402010420").unwrap();
    let long_length = HEXLOWER.decode(b"308131300d060960864801650304020105000420").unwrap();
    let block = |start: [u8; 2], fill: u8, filled: Option<usize>, end: &[u8]| {
        let filled = filled.unwrap_or(256 - 3 - end.len());
        let mut block = [start.as_slice(), &vec![fill; filled], &[0], end].concat();
        // What remains behind is garbage.
        block.resize(256, 0x5a);
        block
    };
    let good = [info.as_slice(), &hash].concat();
    assert!(check(&block([0, 1], 0xff, None, &good)).is_ok(), "the block itself is made well");
    for bad in [
        block([0, 1], 0xff, Some(8), &good),
        block([0, 1], 0xff, Some(200), &good),
        block([0, 1], 0xff, Some(0), &good),
        block([0, 1], 0xff, None, &[without_null.as_slice(), &hash].concat()),
        block([0, 1], 0xff, None, &[long_length.as_slice(), &hash].concat()),
        block([0, 1], 0xff, None, &[good.as_slice(), &[0]].concat()),
        block([0, 1], 0xff, None, &hash),
        block([0, 2], 0xff, None, &good),
        block([0, 0], 0x00, None, &good),
        block([0, 1], 0xfe, None, &good),
        block([0, 1], 0xff, None, &[info.as_slice(), &openssl::sha::sha256(b"another")].concat()),
    ] {
        assert_eq!(check(&bad), Err(TokenError::SignatureInvalid));
    }
}

#[test]
fn attack_004_keys_that_the_token_brings_are_ignored() {
    let jwk = OTHER_RSA.public_jwk();
    for (member, value) in [
        ("jwk", jwk),
        ("x5c", json!(["MIIB"])),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("file:///etc/passwd")),
    ] {
        for kid in [Some(RSA.kid().as_str()), Some(OTHER_RSA.kid().as_str()), None] {
            let mut forged = json!({"alg": "RS256", "typ": "JWT"});
            forged[member] = value.clone();
            if let Some(kid) = kid {
                forged["kid"] = kid.into();
            }
            let code = code(&token_with(&OTHER_RSA, &forged.to_string(), CLAIMS));
            assert!(["signature_invalid", "unknown_key"].contains(&code), "{member} {kid:?}: {code}");
        }
    }
}

#[test]
fn attack_005_a_key_id_is_only_ever_compared() {
    let long = "k".repeat(8_000);
    let strange = ["../../../../dev/null", "' OR 1=1--", "\0", "", "`\n\u{1b}[31m", &long];
    for kid in strange {
        let forged = json!({"alg": "RS256", "kid": kid}).to_string();
        let token = token_with(&RSA, &forged, CLAIMS);
        let error = UnverifiedToken::parse(&token).unwrap().verify(&set_of(&[&RSA])).unwrap_err();
        assert_eq!(error.code().as_str(), "unknown_key", "{kid:.20}");
        let text = error.to_string();
        assert!(text.len() < 300 && !text.contains(char::is_control) && text.matches('`').count() == 2, "{text}");
    }
    for kid in [json!(7), json!(["a"]), json!({"a": 1}), Value::Null] {
        let forged = json!({"alg": "RS256", "kid": kid}).to_string();
        assert_eq!(code(&token_with(&RSA, &forged, CLAIMS)), "unknown_key");
    }
}

#[test]
fn attack_095_secret_types_are_redacted_in_their_debug_form() {
    for key in [&*RSA, &*EC] {
        let shown = format!("{key:?} {:?} {:#?}", Some(key), vec![key]);
        assert!(shown.contains("redacted"));
        let secret: Value = serde_json::from_str(&key.to_secret_json().unwrap()).unwrap();
        for name in ["d", "p", "q", "dp", "dq", "qi"] {
            if let Some(value) = secret.get(name).and_then(Value::as_str) {
                assert!(!shown.contains(value), "{name}");
            }
        }
    }
}
