//! What jobs send and what their issuers publish.

use std::sync::LazyLock;

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::canonical::strict_value;
use countersign::domain::ids::{Audience, IssuerName};
use countersign::domain::job::Job;
use countersign::domain::job::gitlab::from_log;
use countersign::domain::oauth::exchange::{self, ExchangeHeaders, GRANT_TYPE, MAX_AUDIENCES, TYPE_ID_TOKEN};
use countersign::upstream::discovery::jwks_uri;
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::text;

const ISSUER: &str = "https://gitlab.example.com";
const KEYS_HOST: &str = "keys.example.com:8443";
/// A token that verifies under the one key of the set; its private half was thrown away.
const VERIFIED: &str = include_str!("../corpus/job_token/good-es256");
const KEYS: &[u8] = include_bytes!("../corpus/jwks/good-es256");

/// The job of that token.
pub static JOB: LazyLock<Job> = LazyLock::new(|| {
    let (keys, _) = KeySet::parse(KEYS).unwrap();
    let verified = UnverifiedToken::parse(VERIFIED).unwrap().verify(&keys).unwrap();
    let name = IssuerName::parse("gitlab").unwrap();
    from_log(&verified, &name, ISSUER, "https://sign.example.com", None).unwrap()
});

/// A token has one spelling, and only the one that was signed verifies.
pub fn job_token(bytes: &[u8]) -> bool {
    let Some(token) = text(bytes) else { return false };
    let Ok(read) = UnverifiedToken::parse(token) else { return false };
    let parts: Vec<Vec<u8>> = token.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).collect();
    assert_eq!(parts.iter().map(|part| BASE64URL_NOPAD.encode(part)).collect::<Vec<_>>().join("."), token);
    let object = |part: &[u8]| match strict_value(part) {
        Ok(Value::Object(members)) => members,
        other => panic!("not an object: {other:?}"),
    };
    let (header, claims) = (object(&parts[0]), object(&parts[1]));
    assert!(["crit", "zip", "enc"].iter().all(|name| !header.contains_key(*name)));
    assert_eq!(read.alg(), header.get("alg").and_then(Value::as_str));
    assert_eq!(read.unverified_kid(), header.get("kid").and_then(Value::as_str));
    assert_eq!(read.unverified_issuer(), claims.get("iss").and_then(Value::as_str));
    let (keys, _) = KeySet::parse(KEYS).unwrap();
    if let Ok(verified) = read.verify(&keys) {
        let signed = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(signed(token), signed(VERIFIED), "a token verifies that nobody signed");
        assert_eq!(verified.get().claims, claims);
    }
    true
}

/// The set that the log keeps reads back as the same set, without a warning.
pub fn jwks(bytes: &[u8]) -> bool {
    let Ok((set, _)) = KeySet::parse(bytes) else { return false };
    let document = set.document();
    let (again, warnings) = KeySet::parse(&document).unwrap();
    assert_eq!((again.document(), again.len(), warnings), (document, set.len(), Vec::new()));
    !set.is_empty()
}

/// Keys are fetched over https from the issuer's own origin or the one host that was named.
pub fn discovery(bytes: &[u8]) -> bool {
    let Ok(found) = jwks_uri(bytes, ISSUER, Some(KEYS_HOST)) else { return false };
    let origin = found.origin().ascii_serialization();
    assert!(origin == ISSUER || origin == format!("https://{KEYS_HOST}"), "{found}");
    assert!(found.username().is_empty() && found.password().is_none(), "{found}");
    let document: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(document["issuer"], ISSUER);
    true
}

/// An `Idempotency-Key` on the first line, the form behind it; without a second line the form alone.
pub fn exchange_form(bytes: &[u8]) -> bool {
    let (key, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (text(&bytes[..at]), &bytes[at + 1..]),
        None => (None, bytes),
    };
    let headers = ExchangeHeaders { idempotency_key: key, has_dpop: false };
    let Ok(read) = exchange::parse(body, headers) else { return false };
    assert_eq!(read.collector.is_some(), key.is_some());
    assert!((1..=MAX_AUDIENCES).contains(&read.audiences.len()));
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", GRANT_TYPE)
        .append_pair("subject_token", read.subject_token.expose())
        .append_pair("subject_token_type", TYPE_ID_TOKEN)
        .append_pair("requested_token_type", read.issued_token_type);
    for audience in &read.audiences {
        form.append_pair("audience", audience.as_str());
        assert_eq!(Audience::parse(audience.as_str()).as_ref(), Ok(audience));
    }
    assert_eq!(exchange::parse(form.finish().as_bytes(), headers), Ok(read), "a form survives its own spelling");
    true
}
