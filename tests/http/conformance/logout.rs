//! The plans of RP-Initiated Logout and of Back-Channel Logout.

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::oauth::client::Client;
use serde_json::{Value, json};

use super::{Scene, confidential, long_state, request, scene};
use crate::logout::{endpoint, tell};
use crate::support::clients::Prover;
use crate::support::gitlab::encode;
use crate::support::person::in_session;
use crate::support::wire::form;
use crate::support::{Answer, URL};

const DONE: &str = "https://grafana.example.com/post_logout_redirect";

fn leaving() -> Client {
    Client { post_logout_redirect_uris: vec![DONE.to_owned()], ..confidential("grafana") }
}

/// Ada is signed in to Grafana, which has this ID token.
fn signed_in(client: Client) -> (Scene, String) {
    let scene = scene(vec![client]);
    let (tokens, _) = scene.complete(&request("grafana"), "query");
    (scene, tokens.member("id_token"))
}

fn leave(scene: &Scene, pairs: &[(&str, &str)]) -> Answer {
    scene.server.call("GET", &format!("/logout?{}", form(pairs))).header("cookie", &scene.session).send()
}

#[test]
pub fn signing_out_leads_back_with_the_state_as_it_came_and_leaves_nobody_signed_in() {
    let state = long_state();
    for (state, there) in [(Some(&state), format!("{DONE}?{}", form(&[("state", &state)]))), (None, DONE.to_owned())] {
        let (scene, hint) = signed_in(leaving());
        let mut pairs = vec![("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", DONE)];
        pairs.extend(state.map(|state| ("state", state.as_str())));
        let answer = leave(&scene, &pairs).expect(303);
        assert_eq!(answer.header("location"), Some(there.as_str()));
        scene.is_signed_out();
    }
}

#[test]
fn without_an_address_the_person_is_signed_out_and_told_so() {
    let (scene, hint) = signed_in(leaving());
    let answer = leave(&scene, &[("id_token_hint", &hint), ("state", "s")]).expect(200);
    assert!(answer.text().contains("You are signed out.") && answer.header("location").is_none());
    scene.is_signed_out();
}

#[test]
fn without_a_hint_the_person_is_asked_and_signed_out_when_they_say_so() {
    for pairs in [vec![], vec![("state", "s")]] {
        let (scene, _) = signed_in(leaving());
        let asked = leave(&scene, &pairs).expect(200);
        assert!(asked.text().contains("Sign out of Countersign?") && asked.header("location").is_none());
        assert!(scene.go(&request("grafana").with("prompt", "none"), "query").contains_key("code"));
        in_session(&scene.server, &scene.session, "/sign-out", &json!({})).expect(200);
        assert!(leave(&scene, &pairs).expect(200).text().contains("You are signed out."));
        scene.is_signed_out();
    }
}

#[test]
fn an_address_without_a_true_hint_and_a_false_address_lead_nowhere() {
    let (scene, hint) = signed_in(leaving());
    let parts: Vec<&str> = hint.split('.').collect();
    let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), parts[1]);
    let now = scene.server.now();
    let claims = json!({
        "iss": "grafana", "sub": "SubjectID", "aud": URL, "nonce": "flibble", "iat": now, "exp": now + 300,
    });
    let foreign = Prover::new().sign(&json!({ "alg": "ES256" }), &claims);
    let (bad, added) = ("https://grafana.example.com/bad_post_logout_redirect_uri", format!("{DONE}?foo=bar"));
    for (hint, there) in [
        (None, DONE),
        (Some(unsigned.as_str()), DONE),
        (Some(foreign.as_str()), DONE),
        (Some(hint.as_str()), bad),
        (Some(hint.as_str()), added.as_str()),
    ] {
        let mut pairs = vec![("post_logout_redirect_uri", there), ("state", "s")];
        pairs.extend(hint.map(|hint| ("id_token_hint", hint)));
        let answer = leave(&scene, &pairs);
        // Without a word of whose the address is, the person is asked whether to sign out, and is sent nowhere.
        let status = if hint.is_some() { 400 } else { 200 };
        assert_eq!((answer.status, answer.header("location")), (status, None), "{pairs:?}");
        assert!(answer.text().contains("<h1") && !answer.text().contains(there), "{pairs:?}");
        assert!(scene.go(&request("grafana").with("prompt", "none"), "query").contains_key("code"));
    }
}

#[test]
pub fn whoever_signs_out_at_a_clients_wish_is_signed_out_there_by_a_token_of_ours() {
    let (uri, heard) = endpoint(&["200 OK"]);
    let scene = scene(vec![Client { backchannel_logout_uri: Some(uri), ..leaving() }]);
    let (tokens, id) = scene.complete(&request("grafana"), "query");
    let hint = tokens.member("id_token");
    let pairs = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", DONE), ("state", "s")];
    let answer = leave(&scene, &pairs).expect(303);
    assert_eq!(answer.header("location"), Some(format!("{DONE}?state=s").as_str()));
    tell(&scene.server);
    let token = heard.recv().unwrap();
    let (keys, _) = KeySet::parse(&scene.server.get("/jwks").expect(200).body).unwrap();
    let verified = UnverifiedToken::parse(&token).unwrap().verify(&keys).unwrap();
    assert_eq!(verified.get().header["alg"], "RS256");
    let claims = Value::Object(verified.get().claims.clone());
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["iat"]),
        (&json!(URL), &json!("grafana"), &json!(scene.server.now()))
    );
    assert_eq!((&claims["sub"], &claims["sid"]), (&id["sub"], &id["sid"]));
    assert!(claims["sid"].is_string() && claims["jti"].is_string() && claims.get("nonce").is_none(), "{claims}");
    assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    scene.is_signed_out();
}
