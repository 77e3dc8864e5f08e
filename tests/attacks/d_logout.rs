//! Signing out at a client's wish: who may ask, and where it leads.

use countersign::domain::oauth::client::Client;
use serde_json::json;

use crate::support::clients::{client, code, redeem, refresh, server_with};
use crate::support::wire::form;
use crate::support::{Answer, Logged, Person, Server, Snapshot, refused};

const DONE: &str = "https://grafana.example/signed-out";

struct Scene {
    server: Server,
    session: String,
    id_token: String,
    refresh: String,
}

fn leaving(id: &str) -> Client {
    Client { post_logout_redirect_uris: vec![DONE.to_owned()], ..client(id) }
}

fn scene() -> Scene {
    let server = server_with(vec![leaving("grafana"), client("argo")]);
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let tokens = redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    let (id_token, refresh) = (tokens.member("id_token"), tokens.member("refresh_token"));
    Scene { server, session, id_token, refresh }
}

impl Scene {
    fn get(&self, pairs: &[(&str, &str)]) -> Answer {
        self.server.call("GET", &format!("/logout?{}", form(pairs))).header("cookie", &self.session).send()
    }

    fn is_signed_in(&self) -> bool {
        self.server.app.signed_in(self.session.split_once('=').unwrap().1).unwrap().is_some()
    }
}

#[test]
fn attack_075_a_client_with_a_token_of_the_session_ends_it_and_its_own_tokens() {
    let scene = scene();
    // Long after its end it still says whose it was.
    scene.server.pass(20 * 60);
    let answer = scene.get(&[
        ("id_token_hint", &scene.id_token),
        ("post_logout_redirect_uri", DONE),
        ("state", "a b"),
        ("client_id", "grafana"),
    ]);
    let answer = answer.expect(303);
    assert_eq!(answer.header("location"), Some("https://grafana.example/signed-out?state=a+b"));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!scene.is_signed_in());
    refresh(&scene.server, "grafana", &scene.refresh).expect_error(400, "invalid_grant", "grant_over");
}

#[test]
fn attack_075_whoever_has_no_token_of_the_session_signs_nobody_out() {
    let scene = scene();
    let somebody = Person::manager(&scene.server, "Tom").sign_in(&scene.server);
    let theirs = redeem(&scene.server, "grafana", &code(&scene.server, &somebody, "grafana", "openid")).expect(200);
    let theirs = theirs.member("id_token");
    let access =
        redeem(&scene.server, "grafana", &code(&scene.server, &scene.session, "grafana", "openid")).expect(200);
    let access = access.member("access_token");
    let forged = format!("{}x", scene.id_token);
    let before = Snapshot::of(&scene.server);
    for pairs in [
        vec![],
        vec![("client_id", "grafana"), ("post_logout_redirect_uri", DONE)],
        // Who does not say who they are is sent nowhere; the person is asked all the same.
        vec![("post_logout_redirect_uri", DONE)],
        vec![("post_logout_redirect_uri", "https://evil.example/"), ("state", "x")],
        vec![("id_token_hint", theirs.as_str())],
        vec![("id_token_hint", access.as_str())],
        vec![("id_token_hint", forged.as_str())],
        vec![("id_token_hint", "nonsense")],
    ] {
        let answer = scene.get(&pairs).expect(200);
        assert!(answer.text().contains("Sign out of Countersign?"), "{pairs:?}");
        assert!(!answer.text().contains("evil.example"), "{pairs:?}");
        assert_eq!((answer.header("location"), answer.header("set-cookie")), (None, None));
        assert!(scene.is_signed_in());
    }
    assert!(Snapshot::of(&scene.server).since(&before).is_empty());
}

#[test]
fn attack_075_nobody_is_sent_where_the_asking_client_has_not_registered() {
    let scene = scene();
    let hint = scene.id_token.clone();
    let before = Snapshot::of(&scene.server);
    for pairs in [
        vec![("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", "https://evil.example/")],
        vec![("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", "//evil.example/")],
        vec![("client_id", "argo"), ("post_logout_redirect_uri", DONE)],
        vec![("client_id", "nobody"), ("post_logout_redirect_uri", DONE)],
        vec![("client_id", "argo"), ("id_token_hint", hint.as_str())],
        vec![("state", "a"), ("state", "b")],
    ] {
        let answer = scene.get(&pairs);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{pairs:?}");
        assert!(answer.text().contains("<h1>") && scene.is_signed_in());
        refused(&scene.server, &before, &answer, Logged::No);
    }
}

#[test]
fn attack_072_a_form_of_another_site_is_asked_again_as_a_page_of_ours() {
    let scene = scene();
    let pairs = [("id_token_hint", scene.id_token.as_str()), ("post_logout_redirect_uri", DONE), ("x", "a\r\nb")];
    let call = scene.server.call("POST", "/logout").body("application/x-www-form-urlencoded", form(&pairs));
    let answer = call.header("origin", "https://evil.example").send().expect(303);
    let there = answer.header("location").unwrap().to_owned();
    assert!(there.starts_with("/logout?id_token_hint=") && there.ends_with("&x=a%0D%0Ab"), "{there}");
    assert!(scene.is_signed_in(), "nothing is done by the form itself");
    let answer = scene.server.call("GET", &there).header("cookie", &scene.session).send().expect(303);
    assert_eq!(answer.header("location"), Some(DONE));
    let long = form(&[("state", &"a".repeat(2048)), ("y", &"b".repeat(6000))]);
    let call = scene.server.call("POST", "/logout").body("application/x-www-form-urlencoded", long);
    assert_eq!(call.send().status, 400);
    let call = scene.server.call("POST", "/logout").body("application/json", json!({}).to_string());
    assert_eq!(call.send().status, 415);
}
