//! `/.well-known/openid-configuration` and `/jwks`: as the narrowest consumer takes them.

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use serde_json::{Value, json};

use crate::support::rules::AWS;
use crate::support::{Server, URL};

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_metadata_names_what_exists_and_nothing_else() {
    let server = Server::start();
    let answer = server.get("/.well-known/openid-configuration").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], URL);
    assert_eq!(metadata["jwks_uri"], format!("{URL}/jwks"));
    assert_eq!(metadata["token_endpoint"], format!("{URL}/token"));
    assert_eq!(metadata["response_types_supported"], json!(["code"]));
    assert_eq!(metadata["subject_types_supported"], json!(["public"]));
    assert!(metadata["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&json!("RS256")));
    for list in ["scopes_supported", "claims_supported", "grant_types_supported"] {
        assert!(metadata[list].as_array().is_some_and(|list| !list.is_empty()), "{list}");
    }
    // Every endpoint that it names answers something else than 404.
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let path = value.as_str().unwrap().strip_prefix(URL).unwrap();
            assert_ne!(server.get(path).status, 404, "{name}");
        }
    }
}

#[test]
fn the_keys_have_the_members_that_every_cloud_takes() {
    let server = Server::start();
    let answer = server.get("/jwks").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let set = answer.json();
    assert_eq!(names(&set), ["keys"]);
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(names(&keys[0]), ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(names(&keys[1]), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert!(keys.iter().all(|key| key["use"] == "sig"));
    assert_eq!((&keys[0]["alg"], &keys[1]["alg"]), (&json!("RS256"), &json!("ES256")));
}

#[test]
fn an_issued_token_verifies_against_the_published_keys() {
    let server = Server::start();
    let answer = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    let (keys, warnings) = KeySet::parse(&server.get("/jwks").body).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let token = answer.member("access_token");
    let verified = UnverifiedToken::parse(&token).unwrap().verify(&keys).unwrap();
    let (claims, header) = (&verified.get().claims, &verified.get().header);
    assert_eq!(header["typ"], "JWT");
    assert_eq!(claims["iss"], URL);
    assert!(claims["aud"].is_string());
    for time in ["iat", "nbf", "exp"] {
        assert!(claims[time].is_i64(), "{time}");
    }
    let length = claims["sub"].as_str().unwrap().len();
    assert!((6..=127).contains(&length));
    assert!(token.len() < 20_000);
    assert!(!claims.values().any(Value::is_null));
}

#[test]
fn the_keys_outlive_a_restart() {
    let mut server = Server::start();
    let before = server.get("/jwks").expect(200).json();
    server.restart();
    assert_eq!(server.get("/jwks").expect(200).json(), before);
}
