//! Authorization codes: once, soon, by whom and with what they were asked.

use serde_json::json;

use crate::support::clients::{
    Code, REDIRECT, SECRET, basic, client, code, code_pairs, code_with, introspect, post, public, redeem, refresh,
    server_with, userinfo,
};
use crate::support::person::in_session;
use crate::support::{Answer, Logged, Person, Server, Snapshot, refused};

struct Scene {
    server: Server,
    session: String,
}

fn scene() -> Scene {
    let server = server_with(vec![client("grafana"), client("argo"), public("spa")]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    Scene { server, session }
}

impl Scene {
    fn code(&self) -> Code {
        code(&self.server, &self.session, "grafana", "openid profile")
    }

    /// What a client sends instead; refused, and nothing has moved.
    fn refuses(&self, client: &str, pairs: &[(&str, &str)], code: &str) {
        let before = Snapshot::of(&self.server);
        let answer = post(&self.server, "/token", pairs).header("authorization", &basic(client, SECRET)).send();
        let answer = answer.expect_error(400, "invalid_grant", code);
        refused(&self.server, &before, &answer, Logged::No);
    }
}

/// The last entry ends a grant, and says why.
fn ended(server: &Server, grant: u64, why: &str) {
    let snapshot = Snapshot::of(server);
    let last = snapshot.of_kind("grant").last().unwrap();
    let found = (&last["outcome"], &last["grant"], &last["why"]);
    assert_eq!(found, (&json!("ended"), &json!(grant), &json!(why)));
}

/// Nothing that a code gave counts any more.
fn dead(server: &Server, tokens: &Answer) {
    let access = tokens.member("access_token");
    userinfo(server, &access).expect_error(401, "invalid_token", "access_token_invalid");
    assert_eq!(introspect(server, "grafana", &access), json!({ "active": false }));
    let before = Snapshot::of(server);
    let answer = refresh(server, "grafana", &tokens.member("refresh_token"));
    let answer = answer.expect_error(400, "invalid_grant", "grant_over");
    refused(server, &before, &answer, Logged::No);
}

#[test]
fn attack_064_a_code_counts_once_and_a_second_use_ends_what_it_gave() {
    let scene = scene();
    let code = scene.code();
    let tokens = redeem(&scene.server, "grafana", &code).expect(200);
    userinfo(&scene.server, &tokens.member("access_token")).expect(200);
    // Whose it is not takes nothing away, also once it was used.
    scene.refuses("argo", &code_pairs(&code), "code_invalid");
    redeem(&scene.server, "grafana", &code).expect_error(400, "invalid_grant", "code_used");
    ended(&scene.server, code.grant, "replayed");
    dead(&scene.server, &tokens);
    // A third time there is nothing left to end.
    let before = Snapshot::of(&scene.server);
    let again = redeem(&scene.server, "grafana", &code).expect_error(400, "invalid_grant", "code_used");
    refused(&scene.server, &before, &again, Logged::No);
}

#[test]
fn attack_064_of_uses_at_the_same_time_one_counts_and_its_tokens_end() {
    let scene = scene();
    let code = scene.code();
    let answers: Vec<Answer> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..6).map(|_| threads.spawn(|| redeem(&scene.server, "grafana", &code))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.clone().expect_error(400, "invalid_grant", "code_used");
    }
    dead(&scene.server, good[0]);
}

#[test]
fn attack_064_a_code_is_its_clients_and_for_a_minute_and_for_one_address() {
    let scene = scene();
    let code = scene.code();
    scene.refuses("argo", &code_pairs(&code), "code_invalid");
    for uri in ["https://grafana.example/cb/", "https://grafana.example/cb?x", "https://evil.example/cb"] {
        let mut pairs = code_pairs(&code);
        pairs[2].1 = uri;
        scene.refuses("grafana", &pairs, "code_invalid");
    }
    let mut pairs = code_pairs(&code);
    pairs.remove(2);
    let answer = post(&scene.server, "/token", &pairs).header("authorization", &basic("grafana", SECRET)).send();
    answer.expect_error(400, "invalid_request", "parameter_missing");
    let mut junk = code_pairs(&code);
    junk[1].1 = "co_AAAA";
    scene.refuses("grafana", &junk, "code_invalid");
    scene.server.pass(61);
    scene.refuses("grafana", &code_pairs(&code), "code_invalid");
    let fresh = scene.code();
    scene.server.pass(60);
    redeem(&scene.server, "grafana", &fresh).expect(200);
}

#[test]
fn attack_064_after_a_sign_out_a_code_and_what_it_gave_are_nothing() {
    let scene = scene();
    let (used, waiting) = (scene.code(), scene.code());
    let tokens = redeem(&scene.server, "grafana", &used).expect(200);
    in_session(&scene.server, &scene.session, "/sign-out", &json!({ "everywhere": false })).expect(200);
    ended(&scene.server, waiting.grant, "signed_out");
    scene.refuses("grafana", &code_pairs(&waiting), "grant_over");
    dead(&scene.server, &tokens);
}

#[test]
fn attack_065_a_code_without_its_verifier_is_nothing() {
    let scene = scene();
    let (code, other) = (scene.code(), scene.code());
    let long = "a".repeat(129);
    for verifier in ["", "short", &other.verifier, &code.verifier[..42], &long, &"a".repeat(43)] {
        let mut pairs = code_pairs(&code);
        pairs[3].1 = verifier;
        scene.refuses("grafana", &pairs, "code_invalid");
    }
    let mut pairs = code_pairs(&code);
    pairs.pop();
    scene.refuses("grafana", &pairs, "code_invalid");
    // `plain`: the challenge itself as the verifier.
    let plain = code_with(&scene.server, &scene.session, "grafana", "openid", &[("code_challenge", &other.verifier)]);
    let mut pairs = code_pairs(&plain);
    pairs[3].1 = &other.verifier;
    scene.refuses("grafana", &pairs, "code_invalid");
    redeem(&scene.server, "grafana", &code).expect(200);
    assert_eq!(REDIRECT, "https://grafana.example/cb");
}
