//! Requests of applications that lie, lead astray, or want more than they may have.

use std::collections::BTreeSet;

use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::{Client, ClientAuth, Consent, GrantType, ResponseMode};
use serde_json::json;

use crate::support::application::{
    CHALLENGE, REDIRECT, Request, back, code, error, follow, grafana, named, open, say, with_session,
};
use crate::support::clients::{SECRET, basic};
use crate::support::person::{Signed, in_session, session_of};
use crate::support::{Answer, Logged, Person, Server, Snapshot, URL, refused};

struct Scene {
    server: Server,
    ada: Person,
    session: String,
}

fn scene(clients: Vec<Client>) -> Scene {
    let server = Server::for_clients(clients);
    let mut ada = Person::enrol(&server, "Ada", &["sre"]);
    let session = ada.sign_in(&server);
    Scene { server, ada, session }
}

fn bring(scene: &Scene, request: &Request) -> Answer {
    let answer = with_session(scene.server.call("GET", &request.path()), Some(&scene.session)).send();
    // By form it is answered the same.
    let call = scene.server.call("POST", "/authorize").body("application/x-www-form-urlencoded", request.form());
    let by_form = with_session(call, Some(&scene.session)).send();
    assert_eq!((answer.status, answer.header("location")), (by_form.status, by_form.header("location")));
    answer
}

/// PAGE: shown, with the application and the parameter; nothing is sent anywhere, and nothing changes.
fn shown(scene: &Scene, request: &Request, application: &str, parameter: &str, code: &str) {
    let before = Snapshot::of(&scene.server);
    let answer = bring(scene, request);
    assert_eq!(answer.status, 400, "{request:?}: {}", answer.text());
    assert!(answer.header("location").is_none() && answer.header("refresh").is_none(), "{request:?}");
    let text = answer.text();
    for words in [application, &format!("<code>{parameter}</code>"), &format!("/docs/errors#{code}")] {
        assert!(text.contains(words), "{words}, {request:?}: {text}");
    }
    assert!(!text.contains("http-equiv") && !text.contains("<script") && !text.contains("<form"), "{text}");
    assert!(!text.contains("href=\"https://evil") && !text.contains("href=\"javascript"), "{text}");
    Snapshot::of(&scene.server).assert_identical(&before);
}

/// Told to the application at its own address; nothing changes.
fn told(scene: &Scene, request: &Request, wire: &str) {
    let before = Snapshot::of(&scene.server);
    let answer = bring(scene, request);
    assert_eq!(error(&answer), wire, "{request:?}");
    Snapshot::of(&scene.server).assert_identical(&before);
}

#[test]
fn attack_063_an_unproven_redirect_uri_is_shown_and_never_followed() {
    let two =
        Client { redirect_uris: vec![REDIRECT.to_owned(), "https://grafana.example.com/b".to_owned()], ..grafana() };
    let scene = scene(vec![two]);
    for uri in [
        "https://grafana.example.com/login/generic_oauth/evil",
        "https://grafana.example.com/login/x/../generic_oauth",
        "https://grafana.example.com/login/%2e%2e/login/generic_oauth",
        "https://grafana.example.com/login/generic_oauth#x",
        "https://grafana.example.com@evil.example/login/generic_oauth",
        "https://Grafana.example.com/login/generic_oauth",
        "https://grafana.example.com:8443/login/generic_oauth",
        "https://grafana.example.com/login/generic_oauth?next=//evil.example",
        "https://*.example.com/login/generic_oauth",
        "https://evil.example/",
        "http://localhost/cb",
        "http://127.0.0.1:4711/login/generic_oauth",
        "javascript:alert(document.domain)",
        "data:text/html,<script>alert(1)</script>",
        "//grafana.example.com/login/generic_oauth",
    ] {
        shown(&scene, &Request::good().with("redirect_uri", uri), "Grafana", "redirect_uri", "redirect_uri_unknown");
    }
    shown(&scene, &Request::good().without("redirect_uri"), "Grafana", "redirect_uri", "parameter_missing");
    shown(&scene, &Request::good().with("redirect_uri", ""), "Grafana", "redirect_uri", "parameter_missing");
    let twice = Request::good().also("redirect_uri", "https://evil.example");
    shown(&scene, &twice, "Grafana", "redirect_uri", "parameter_repeated");
    let strangers = "An application sent a request";
    shown(&scene, &Request::of("evil"), strangers, "client_id", "application_unknown");
    shown(&scene, &Request::good().without("client_id"), strangers, "client_id", "parameter_missing");
    shown(&scene, &Request::good().also("client_id", "grafana"), strangers, "client_id", "parameter_repeated");
    code(&Request::good().go(&scene.server, Some(&scene.session)));
}

