use serde_json::json;

use super::*;
use crate::crypto::fixtures::{EC, OTHER_RSA, RSA, b64, set_of, token_with};
use crate::domain::rules::TokenAlg;

const CLAIMS: &str = r#"{"iss":"https://gitlab.example.com","sub":"x"}"#;

fn header_with(members: &str) -> String {
    format!(r#"{{"alg":"RS256","kid":"{}","typ":"JWT"{members}}}"#, RSA.kid())
}

fn judge(token: &str) -> Result<Verified<RawClaims>, TokenError> {
    UnverifiedToken::parse(token)?.verify(&set_of(&[&RSA]))
}

fn code(token: &str) -> &'static str {
    judge(token).map_or_else(|error| error.code().as_str(), |_| "accepted")
}

#[test]
fn a_good_token_gives_its_claims_header_and_digest() {
    let token = RSA.sign(CLAIMS.as_bytes()).unwrap();
    let unverified = UnverifiedToken::parse(&token).unwrap();
    assert_eq!(unverified.unverified_issuer(), Some("https://gitlab.example.com"));
    assert_eq!(unverified.unverified_kid(), Some(RSA.kid().as_str()));
    assert_eq!(unverified.alg(), Some("RS256"));
    let verified = unverified.verify(&set_of(&[&RSA])).unwrap();
    let (input, _) = token.rsplit_once('.').unwrap();
    assert_eq!(verified.get().token_sha256, Digest::of(input.as_bytes()));
    assert_eq!(verified.get().header.get("typ").unwrap(), "JWT");
    assert!(judge(&EC.sign(CLAIMS.as_bytes()).unwrap()).is_err());
}

#[test]
fn attack_006_members_may_not_repeat() {
    for header in
        [r#"{"alg":"RS256","alg":"none"}"#.to_owned(), header_with(r#","kid":"x""#), header_with(r#","k\u0069d":"x""#)]
    {
        assert_eq!(code(&token_with(&RSA, &header, CLAIMS)), "duplicate_member");
    }
    for payload in [r#"{"sub":1,"sub":2}"#, r#"{"sub":1,"s\u0075b":2}"#, r#"{"a":{"project_id":1,"project_id":1}}"#] {
        assert_eq!(code(&token_with(&RSA, &header_with(""), payload)), "duplicate_member", "{payload}");
    }
}

#[test]
fn attack_007_size_and_depth_are_bounded() {
    let groups: Vec<String> = (0..200).map(|n| format!("group/with/a/rather/long/path/number-{n:04}/leaf")).collect();
    let large = json!({"iss": "https://gitlab.example.com", "groups_direct": groups}).to_string();
    assert!(large.len() > 9_000);
    assert!(judge(&RSA.sign(large.as_bytes()).unwrap()).is_ok(), "a true token with 200 groups passes");
    let too_large = json!({"a": "x".repeat(MAX_TOKEN)}).to_string();
    assert_eq!(code(&RSA.sign(too_large.as_bytes()).unwrap()), "not_compact_jws");
    assert_eq!(code(&".".repeat(30_000)), "not_compact_jws");
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(code(&token_with(&RSA, &header_with(""), &deep)), "not_compact_jws");
    let digits = format!(r#"{{"exp":{}}}"#, "9".repeat(20_000));
    assert_eq!(code(&token_with(&RSA, &header_with(""), &digits)), "not_compact_jws");
}

#[test]
fn attack_008_nested_encrypted_compressed_and_json_forms_are_refused() {
    for member in [r#","cty":"JWT""#, r#","cty":"jwt""#, r#","cty":7"#, r#","zip":"DEF""#, r#","enc":"A256GCM""#] {
        assert_eq!(code(&token_with(&RSA, &header_with(member), CLAIMS)), "not_compact_jws", "{member}");
    }
    let good = RSA.sign(CLAIMS.as_bytes()).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let general = json!({
        "payload": parts[1],
        "signatures": [{"protected": parts[0], "signature": parts[2]}],
    });
    let flattened = json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]});
    for token in [
        general.to_string(),
        flattened.to_string(),
        format!("{good}.{}.{}", parts[1], parts[2]),
        format!("{good}."),
        format!(".{good}"),
        parts[..2].join("."),
        parts[0].to_owned(),
        String::new(),
        format!("{}..{}", parts[0], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
    ] {
        assert_eq!(code(&token), "not_compact_jws", "{token}");
    }
    assert_eq!(code(&token_with(&RSA, &header_with(""), "[1]")), "not_compact_jws");
    assert_eq!(code(&token_with(&RSA, &header_with(""), "foo")), "not_compact_jws");
}

