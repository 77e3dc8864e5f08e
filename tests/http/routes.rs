//! The table of routes, row by row, and what every answer carries.

use std::collections::BTreeSet;

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::{MAX_OPEN_CHANGES, Wish};
use countersign::domain::oauth::client::{Client, Logo};
use countersign::domain::people::Role;
use countersign::http::authorize::endpoints::PICTURE_POLICY;
use countersign::http::routes::{Row, TABLE, Who};
use countersign::http::serve::CONTENT_SECURITY_POLICY;
use serde_json::json;

use crate::support::application::{Request, grafana};
use crate::support::wire::{Call, HOST};
use crate::support::{Answer, Logged, Person, Server, Snapshot, URL, collector, refused};

const FORM: &str = "application/x-www-form-urlencoded";

/// The application of the scene, or one that nobody configured.
fn client(name: &str) -> &str {
    if name == "rules" { "grafana" } else { name }
}

/// A path of the row that leads somewhere, and one that leads nowhere.
fn paths(row: &Row, scene: &Scene) -> [String; 2] {
    let request = match row.path {
        path if path.starts_with("/changes") => &scene.change,
        path if path.starts_with("/authorize") => &scene.sign_in,
        _ => &scene.request,
    };
    let link = &scene.link;
    let fill = |id: &str, link: &str, name: &str| {
        let path = row.path.replace("{id}", id).replace("{link}", link).replace("{name}", name);
        path.replace("{number}", name).replace("{person}", name).replace("{client}", client(name))
    };
    let name = if row.path.starts_with("/static") { "countersign.css" } else { "rules" };
    [fill(request, link, name), fill("AAAAAAAAAAAAAAAAAAAAAA", "unknown", "unknown")]
}

fn check_headers(answer: &Answer, place: &str) {
    let is_picture = place.ends_with("/logo") && answer.status == 200;
    let policy = if is_picture { PICTURE_POLICY } else { CONTENT_SECURITY_POLICY };
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", policy),
        ("cross-origin-opener-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{place}: {}", answer.status);
    }
    let is_public = ["/jwks", "/userinfo", "/.well-known/"].iter().any(|path| place.contains(path));
    let resource = if is_public { "cross-origin" } else { "same-origin" };
    let found = answer.header("cross-origin-resource-policy");
    assert!(
        found == Some(resource) || (!(200..300).contains(&answer.status) && found == Some("same-origin")),
        "{place}"
    );
    assert!(answer.header("permissions-policy").is_some(), "{place}");
    assert!(answer.header("server").is_none() && answer.header("x-powered-by").is_none(), "{place}");
}

/// Nobody is signed in: a page sends on, a script is told.
fn check_sent_to_sign_in(row: &Row, answer: &Answer) {
    if matches!(row.path, "/waiting" | "/me/links/brought") {
        answer.clone().expect_error(401, "access_denied", "sign_in_needed");
    } else {
        assert_eq!(answer.status, 303, "{}: {}", row.path, answer.text());
        assert!(answer.header("location").unwrap().starts_with("/sign-in"), "{}", row.path);
        assert!(answer.body.is_empty(), "{}", row.path);
    }
}

/// What a `GET` of whoever brings nothing is answered.
fn usual(who: Who) -> [u16; 2] {
    match who {
        Who::SignedIn | Who::Admin => [303, 401],
        Who::TokenHolder => [401, 401],
        Who::Application => [303, 400],
        _ => [200, 200],
    }
}

struct Scene {
    server: Server,
    request: String,
    change: String,
    sign_in: String,
    link: String,
}

fn scene() -> Scene {
    let logo = Logo { media_type: "image/png", bytes: b"\x89PNG".to_vec() };
    let server = Server::for_clients(vec![Client { logo: Some(logo), ..grafana() }]);
    let _mara = Person::manager(&server, "Mara");
    let sign_in = Request::good().waits(&server).rsplit('/').next().unwrap().to_owned();
    let request = server.ask(&server.job().sign(), &collector());
    let (ben, link) = server.invite("Ben", &["release-managers"]);
    let (change, _) = server.propose(Wish::Suspend { person: ben });
    Scene { server, request, change, sign_in, link }
}

impl Scene {
    fn call(&self, method: &str, path: &str) -> Call {
        self.server.call(method, path)
    }

