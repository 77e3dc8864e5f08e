//! Job tokens whose form, algorithm or signature is not the issuer's.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use openssl::bn::BigNum;
use openssl::rsa::Rsa;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::gitlab::{encode, gitlab};
use crate::support::rules::AWS;
use crate::support::{JobToken, Logged, Server, Snapshot, refused};

/// Every call of these tests is refused before anything is believed, so nothing at all may move.
fn junk(server: &Server, token: &str, code: &str) {
    for kind in ["id_token", "jwt"] {
        let before = Snapshot::of(server);
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        let answer = server.exchange(token, &[AWS]).set("subject_token_type", &kind).send().invalid(code);
        refused(server, &before, &answer, Logged::No);
        assert!(!answer.text().contains(token), "the answer repeats the token");
    }
}

fn staging(server: &Server) -> JobToken {
    server.job().environment("staging")
}

#[test]
fn attack_001_alg_none_is_not_allowed() {
    let server = Server::start();
    for alg in ["none", "None", "nOnE", "NONE", "", "RS256 ", "rs256"] {
        let job = staging(&server).header("alg", alg);
        junk(&server, &job.with_signature(b""), "alg_not_allowed");
        junk(&server, &job.sign(), "alg_not_allowed");
    }
    let real = staging(&server);
    let signature = real.sign().rsplit_once('.').unwrap().1.to_owned();
    let bare = json!({ "alg": "none" });
    junk(&server, &format!("{}.{}.{signature}", encode(&bare), encode(&real.claims)), "alg_not_allowed");
    server.exchange(&real.sign(), &[AWS]).send().expect(200);
}

#[test]
fn attack_002_the_issuers_public_key_is_no_hmac_secret() {
    let server = Server::start();
    let jwk = &gitlab().public;
    let number = |name: &str| {
        BigNum::from_slice(&BASE64URL_NOPAD.decode(jwk[name].as_str().unwrap().as_bytes()).unwrap()).unwrap()
    };
    let key = Rsa::from_public_components(number("n"), number("e")).unwrap();
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    let (spki, pkcs1) = (text(key.public_key_to_pem().unwrap()), text(key.public_key_to_pem_pkcs1().unwrap()));
    let secrets: Vec<Vec<u8>> = vec![
        spki.trim_end().into(),
        pkcs1.trim_end().into(),
        spki.into(),
        pkcs1.into(),
        key.public_key_to_der().unwrap(),
        key.public_key_to_der_pkcs1().unwrap(),
        jwk.to_string().into(),
        jwk["n"].as_str().unwrap().into(),
        key.n().to_vec(),
    ];
    for alg in ["HS256", "HS384", "HS512"] {
        for secret in &secrets {
            let job = staging(&server).header("alg", alg);
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
            mac.update(job.signing_input().as_bytes());
            junk(&server, &job.with_signature(&mac.finalize().into_bytes()), "alg_not_allowed");
        }
    }
}

#[test]
fn attack_003_alg_is_the_keys_and_not_the_tokens() {
    let server = Server::start();
    for alg in ["ES256", "EdDSA", "PS256", "RS384", "RS512"] {
        junk(&server, &staging(&server).header("alg", alg).sign(), "alg_not_allowed");
    }
    let job = staging(&server);
    for signature in [vec![0; 256], vec![0; 255], vec![1; 64], Vec::new()] {
        junk(&server, &job.with_signature(&signature), "signature_invalid");
    }
    let mut flipped = gitlab().sign_raw(job.signing_input().as_bytes());
    flipped[100] ^= 1;
    junk(&server, &job.with_signature(&flipped), "signature_invalid");
}

#[test]
fn attack_004_a_key_in_the_token_is_nobodys_key() {
    let server = Server::start();
    let stranger = crate::support::other();
    for (name, value) in [
        ("jwk", stranger.public.clone()),
        ("jku", json!("https://gitlab.shop.example/evil.json")),
        ("x5u", json!("file:///etc/passwd")),
        ("x5c", json!(["MIIB"])),
    ] {
        let job = staging(&server).header(name, value);
        junk(&server, &job.sign_by(stranger), "signature_invalid");
        let mut without = job;
        without.header.remove("kid");
        junk(&server, &without.sign_by(stranger), "unknown_key");
    }
}

