//! The plans of Basic and of Form Post: `oidcc-basic-certification-test-plan` and its form-post twin.

use std::collections::BTreeSet;

use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::{Client, ClientAuth};
use countersign::domain::oauth::tokens::at_hash;
use serde_json::{Value, json};

use super::{MODES, Scene, confidential, long_state, pairs, request, scene, sent};
use crate::support::application::{REDIRECT, open, say};
use crate::support::clients::{SECRET, basic as by_basic, post, refresh, userinfo};
use crate::support::gitlab::{claims_of, encode};
use crate::support::{Answer, URL};

/// Claims that the suite expects in an ID token for `openid` alone; of any other it warns.
const EXPECTED: [&str; 14] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "nbf", "jti", "sid"];

fn alone() -> Scene {
    scene(vec![confidential("grafana")])
}

fn told(scene: &Scene, tokens: &Answer) -> Value {
    userinfo(&scene.server, &tokens.member("access_token")).expect(200).json()
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
pub fn the_whole_way_gives_tokens_that_hold() {
    let scene = alone();
    for mode in MODES {
        let members = scene.go(&request("grafana"), mode);
        assert_eq!(members["state"], "s-1");
        assert!(members["code"].len() * 8 >= 128);
        let (tokens, claims) = scene.completed("grafana", &members);
        assert_eq!(claims["nonce"], "n-1");
        assert_eq!((tokens.member("token_type"), &tokens.json()["expires_in"]), ("Bearer".to_owned(), &json!(600)));
        assert_eq!(claims["at_hash"], at_hash(&tokens.member("access_token")));
        assert!(claims.get("c_hash").is_none() && claims.get("name").is_none(), "{claims}");
        let beside: Vec<_> = names(&claims).into_iter().filter(|name| !EXPECTED.contains(name)).collect();
        assert_eq!(beside, ["amr_missing", "log"], "docs/conformance.md says of which claims the suite warns");
        assert_eq!(told(&scene, &tokens)["sub"], claims["sub"]);
    }
}

#[test]
fn a_client_that_proves_itself_in_the_body_goes_the_whole_way() {
    let by_post = Client { auth: ClientAuth::Post(vec![Digest::of(SECRET.as_bytes())]), ..confidential("argo") };
    let scene = scene(vec![by_post]);
    for mode in MODES {
        let members = scene.go(&request("argo"), mode);
        let own = [("client_id", "argo"), ("client_secret", SECRET)];
        let tokens = post(&scene.server, "/token", &[pairs(&members["code"]).as_slice(), &own].concat()).send();
        let tokens = tokens.expect(200);
        assert_eq!(scene.holds("argo", &tokens.member("id_token"))["nonce"], "n-1");
        assert_eq!(told(&scene, &tokens)["sub"], scene.ada.id);
    }
}

#[test]
fn a_request_without_a_response_type_is_told_so_by_the_way_that_it_names() {
    let scene = alone();
    for mode in MODES {
        let members = scene.go(&request("grafana").without("response_type"), mode);
        assert_eq!((members["error"].as_str(), members["state"].as_str()), ("invalid_request", "s-1"));
        assert!(!members.contains_key("code"));
    }
}

#[test]
fn an_access_token_is_not_taken_from_a_body() {
    let scene = alone();
    let (tokens, _) = scene.complete(&request("grafana"), "query");
    let answer = post(&scene.server, "/userinfo", &[("access_token", &tokens.member("access_token"))]).send();
    assert!(answer.expect(401).body.is_empty());
    assert_eq!(told(&scene, &tokens)["sub"], scene.ada.id);
}

#[test]
fn without_a_nonce_there_is_a_code_and_an_id_token_without_one() {
    let scene = alone();
    for mode in MODES {
        let (_, claims) = scene.complete(&request("grafana").without("nonce"), mode);
        assert!(claims.get("nonce").is_none(), "{claims}");
    }
}

#[test]
fn what_a_scope_gives_stands_at_userinfo_and_what_nobody_has_is_left_out() {
    let scene = alone();
    let profile = ["name", "preferred_username", "sub"];
    for mode in MODES {
        for (scope, granted, given) in [
            ("openid profile", "openid profile", profile.as_slice()),
            ("openid email", "email openid", &["email", "sub"]),
            ("openid address", "openid", &["sub"]),
            ("openid phone", "openid", &["sub"]),
            (
                "openid email phone address profile",
                "email openid profile",
                &["email", "name", "preferred_username", "sub"],
            ),
        ] {
            let (tokens, claims) = scene.complete(&request("grafana").with("scope", scope), mode);
            assert_eq!(tokens.member("scope"), granted, "{scope}");
            let told = told(&scene, &tokens);
            assert_eq!(names(&told), given.iter().copied().collect(), "{scope}");
            assert_eq!(told["sub"], claims["sub"]);
            // The suite warns of this: the ID token has what the scopes give, too.
            assert!(given.iter().all(|name| claims[*name] == told[*name]), "{scope}: {claims}");
            assert_eq!(claims.get("name").is_some(), scope.contains("profile"));
        }
    }
}

#[test]
fn the_order_of_parameters_and_of_scopes_means_nothing() {
    let scene = alone();
    for mode in MODES {
        let forward = request("grafana").with("scope", "openid email").with("response_mode", mode);
        let reversed = forward.clone().with("scope", "email openid").reversed();
        for request in [forward, reversed] {
            let members = sent(&request.go(&scene.server, Some(&scene.session)), mode);
            let (tokens, _) = scene.completed("grafana", &members);
            assert_eq!(told(&scene, &tokens)["email"], "ada@shop.example");
        }
    }
}

#[test]
fn what_the_server_does_not_act_on_breaks_nothing() {
    let scene = alone();
    for mode in MODES {
        for (name, value) in [
            ("display", "page"),
            ("display", "popup"),
            ("ui_locales", "se"),
            ("claims_locales", "se"),
            ("extra", "foobar"),
            ("login_hint", "buffy@sign.shop.example"),
        ] {
            let waiting = request("grafana").with(name, value).with("response_mode", mode).waits(&scene.server);
            let page = open(&scene.server, None, &waiting).expect(200).text();
            assert!(page.contains("Sign in to <bdi>Grafana"), "{name}: {page}");
            let members = sent(&open(&scene.server, Some(&scene.session), &waiting), mode);
            scene.completed("grafana", &members);
        }
    }
}

#[test]
fn a_request_by_post_goes_the_whole_way() {
    let scene = alone();
    for mode in MODES {
        let form = request("grafana").with("response_mode", mode).form();
        let call = scene.server.call("POST", "/authorize").body("application/x-www-form-urlencoded", form);
        let waiting = call.header("origin", "https://suite.example").send().expect(303);
        let waiting = waiting.header("location").unwrap();
        let members = sent(&open(&scene.server, Some(&scene.session), waiting), mode);
        scene.completed("grafana", &members);
    }
}

#[test]
fn a_new_sign_in_that_is_asked_for_is_one() {
    let mut scene = alone();
    for mode in MODES {
        for (name, value, wait) in [("prompt", "login", 1), ("max_age", "1", 2)] {
            let (_, first) = scene.complete(&request("grafana"), mode);
            scene.server.pass(wait);
            let again = request("grafana").with(name, value).with("response_mode", mode).waits(&scene.server);
            let page = open(&scene.server, Some(&scene.session), &again).expect(200).text();
            assert!(page.contains("Sign in to <bdi>Grafana"), "{name}: {page}");
            scene.sign_in_again(&again);
            let members = sent(&open(&scene.server, Some(&scene.session), &again), mode);
            let (_, second) = scene.completed("grafana", &members);
            assert!(second["auth_time"].as_i64() > first["auth_time"].as_i64(), "{name}");
            assert_eq!(second["auth_time"], scene.server.now());
            assert_eq!(second["sub"], first["sub"]);
        }
    }
}

#[test]
fn who_may_not_ask_is_told_that_a_page_is_needed() {
    let scene = alone();
    let state = long_state();
    for mode in MODES {
        let request = request("grafana").with("prompt", "none").with("state", &state).with("response_mode", mode);
        let members = sent(&request.go(&scene.server, None), mode);
        let known: Vec<_> = members.keys().map(String::as_str).collect();
        assert_eq!(known, ["error", "error_description", "iss", "state"]);
        assert_eq!((members["error"].as_str(), &members["state"]), ("login_required", &state));
        assert!(members["error_description"].bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"'));
    }
}

#[test]
fn a_sign_in_that_is_young_enough_is_taken_as_it_is() {
    let scene = alone();
    for mode in MODES {
        let (tokens, first) = scene.complete(&request("grafana").with("max_age", "15000"), mode);
        let silent = request("grafana").with("prompt", "none");
        for again in [
            silent.clone(),
            request("grafana").with("max_age", "10000"),
            silent.with("id_token_hint", &tokens.member("id_token")),
        ] {
            scene.server.pass(60);
            let (_, second) = scene.complete(&again, mode);
            assert_eq!((&second["sub"], &second["auth_time"]), (&first["sub"], &first["auth_time"]));
            assert_ne!(second["iat"], first["iat"]);
        }
    }
}

#[test]
fn one_of_the_levels_that_were_asked_for_is_told() {
    let scene = alone();
    let metadata = scene.server.get("/.well-known/openid-configuration").expect(200).json();
    let levels: Vec<&str> =
        metadata["acr_values_supported"].as_array().unwrap().iter().map(|level| level.as_str().unwrap()).collect();
    for mode in MODES {
        let (_, claims) = scene.complete(&request("grafana").with("acr_values", &levels.join(" ")), mode);
        assert!(levels.contains(&claims["acr"].as_str().unwrap()), "{claims}");
    }
}

#[test]
fn a_code_that_comes_again_at_once_or_after_half_a_minute_ends_what_it_gave() {
    let scene = alone();
    for mode in MODES {
        for wait in [0, 30] {
            let members = scene.go(&request("grafana"), mode);
            let (tokens, _) = scene.completed("grafana", &members);
            told(&scene, &tokens);
            scene.server.pass(wait);
            let answer = scene.redeem("grafana", &members).expect_error(400, "invalid_grant", "code_used");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let description = answer.member("error_description");
            assert!(description.bytes().all(|byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')));
            assert!(answer.member("error_uri").starts_with(&format!("{URL}/docs/errors#")));
            userinfo(&scene.server, &tokens.member("access_token")).expect(401);
        }
    }
}

#[test]
pub fn a_request_object_is_refused_and_leads_nowhere_of_its_own() {
    let scene = alone();
    let object = json!({
        "client_id": "grafana", "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid", "state": "inside",
        "nonce": "inside", "response_mode": "form_post",
    });
    let object = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&object));
    // State, nonce and mode stand inside alone, where nobody reads them.
    let outside = request("grafana").without("state").without("nonce");
    for (name, value, wire) in [
        ("request", object.as_str(), "request_not_supported"),
        ("request_uri", "https://suite.example/request.jwt", "request_uri_not_supported"),
    ] {
        let members = sent(&outside.clone().with(name, value).go(&scene.server, Some(&scene.session)), "query");
        assert_eq!(members["error"], wire);
        assert!(!members.contains_key("state") && !members.contains_key("code"));
        // The address outside is the only one that counts, and it must be the client's.
        let elsewhere = outside.clone().with(name, value).with("redirect_uri", &format!("{REDIRECT}_invalid"));
        let answer = elsewhere.go(&scene.server, Some(&scene.session)).expect(400);
        assert!(answer.header("location").is_none() && answer.text().contains("<code>redirect_uri</code>"));
    }
}

#[test]
pub fn a_claim_that_is_asked_for_at_userinfo_is_told_there_alone() {
    let scene = alone();
    let wish = json!({ "userinfo": { "name": { "essential": true } } }).to_string();
    for mode in MODES {
        let (tokens, claims) = scene.complete(&request("grafana").with("claims", &wish), mode);
        assert_eq!(told(&scene, &tokens), json!({ "sub": scene.ada.id, "name": "Ada" }));
        assert!(claims.get("name").is_none(), "{claims}");
    }
}

#[test]
fn a_refresh_token_works_for_its_client_alone() {
    let scene = scene(vec![confidential("grafana"), confidential("wiki")]);
    for mode in MODES {
        let tokens_of = |client: &str, nonce: &str| {
            let request = request(client).with("scope", "openid offline_access").with("prompt", "consent");
            let waiting = request.with("nonce", nonce).with("response_mode", mode).waits(&scene.server);
            say(&scene.server, Some(&scene.session), &waiting, "consent").expect(200);
            let members = sent(&open(&scene.server, Some(&scene.session), &waiting), mode);
            scene.completed(client, &members)
        };
        let (first, before) = tokens_of("grafana", "n-1");
        let (other, of_other) = tokens_of("wiki", &format!("{}-._~", "aB3".repeat(13)));
        scene.server.pass(1);
        let token = first.member("refresh_token");
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", &*token), ("scope", "openid offline_access")];
        let own = post(&scene.server, "/token", &pairs).header("authorization", &by_basic("grafana", SECRET)).send();
        let others = refresh(&scene.server, "wiki", &other.member("refresh_token"));
        for (client, answer, before) in [("grafana", own, before), ("wiki", others.clone(), of_other)] {
            let answer = answer.expect(200);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.member("token_type"), "Bearer");
            assert!(answer.member("refresh_token").bytes().all(|byte| byte.is_ascii_graphic()));
            let after = scene.holds(client, &answer.member("id_token"));
            for name in ["iss", "sub", "aud", "auth_time"] {
                assert_eq!(after[name], before[name], "{name}");
            }
            assert!(after["iat"] != before["iat"] && after.get("nonce").is_none() && after.get("azp").is_none());
            userinfo(&scene.server, &answer.member("access_token")).expect(200);
        }
        // Whoever brings another client's has what they should not: it ends, too.
        let answer = refresh(&scene.server, "grafana", &others.member("refresh_token"));
        answer.expect_error(400, "invalid_grant", "refresh_token_used");
        refresh(&scene.server, "wiki", &others.member("refresh_token")).expect_error(
            400,
            "invalid_grant",
            "grant_over",
        );
    }
}

/// The suite's own requests have no `code_challenge`: `docs/conformance.md` says so.
#[test]
fn as_the_suite_sends_it_without_pkce_nothing_begins() {
    let scene = alone();
    for mode in MODES {
        let bare = request("grafana").without("code_challenge").without("code_challenge_method");
        let members = scene.go(&bare, mode);
        assert_eq!((members["error"].as_str(), members["state"].as_str()), ("invalid_request", "s-1"));
        assert!(members["error_description"].contains("code_challenge"), "{members:?}");
    }
}

#[test]
pub fn everybody_who_asks_is_told_the_same_subject() {
    let scene = scene(vec![confidential("grafana"), confidential("wiki")]);
    let metadata = scene.server.get("/.well-known/openid-configuration").expect(200).json();
    assert_eq!(metadata["subject_types_supported"], json!(["public"]));
    let subjects: Vec<Value> = ["grafana", "wiki"]
        .map(|client| {
            let tokens = scene.redeem(client, &scene.go(&request(client), "query")).expect(200);
            claims_of(&tokens.member("id_token"))["sub"].clone()
        })
        .into();
    assert_eq!(subjects[0], subjects[1]);
}