    /// The stream never ends by itself; its head is enough.
    fn answer(&self, method: &str, path: &str, change: impl Fn(Call) -> Call) -> Answer {
        let call = change(self.call(method, path));
        if !path.ends_with("/events") || method != "GET" {
            return call.send();
        }
        let mut stream = call.start();
        let mut bytes = Vec::new();
        crate::support::wire::read_until(&mut stream, &mut bytes, "\r\n\r\n", 1);
        let end = crate::support::wire::find(&bytes, b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&bytes[..end + 4]).replace("transfer-encoding: chunked\r\n", "");
        Answer::parse(head.as_bytes())
    }

    fn kind(row: &Row) -> &'static str {
        if matches!(row.who, Who::Job | Who::Client | Who::Application) || row.path == "/logout" {
            FORM
        } else {
            "application/json"
        }
    }
}

#[test]
fn without_credentials_a_route_answers_as_its_row_says() {
    let scene = scene();
    for row in TABLE {
        let [known, unknown] = paths(row, &scene);
        let before = Snapshot::of(&scene.server);
        let answer = scene.answer(row.method, &known, |call| call);
        check_headers(&answer, &known);
        let lost = scene.answer(row.method, &unknown, |call| call);
        check_headers(&lost, &unknown);
        match row.who {
            Who::Anybody | Who::LinkHolder => {
                // A wish to sign out is a form.
                let status = if (row.method, row.path) == ("POST", "/logout") { 415 } else { 200 };
                assert_eq!(answer.status, status, "{known}: {}", answer.text());
                if row.path.contains('{') {
                    let gone = if row.path.contains("{link}") { 410 } else { 404 };
                    assert_eq!(lost.status, gone, "{unknown}");
                }
            }
            // Without a request there is nothing to go on with; one that waits goes to the sign-in page.
            Who::Application => {
                let (status, gone) = if row.path.contains("{id}") { (303, 410) } else { (400, 400) };
                assert_eq!((answer.status, lost.status), (status, gone), "{known}: {}", answer.text());
                if status == 303 {
                    assert!(answer.header("location").unwrap().starts_with("/sign-in?for="), "{known}");
                }
            }
            Who::Job | Who::Client => assert_eq!(answer.status, 415, "{known}: {}", answer.text()),
            Who::TokenHolder => assert_eq!(answer.status, 401, "{known}: {}", answer.text()),
            Who::SignedIn | Who::Admin => {
                for answer in [&answer, &lost] {
                    check_sent_to_sign_in(row, answer);
                }
            }
            Who::OurPage | Who::OurPageSignedIn | Who::OurPageAdmin => {
                assert_eq!((answer.status, answer.code().as_str()), (400, "origin_wrong"), "{known}");
                assert_eq!((lost.status, lost.code().as_str()), (400, "origin_wrong"), "{unknown}");
            }
        }
        Snapshot::of(&scene.server).assert_identical(&before);
    }
}

#[test]
fn a_foreign_page_changes_nothing() {
    let scene = scene();
    for row in TABLE {
        let [known, _] = paths(row, &scene);
        for origin in
            ["https://evil.example", "null", "https://sign.shop.example.evil.example", "http://sign.shop.example"]
        {
            let before = Snapshot::of(&scene.server);
            let answer = scene.answer(row.method, &known, |call| {
                let call = call.header("origin", origin).header("sec-fetch-site", "cross-site");
                if row.method == "POST" { call.body(Scene::kind(row), "{}") } else { call }
            });
            check_headers(&answer, &known);
            let may_read = answer.header("access-control-allow-origin");
            let public = matches!(row.path, "/jwks" | "/userinfo") || row.path.starts_with("/.well-known/");
            assert_eq!(may_read, public.then_some("*"), "{known}");
            assert!(answer.header("access-control-allow-credentials").is_none());
            if matches!(row.who, Who::OurPage | Who::OurPageSignedIn | Who::OurPageAdmin) {
                answer.clone().invalid("origin_wrong");
            }
            Snapshot::of(&scene.server).assert_identical(&before);
            let preflight = scene.call("OPTIONS", &known).header("origin", origin);
            let preflight = preflight.header("access-control-request-method", row.method).send();
            // No cookie counts at `/userinfo`; for `/token` there is no public client here.
            let (status, may_call) = if known == "/userinfo" { (204, Some("*")) } else { (405, None) };
            assert_eq!(preflight.status, status, "{known}");
            assert_eq!(preflight.header("access-control-allow-origin"), may_call, "{known}");
        }
    }
}