#[test]
fn attack_063_a_native_apps_loopback_port_is_free_and_nothing_else() {
    let native = |id: &str, native| Client {
        native,
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned(), "com.example.app:/cb".to_owned()],
        ..named(id, "Argo CD")
    };
    let scene = scene(vec![native("native", true), native("web", false)]);
    let at = |client: &str, uri: &str| Request::of(client).with("redirect_uri", uri);
    for uri in ["http://127.0.0.1:49152/cb", "http://127.0.0.1/cb", "com.example.app:/cb"] {
        let answer = at("native", uri).go(&scene.server, Some(&scene.session)).expect(303);
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(&format!("{uri}?code=co_")), "{location}");
    }
    for uri in
        ["http://localhost:49152/cb", "http://[::1]:49152/cb", "http://127.0.0.1:49152/cb/x", "http://127.0.0.1:0/cb"]
    {
        shown(&scene, &at("native", uri), "Argo CD", "redirect_uri", "redirect_uri_unknown");
    }
    shown(&scene, &at("web", "http://127.0.0.1:49152/cb"), "Argo CD", "redirect_uri", "redirect_uri_unknown");
}

#[test]
fn attack_065_without_s256_nothing_begins() {
    let scene = scene(vec![grafana()]);
    for request in [
        Request::good().without("code_challenge").without("code_challenge_method"),
        Request::good().with("code_challenge_method", "plain"),
        Request::good().without("code_challenge_method"),
        Request::good().with("code_challenge", "short"),
        Request::good().with("code_challenge", &format!("{CHALLENGE}=")),
        Request::good().also("code_challenge", CHALLENGE),
    ] {
        told(&scene, &request, "invalid_request");
    }
}

#[test]
fn attack_066_every_answer_says_who_gave_it() {
    let machine = Client { grants: BTreeSet::from([GrantType::ClientCredentials]), ..named("machine", "Machine") };
    let scene = scene(vec![grafana(), machine]);
    let session = Some(scene.session.as_str());
    // `back` wants `iss` in each of them, exactly once, and nothing of one request in the answer to another.
    let first = Request::good().with("state", "one").waits(&scene.server);
    let second = Request::good().with("state", "two").waits(&scene.server);
    let (of_second, of_first) =
        (back(&open(&scene.server, session, &second)), back(&open(&scene.server, session, &first)));
    assert_eq!((of_first["state"].as_str(), of_second["state"].as_str()), ("one", "two"));
    assert_ne!(of_first["code"], of_second["code"]);
    assert!(!back(&Request::good().without("state").go(&scene.server, session)).contains_key("state"));
    for (request, wire) in [
        (Request::good().with("response_type", "token"), "unsupported_response_type"),
        (Request::good().with("scope", "openid email"), "invalid_scope"),
        (Request::good().with("resource", "https://evil.example"), "invalid_target"),
        (Request::of("machine"), "unauthorized_client"),
    ] {
        told(&scene, &request, wire);
    }
    assert_eq!(error(&Request::good().with("prompt", "none").go(&scene.server, None)), "login_required");
    // A request that another site puts into a link gives its code to the application that it names, and to nobody else.
    let waiting = Request::good().waits(&scene.server);
    let answer =
        with_session(scene.server.call("GET", &waiting), session).header("origin", "https://evil.example").send();
    assert!(answer.header("location").unwrap().starts_with(&format!("{REDIRECT}?code=")));
    assert!(answer.header("access-control-allow-origin").is_none());
}

#[test]
fn attack_067_other_kinds_of_answers_do_not_exist() {
    let query_alone = Client { response_modes: BTreeSet::from([ResponseMode::Query]), ..grafana() };
    let scene = scene(vec![query_alone]);
    for kind in ["token", "id_token", "code id_token", "code token", "code id_token token", "none", "Code"] {
        told(&scene, &Request::good().with("response_type", kind), "unsupported_response_type");
        let request = Request::good().with("response_type", kind).with("response_mode", "query");
        told(&scene, &request, "unsupported_response_type");
    }
    for mode in ["fragment", "form_post", "web_message", "query.jwt"] {
        told(&scene, &Request::good().with("response_mode", mode), "unsupported_response_type");
    }
    told(&scene, &Request::good().without("response_type"), "invalid_request");
    // What was asked first is what counts, whatever is sent to the places of one's own afterwards.
    let waiting = Request::good().waits(&scene.server);
    let changed = format!("{waiting}?redirect_uri=https://evil.example&response_type=token&scope=openid%20email");
    code(&open(&scene.server, Some(&scene.session), &changed));
}

