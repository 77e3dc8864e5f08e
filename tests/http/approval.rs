//! `/a/{id}` and `/enrol/{link}`: pages, their stream, their calls.

use serde_json::{Value, json};

use countersign::http::caller::MAX_STREAMS_OF_ADDRESS;

use crate::support::rules::AWS;
use crate::support::wire::read_until;
use crate::support::{Person, Server, Snapshot, collector};

/// The states that a stream told, in order.
fn states(stream: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stream).into_owned();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap()).collect()
}

#[test]
fn an_open_page_is_told_of_every_change() {
    let server = Server::start();
    let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let (token, key) = (server.job().environment("finance").sign(), collector());
    let id = server.ask(&token, &key);
    let mut stream = server.call("GET", &format!("/a/{id}/events")).header("accept-encoding", "gzip").start();
    // A change that is told with the next sign of life, after 20 s, is told too late.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut told = Vec::new();
    read_until(&mut stream, &mut told, "\n\n", 1);
    let head = String::from_utf8_lossy(&told).to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"), "{head}");
    mara.approve(&server, &id);
    read_until(&mut stream, &mut told, "\n\n", 2);
    ben.approve(&server, &id);
    read_until(&mut stream, &mut told, "\n\n", 3);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    read_until(&mut stream, &mut told, "\n\n", 4);
    let told = states(&told);
    let lines: Vec<_> =
        told.iter().map(|one| (one["state"].as_str().unwrap(), one["signed"].as_u64().unwrap())).collect();
    assert_eq!(lines, [("waiting", 0), ("waiting", 1), ("approved", 2), ("collected", 2)]);
    assert!(told[3]["html"].as_str().unwrap().contains('<'), "the main part comes along");
}

#[test]
fn an_address_keeps_so_many_pages_open_and_no_more() {
    let server = Server::start();
    Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let path = format!("/a/{}/events", server.ask(&token, &key));
    let open = || {
        let mut stream = server.call("GET", &path).start();
        read_until(&mut stream, &mut Vec::new(), "\n\n", 1);
        stream
    };
    let pages: Vec<_> = (0..MAX_STREAMS_OF_ADDRESS).map(|_| open()).collect();
    let refused = server.get(&path).expect(429);
    assert_eq!(refused.json()["error_code"], "rate_limited");
    assert!(refused.header("retry-after").is_some());
    server.get(path.trim_end_matches("/events")).expect(200);
    drop(pages);
}

#[test]
fn a_denial_reaches_page_and_job() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    let body = json!({ "decision": "deny", "reason": "  not <b>now</b>  " });
    let signed = mara.sign_body(&server, &id, &body);
    let answer = crate::support::person::decide(&server, &id, &signed).expect(200).json();
    assert_eq!(answer["state"], "denied");
    let page = server.get(&format!("/a/{id}")).expect(200).text();
    assert!(page.contains("data-state=\"denied\"") && !page.contains("<b>now"), "the reason is text");
    server.pass(6);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    let answer = answer.expect_error(400, "access_denied", "denied_by_person");
    assert_eq!(answer.member("error_description"), "a person denied this job: not <b>now</b>");
    assert!(answer.member("error_uri").ends_with("/docs/errors#denied_by_person"));
    assert!(!answer.member("hint").is_empty() && !answer.member("call_id").is_empty());
    assert_eq!(Snapshot::of(&server).count("token"), 0);
}

#[test]
fn a_reason_is_bounded_and_only_a_denial_has_one() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let id = server.ask(&server.job().sign(), &collector());
    let place = format!("/a/{id}/options");
    for body in [
        json!({ "decision": "approve", "reason": "because" }),
        json!({ "decision": "deny", "reason": "x".repeat(201) }),
        json!({ "decision": "deny", "reason": "a\nb" }),
        json!({ "decision": "maybe" }),
        json!({}),
        json!({ "decision": "deny", "block": true }),
        json!([]),
    ] {
        server.post_page(&place, &body).invalid("parameter_invalid");
    }
    server.post_page(&place, &json!({ "decision": "deny", "reason": "\u{e9}".repeat(200) })).expect(200);
}

#[test]
fn a_link_that_was_never_given_shows_nothing() {
    let server = Server::start();
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "..%2f..%2fetc", "%00", &"A".repeat(5000)] {
        for (method, path) in [("GET", format!("/a/{id}")), ("GET", format!("/a/{id}/events"))] {
            assert_eq!(server.call(method, &path).send().status, 404, "{path}");
        }
        let answer = server.post_page(&format!("/a/{id}/options"), &json!({ "decision": "approve" }));
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{id}");
    }
}

#[test]
fn attack_074_names_of_a_job_are_text() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let evil = "<img src=x onerror=alert(1)>";
    let job = server.job().with_all(json!({
        "ref": evil, "user_login": "{{7*7}}<script>", "job_project_path": "shop/<b>api", "project_path": "shop/<b>api",
        "ref_path": "refs/heads/\u{200f}niam"
    }));
    let answer = server.exchange(&job.sign(), &[AWS]).collector(&collector()).send().pending();
    let page = server.get(&format!("/a/{}", answer.member("approval_id"))).expect(200).text();
    for never in [evil, "<script>alert", "{{7*7}}<script>", "shop/<b>", "\u{200f}"] {
        assert!(!page.contains(never), "{never} is in the page as it is");
    }
    assert!(page.contains("&lt;img") || page.contains("&#60;img"), "it is shown all the same");
    let summary = answer.json()["summary"].to_string();
    assert!(!summary.contains('\u{1b}') && !summary.contains('\u{200f}'));
}

#[test]
fn enrolment_goes_from_link_to_passkey_to_name() {
    let server = Server::start();
    let (_, link) = server.invite("Mara Meier", &["release-managers"]);
    let page = server.get(&format!("/enrol/{link}")).expect(200);
    assert!(page.text().contains("Mara Meier") && page.text().contains("release-managers"));
    let mut keys = crate::support::person::authenticator();
    let signed = crate::support::person::register(&server, &link, &mut keys);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-countersign-enrolment="));
    for flag in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=900"] {
        assert!(cookie.contains(flag), "{flag}: {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let place = format!("/enrol/{link}/name");
    let name = |text: &str| {
        let call = server.call("POST", &place).of_our_page(&json!({ "name": text }));
        call.header("cookie", cookie.split(';').next().unwrap()).send()
    };
    name("").invalid("parameter_invalid");
    name(&"x".repeat(101)).invalid("parameter_invalid");
    name("my\u{0}key").invalid("parameter_invalid");
    name("my key").expect(200);
    let snapshot = Snapshot::of(&server);
    assert!(snapshot.table("passkey").iter().any(|row| row.contains("my key")));
    assert!(!snapshot.entries.iter().any(|entry| entry.to_string().contains("Mara")), "no names in the log, ever");
}
