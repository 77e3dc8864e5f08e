//! What clients get at `/token`, `/userinfo`, `/introspect` and `/revoke`.

use std::collections::BTreeSet;

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::ids::{Audience, Digest, GroupName};
use countersign::domain::oauth::client::{Client, GrantType};
use countersign::domain::oauth::scope::Scopes;
use countersign::domain::rules::TokenAlg;
use countersign::store::grants::MAX_GRANTS_OF_PERSON;
use serde_json::{Value, json};

use crate::support::application::CHALLENGE;
use crate::support::clients::{
    Prover, SECRET, authorize, basic, client, code, code_pairs, code_with, introspect, post, public, redeem, refresh,
    server_with, userinfo,
};
use crate::support::gitlab::claims_of;
use crate::support::server::ORIGIN;
use crate::support::{Answer, Logged, Person, Server, Snapshot, URL, refused};

const API: &str = "https://api.example";

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn robot() -> Client {
    Client {
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        redirect_uris: Vec::new(),
        scopes: Scopes::parse("openid groups api:read api:write").unwrap(),
        resources: vec![Audience::parse(API).unwrap()],
        ..client("robot")
    }
}

fn api() -> Client {
    Client { serves: vec![Audience::parse(API).unwrap()], ..client("api") }
}

struct Scene {
    server: Server,
    mara: Person,
    session: String,
}

fn scene(clients: Vec<Client>) -> Scene {
    let server = server_with(clients);
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    Scene { server, mara, session }
}

impl Scene {
    fn tokens(&self, client: &str, scopes: &str) -> Answer {
        redeem(&self.server, client, &code(&self.server, &self.session, client, scopes)).expect(200)
    }
}

/// Verified by the published keys: header and claims.
fn verified(server: &Server, token: &str) -> (Value, Value) {
    let (keys, _) = KeySet::parse(&server.get("/jwks").body).unwrap();
    let verified = UnverifiedToken::parse(token).unwrap().verify(&keys).unwrap();
    (Value::Object(verified.get().header.clone()), Value::Object(verified.get().claims.clone()))
}