#[test]
fn one_byte_over_the_limit_is_too_much() {
    let scene = scene();
    for row in TABLE {
        let [known, _] = paths(row, &scene);
        let before = Snapshot::of(&scene.server);
        let body = vec![b'a'; row.max_body + 1];
        let answer = scene.answer(row.method, &known, |call| {
            if row.method == "GET" {
                return call.body("text/plain", "x");
            }
            call.header("origin", URL).body(Scene::kind(row), body.clone())
        });
        check_headers(&answer, &known);
        if row.method == "GET" {
            let usual = usual(row.who);
            assert!(usual.contains(&answer.status), "{known}: a body is of no use here, and of no harm");
        } else {
            answer.clone().expect_error(413, "invalid_request", "body_too_large");
            refused(&scene.server, &before, &answer, Logged::No);
            let whole = scene.answer(row.method, &known, |call| {
                call.header("origin", URL).body(Scene::kind(row), vec![b'a'; row.max_body])
            });
            // Who calls is asked before what is wrong with the rest.
            let wrong = if matches!(row.who, Who::Client | Who::TokenHolder) { 401 } else { 400 };
            assert_eq!(whole.status, wrong, "{known} takes {} bytes and reads them: {}", row.max_body, whole.text());
        }
        Snapshot::of(&scene.server).assert_identical(&before);
    }
}

#[test]
fn another_method_is_told_which_would_do() {
    let scene = scene();
    for row in TABLE {
        let [known, _] = paths(row, &scene);
        let methods: Vec<_> = TABLE.iter().filter(|other| other.path == row.path).map(|other| other.method).collect();
        let allow = match methods.as_slice() {
            ["GET"] => "GET, HEAD",
            ["POST"] => "POST",
            _ => "GET, HEAD, POST",
        };
        let others = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "FOO"];
        let asks_first = |method: &str| method == "OPTIONS" && known == "/userinfo";
        let foreign = |method: &str| !allow.split(", ").any(|known| known == method) && !asks_first(method);
        for method in others.into_iter().filter(|method| foreign(method)) {
            let answer = scene.call(method, &known).header("origin", URL).send();
            assert_eq!(answer.status, 405, "{method} {known}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {known}");
            check_headers(&answer, &known);
        }
        if row.method == "GET" {
            let answer = scene.call("HEAD", &known).send();
            let usual = if row.path == "/authorize" { [200, 200] } else { usual(row.who) };
            assert!(usual.contains(&answer.status) && answer.body.is_empty(), "{known}: {}", answer.status);
            check_headers(&answer, &known);
        }
    }
}

#[test]
fn attack_078_only_our_own_name_is_answered() {
    let scene = scene();
    for row in TABLE.iter().filter(|row| !matches!(row.path, "/healthz" | "/readyz" | "/metrics")) {
        let [known, _] = paths(row, &scene);
        for host in ["evil.example", "sign.shop.example.evil.example", "sign.shop.example:8443", "127.0.0.1", ""] {
            let answer = scene.call(row.method, &known).instead("host", host).send();
            assert!(matches!(answer.status, 400 | 421), "{known} as `{host}`: {}", answer.status);
        }
        let twice = scene.call(row.method, &known).header("host", "evil.example").send();
        assert!(matches!(twice.status, 400 | 421), "{known}: {}", twice.status);
    }
    for host in ["SIGN.shop.example", "sign.shop.example:443"] {
        scene.call("GET", "/jwks").instead("host", host).send().expect(200);
    }
    // Nothing that a proxy might add makes our links.
    let token = scene.server.job().sign();
    let call = scene.server.exchange(&token, &["sts.amazonaws.com"]).collector(&collector());
    let call = call.header("x-forwarded-host", "evil.example").header("x-forwarded-proto", "http");
    let answer = call.header("forwarded", "host=evil.example;proto=http").send().pending();
    assert!(answer.member("approval_uri").starts_with(URL), "{}", answer.text());
    assert_eq!(HOST, "sign.shop.example");
}

