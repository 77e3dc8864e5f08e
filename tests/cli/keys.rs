//! `keys list` and `keys rotate`, beside the running server and without one.

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use serde_json::Value;

use crate::log::{exchange, job_token_of, with_gitlab};
use crate::support::{Place, Server};

fn jwks(server: &Server) -> Value {
    serde_json::from_str(server.get("/jwks").split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn kids(set: &Value) -> Vec<String> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn verifies(token: &str, set: &Value) -> bool {
    let (keys, _) = KeySet::parse(set.to_string().as_bytes()).unwrap();
    UnverifiedToken::parse(token).unwrap().verify(&keys).is_ok()
}

/// What `keys list` says each key is.
fn states(place: &Place) -> Vec<String> {
    let told = place.run(&["--json", "keys", "list"]).expect(0, "").out;
    let told: Value = serde_json::from_str(&told).unwrap();
    let signing = told["keys"]["signing"].as_array().unwrap();
    let mut states: Vec<_> = signing.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect();
    states.sort();
    states
}

#[test]
fn a_key_is_rotated_beside_the_running_server_and_replaced_in_an_emergency() {
    let (place, gitlab) = with_gitlab();
    let server = place.serve();
    let before = jwks(&server);
    let token = exchange(&server, &job_token_of(&gitlab, "reports", 1));
    let token = token["access_token"].as_str().unwrap().to_owned();
    assert!(verifies(&token, &before));
    let rotated = place.run(&["keys", "rotate", "--alg", "RS256"]).expect(0, "RS256  signs from");
    assert_eq!(rotated.err, "");
    let published = jwks(&server);
    assert_eq!(published["keys"].as_array().unwrap().len(), 3);
    assert_eq!(kids(&published)[0], kids(&before)[0], "who signs stands first");
    assert!(rotated.out.contains(&kids(&published)[1]), "{}", rotated.out);
    place.run(&["keys", "rotate"]).expect(1, "countersign keys rotate --emergency");
    assert_eq!(kids(&jwks(&server)), kids(&published));
    place.run(&["keys", "list"]).expect(0, "published, signs later");
    place.run(&["keys", "list"]).expect(0, &format!("{} begins to sign", kids(&published)[1]));
    let doctor = || place.run(&["doctor"]).out;
    assert!(doctor().contains("ok    keys") && doctor().contains("the RS256 key signs for"), "{}", doctor());
    assert_eq!(states(&place), ["published", "signing", "signing"]);
    let next = exchange(&server, &job_token_of(&gitlab, "reports", 2));
    let next = next["access_token"].as_str().unwrap();
    assert_eq!(UnverifiedToken::parse(next).unwrap().unverified_kid(), Some(kids(&before)[0].as_str()));

    let replaced = place.run(&["keys", "rotate", "--emergency"]).expect(0, "signs now");
    assert_eq!(replaced.out.matches("revoked").count(), 3, "{}", replaced.out);
    assert!(replaced.err.contains("let every verifier fetch http://localhost:18080/jwks again"), "{}", replaced.err);
    let after = jwks(&server);
    assert_eq!(after["keys"].as_array().unwrap().len(), 2);
    assert!(kids(&after).iter().all(|kid| !kids(&published).contains(kid)));
    assert!(!verifies(&token, &after));
    let token = exchange(&server, &job_token_of(&gitlab, "reports", 3));
    assert!(verifies(token["access_token"].as_str().unwrap(), &after));
    assert!(doctor().contains("warn  keys") && doctor().contains("in an emergency"), "{}", doctor());
    assert_eq!(server.stop(), 0);
    let server = place.serve();
    assert_eq!(kids(&jwks(&server)), kids(&after));
    assert_eq!(states(&place), ["revoked", "revoked", "revoked", "signing", "signing"]);
    assert_eq!(server.stop(), 0);
    place.run(&["log", "check"]).expect(0, "entries");
}

#[test]
fn where_no_server_runs_the_same_is_done_on_the_store() {
    let place = Place::initialised();
    let rotated = place.run(&["--json", "keys", "rotate", "--alg", "ES256"]).expect(0, "\"answer\":\"rotated\"");
    let rotated: Value = serde_json::from_str(&rotated.out).unwrap();
    assert_eq!(rotated["keys"][0]["alg"], "ES256");
    assert_eq!(states(&place), ["published", "signing", "signing"]);
    place.run(&["keys", "rotate", "--alg", "RS256"]).expect(0, "begins when it does");
    place.run(&["keys", "rotate", "--emergency", "--alg", "ES256"]).expect(0, "so no webhook was told");
    assert_eq!(states(&place), ["published", "revoked", "revoked", "signing", "signing"]);
    place.run(&["keys", "rotate", "--alg", "HS256"]).expect(2, "RS256 or ES256");
    place.run(&["log", "show", "--last", "1"]).expect(0, "\"kind\":\"signing-key\"");
    place.change("countersign.toml", "[keys]\n", "[keys]\nrotate_every = \"91d\"\n");
    place.run(&["keys", "rotate"]).expect(2, "`keys.rotate_every` is `91d`; 2 days to 90 days are possible");
}

#[test]
fn a_key_of_another_size_is_replaced_by_one_of_that_size() {
    let place = Place::empty();
    let init = ["init", "--url", crate::support::URL, "--gitlab", "https://gitlab.invalid", "--rsa-bits", "3072"];
    place.run(&init).expect(0, "");
    place.change("countersign.toml", "127.0.0.1:18080", "127.0.0.1:0");
    place.run(&["keys", "rotate", "--alg", "RS256"]).expect(0, "RS256");
    let server = place.serve();
    for key in &jwks(&server)["keys"].as_array().unwrap()[..2] {
        assert_eq!(key["n"].as_str().unwrap().len(), 512, "384 bytes in base64url");
    }
    assert_eq!(server.stop(), 0);
}