#[test]
fn a_code_gives_an_id_token_an_access_token_and_a_refresh_token() {
    let scene = scene(vec![client("grafana")]);
    let answer = scene.tokens("grafana", "openid profile groups");
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
    let body = answer.json();
    let members = ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"];
    assert_eq!(names(&body), members);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(body["scope"], "groups openid profile");

    let (header, id) = verified(&scene.server, body["id_token"].as_str().unwrap());
    assert_eq!((&header["typ"], &header["alg"]), (&json!("JWT"), &json!("RS256")));
    let access_token = body["access_token"].as_str().unwrap();
    let half = Digest::of(access_token.as_bytes()).as_bytes()[..16].to_vec();
    let now = scene.server.now();
    let snapshot = Snapshot::of(&scene.server);
    let entry = snapshot.of_kind("grant").last().unwrap();
    let expected = json!({
        "iss": URL, "sub": scene.mara.id, "aud": "grafana", "iat": now, "exp": now + 600, "auth_time": now,
        "nonce": "n-0S6_WzA2Mj", "acr": "phr", "amr": ["pop", "user"], "amr_missing": id["amr_missing"],
        "sid": id["sid"], "jti": id["jti"], "name": "Mara", "preferred_username": "Mara",
        "groups": ["release-managers"], "at_hash": data_encoding::BASE64URL_NOPAD.encode(&half),
        "log": { "origin": ORIGIN, "index": entry["seq"] },
    });
    assert_eq!(id, expected);
    assert_eq!(id["amr_missing"]["hwk"], "no_attestation");

    let (header, access) = verified(&scene.server, access_token);
    assert_eq!(header["typ"], "at+jwt");
    let expected = json!({
        "iss": URL, "sub": scene.mara.id, "aud": URL, "client_id": "grafana", "scope": "groups openid profile",
        "iat": now, "exp": now + 600, "jti": access["jti"], "auth_time": now, "acr": "phr", "amr": ["pop", "user"],
        "sid": id["sid"], "groups": ["release-managers"],
    });
    assert_eq!(access, expected);

    // The log knows each, by what identifies it, and names nobody.
    let tokens = entry["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    assert_eq!((&tokens[0]["typ"], &tokens[0]["jti"]), (&json!("access"), &access["jti"]));
    assert_eq!((&tokens[1]["typ"], &tokens[1]["jti"]), (&json!("id"), &id["jti"]));
    let refresh_token = body["refresh_token"].as_str().unwrap();
    assert_eq!(tokens[2]["sha256"], Digest::of(refresh_token.as_bytes()).to_string());
    let mut without = id.clone();
    for name in ["log", "at_hash"] {
        without.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(tokens[1]["sha256"], countersign::domain::canonical::digest(&without).unwrap().to_string());
    assert!(!entry.to_string().contains("Mara") && !entry.to_string().contains(refresh_token));
}

#[test]
fn a_refresh_gives_the_same_sign_in_and_no_nonce() {
    let scene = scene(vec![client("grafana")]);
    let first = scene.tokens("grafana", "openid profile");
    let before = claims_of(&first.member("id_token"));
    scene.server.pass(300);
    let second = refresh(&scene.server, "grafana", &first.member("refresh_token")).expect(200);
    let after = claims_of(&second.member("id_token"));
    for name in ["sub", "aud", "auth_time", "sid", "acr"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(after.get("nonce").is_none() && after["iat"] != before["iat"]);
    // Fewer scopes may be asked for, and not more.
    let pairs = |token: &str, scope: &str| {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        post(&scene.server, "/token", &pairs).header("authorization", &basic("grafana", SECRET)).send()
    };
    let token = second.member("refresh_token");
    pairs(&token, "openid groups").expect_error(400, "invalid_scope", "scope_not_granted");
    let third = pairs(&token, "openid").expect(200);
    assert_eq!(third.member("scope"), "openid");
    assert!(claims_of(&third.member("id_token")).get("name").is_none());
    // What was left out this time is not lost.
    let token = third.member("refresh_token");
    assert_eq!(refresh(&scene.server, "grafana", &token).expect(200).member("scope"), "openid profile");
}

#[test]
fn userinfo_answers_what_the_scopes_give_by_get_and_post_and_for_every_page() {
    let scene = scene(vec![client("grafana")]);
    let token = scene.tokens("grafana", "openid profile groups").member("access_token");
    for method in ["GET", "POST"] {
        let call = scene.server.call(method, "/userinfo").header("authorization", &format!("Bearer {token}"));
        let answer = call.header("origin", "https://spa.example").send().expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert!(answer.header("access-control-allow-credentials").is_none());
        let expected = json!({
            "sub": scene.mara.id, "name": "Mara", "preferred_username": "Mara", "groups": ["release-managers"],
        });
        assert_eq!(answer.json(), expected);
    }
    let bare = scene.tokens("grafana", "openid").member("access_token");
    assert_eq!(userinfo(&scene.server, &bare).expect(200).json(), json!({ "sub": scene.mara.id }));
    let preflight = scene.server.call("OPTIONS", "/userinfo").header("origin", "https://spa.example");
    let preflight = preflight.header("access-control-request-headers", "authorization").send().expect(204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization, content-type, dpop"));
}

#[test]
fn userinfo_takes_access_tokens_of_people_for_us_and_nothing_else() {
    let grafana = Client { resources: vec![Audience::parse(API).unwrap()], ..client("grafana") };
    let scene = scene(vec![grafana, robot()]);
    let none = scene.server.get("/userinfo").expect(401);
    let challenges: Vec<_> = none.headers.iter().filter(|(name, _)| name == "www-authenticate").collect();
    assert_eq!(challenges.len(), 2);
    assert!(none.body.is_empty() && challenges.iter().all(|(_, value)| !value.contains("error")));
    let tokens = scene.tokens("grafana", "openid");
    let job = scene.server.exchange(&scene.server.job().environment("staging").sign(), &["sts.amazonaws.com"]).send();
    let job = job.expect(200).member("access_token");
    let for_api = code_with(&scene.server, &scene.session, "grafana", "openid", &[("resource", API)]);
    let for_api = redeem(&scene.server, "grafana", &for_api).expect(200).member("access_token");
    assert_eq!(claims_of(&for_api)["aud"], API);
    let own = [("grant_type", "client_credentials")];
    let own = post(&scene.server, "/token", &own).header("authorization", &basic("robot", SECRET)).send().expect(200);
    let access = tokens.member("access_token");
    let mut broken = access.clone();
    broken.pop();
    for token in [
        tokens.member("id_token"),
        tokens.member("refresh_token"),
        job,
        for_api,
        own.member("access_token"),
        broken,
        "x".to_owned(),
    ] {
        let before = Snapshot::of(&scene.server);
        let answer = userinfo(&scene.server, &token).expect_error(401, "invalid_token", "access_token_invalid");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        refused(&scene.server, &before, &answer, Logged::No);
    }
    let in_the_url = scene.server.get(&format!("/userinfo?access_token={access}"));
    assert_eq!(in_the_url.status, 401);
    let without = scene.tokens("grafana", "profile").member("access_token");
    userinfo(&scene.server, &without).expect_error(403, "insufficient_scope", "scope_insufficient");
    userinfo(&scene.server, &access).expect(200);
    scene.server.pass(600);
    userinfo(&scene.server, &access).expect_error(401, "invalid_token", "access_token_invalid");
}

#[test]
fn a_client_has_tokens_of_its_own_about_nobody() {
    let scene = scene(vec![robot(), client("grafana")]);
    let call = |client: &str, more: &[(&'static str, &'static str)]| {
        let pairs = [[("grant_type", "client_credentials")].as_slice(), more].concat();
        post(&scene.server, "/token", &pairs).header("authorization", &basic(client, SECRET)).send()
    };
    let answer = call("robot", &[]).expect(200);
    assert_eq!(names(&answer.json()), ["access_token", "expires_in", "scope", "token_type"]);
    let (header, claims) = verified(&scene.server, &answer.member("access_token"));
    assert_eq!(header["typ"], "at+jwt");
    let now = scene.server.now();
    let expected = json!({
        "iss": URL, "sub": "client:robot", "aud": API, "client_id": "robot", "scope": "api:read api:write", "iat": now,
        "exp": now + 600, "jti": claims["jti"],
    });
    assert_eq!(claims, expected, "nobody signed in, so no scope about people is in it");
    let narrow = call("robot", &[("scope", "api:read")]).expect(200);
    assert_eq!(narrow.member("scope"), "api:read");
    let before = Snapshot::of(&scene.server);
    for (client, more, error, code) in [
        ("robot", [("scope", "openid")].as_slice(), "invalid_scope", "scope_not_granted"),
        ("robot", &[("scope", "admin")], "invalid_scope", "scope_not_granted"),
        ("robot", &[("resource", "https://other.example")], "invalid_target", "resource_not_allowed"),
        ("grafana", &[], "unauthorized_client", "grant_not_allowed"),
    ] {
        let answer = call(client, more).expect_error(400, error, code);
        refused(&scene.server, &before, &answer, Logged::No);
    }
    for grant in ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", ""] {
        let answer = post(&scene.server, "/token", &[("grant_type", grant)]).send();
        assert!(matches!(answer.code().as_str(), "grant_unsupported" | "parameter_missing"), "{}", answer.text());
    }
}

#[test]
fn a_token_is_explained_to_whom_it_belongs_or_is_meant_for() {
    let grafana = Client { resources: vec![Audience::parse(API).unwrap()], ..client("grafana") };
    let scene = scene(vec![grafana, client("argo"), api(), public("spa")]);
    let code = code_with(&scene.server, &scene.session, "grafana", "openid", &[("resource", API)]);
    let tokens = redeem(&scene.server, "grafana", &code).expect(200);
    let (access, refresh_token) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let claims = claims_of(&access);
    for asking in ["grafana", "api"] {
        let told = introspect(&scene.server, asking, &access);
        assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("Bearer")));
        for name in ["iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "acr", "amr"] {
            assert_eq!(told[name], claims[name], "{name}");
        }
        assert!(told.get("sid").is_none());
    }
    let told = introspect(&scene.server, "grafana", &refresh_token);
    assert_eq!(
        (&told["active"], &told["sub"], &told["client_id"]),
        (&json!(true), &json!(scene.mara.id), &json!("grafana"))
    );
    let nothing = json!({ "active": false });
    assert_eq!(introspect(&scene.server, "argo", &access), nothing);
    assert_eq!(introspect(&scene.server, "argo", &refresh_token), nothing);
    assert_eq!(introspect(&scene.server, "api", &refresh_token), nothing);
    for junk in ["x", "rt_AAAA", &tokens.member("id_token")] {
        assert_eq!(introspect(&scene.server, "grafana", junk), nothing, "{junk}");
    }
    let answer = post(&scene.server, "/introspect", &[("token", &access), ("client_id", "spa")]).send();
    answer.expect_error(401, "invalid_client", "client_unknown");
    let none = post(&scene.server, "/introspect", &[]).header("authorization", &basic("grafana", SECRET)).send();
    none.invalid("parameter_missing");
    scene.server.pass(600);
    assert_eq!(introspect(&scene.server, "grafana", &access), nothing);
}

#[test]
fn a_client_gives_back_its_own_tokens_and_nobody_elses() {
    let scene = scene(vec![client("grafana"), client("argo"), public("spa")]);
    let back = |client: &str, token: &str| {
        let answer =
            post(&scene.server, "/revoke", &[("token", token)]).header("authorization", &basic(client, SECRET));
        answer.send().expect(200)
    };
    let tokens = scene.tokens("grafana", "openid");
    let (access, refresh_token) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let before = Snapshot::of(&scene.server);
    for token in [&access, &refresh_token, "x", "rt_AAAA"] {
        assert!(back("argo", token).body.is_empty());
    }
    Snapshot::of(&scene.server).assert_identical(&before);
    // One access token alone; the refresh token goes on.
    back("grafana", &access);
    userinfo(&scene.server, &access).expect_error(401, "invalid_token", "access_token_invalid");
    let snapshot = Snapshot::of(&scene.server);
    let entry = snapshot.of_kind("grant").last().unwrap();
    assert_eq!((&entry["outcome"], &entry["tokens"][0]["jti"]), (&json!("revoked"), &claims_of(&access)["jti"]));
    back("grafana", &access);
    Snapshot::of(&scene.server).assert_identical(&snapshot);
    let next = refresh(&scene.server, "grafana", &refresh_token).expect(200);
    // The refresh token, and everything with it.
    back("grafana", &next.member("refresh_token"));
    let snapshot = Snapshot::of(&scene.server);
    let entry = snapshot.of_kind("grant").last().unwrap();
    assert_eq!((&entry["outcome"], &entry["why"]), (&json!("ended"), &json!("revoked")));
    userinfo(&scene.server, &next.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
    let answer = refresh(&scene.server, "grafana", &next.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "grant_over");
    // A public client names itself.
    let code = code(&scene.server, &scene.session, "spa", "openid");
    let pairs = [code_pairs(&code), vec![("client_id", "spa")]].concat();
    let tokens = post(&scene.server, "/token", &pairs).send().expect(200);
    let pairs = [("token", &*tokens.member("refresh_token")), ("client_id", "spa")];
    post(&scene.server, "/revoke", &pairs).send().expect(200);
    userinfo(&scene.server, &tokens.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
}

#[test]
fn a_grant_is_judged_by_what_holds_now() {
    let sre = BTreeSet::from([GroupName::parse("release-managers").unwrap()]);
    let scene = scene(vec![Client { groups: Some(sre), ..client("grafana") }]);
    let tokens = scene.tokens("grafana", "openid offline_access");
    let group = GroupName::parse("release-managers").unwrap();
    let wish = countersign::app::propose_change::Wish::Leave { person: scene.mara.id.clone(), group };
    scene.server.console(countersign::app::console::ConsoleCommand::Change { wish, propose: false });
    userinfo(&scene.server, &tokens.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
    let before = Snapshot::of(&scene.server);
    let answer = refresh(&scene.server, "grafana", &tokens.member("refresh_token"));
    let answer = answer.expect_error(400, "invalid_grant", "grant_over");
    assert!(answer.member("error_description").contains("in no group"), "{}", answer.text());
    refused(&scene.server, &before, &answer, Logged::No);
}

#[test]
fn a_stronger_sign_in_in_the_same_browser_is_the_same_session() {
    let mut scene = scene(vec![client("grafana")]);
    let first = scene.tokens("grafana", "openid");
    let signed = scene.mara.sign_in_answer(&scene.server);
    let call = scene.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
    let answer = call.header("cookie", &scene.session).send().expect(200);
    scene.session = crate::support::person::session_of(&answer);
    let second = scene.tokens("grafana", "openid");
    let sid = |answer: &Answer| claims_of(&answer.member("id_token"))["sid"].clone();
    assert_eq!(sid(&first), sid(&second));
    refresh(&scene.server, "grafana", &first.member("refresh_token")).expect(200);
    // Somebody else in the same browser is another session, and ends what was given in this one.
    let mut ben = Person::manager(&scene.server, "Ben");
    let signed = ben.sign_in_answer(&scene.server);
    let call = scene.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
    let answer = call.header("cookie", &scene.session).send().expect(200);
    scene.session = crate::support::person::session_of(&answer);
    assert_ne!(sid(&second), sid(&scene.tokens("grafana", "openid")));
    let answer = refresh(&scene.server, "grafana", &second.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "grant_over");
}

#[test]
fn a_clients_algorithm_signs_its_tokens() {
    let scene = scene(vec![Client { alg: TokenAlg::Es256, ..client("grafana") }]);
    let tokens = scene.tokens("grafana", "openid");
    for name in ["id_token", "access_token"] {
        assert_eq!(verified(&scene.server, &tokens.member(name)).0["alg"], "ES256", "{name}");
    }
    userinfo(&scene.server, &tokens.member("access_token")).expect(200);
}

#[test]
fn attack_078_pages_of_public_clients_read_their_tokens_and_no_others_do() {
    let scene = scene(vec![client("confidential"), public("spa")]);
    let own = "https://grafana.example";
    let preflight = |origin: &str| {
        let call = scene.server.call("OPTIONS", "/token").header("origin", origin);
        call.header("access-control-request-method", "POST").send()
    };
    let answer = preflight(own).expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(own));
    assert!(answer.header("access-control-allow-credentials").is_none());
    for origin in ["null", "https://evil.example", "http://grafana.example", "https://grafana.example.evil.example"] {
        let answer = preflight(origin).expect(405);
        assert!(answer.header("access-control-allow-origin").is_none(), "{origin}");
    }
    let ask = |client: &str, origin: &str| {
        let code = code(&scene.server, &scene.session, client, "openid");
        let mut pairs = code_pairs(&code);
        let public = client == "spa";
        if public {
            pairs.push(("client_id", "spa"));
        }
        let call = post(&scene.server, "/token", &pairs).header("origin", origin);
        let call = if public { call } else { call.header("authorization", &basic(client, SECRET)) };
        call.send().expect(200).header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(ask("spa", own).as_deref(), Some(own));
    assert_eq!(ask("spa", "https://evil.example"), None);
    assert_eq!(ask("confidential", own), None);
    let job = scene.server.exchange("a.b.c", &["x"]).header("origin", own).send();
    assert!(job.header("access-control-allow-origin").is_none());
}

#[test]
fn a_proof_at_the_token_endpoint_is_for_it_whatever_host_is_named() {
    let scene = scene(vec![client("grafana")]);
    let prover = Prover::new();
    let code = code(&scene.server, &scene.session, "grafana", "openid");
    let proof = prover.proof(&scene.server, "POST", "/token");
    let call = post(&scene.server, "/token", &code_pairs(&code)).header("authorization", &basic("grafana", SECRET));
    let answer = call.header("dpop", &proof).header("x-forwarded-host", "evil.example").send().expect(200);
    assert_eq!(answer.member("token_type"), "DPoP");
    assert_eq!(introspect(&scene.server, "grafana", &answer.member("access_token"))["token_type"], "DPoP");
}

#[test]
fn a_person_gives_so_many_grants_and_one_more_ends_the_oldest() {
    let scene = scene(vec![client("grafana")]);
    let first = scene.tokens("grafana", "openid").member("refresh_token");
    let second = scene.tokens("grafana", "openid").member("refresh_token");
    let give = |times: usize| {
        for _ in 0..times {
            let asked = authorize(&scene.server, &scene.session, ("grafana", "openid", CHALLENGE), &[]);
            assert!(asked.header("location").unwrap().contains("code="), "{asked:?}");
        }
    };
    give(MAX_GRANTS_OF_PERSON - 2);
    let first = refresh(&scene.server, "grafana", &first).expect(200).member("refresh_token");
    give(1);
    refresh(&scene.server, "grafana", &first).expect_error(400, "invalid_grant", "grant_over");
    refresh(&scene.server, "grafana", &second).expect(200);
}
