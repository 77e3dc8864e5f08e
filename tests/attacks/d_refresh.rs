//! Refresh tokens: each once, and an old one that comes back ends them all.

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::Wish;
use countersign::domain::ids::Audience;
use countersign::domain::oauth::client::Client;
use serde_json::json;

use crate::support::clients::{client, code, code_with, introspect, redeem, refresh, server_with, userinfo};
use crate::support::person::{add_passkey, authenticator, in_session, page};
use crate::support::{Answer, Logged, Person, Server, Snapshot, refused};

struct Scene {
    server: Server,
    session: String,
}

fn scene() -> Scene {
    let server = server_with(vec![client("grafana"), client("argo")]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    Scene { server, session }
}

impl Scene {
    fn tokens(&self, scopes: &str) -> Answer {
        redeem(&self.server, "grafana", &code(&self.server, &self.session, "grafana", scopes)).expect(200)
    }

    /// The whole family is over.
    fn over(&self, tokens: &[&Answer]) {
        for answer in tokens {
            let access = answer.member("access_token");
            userinfo(&self.server, &access).expect_error(401, "invalid_token", "access_token_invalid");
            let refresh_token = answer.member("refresh_token");
            assert_eq!(introspect(&self.server, "grafana", &refresh_token), json!({ "active": false }));
            let answer = refresh(&self.server, "grafana", &refresh_token);
            assert_eq!((answer.status, answer.member("error").as_str()), (400, "invalid_grant"));
        }
    }

    fn last_why(&self) -> String {
        let snapshot = Snapshot::of(&self.server);
        let ends = snapshot.of_kind("grant").filter(|entry| entry["outcome"] == "ended");
        ends.last().and_then(|entry| entry["why"].as_str()).unwrap().to_owned()
    }
}

fn refreshed(scene: &Scene, tokens: &Answer) -> Answer {
    refresh(&scene.server, "grafana", &tokens.member("refresh_token")).expect(200)
}

#[test]
fn attack_068_a_resource_that_is_the_clients_no_more_ends_what_was_given_for_it() {
    let api = |resources: &[&str]| Client {
        resources: resources.iter().map(|one| Audience::parse(one).unwrap()).collect(),
        ..client("grafana")
    };
    let mut server = server_with(vec![api(&["https://api.example"])]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    let code = code_with(&server, &session, "grafana", "openid", &[("resource", "https://api.example")]);
    let tokens = redeem(&server, "grafana", &code).expect(200);
    server.restart_for(vec![api(&[])]);
    let answer = refresh(&server, "grafana", &tokens.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "grant_over");
}

#[test]
fn attack_068_an_old_refresh_token_ends_its_family() {
    let scene = scene();
    let first = scene.tokens("openid");
    let second = refreshed(&scene, &first);
    scene.server.pass(11);
    let third = refreshed(&scene, &second);
    // The first one comes back, long after its successor was used.
    let answer = refresh(&scene.server, "grafana", &first.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_used");
    assert_eq!(scene.last_why(), "replayed");
    scene.over(&[&first, &second, &third]);
}

#[test]
fn attack_068_of_two_uses_at_the_same_time_one_counts() {
    let scene = scene();
    let first = scene.tokens("openid");
    let token = first.member("refresh_token");
    let answers: Vec<Answer> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..6).map(|_| threads.spawn(|| refresh(&scene.server, "grafana", &token))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.clone().expect_error(400, "invalid_grant", "refresh_token_busy");
    }
    // The one that counted goes on.
    refreshed(&scene, good[0]);
}

#[test]
fn attack_068_a_lost_answer_is_given_once_more_and_never_gives_two_branches() {
    let scene = scene();
    let first = scene.tokens("openid");
    let lost = refreshed(&scene, &first);
    scene.server.pass(2);
    let again = refreshed(&scene, &first);
    assert_ne!(lost.member("refresh_token"), again.member("refresh_token"));
    // Whoever has the answer that was thought lost is somebody else.
    let answer = refresh(&scene.server, "grafana", &lost.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_used");
    scene.over(&[&first, &lost, &again]);

    let first = scene.tokens("openid");
    let second = refreshed(&scene, &first);
    scene.server.pass(10);
    let again = refreshed(&scene, &first);
    scene.server.pass(1);
    let answer = refresh(&scene.server, "grafana", &first.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_used");
    scene.over(&[&first, &second, &again]);

    // Once its successor was used, there is no lost answer.
    let first = scene.tokens("openid");
    let second = refreshed(&scene, &first);
    let third = refreshed(&scene, &second);
    scene.server.pass(2);
    let answer = refresh(&scene.server, "grafana", &first.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_used");
    scene.over(&[&first, &second, &third]);
}

#[test]
fn attack_068_a_refresh_token_is_its_clients() {
    let scene = scene();
    let first = scene.tokens("openid");
    let answer = refresh(&scene.server, "argo", &first.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_used");
    assert_eq!(scene.last_why(), "replayed");
    scene.over(&[&first]);
    let before = Snapshot::of(&scene.server);
    for junk in ["rt_AAAA", "x", "rt_", &format!("rt_{}", "A".repeat(64))] {
        let answer = refresh(&scene.server, "grafana", junk);
        let answer = answer.expect_error(400, "invalid_grant", "refresh_token_invalid");
        refused(&scene.server, &before, &answer, Logged::No);
    }
}

#[test]
fn attack_068_a_sign_out_ends_them_but_for_those_that_outlive_it() {
    let scene = scene();
    let (bound, offline) = (scene.tokens("openid"), scene.tokens("openid offline_access"));
    in_session(&scene.server, &scene.session, "/sign-out", &json!({ "everywhere": false })).expect(200);
    scene.over(&[&bound]);
    assert_eq!(scene.last_why(), "signed_out");
    let answer = refreshed(&scene, &offline);
    userinfo(&scene.server, &answer.member("access_token")).expect(200);
}

#[test]
fn attack_068_what_a_passkey_gave_ends_with_it() {
    let scene = scene();
    let mut other = authenticator();
    add_passkey(&scene.server, &scene.session, &mut other).expect(200);
    let offline = scene.tokens("openid offline_access");
    // "Not you? Report": the passkey that signed in here.
    let html = page(&scene.server, &scene.session, "/me/passkeys").expect(200).text();
    let at = html.find("data-passkey=\"").unwrap() + 14;
    let number = &html[at..at + html[at..].find('"').unwrap()];
    let report = format!("/me/passkeys/{number}/report");
    in_session(&scene.server, &scene.session, &report, &json!({})).expect(200);
    assert_eq!(scene.last_why(), "suspended");
    scene.over(&[&offline]);

    // And with the person.
    let mut ben = Person::manager(&scene.server, "Ben");
    let session = ben.sign_in(&scene.server);
    let code = code(&scene.server, &session, "grafana", "openid offline_access");
    let tokens = redeem(&scene.server, "grafana", &code).expect(200);
    let wish = Wish::Suspend { person: ben.id.clone() };
    scene.server.console(ConsoleCommand::Change { wish, propose: false });
    assert_eq!(scene.last_why(), "suspended");
    scene.over(&[&tokens]);
}

#[test]
fn attack_068_a_refresh_token_that_rests_too_long_is_over() {
    let scene = scene();
    let (bound, offline) = (scene.tokens("openid"), scene.tokens("openid offline_access"));
    scene.server.pass(12 * 3600 + 1);
    let answer = refresh(&scene.server, "grafana", &bound.member("refresh_token"));
    assert_eq!((answer.status, answer.member("error").as_str()), (400, "invalid_grant"));
    let again = refreshed(&scene, &offline);
    scene.server.pass(30 * 24 * 3600 + 1);
    let answer = refresh(&scene.server, "grafana", &again.member("refresh_token"));
    answer.expect_error(400, "invalid_grant", "refresh_token_invalid");
}
