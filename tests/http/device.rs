//! `/device_authorization`, `/device` and what a device is told at `/token`.

use std::collections::BTreeSet;

use countersign::domain::assurance::Acr;
use countersign::domain::ids::{Digest, GroupName};
use countersign::domain::oauth::client::{Client, GrantType};
use countersign::store::devices::MAX_DEVICES_OF_NETWORK;
use serde_json::{Value, json};

use crate::support::clients::{Prover, SECRET, basic, client, introspect, post, refresh, server_with, userinfo};
use crate::support::devices::{Codes, GRANT, allow, allowed, ask, deny, find, page_of, poll, tv};
use crate::support::gitlab::claims_of;
use crate::support::person::{in_session, page};
use crate::support::{Answer, Logged, Options, Person, Server, Snapshot, URL, refused};

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
    fn allowed(&mut self, scope: &str) -> Codes {
        allowed(&self.server, &self.session, &mut self.mara, scope)
    }

    fn poll(&self, codes: &Codes) -> Answer {
        poll(&self.server, "tv", &codes.device)
    }
}

fn refresh_as_tv(server: &Server, token: &str) -> Answer {
    let pairs = [("grant_type", "refresh_token"), ("client_id", "tv"), ("refresh_token", token)];
    post(server, "/token", &pairs).send()
}