#[test]
fn attack_005_kid_is_a_name_and_nothing_else() {
    let server = Server::start();
    let long = "k".repeat(16_000);
    for kid in ["../../../../dev/null", "' OR 1=1--", long.as_str(), "\0", "", "gitlab-1\n"] {
        junk(&server, &staging(&server).header("kid", kid).sign(), "unknown_key");
    }
    for kid in [json!(1), json!(["gitlab-1"]), json!({}), Value::Null, json!(true)] {
        junk(&server, &staging(&server).header("kid", kid).sign(), "unknown_key");
    }
}

#[test]
fn attack_006_members_occur_once() {
    let server = Server::start();
    let job = staging(&server);
    let forge = |header: String, claims: String| {
        let input =
            format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
        let signature = gitlab().sign_raw(input.as_bytes());
        format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
    };
    let header = serde_json::to_string(&job.header).unwrap();
    let claims = serde_json::to_string(&job.claims).unwrap();
    let with = |text: &str, first: &str| format!("{{{first},{}", &text[1..]);
    junk(&server, &forge(with(&header, r#""alg":"none""#), claims.clone()), "duplicate_member");
    for double in [r#""sub":"x""#, r#""s\u0075b":"x""#, r#""project_id":"1""#, r#""ref_protected":"true""#] {
        junk(&server, &forge(header.clone(), with(&claims, double)), "duplicate_member");
    }
    server.exchange(&forge(header, claims), &[AWS]).send().expect(200);
}

#[test]
fn attack_008_only_a_compact_jws_is_read() {
    let server = Server::start();
    let job = staging(&server);
    let token = job.sign();
    let parts: Vec<&str> = token.split('.').collect();
    let json_form = json!({
        "payload": parts[1],
        "signatures": [{ "protected": parts[0], "signature": parts[2] }],
    });
    let flattened = json!({ "payload": parts[1], "protected": parts[0], "signature": parts[2] });
    let jwe = json!({ "alg": "dir", "enc": "A256GCM", "kid": gitlab().kid });
    for forged in [
        staging(&server).header("cty", "JWT").sign(),
        staging(&server).header("cty", "application/jwt").sign(),
        staging(&server).header("zip", "DEF").sign(),
        staging(&server).header("enc", "A256GCM").sign(),
        format!("{}.a.b.c.d", encode(&jwe)),
        json_form.to_string(),
        flattened.to_string(),
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        token.replace('.', "%2E"),
        parts[..2].join("."),
        ".".repeat(20_000),
        "64_xxxxxxxxxxxxxxxxxxxx".to_owned(),
    ] {
        junk(&server, &forged, "not_compact_jws");
    }
    server.exchange(&token, &[AWS]).send().expect(200);
}

#[test]
fn attack_007_size_is_bounded_and_a_true_large_token_passes() {
    let server = Server::start();
    let groups: Vec<String> = (0..200).map(|n| format!("platform/team-{n:040}")).collect();
    let large = staging(&server).with("groups_direct", groups).sign();
    assert!(large.len() > 12_000);
    server.exchange(&large, &[AWS]).send().expect(200);
    let before = Snapshot::of(&server);
    let too_long = staging(&server).with("x", "y".repeat(30_000)).sign();
    let answer = server.exchange(&too_long, &[AWS]).send().invalid("parameter_invalid");
    refused(&server, &before, &answer, Logged::No);
    let deep =
        format!("{}.{}.AA", encode(&staging(&server).header), BASE64URL_NOPAD.encode("[".repeat(20_000).as_bytes()));
    junk(&server, &deep, "not_compact_jws");
    let answer = server.exchange(&"x".repeat(100_000), &[AWS]).send();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}

#[test]
fn attack_009_critical_extensions_are_not_understood() {
    let server = Server::start();
    for crit in [json!(["b64"]), json!(["x"]), json!([]), json!("exp"), json!(["alg"]), json!(["missing"]), Value::Null]
    {
        let job = staging(&server).header("b64", false).header("crit", crit);
        junk(&server, &job.sign(), "crit_not_allowed");
    }
}