#[test]
fn attack_009_every_crit_is_refused() {
    for member in [
        r#","crit":["b64"],"b64":false"#,
        r#","crit":["x"]"#,
        r#","crit":[]"#,
        r#","crit":"exp""#,
        r#","crit":["alg"]"#,
        r#","crit":["missing"]"#,
        r#","crit":null"#,
        r#","cr\u0069t":["x"]"#,
    ] {
        assert_eq!(code(&token_with(&RSA, &header_with(member), CLAIMS)), "crit_not_allowed", "{member}");
    }
}

#[test]
fn attack_010_a_token_has_one_spelling() {
    let good = RSA.sign(CLAIMS.as_bytes()).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let join = |at: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = part;
        parts.join(".")
    };
    for (at, part) in parts.iter().enumerate() {
        let (front, back) = part.split_at(part.len() / 2);
        for wrong in [
            format!("{part}="),
            format!("{part}=="),
            format!("{part} "),
            format!(" {part}"),
            format!("{front}\n{back}"),
            format!("{front}%2E{back}"),
            format!("\u{feff}{part}"),
            format!("{front}+{}", &back[1..]),
            format!("{front}/{}", &back[1..]),
        ] {
            assert_eq!(code(&join(at, wrong.clone())), "not_compact_jws", "{wrong}");
        }
    }
    // The signature of 256 octets ends with two spare bits, four for each other length: they must be zero.
    let mut changed = 0;
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        let mut signature = parts[2].to_owned();
        signature.pop();
        signature.push(letter);
        if signature != parts[2] {
            assert!(judge(&join(2, signature)).is_err());
            changed += 1;
        }
    }
    assert_eq!(changed, 63);
    let utf16: Vec<u8> = CLAIMS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for payload in [utf16, b"{\"a\":\"\xff\"}".to_vec(), [b"\xef\xbb\xbf", CLAIMS.as_bytes()].concat()] {
        let input = format!("{}.{}", parts[0], b64(payload));
        let token = format!("{input}.{}", b64(RSA.sign_raw(input.as_bytes()).unwrap()));
        assert_eq!(code(&token), "not_compact_jws");
    }
}

#[test]
fn attack_013_keys_of_another_issuer_do_not_count() {
    let here = set_of(&[&RSA]);
    let token = OTHER_RSA.sign(CLAIMS.as_bytes()).unwrap();
    let verdict = UnverifiedToken::parse(&token).unwrap().verify(&here);
    assert_eq!(verdict.unwrap_err().code().as_str(), "unknown_key");
    let crossed = token_with(&OTHER_RSA, &header_with(""), CLAIMS);
    assert_eq!(code(&crossed), "signature_invalid", "one `kid` in both sets");
}

#[test]
fn attack_095_a_token_and_its_errors_show_neither_claims_nor_signature() {
    let token = RSA.sign(br#"{"iss":"i","secret":"do-not-print"}"#).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let shown = format!("{:?}", UnverifiedToken::parse(&token).unwrap());
    for secret in ["do-not-print", input, signature] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let broken = token_with(&RSA, &header_with(""), r#"{"a":"do-not-print" x}"#);
    assert!(!judge(&broken).unwrap_err().to_string().contains("do-not-print"));
}

#[test]
fn no_key_and_no_kid_are_told_apart_from_a_bad_algorithm() {
    let (empty, _) = KeySet::parse(br#"{"keys":[]}"#).unwrap();
    let verdict = |token: &str, set: &KeySet| UnverifiedToken::parse(token).unwrap().verify(set).unwrap_err();
    let good = RSA.sign(CLAIMS.as_bytes()).unwrap();
    assert_eq!(verdict(&good, &empty), TokenError::UnknownKey(RSA.kid().to_string()));
    let without = token_with(&RSA, r#"{"alg":"RS256"}"#, CLAIMS);
    assert_eq!(verdict(&without, &set_of(&[&RSA])), TokenError::NoKeyId);
    let held = set_of(&[&RSA, &EC]).allowing(&[TokenAlg::Rs256]);
    assert_eq!(verdict(&EC.sign(b"{}").unwrap(), &held), TokenError::AlgNotAllowed("ES256".to_owned()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_verify(text in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
        proptest::prop_assert!(judge(&text).is_err());
    }

    #[test]
    fn one_flipped_bit_is_refused(at in 0_usize..600, bit in 0_u32..8) {
        let mut token = RSA.sign(CLAIMS.as_bytes()).unwrap().into_bytes();
        let at = at % token.len();
        token[at] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(token) {
            proptest::prop_assert!(judge(&token).is_err());
        }
    }
}
