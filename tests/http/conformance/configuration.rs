//! The plan of Config, and what the plans of signing out look for in the same document.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Server, URL};

fn texts<'a>(value: &'a Value, name: &str) -> BTreeSet<&'a str> {
    let list = value[name].as_array().unwrap_or_else(|| panic!("`{name}` is no list"));
    assert!(!list.is_empty(), "an empty list must be left out: `{name}`");
    list.iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
pub fn the_configuration_is_one_that_strangers_can_use() {
    let server = Server::start();
    let answer = server.get("/.well-known/openid-configuration").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let metadata = answer.json();
    // Whoever knows the issuer knows the address, and the other way round.
    assert_eq!(metadata["issuer"], URL);
    assert!(URL.starts_with("https://") && !URL.contains(['?', '#']) && !URL.ends_with('/'));
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            assert!(value.as_str().unwrap().starts_with(&format!("{URL}/")), "{name}");
        }
        assert!(!value.is_null(), "{name}");
        if value.is_array() {
            texts(&metadata, name);
        }
    }
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
        assert!(metadata[name].is_string(), "{name}");
    }
    let algorithms = texts(&metadata, "id_token_signing_alg_values_supported");
    assert!(algorithms.contains("RS256") && !algorithms.contains("none"));
    assert!(texts(&metadata, "subject_types_supported").is_subset(&BTreeSet::from(["public", "pairwise"])));
    let scopes = texts(&metadata, "scopes_supported");
    assert!(scopes.contains("openid"));
    let is_token = |scope: &str| scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'));
    assert!(scopes.iter().all(|scope| is_token(scope)));
    // The modules about other scopes are left out by the suite because of this.
    assert!(!scopes.contains("address") && !scopes.contains("phone"));
    for (name, is) in [
        ("claims_parameter_supported", true),
        ("request_parameter_supported", false),
        ("request_uri_parameter_supported", false),
    ] {
        assert_eq!(metadata[name], json!(is), "{name}");
    }
}

#[test]
fn the_published_keys_are_public_and_can_be_told_apart() {
    let set = Server::start().get("/jwks").expect(200).json();
    let keys = set["keys"].as_array().unwrap();
    let ids: BTreeSet<&str> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), keys.len());
    for key in keys {
        for secret in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(secret).is_none(), "{secret}");
        }
        assert!(key["kty"].is_string() && key["alg"].is_string() && key["use"] == "sig");
    }
}

#[test]
fn what_signing_out_needs_is_named() {
    let metadata = Server::start().get("/.well-known/openid-configuration").expect(200).json();
    assert_eq!(metadata["end_session_endpoint"], format!("{URL}/logout"));
    for name in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(metadata[name], true, "{name}");
    }
}
