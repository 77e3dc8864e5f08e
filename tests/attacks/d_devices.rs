//! Codes of devices: guessed, sent to somebody else, used twice, asked for where there are none.

use countersign::domain::oauth::client::{Client, GrantType};
use serde_json::{Value, json};

use crate::support::clients::{client, post, public, server_with, userinfo};
use crate::support::devices::{Codes, GRANT, allow, allowed, ask, deny, find, page_of, poll, tv};
use crate::support::person::{in_session, page};
use crate::support::{Answer, Logged, Options, Person, Server, Snapshot, refused};

struct Scene {
    server: Server,
    mara: Person,
    session: String,
}

fn scene() -> Scene {
    let server = server_with(vec![tv("tv"), tv("radio"), public("spa")]);
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    Scene { server, mara, session }
}

/// Nothing was given, and nothing is said beside `code`.
fn nothing(scene: &Scene, before: &Snapshot, answer: &Answer, (status, code): (u16, &str)) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    refused(&scene.server, before, answer, Logged::No);
}

#[test]
fn attack_077_user_codes_are_guessed_five_times_and_no_answer_tells_whether_one_was() {
    let mut scene = scene();
    let server = &scene.server;
    // What is over, was used, was denied and never was are one answer.
    let late = ask(server, "tv", "openid");
    server.pass(601);
    let used = allowed(server, &scene.session, &mut scene.mara, "openid");
    let denied = ask(server, "tv", "openid");
    deny(server, &scene.session, &page_of(server, &scene.session, &denied.user)).expect(200);
    let told = |code: &str| {
        let before = Snapshot::of(&scene.server);
        let answer = find(&scene.server, &scene.session, code);
        nothing(&scene, &before, &answer, (404, "user_code_unknown"));
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("call_id");
        body
    };
    let answers: Vec<Value> = [&late.user, &used.user, &denied.user, "2222-2222"].map(told).to_vec();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // A slip is no guess.
    for slip in ["", "2222", "2222-222O", "2222-22222"] {
        let answer = find(&scene.server, &scene.session, slip);
        answer.expect_error(400, "invalid_request", "parameter_invalid");
    }
    told("2222-2223");
    let good = ask(&scene.server, "tv", "openid");
    let answer = find(&scene.server, &scene.session, &good.user);
    let answer = answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("601"));
    // A new sign-in is at the same address still; and after the wait the right code is right.
    let again = scene.mara.sign_in(&scene.server);
    find(&scene.server, &again, &good.user).expect_error(429, "temporarily_unavailable", "rate_limited");
    scene.server.pass(601);
    let good = ask(&scene.server, "tv", "openid");
    find(&scene.server, &again, &good.user).expect(200);
}

#[test]
fn attack_077_guesses_of_one_session_are_counted_wherever_they_come_from() {
    let server = Server::with(Options {
        clients: vec![std::sync::Arc::new(tv("tv"))],
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Options::default()
    });
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let codes = ask(&server, "tv", "openid");
    let types = |session: &str, from: &str, code: &str| {
        let call = server.call("POST", "/device/code").of_our_page(&json!({ "code": code })).header("cookie", session);
        call.header("x-forwarded-for", from).send().status
    };
    let guesses: Vec<_> = (1..=6).map(|at| types(&session, &format!("192.0.2.{at}"), "2222-2222")).collect();
    assert_eq!(guesses, [404, 404, 404, 404, 404, 429]);
    // Somebody else, elsewhere, is not held up.
    let other = Person::manager(&server, "Ben").sign_in(&server);
    assert_eq!(types(&other, "192.0.2.77", &codes.user), 200);
    // Many at once are no more than five.
    let last = mara.sign_in(&server);
    let answers: Vec<u16> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..20).map(|_| threads.spawn(|| types(&last, "198.51.100.1", "2222-2222"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 404).count(), 5, "{answers:?}");
}