#[test]
fn a_path_that_is_no_row_is_not_found() {
    let scene = scene();
    for path in [
        "/admin/",
        "/admin/refusals",
        "/me",
        "/sign-in/",
        "/token/",
        "/a",
        "/a/",
        "/enrol",
        "/.git/config",
        "/static/../Cargo.toml",
        "//jwks",
        "/docs/../../etc/passwd",
    ] {
        let answer = scene.call("GET", path).send();
        assert_eq!(answer.status, 404, "{path}");
        check_headers(&answer, "/");
    }
}

#[test]
fn whoever_is_not_signed_in_reaches_no_writer_and_has_an_end() {
    let server = Server::with(crate::support::Options { refused_a_minute: 5, ..crate::support::Options::default() });
    let before = Snapshot::of(&server);
    let calls = [
        ("/me/passkeys/1/remove", json!({})),
        ("/me/passkeys/1/report", json!({})),
        ("/me/passkeys/1/name", json!({ "name": "Key" })),
        ("/me/sessions/1/end", json!({})),
        ("/sign-out", json!({ "everywhere": true })),
    ];
    for (path, body) in &calls {
        let answer = server.post_page(path, body).expect_error(401, "access_denied", "sign_in_needed");
        refused(&server, &before, &answer, Logged::No);
    }
    let answer = server.post_page(calls[0].0, &calls[0].1);
    answer.expect_error(429, "temporarily_unavailable", "rate_limited");
}

#[test]
fn changes_that_wait_have_an_end() {
    let server = Server::start();
    let wish = |n: usize| Wish::Invite { name: format!("Person {n}"), groups: BTreeSet::new(), role: Role::Member };
    for n in 0..MAX_OPEN_CHANGES {
        server.propose(wish(n));
    }
    let before = Snapshot::of(&server);
    let more = || ConsoleCommand::Change { wish: wish(MAX_OPEN_CHANGES), propose: true };
    assert_eq!(server.console_refuses(more()), "rate_limited");
    assert_eq!(Snapshot::of(&server).table("change"), before.table("change"));
    // What nobody signed in time makes room.
    server.pass(7 * 24 * 3600 + 1);
    server.console(more());
}

#[test]
fn refused_calls_of_one_address_have_an_end() {
    let server = Server::with(crate::support::Options {
        refused_a_minute: 5,
        ceremonies_a_minute: 3,
        ..crate::support::Options::default()
    });
    let mut mara = Person::manager(&server, "Mara");
    let id = server.ask(&server.job().sign(), &collector());
    let junk = server.job().header("alg", "none").sign();
    for _ in 0..5 {
        server.exchange(&junk, &["x"]).send().invalid("alg_not_allowed");
    }
    let answer = server.exchange(&junk, &["x"]).send();
    let answer = answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("61"));
    server.pass(61);
    server.exchange(&junk, &["x"]).send().invalid("alg_not_allowed");

    let wrong = json!({ "ceremony": "x", "response": {} });
    let signed = mara.sign(&server, &id, "approve");
    for _ in 0..3 {
        server.post_page(&format!("/a/{id}/decision"), &wrong).invalid("challenge_unknown");
    }
    let answer = crate::support::person::decide(&server, &id, &signed);
    answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    server.pass(61);
    crate::support::person::decide(&server, &id, &signed).expect(200);
}

#[test]
fn a_foreign_page_cannot_use_up_its_readers_share_of_ceremonies() {
    let scene = scene();
    let place = format!("/a/{}/options", scene.request);
    for _ in 0..130 {
        let call = scene.call("POST", &place).header("origin", "https://evil.example").body("text/plain", "{}");
        call.send().invalid("origin_wrong");
    }
    scene.server.post_page(&place, &json!({ "decision": "approve" })).expect(200);
}

#[test]
fn the_server_is_told_in_numbers() {
    let scene = scene();
    let answer = scene.server.get("/metrics").expect(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (text, entries) = (answer.text(), Snapshot::of(&scene.server).entries.len());
    for line in [
        "countersign_ready 1".to_owned(),
        format!("countersign_log_entries {entries}"),
        "countersign_issuer_usable{issuer=\"gitlab\"} 1".to_owned(),
        "countersign_unverified_refusals_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
    for name in ["Mara", "Ben", "shop/api"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    scene.server.exchange("no token", &["sts.amazonaws.com"]).send();
    let text = scene.server.get("/metrics").expect(200).text();
    assert!(text.contains("countersign_unverified_refusals_total 1\n"), "{text}");
}