#[test]
fn a_device_asks_and_waits_at_its_pace() {
    let mut scene = scene(vec![tv("tv")]);
    let server = &scene.server;
    let before = Snapshot::of(server);
    let pairs = [("client_id", "tv"), ("scope", "openid profile unheard")];
    let answer = post(server, "/device_authorization", &pairs).send().expect(200);
    let body = answer.json();
    let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["device_code", "expires_in", "interval", "user_code", "verification_uri"]);
    assert_eq!(body["verification_uri"], format!("{URL}/device"));
    assert_eq!((&body["expires_in"], &body["interval"]), (&json!(600), &json!(5)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(Snapshot::of(server).since(&before).len(), 0, "whoever asks has shown nothing yet");

    let codes = Codes { device: answer.member("device_code"), user: answer.member("user_code") };
    scene.poll(&codes).expect_error(400, "authorization_pending", "device_pending");
    scene.server.pass(4);
    let early = scene.poll(&codes).expect_error(400, "slow_down", "polled_too_fast");
    assert!(early.member("error_description").contains("10 s"), "{}", early.text());
    scene.server.pass(9);
    scene.poll(&codes).expect_error(400, "slow_down", "polled_too_fast");
    scene.server.pass(15);
    scene.poll(&codes).expect_error(400, "authorization_pending", "device_pending");
    // However slowly it was told to come: what was allowed is there at once.
    let page = page_of(&scene.server, &scene.session, &codes.user);
    allow(&scene.server, &scene.session, &page, &mut scene.mara).expect(200);
    scene.poll(&codes).expect(200);
}

#[test]
fn what_a_person_allows_is_what_the_device_gets() {
    let mut scene = scene(vec![tv("tv")]);
    let started = scene.server.now();
    scene.server.pass(400);
    let codes = ask(&scene.server, "tv", "openid profile offline_access api:read");
    // However it is typed.
    let typed = codes.user.to_lowercase().replace('-', " ");
    let place = page_of(&scene.server, &scene.session, &typed);
    let text = page(&scene.server, &scene.session, &place).expect(200).text();
    for words in
        ["Build TV", "127.0.0.1", "where this browser is, too", "Your name", "while you are away", "api:read", "Mara"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains(&codes.user) && !text.contains(&codes.device), "{text}");
    let before = Snapshot::of(&scene.server);
    allow(&scene.server, &scene.session, &place, &mut scene.mara).expect(200);
    let (touched, after) = (scene.server.now(), Snapshot::of(&scene.server));
    let [entry] = after.since(&before) else { panic!("{:?}", after.since(&before)) };
    assert_eq!(
        (&entry["kind"], &entry["outcome"], &entry["client"]),
        (&json!("grant"), &json!("started"), &json!("tv"))
    );
    let evidence: Vec<_> = entry["evidence"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(evidence, ["assertion", "statement"]);
    for secret in ["Mara", "127.0.0.1", &codes.user, &codes.device] {
        assert!(!entry.to_string().contains(secret), "{secret}: {entry}");
    }
    assert!(page(&scene.server, &scene.session, &place).expect(200).text().contains("✓ Allowed."));

    let tokens = scene.poll(&codes).expect(200);
    assert_eq!((tokens.header("cache-control"), tokens.member("token_type")), (Some("no-store"), "Bearer".to_owned()));
    assert_eq!(tokens.member("scope"), "api:read offline_access openid profile");
    let id = claims_of(&tokens.member("id_token"));
    assert_eq!((&id["aud"], &id["sub"], &id["name"]), (&json!("tv"), &json!(scene.mara.id), &json!("Mara")));
    assert_eq!((&id["acr"], &id["amr"], &id["auth_time"]), (&json!("phr"), &json!(["pop", "user"]), &json!(touched)));
    assert_ne!(touched, started, "the touch over this very request, and not the sign-in");
    assert!(id.get("nonce").is_none() && id["log"]["index"].as_u64() > entry["seq"].as_u64());
    userinfo(&scene.server, &tokens.member("access_token")).expect(200);
    refresh_as_tv(&scene.server, &tokens.member("refresh_token")).expect(200);
}

#[test]
fn what_a_device_has_shows_and_ends_as_everything_does() {
    let mut scene = scene(vec![tv("tv")]);
    let listed = |scene: &Scene| page(&scene.server, &scene.session, "/me/applications").expect(200).text();
    let codes = scene.allowed("openid");
    let first = scene.poll(&codes).expect(200);
    assert!(
        listed(&scene).contains("On a device that you allowed, as long as you are signed in"),
        "{}",
        listed(&scene)
    );
    // Forgotten.
    in_session(&scene.server, &scene.session, "/me/applications/tv/forget", &json!({})).expect(200);
    refresh_as_tv(&scene.server, &first.member("refresh_token")).expect_error(400, "invalid_grant", "grant_over");
    // Given back by the device.
    let codes = scene.allowed("openid");
    let token = scene.poll(&codes).expect(200).member("refresh_token");
    post(&scene.server, "/revoke", &[("client_id", "tv"), ("token", &token)]).send().expect(200);
    refresh_as_tv(&scene.server, &token).expect_error(400, "invalid_grant", "grant_over");
    // Signed out here: what was meant to outlive that does.
    let codes = scene.allowed("openid");
    let here = scene.poll(&codes).expect(200);
    let codes = scene.allowed("openid offline_access");
    let away = scene.poll(&codes).expect(200);
    assert!(listed(&scene).contains("it has access while you are away"), "{}", listed(&scene));
    in_session(&scene.server, &scene.session, "/sign-out", &json!({})).expect(200);
    refresh_as_tv(&scene.server, &here.member("refresh_token")).expect_error(400, "invalid_grant", "grant_over");
    userinfo(&scene.server, &here.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
    refresh_as_tv(&scene.server, &away.member("refresh_token")).expect(200);
}

#[test]
fn a_client_without_refresh_tokens_gets_none_and_nothing_outlives_the_session() {
    let plain = Client { grants: BTreeSet::from([GrantType::DeviceCode]), ..tv("tv") };
    let mut scene = scene(vec![plain]);
    let codes = scene.allowed("openid offline_access");
    let tokens = scene.poll(&codes).expect(200);
    assert_eq!(tokens.member("scope"), "openid");
    assert!(tokens.json().get("refresh_token").is_none());
    in_session(&scene.server, &scene.session, "/sign-out", &json!({})).expect(200);
    userinfo(&scene.server, &tokens.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
}

#[test]
fn late_is_late_but_what_was_allowed_in_time_can_be_fetched() {
    let mut scene = scene(vec![tv("tv")]);
    let codes = ask(&scene.server, "tv", "openid");
    let place = page_of(&scene.server, &scene.session, &codes.user);
    scene.server.pass(600);
    scene.poll(&codes).expect_error(400, "authorization_pending", "device_pending");
    let last = ask(&scene.server, "tv", "openid");
    let at_last = page_of(&scene.server, &scene.session, &last.user);
    scene.server.pass(1);
    let before = Snapshot::of(&scene.server);
    scene.poll(&codes).expect_error(400, "expired_token", "device_expired");
    let answer = allow(&scene.server, &scene.session, &place, &mut scene.mara);
    refused(&scene.server, &before, &answer.expect_error(410, "access_denied", "device_over"), Logged::No);
    deny(&scene.server, &scene.session, &place).expect_error(410, "access_denied", "device_over");
    assert!(page(&scene.server, &scene.session, &place).expect(200).text().contains("Too late: this request ended at"));
    // Allowed in the last second, fetched after it.
    scene.server.pass(599);
    allow(&scene.server, &scene.session, &at_last, &mut scene.mara).expect(200);
    scene.server.pass(60);
    scene.poll(&last).expect(200);
}

#[test]
fn groups_level_and_policy_of_the_client_hold() {
    let closed = Client { groups: Some(BTreeSet::from([GroupName::parse("finance").unwrap()])), ..tv("closed") };
    let mut scene = scene(vec![tv("tv"), closed, Client { acr: Acr::Phrh, ..tv("hard") }]);
    let refuses = |scene: &mut Scene, client: &str, code: &str| {
        let codes = ask(&scene.server, client, "openid");
        let place = page_of(&scene.server, &scene.session, &codes.user);
        let before = Snapshot::of(&scene.server);
        let answer = allow(&scene.server, &scene.session, &place, &mut scene.mara);
        let answer = answer.expect_error(403, "access_denied", code);
        Snapshot::of(&scene.server).assert_same_state(&before);
        assert_eq!(Snapshot::of(&scene.server).since(&before), &[] as &[Value], "{}", answer.text());
        poll(&scene.server, client, &codes.device).expect_error(400, "authorization_pending", "device_pending");
        page(&scene.server, &scene.session, &place).expect(200).text()
    };
    let shown = refuses(&mut scene, "closed", "not_in_groups");
    assert!(shown.contains("is not open to you") && !shown.contains("Allow with passkey"), "{shown}");
    refuses(&mut scene, "hard", "acr_not_reached");
}

#[test]
fn a_client_that_can_prove_who_it_is_must() {
    let app = Client {
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::DeviceCode, GrantType::RefreshToken]),
        ..client("app")
    };
    let mut scene = scene(vec![app, client("grafana")]);
    let server = &scene.server;
    let asks = [("scope", "openid")];
    post(server, "/device_authorization", &[("client_id", "app"), ("scope", "openid")]).send().expect_error(
        401,
        "invalid_client",
        "client_unknown",
    );
    let as_app = |path: &str, pairs: &[(&str, &str)]| {
        post(&scene.server, path, pairs).header("authorization", &basic("app", SECRET)).send()
    };
    let grafana = post(server, "/device_authorization", &asks).header("authorization", &basic("grafana", SECRET));
    grafana.send().expect_error(400, "unauthorized_client", "grant_not_allowed");
    as_app("/device_authorization", &[("scope", "openid api:write")]).expect(200);
    as_app("/device_authorization", &[("scope", "email groups api:nobody openid")]).expect(200);
    as_app("/device_authorization", &[]).expect_error(400, "invalid_scope", "scope_not_granted");
    let resource = [("scope", "openid"), ("resource", "https://other.example")];
    as_app("/device_authorization", &resource).expect_error(400, "invalid_target", "resource_not_allowed");
    let twice = [("scope", "openid"), ("scope", "openid")];
    as_app("/device_authorization", &twice).expect_error(400, "invalid_request", "parameter_repeated");
    let proof = post(server, "/device_authorization", &asks).header("dpop", "x");
    proof.send().expect_error(400, "invalid_request", "dpop_unsupported");

    let codes = as_app("/device_authorization", &asks).expect(200);
    let (device, user) = (codes.member("device_code"), codes.member("user_code"));
    let place = page_of(server, &scene.session, &user);
    allow(server, &scene.session, &place, &mut scene.mara).expect(200);
    let tokens = post(&scene.server, "/token", &[("grant_type", GRANT), ("device_code", &device)])
        .header("authorization", &basic("app", SECRET))
        .send()
        .expect(200);
    assert_eq!(introspect(&scene.server, "app", &tokens.member("access_token"))["active"], true);
    refresh(&scene.server, "app", &tokens.member("refresh_token")).expect(200);
}

#[test]
fn a_devices_tokens_are_bound_to_the_key_that_it_proves() {
    let mut scene = scene(vec![Client { dpop: true, ..tv("tv") }]);
    let codes = scene.allowed("openid");
    scene.poll(&codes).expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
    let prover = Prover::new();
    let pairs = [("grant_type", GRANT), ("client_id", "tv"), ("device_code", codes.device.as_str())];
    let call = |pairs: &[(&str, &str)], prover: &Prover, nonce: &Value| {
        let mut claims = Prover::claims(&scene.server, "POST", "/token");
        claims["nonce"] = nonce.clone();
        let proof = prover.sign(&prover.header(), &claims);
        post(&scene.server, "/token", pairs).header("dpop", &proof).send()
    };
    let nonce = call(&pairs, &prover, &json!("x")).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
    let nonce = json!(nonce.header("dpop-nonce").unwrap());
    let tokens = call(&pairs, &prover, &nonce).expect(200);
    assert_eq!(tokens.member("token_type"), "DPoP");
    assert_eq!(claims_of(&tokens.member("access_token"))["cnf"]["jkt"], prover.jkt().as_str());
    let token = tokens.member("refresh_token");
    let again = [("grant_type", "refresh_token"), ("client_id", "tv"), ("refresh_token", token.as_str())];
    call(&again, &Prover::new(), &nonce).expect_error(400, "invalid_grant", "dpop_key_wrong");
    call(&again, &prover, &nonce).expect(200);
}

#[test]
fn a_resource_is_what_the_access_token_is_for() {
    let mut scene = scene(vec![tv("tv")]);
    let pairs = [("client_id", "tv"), ("scope", "openid"), ("resource", "https://api.example")];
    let asked = post(&scene.server, "/device_authorization", &pairs).send().expect(200);
    let place = page_of(&scene.server, &scene.session, &asked.member("user_code"));
    assert!(page(&scene.server, &scene.session, &place).expect(200).text().contains("https://api.example"));
    allow(&scene.server, &scene.session, &place, &mut scene.mara).expect(200);
    let tokens = poll(&scene.server, "tv", &asked.member("device_code")).expect(200);
    assert_eq!(claims_of(&tokens.member("access_token"))["aud"], "https://api.example");
}

#[test]
fn a_flood_of_devices_from_one_network_ends_its_own_oldest_and_nobody_elses() {
    let server = Server::with(Options {
        clients: vec![std::sync::Arc::new(tv("tv"))],
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Options::default()
    });
    let session = Person::manager(&server, "Mara").sign_in(&server);
    let from = |address: &str| {
        let call = post(&server, "/device_authorization", &[("client_id", "tv"), ("scope", "openid")]);
        call.header("x-forwarded-for", address).send()
    };
    let (first, other) = (from("10.0.0.1").expect(200), from("10.0.0.2").expect(200));
    for _ in 0..MAX_DEVICES_OF_NETWORK {
        server.hand.advance(std::time::Duration::from_millis(1001));
        from("10.0.0.1").expect(200);
    }
    find(&server, &session, &first.member("user_code")).expect_error(404, "invalid_request", "user_code_unknown");
    poll(&server, "tv", &first.member("device_code")).expect_error(400, "invalid_grant", "device_code_invalid");
    find(&server, &session, &other.member("user_code")).expect(200);
    assert_eq!(Snapshot::of(&server).table("device_request").len(), MAX_DEVICES_OF_NETWORK + 1);
    // One address brings only so many in a minute.
    let answers: Vec<_> = (0..70).map(|_| from("10.0.0.3").status).collect();
    assert_eq!((answers.iter().filter(|status| **status == 200).count(), answers[69]), (60, 429));
}

#[test]
fn what_is_kept_of_the_codes_is_their_digest() {
    let scene = scene(vec![tv("tv")]);
    let codes = ask(&scene.server, "tv", "openid");
    let rows = Snapshot::of(&scene.server).table("device_request").iter().next().unwrap().clone();
    for secret in [&codes.device, &codes.user, &codes.user.replace('-', "")] {
        assert!(!rows.contains(secret.as_str()), "{rows}");
    }
    assert!(rows.contains(&Digest::of(codes.device.as_bytes()).to_string()), "{rows}");
}