#[test]
fn attack_077_a_code_that_was_sent_shows_whose_and_from_where_and_a_denial_is_final() {
    let server = Server::with(Options {
        clients: vec![std::sync::Arc::new(tv("tv"))],
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Options::default()
    });
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let asked = post(&server, "/device_authorization", &[("client_id", "tv"), ("scope", "openid offline_access")]);
    let asked = asked.header("x-forwarded-for", "203.0.113.9").send().expect(200);
    let codes = Codes { device: asked.member("device_code"), user: asked.member("user_code") };
    // A link cannot carry the code: there is no such answer, and the page reads nothing from its address.
    assert!(asked.json().get("verification_uri_complete").is_none());
    let with = page(&server, &session, &format!("/device?user_code={0}&code={0}", codes.user)).expect(200).text();
    assert!(!with.contains(&codes.user), "{with}");
    let place = page_of(&server, &session, &codes.user);
    let call = server.call("GET", &place).header("cookie", &session).header("x-forwarded-for", "198.51.100.7");
    let text = call.send().expect(200).text();
    for words in [
        "Build TV",
        "The device is in another network: it asked from 203.0.113.9, and this browser is at 198.51.100.7.",
        "Did you start this yourself, on a device in front of you? If somebody sent you this code, deny.",
        "Access while you are away",
        ">Deny<",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let before = Snapshot::of(&server);
    deny(&server, &session, &place).expect(200);
    let after = Snapshot::of(&server);
    let [entry] = after.since(&before) else { panic!("{:?}", after.since(&before)) };
    assert_eq!(
        (&entry["kind"], &entry["outcome"], &entry["person"]),
        (&json!("grant"), &json!("denied"), &json!(mara.id))
    );
    // Whatever comes later, however late, it stays denied.
    for seconds in [0, 5, 600, 1_000] {
        server.pass(seconds);
        poll(&server, "tv", &codes.device).expect_error(400, "access_denied", "device_denied");
    }
    allow(&server, &session, &place, &mut mara).expect_error(410, "access_denied", "device_over");
    assert!(page(&server, &session, &place).expect(200).text().contains("✕ Denied."));
}

#[test]
fn attack_077_nothing_is_given_for_a_session_alone_nor_in_another_session() {
    let mut scene = scene();
    let mut ben = Person::manager(&scene.server, "Ben");
    let of_ben = ben.sign_in(&scene.server);
    let codes = ask(&scene.server, "tv", "openid");
    let place = page_of(&scene.server, &scene.session, &codes.user);
    let server = &scene.server;
    let before = Snapshot::of(server);
    // Whoever has the page's address has nothing: not to look, not to deny, not to sign.
    page(server, &of_ben, &place).expect(410);
    nothing(&scene, &before, &deny(server, &of_ben, &place), (410, "device_over"));
    nothing(&scene, &before, &allow(server, &of_ben, &place, &mut ben), (410, "device_over"));
    nothing(&scene, &before, &server.post_page(&format!("{place}/deny"), &json!({})), (401, "sign_in_needed"));
    // A touch that was given for something else, or by somebody else, allows nothing.
    let options = in_session(server, &scene.session, &format!("{place}/options"), &json!({})).expect(200).json();
    let body = |ceremony: &Value, response: Value| json!({ "ceremony": ceremony, "response": response });
    // The browser is told whose keys to look for; somebody else's answers all the same.
    let mut unlisted = options.clone();
    unlisted["publicKey"]["allowCredentials"] = json!([]);
    let by_ben = body(&options["ceremony"], ben.authenticator.get(&unlisted).unwrap());
    let before = Snapshot::of(server);
    let path = format!("{place}/allow");
    nothing(&scene, &before, &in_session(server, &scene.session, &path, &by_ben), (403, "passkey_unknown"));
    let sign_in = scene.mara.sign_in_answer(server);
    let before = Snapshot::of(server);
    let answer = in_session(server, &scene.session, &path, &sign_in.body());
    nothing(&scene, &before, &answer, (400, "challenge_unknown"));
    // Over one device, posted for another.
    let other = page_of(server, &scene.session, &ask(server, "radio", "openid offline_access").user);
    let options = in_session(server, &scene.session, &format!("{place}/options"), &json!({})).expect(200).json();
    let mine = body(&options["ceremony"], scene.mara.authenticator.get(&options).unwrap());
    let before = Snapshot::of(server);
    let answer = in_session(server, &scene.session, &format!("{other}/allow"), &mine);
    nothing(&scene, &before, &answer, (400, "statement_mismatch"));
    // And a ceremony is over with its first answer.
    let answer = in_session(server, &scene.session, &path, &mine);
    nothing(&scene, &before, &answer, (400, "challenge_unknown"));
    poll(server, "tv", &codes.device).expect_error(400, "authorization_pending", "device_pending");
    // Whoever types the code after that has it alone.
    let taken = page_of(server, &of_ben, &codes.user);
    deny(server, &scene.session, &place).expect_error(410, "access_denied", "device_over");
    allow(server, &of_ben, &taken, &mut ben).expect(200);
}

#[test]
fn attack_077_a_device_code_counts_once_and_for_its_client_alone() {
    let mut scene = scene();
    let codes = allowed(&scene.server, &scene.session, &mut scene.mara, "openid offline_access");
    let before = Snapshot::of(&scene.server);
    let foreign = poll(&scene.server, "radio", &codes.device);
    nothing(&scene, &before, &foreign, (400, "device_code_invalid"));
    nothing(&scene, &before, &poll(&scene.server, "tv", "dc_nobody"), (400, "device_code_invalid"));
    nothing(&scene, &before, &poll(&scene.server, "tv", &codes.user), (400, "device_code_invalid"));
    nothing(&scene, &before, &poll(&scene.server, "spa", &codes.device), (400, "grant_not_allowed"));
    // Of calls at the same time one counts, and then all of it ends.
    let answers: Vec<_> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..6).map(|_| threads.spawn(|| poll(&scene.server, "tv", &codes.device))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (given, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(given.len(), 1);
    for answer in others {
        answer.expect_error(400, "invalid_grant", "device_code_used");
    }
    userinfo(&scene.server, &given[0].member("access_token")).expect_error(
        401,
        "invalid_token",
        "access_token_invalid",
    );
    let snapshot = Snapshot::of(&scene.server);
    let last = snapshot.of_kind("grant").last().unwrap();
    assert_eq!((&last["outcome"], &last["why"]), (&json!("ended"), &json!("replayed")));
    poll(&scene.server, "tv", &codes.device).expect_error(400, "invalid_grant", "device_code_used");
}

#[test]
fn attack_077_where_no_client_is_for_devices_there_is_no_such_grant() {
    let robot = Client { grants: [GrantType::ClientCredentials].into(), ..client("robot") };
    let server = server_with(vec![public("spa"), robot]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    assert!(metadata.get("device_authorization_endpoint").is_none());
    assert!(!metadata["grant_types_supported"].to_string().contains("device_code"), "{metadata}");
    let before = Snapshot::of(&server);
    let answer = poll(&server, "spa", "dc_x").expect_error(400, "unsupported_grant_type", "grant_unsupported");
    refused(&server, &before, &answer, Logged::No);
    let asked = post(&server, "/device_authorization", &[("client_id", "spa"), ("scope", "openid")]).send();
    let asked = asked.expect_error(400, "unauthorized_client", "grant_not_allowed");
    refused(&server, &before, &asked, Logged::No);
    // With one there is, in both documents.
    let server = server_with(vec![tv("tv")]);
    for place in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let metadata = server.get(place).expect(200).json();
        let endpoint = metadata["device_authorization_endpoint"].as_str().unwrap();
        assert!(endpoint.ends_with("/device_authorization"));
        assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
    }
}

#[test]
fn attack_077_what_moved_meanwhile_holds_when_the_device_comes() {
    let mut scene = scene();
    let codes = allowed(&scene.server, &scene.session, &mut scene.mara, "openid");
    // Signed out between the touch and the fetch.
    in_session(&scene.server, &scene.session, "/sign-out", &json!({})).expect(200);
    let before = Snapshot::of(&scene.server);
    let answer = poll(&scene.server, "tv", &codes.device);
    nothing(&scene, &before, &answer, (400, "grant_over"));
    // The client lost the scope, or is for devices no more.
    let session = scene.mara.sign_in(&scene.server);
    let waiting = ask(&scene.server, "tv", "openid groups");
    let place = page_of(&scene.server, &session, &waiting.user);
    let open = ask(&scene.server, "tv", "openid groups");
    let scopes = countersign::domain::oauth::scope::Scopes::openid();
    scene.server.restart_for(vec![Client { scopes, ..tv("tv") }]);
    allow(&scene.server, &session, &place, &mut scene.mara).expect_error(410, "access_denied", "device_over");
    find(&scene.server, &session, &open.user).expect_error(404, "invalid_request", "user_code_unknown");
}