#[test]
fn attack_071_nothing_is_fetched_and_no_request_object_is_read() {
    let scene = scene(vec![grafana()]);
    for (name, value, wire) in [
        (
            "request",
            "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9.",
            "request_not_supported",
        ),
        ("request_uri", "http://169.254.169.254/latest/meta-data/", "request_uri_not_supported"),
        ("request_uri", "https://evil.example/request.jwt", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
    ] {
        told(&scene, &Request::good().with(name, value), wire);
    }
    let bare = Request::good().without("redirect_uri").with("request_uri", "http://169.254.169.254/");
    shown(&scene, &bare, "Grafana", "redirect_uri", "request_uri_unsupported");
    let ours = Request::good().with("request_uri", "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAA");
    shown(&scene, &ours, "Grafana", "request_uri", "request_uri_unknown");
}

#[test]
fn attack_073_no_page_of_a_sign_in_can_be_framed() {
    let once = Client { consent: Consent::Once, ..named("once", "Wiki") };
    let closed = Client { groups: Some(BTreeSet::new()), ..named("closed", "Payroll") };
    let scene = scene(vec![grafana(), once, closed]);
    let session = Some(scene.session.as_str());
    for (answer, status) in [
        (Request::good().go(&scene.server, None), 200),
        (Request::of("once").go(&scene.server, session), 200),
        (Request::of("closed").go(&scene.server, session), 403),
        (Request::good().with("response_mode", "form_post").go(&scene.server, session), 200),
        (Request::of("evil").go(&scene.server, session), 400),
        (open(&scene.server, session, "/authorize/AAAA"), 410),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    }
}

#[test]
fn attack_075_a_sign_in_leads_on_to_its_own_request_alone() {
    let scene = scene(vec![grafana()]);
    let session = Some(scene.session.as_str());
    for id in ["", "AAAA", "//evil.example", "../../evil", "%2F%2Fevil.example", "x%22%3E%3Cscript%3E"] {
        let answer = with_session(scene.server.call("GET", &format!("/sign-in?for={id}&next=//evil.example")), session);
        let answer = answer.send().expect(410);
        assert!(answer.header("location").is_none() && !answer.text().contains("evil.example"), "{id}");
    }
    // Whoever is signed in goes on there, and `next` does not count.
    let waiting = Request::good().waits(&scene.server);
    let path = format!("/sign-in?for={}&next=https://evil.example", waiting.rsplit('/').next().unwrap());
    let answer = with_session(scene.server.call("GET", &path), session).send().expect(303);
    assert_eq!(answer.header("location"), Some(waiting.as_str()));
}

#[test]
fn attack_072_only_our_own_page_agrees_and_cancels() {
    let mut scene = scene(vec![Client { consent: Consent::Always, ..grafana() }]);
    let waiting = Request::good().waits(&scene.server);
    let path = |what: &str| format!("{waiting}/{what}");
    let before = Snapshot::of(&scene.server);
    for what in ["consent", "cancel"] {
        for origin in ["https://evil.example", "null", "https://grafana.example.com"] {
            let call = scene.server.call("POST", &path(what)).header("origin", origin).body("application/json", "{}");
            let answer = with_session(call, Some(&scene.session)).send().invalid("origin_wrong");
            refused(&scene.server, &before, &answer, Logged::No);
        }
    }
    let answer = say(&scene.server, None, &waiting, "consent").expect_error(401, "access_denied", "sign_in_needed");
    refused(&scene.server, &before, &answer, Logged::No);
    // Whoever agreed is asked again after a new sign-in: it may be another person at the browser.
    say(&scene.server, Some(&scene.session), &waiting, "consent").expect(200);
    let signed = scene.ada.sign_in_answer(&scene.server);
    let call = scene.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
    let renewed = session_of(&with_session(call, Some(&scene.session)).send().expect(200));
    assert!(open(&scene.server, Some(&renewed), &waiting).expect(200).text().contains("What it gets"));
    // The session from before is over, and with it its consent.
    assert!(open(&scene.server, Some(&scene.session), &waiting).expect(200).text().contains("Use a passkey"));
}

#[test]
fn attack_076_what_is_asked_for_is_done_or_told() {
    let mut scene = scene(vec![grafana()]);
    told(&scene, &Request::good().with("prompt", "none login"), "invalid_request");
    told(&scene, &Request::good().with("prompt", "none").with("max_age", "-1"), "invalid_request");
    told(&scene, &Request::good().with("id_token_hint", "e30.e30.e30"), "invalid_request");
    let unknown = r#"{"id_token":{"acr":{"essential":true,"values":["urn:example:gold"]}}}"#;
    told(&scene, &Request::good().with("claims", unknown), "unmet_authentication_requirements");
    let none = Request::good().with("prompt", "none");
    assert_eq!(error(&none.go(&scene.server, None)), "login_required");
    assert_eq!(error(&none.clone().with("max_age", "0").go(&scene.server, Some(&scene.session))), "login_required");
    code(&none.go(&scene.server, Some(&scene.session)));
    // Somebody else is expected: by `claims`, which says whom.
    let mut ben = Person::enrol(&scene.server, "Ben", &[]);
    let expects = |id: &str| Request::good().with("claims", &json!({"id_token": {"sub": {"value": id}}}).to_string());
    assert_eq!(
        error(&expects(&ben.id).with("prompt", "none").go(&scene.server, Some(&scene.session))),
        "login_required"
    );
    let waiting = expects(&ben.id).waits(&scene.server);
    let page = open(&scene.server, Some(&scene.session), &waiting).expect(200).text();
    assert!(page.contains("Grafana expects somebody else.") && page.contains("You are signed in as Ada."), "{page}");
    let of_ben = ben.sign_in(&scene.server);
    code(&open(&scene.server, Some(&of_ben), &waiting));

    // An old session, and a new one that is begun and broken off: the old one does not go on.
    scene.server.pass(60);
    for request in [
        Request::good().with("max_age", "0"),
        Request::good().with("max_age", "59"),
        Request::good().with("prompt", "login"),
        Request::good().with("prompt", "select_account"),
    ] {
        let waiting = request.waits(&scene.server);
        let text = open(&scene.server, Some(&scene.session), &waiting).expect(200).text();
        assert!(text.contains("Sign in to <bdi>Grafana"), "{text}");
        let _broken_off = scene.ada.sign_in_answer(&scene.server);
        let before = Snapshot::of(&scene.server);
        for _ in 0..2 {
            open(&scene.server, Some(&scene.session), &waiting).expect(200);
        }
        Snapshot::of(&scene.server).assert_identical(&before);
    }
    // A sign-in that is made meanwhile, for something else: whoever touched the key saw nothing of this request.
    let waits = [("max_age", "0"), ("prompt", "login"), ("prompt", "select_account")]
        .map(|(name, value)| Request::good().with(name, value).waits(&scene.server));
    let for_another = Request::good().with("prompt", "login").waits(&scene.server);
    let renew = |scene: &mut Scene, signed: Signed| {
        let call = scene.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
        session_of(&with_session(call, Some(&scene.session)).send().expect(200))
    };
    let signed = scene.ada.sign_in_answer_for(&scene.server, &for_another);
    scene.session = renew(&mut scene, signed);
    for waiting in &waits {
        let text = open(&scene.server, Some(&scene.session), waiting).expect(200).text();
        assert!(text.contains("Sign in to <bdi>Grafana"), "{waiting}: {text}");
    }
    code(&open(&scene.server, Some(&scene.session), &for_another));
    let waiting = Request::good().with("max_age", "0").waits(&scene.server);
    let signed = scene.ada.sign_in_answer_for(&scene.server, &waiting);
    let renewed = renew(&mut scene, signed);
    code(&open(&scene.server, Some(&renewed), &waiting));
    // `auth_time` is that of the touch, not of the request.
    let grants = Snapshot::of(&scene.server).table("oauth_grant").clone();
    let touched = format!("\u{1f}{}\u{1f}", scene.server.now() * 1000);
    assert!(grants.iter().any(|row| row.contains(&touched)), "{grants:?}");
    open(&scene.server, Some(&renewed), "/").expect(200);
}

#[test]
fn attack_076_cancelling_is_told_and_gives_nothing() {
    let scene = scene(vec![grafana()]);
    let waiting = Request::good().with("prompt", "login").waits(&scene.server);
    let before = Snapshot::of(&scene.server);
    in_session(&scene.server, &scene.session, &format!("{waiting}/cancel"), &json!({})).expect(200);
    let answer = follow(
        &scene.server,
        Some(&scene.session),
        with_session(scene.server.call("GET", &waiting), Some(&scene.session)).send(),
    );
    let members = back(&answer);
    assert_eq!((members["error"].as_str(), members["state"].as_str()), ("access_denied", "s-1"));
    assert_eq!(members["iss"], URL);
    let after = Snapshot::of(&scene.server);
    assert_eq!(after.since(&before).len(), 0);
    for table in ["code", "oauth_grant", "consent", "session"] {
        assert_eq!(after.table(table), before.table(table), "{table}");
    }
}

/// Pushes a request as a client with the usual secret; `client_id` stands in the request.
fn push(server: &Server, client: &str, request: &Request) -> Answer {
    let call = server.call("POST", "/par").body("application/x-www-form-urlencoded", request.form());
    call.header("authorization", &basic(client, SECRET)).send()
}

fn pushing() -> Vec<Client> {
    let secret = || ClientAuth::Basic(vec![Digest::of(SECRET.as_bytes())]);
    vec![
        Client { auth: secret(), par: true, ..grafana() },
        Client { auth: secret(), ..named("wiki", "Wiki") },
        named("public", "Public"),
    ]
}

#[test]
fn attack_071_a_pushed_request_is_good_once_for_its_client_and_for_a_minute() {
    let scene = scene(pushing());
    let (server, session) = (&scene.server, Some(scene.session.as_str()));
    let pushed = |client: &str| {
        let answer = push(server, client, &Request::of(client)).expect(201);
        assert_eq!((answer.header("cache-control"), &answer.json()["expires_in"]), (Some("no-store"), &json!(60)));
        answer.member("request_uri")
    };
    let by_uri = |client: &str, uri: &str| Request::default().with("client_id", client).with("request_uri", uri);
    // What is in the browser's own query beside it does not count.
    let uri = pushed("grafana");
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:") && uri.len() > 70, "{uri}");
    let more = by_uri("grafana", &uri).with("redirect_uri", "https://evil.example").with("state", "evil");
    code(&more.go(server, session));
    shown(&scene, &by_uri("grafana", &uri), "Grafana", "request_uri", "request_uri_unknown");
    // Another client's, and none at all; it stays good for its own.
    let uri = pushed("grafana");
    shown(&scene, &by_uri("wiki", &uri), "Wiki", "request_uri", "request_uri_unknown");
    shown(
        &scene,
        &Request::default().with("request_uri", &uri),
        "An application",
        "request_uri",
        "request_uri_unknown",
    );
    // Its id is not the id of a request that waits for a person.
    let id = uri.rsplit(':').next().unwrap();
    open(server, session, &format!("/authorize/{id}")).expect(410);
    code(&by_uri("grafana", &uri).go(server, session));
    // Late.
    let uri = pushed("grafana");
    server.pass(61);
    shown(&scene, &by_uri("grafana", &uri), "Grafana", "request_uri", "request_uri_unknown");
    // Who must push must push.
    told(&scene, &Request::good(), "invalid_request");
}

#[test]
fn attack_071_only_a_client_that_proves_itself_pushes_and_only_for_itself() {
    let scene = scene(pushing());
    let server = &scene.server;
    let before = Snapshot::of(server);
    let form = "application/x-www-form-urlencoded";
    let without = server.call("POST", "/par").body(form, Request::good().form()).send();
    let answer = without.expect_error(401, "invalid_client", "client_unknown");
    refused(server, &before, &answer, Logged::No);
    let wrong =
        server.call("POST", "/par").body(form, Request::good().form()).header("authorization", &basic("grafana", "x"));
    let answer = wrong.send().expect_error(401, "invalid_client", "client_unknown");
    assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "));
    refused(server, &before, &answer, Logged::No);
    for (request, wire, code) in [
        (Request::of("wiki"), "invalid_client", "client_auth_mixed"),
        (Request::good().with("request_uri", "https://evil.example/"), "invalid_request", "parameter_invalid"),
        (Request::good().with("redirect_uri", "https://evil.example"), "invalid_request", "redirect_uri_unknown"),
        (Request::good().with("request", "e30.e30."), "request_not_supported", "request_object_unsupported"),
        (Request::good().with("code_challenge_method", "plain"), "invalid_request", "pkce_required"),
        (Request::good().with("scope", "openid email"), "invalid_scope", "scope_not_granted"),
        (Request::good().also("state", "twice"), "invalid_request", "parameter_repeated"),
    ] {
        let answer = push(server, "grafana", &request);
        let status = if wire == "invalid_client" { 401 } else { 400 };
        let answer = answer.expect_error(status, wire, code);
        assert!(answer.header("location").is_none());
        refused(server, &before, &answer, Logged::No);
    }
    // A public client may push: what it says is worth what it says at the browser.
    let call = server.call("POST", "/par").body(form, Request::of("public").form());
    call.send().expect(201);
}
