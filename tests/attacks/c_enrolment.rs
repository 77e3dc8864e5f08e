//! Enrolment: one link, one person, one first passkey.

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::propose_change::Wish;
use countersign::cli::demo::authenticator::{Attestation, Behaviour};
use serde_json::json;

use crate::support::person::{authenticator, register};
use crate::support::server::admin_link;
use crate::support::wire::{Call, find};
use crate::support::{Answer, Logged, Person, Server, Snapshot, refused};

fn enrol(server: &Server, link: &str, path: &str, cookie: &str, body: &serde_json::Value) -> Answer {
    let call: Call = server.call("POST", &format!("/enrol/{link}/{path}")).of_our_page(body);
    let call = if cookie.is_empty() { call } else { call.header("cookie", cookie) };
    call.send()
}

#[test]
fn attack_052_a_link_admits_once() {
    let server = Server::start();
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let mut keys = authenticator();
    let mut rival = authenticator();
    // Two ceremonies of one link, both begun while it was fresh.
    let (first, second) = (register(&server, &link, &mut keys), register(&server, &link, &mut rival));
    let place = format!("/enrol/{link}/passkey");
    server.post_page(&place, &first.body()).expect(200);
    let before = Snapshot::of(&server);
    for body in [&second, &first] {
        let answer = server.post_page(&place, &body.body()).expect_error(410, "access_denied", "link_spent");
        refused(&server, &before, &answer, Logged::No);
    }
    let answer = enrol(&server, &link, "options", "", &json!({})).expect_error(410, "access_denied", "link_spent");
    refused(&server, &before, &answer, Logged::No);
    enrol(&server, &link, "name", "", &json!({ "name": "mine" })).expect_error(410, "access_denied", "link_spent");
    enrol(&server, &link, "decline", "", &json!({})).expect_error(410, "access_denied", "link_spent");
    let page = server.get(&format!("/enrol/{link}")).expect(410).text();
    assert!(!page.contains("Mara"), "a dead link names nobody");
    Snapshot::of(&server).assert_same_state(&before);
    assert_eq!(before.count("passkey"), 1);
}

#[test]
fn attack_052_a_link_makes_nothing_where_somebody_else_is_signed_in() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara Voss");
    let session = mara.sign_in(&server);
    let (_, link) = server.invite("Ben Ray", &["release-managers"]);
    // A ceremony that was begun before anybody signed in does not help either.
    let mut keys = authenticator();
    let begun = register(&server, &link, &mut keys);
    let before = Snapshot::of(&server);
    let page = server.call("GET", &format!("/enrol/{link}")).header("cookie", &session).send().expect(409).text();
    assert!(
        page.contains("You are signed in as <bdi>Mara Voss</bdi>.") && page.contains("for somebody else"),
        "{page}"
    );
    assert!(!page.contains("Ben") && !page.contains("release-managers"), "whose link it is shows later: {page}");
    for (path, body) in
        [("options", json!({})), ("passkey", begun.body()), ("name", json!({ "name": "mine" })), ("decline", json!({}))]
    {
        let answer = enrol(&server, &link, path, &session, &body).expect_error(409, "access_denied", "somebody_else");
        assert!(!answer.text().contains("Ben") && answer.text().contains("Mara Voss"), "{}", answer.text());
        refused(&server, &before, &answer, Logged::No);
    }
    // Whoever signs out goes on; so does whoever the link is for.
    server.call("POST", "/sign-out").of_our_page(&json!({})).header("cookie", &session).send().expect(200);
    let page = server.call("GET", &format!("/enrol/{link}")).header("cookie", &session).send().expect(200).text();
    assert!(page.contains("Welcome, <bdi>Ben Ray</bdi>"), "{page}");
    let answer = enrol(&server, &link, "passkey", &session, &begun.body()).expect(200);
    let second = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut ben = Person { id: String::new(), link: link.clone(), cookie: second.clone(), authenticator: keys };
    let both = format!("{second}; {}", ben.sign_in(&server));
    enrol(&server, &link, "options", &both, &json!({})).expect(200);
    assert_eq!(Snapshot::of(&server).count("passkey"), 2);
}

#[test]
fn attack_052_a_link_is_for_its_own_person() {
    let server = Server::start();
    let mara = Person::manager(&server, "Mara");
    let (_, fresh) = server.invite("Ben", &["release-managers"]);
    let spent = &mara.link;
    // B's session on A's link, and the reverse.
    let mut keys = authenticator();
    let ben = register(&server, &fresh, &mut keys);
    let before = Snapshot::of(&server);
    let answer = enrol(&server, spent, "passkey", &mara.cookie, &ben.body()).invalid("statement_mismatch");
    refused(&server, &before, &answer, Logged::No);
    let ben = register(&server, &fresh, &mut keys);
    let answer = enrol(&server, &fresh, "passkey", &mara.cookie, &ben.body()).expect(200);
    let bens = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for (link, cookie) in [(spent, &bens), (&fresh, &mara.cookie)] {
        let answer = enrol(&server, link, "options", cookie, &json!({}));
        answer.expect_error(410, "access_denied", "link_spent");
    }
    for unknown in ["x", "..%2f..", &"A".repeat(43), &"A".repeat(4000)] {
        let answer = enrol(&server, unknown, "options", "", &json!({}));
        answer.expect_error(410, "access_denied", "link_spent");
        server.get(&format!("/enrol/{unknown}")).expect(410);
    }
    assert_eq!(Snapshot::of(&server).count("passkey"), 2);
}

#[test]
fn attack_052_a_second_passkey_needs_the_session_of_the_first() {
    let server = Server::start();
    let mara = Person::manager(&server, "Mara");
    let mut second = authenticator();
    let options = enrol(&server, &mara.link, "options", &mara.cookie, &json!({})).expect(200).json();
    let response = second.create(&options).unwrap();
    let body = json!({ "ceremony": options["ceremony"], "response": response });
    let before = Snapshot::of(&server);
    let forged = mara.cookie.replace('=', "=x");
    for cookie in ["", forged.as_str()] {
        let options = enrol(&server, &mara.link, "options", cookie, &json!({}));
        let answer = options.expect_error(410, "access_denied", "link_spent");
        refused(&server, &before, &answer, Logged::No);
    }
    enrol(&server, &mara.link, "passkey", &mara.cookie, &body).expect(200);
    let options = enrol(&server, &mara.link, "options", &mara.cookie, &json!({})).expect(200).json();
    let body = json!({ "ceremony": options["ceremony"], "response": authenticator().create(&options).unwrap() });
    server.pass(15 * 60 + 1);
    let before = Snapshot::of(&server);
    let answer = enrol(&server, &mara.link, "passkey", &mara.cookie, &body);
    let answer = answer.expect_error(410, "access_denied", "link_spent");
    refused(&server, &before, &answer, Logged::No);
    let answer = enrol(&server, &mara.link, "options", &mara.cookie, &json!({}));
    answer.expect_error(410, "access_denied", "link_spent");
    assert_eq!(Snapshot::of(&server).count("passkey"), 2);
}

#[test]
fn attack_052_the_session_of_a_first_passkey_ends_with_the_next_link_and_with_a_passkey() {
    let server = Server::start();
    let invite_again = |person: &Person| {
        server.console(ConsoleCommand::Change { wish: Wish::Recover { person: person.id.clone() }, propose: false });
    };
    let take_a_passkey = |person: &Person| {
        let ConsoleAnswer::Person { person: shown } =
            server.console(ConsoleCommand::Show { person: person.id.clone() })
        else {
            panic!("nobody")
        };
        let passkey = shown.keys[0].credential.to_string();
        let wish = Wish::RemovePasskey { person: person.id.clone(), passkey };
        server.console(ConsoleCommand::Change { wish, propose: false });
    };
    for (name, way) in [("Mara", &invite_again as &dyn Fn(&Person)), ("Ben", &take_a_passkey)] {
        let one = Person::manager(&server, name);
        let add = || {
            let options = enrol(&server, &one.link, "options", &one.cookie, &json!({})).expect(200).json();
            json!({ "ceremony": options["ceremony"], "response": authenticator().create(&options).unwrap() })
        };
        enrol(&server, &one.link, "passkey", &one.cookie, &add()).expect(200);
        let begun = add();
        way(&one);
        let before = Snapshot::of(&server);
        let answer = enrol(&server, &one.link, "passkey", &one.cookie, &begun);
        refused(&server, &before, &answer.expect_error(410, "access_denied", "link_spent"), Logged::No);
        let answer = enrol(&server, &one.link, "options", &one.cookie, &json!({}));
        refused(&server, &before, &answer.expect_error(410, "access_denied", "link_spent"), Logged::No);
    }
}

#[test]
fn attack_052_a_key_is_enrolled_once() {
    let server = Server::start();
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let mut keys = authenticator();
    let first = register(&server, &link, &mut keys);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &first.body()).expect(200);
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let (_, other) = server.invite("Ben", &["release-managers"]);
    // `none` attests nothing about the challenge: the answer of one ceremony, relabelled for another.
    for (link, cookie) in [(&link, cookie.as_str()), (&other, "")] {
        let options = enrol(&server, link, "options", cookie, &json!({})).expect(200).json();
        let mut response = first.response.clone();
        let data = json!({
            "type": "webauthn.create", "challenge": options["publicKey"]["challenge"],
            "origin": crate::support::URL, "crossOrigin": false
        });
        response["response"]["clientDataJSON"] =
            data_encoding::BASE64URL_NOPAD.encode(data.to_string().as_bytes()).into();
        let before = Snapshot::of(&server);
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        let answer = enrol(&server, link, "passkey", cookie, &body);
        let answer = answer.expect_error(409, "invalid_request", "passkey_known");
        refused(&server, &before, &answer, Logged::No);
    }
    assert_eq!(Snapshot::of(&server).count("passkey"), 1);
}

#[test]
fn attack_052_a_link_dies_after_a_day_and_is_kept_hashed() {
    let server = Server::start();
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let mut keys = authenticator();
    let signed = register(&server, &link, &mut keys);
    for file in std::fs::read_dir(&server.directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(find(&bytes, link.as_bytes()).is_none(), "the link lies on the disk");
    }
    server.get(&format!("/enrol/{link}")).expect(200);
    let admin = admin_link().rsplit_once('/').unwrap().1;
    assert!(server.get(&format!("/enrol/{admin}")).expect(200).text().contains("Ada Admin"));
    server.pass(24 * 3600 + 1);
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body());
    let answer = answer.expect_error(410, "access_denied", "link_spent");
    refused(&server, &before, &answer, Logged::No);
    for dead in [link.as_str(), admin] {
        server.get(&format!("/enrol/{dead}")).expect(410);
        enrol(&server, dead, "options", "", &json!({})).expect_error(410, "access_denied", "link_spent");
    }
}

#[test]
fn attack_052_declined_is_declined() {
    let server = Server::start();
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let mut keys = authenticator();
    let signed = register(&server, &link, &mut keys);
    enrol(&server, &link, "decline", "", &json!({})).expect(200);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body());
    answer.expect_error(410, "access_denied", "link_spent");
    server.get(&format!("/enrol/{link}")).expect(410);
    let snapshot = Snapshot::of(&server);
    assert!(snapshot.of_kind("enrolment").any(|entry| entry["outcome"] == "declined"));
    assert_eq!(snapshot.count("passkey"), 0);
}

/// How a key deviates.
type Lie = fn(&mut Behaviour);

#[test]
fn attack_053_the_server_judges_the_key_and_not_the_page() {
    let server = Server::start();
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let place = format!("/enrol/{link}/passkey");
    let lies: &[(&str, Lie)] = &[
        ("no verification", |key| key.user_verified = false),
        ("no touch", |key| key.user_present = false),
        ("ES256K", |key| key.algorithm = -47),
        ("RS1", |key| key.algorithm = -65535),
        ("a long id", |key| key.credential_id_length = 1024),
        ("another RP", |key| key.rp_id = Some("evil.example".to_owned())),
        ("another origin", |key| key.origin = Some("https://evil.example".to_owned())),
        ("framed", |key| key.cross_origin = Some(true)),
        ("another ceremony", |key| key.ceremony = Some("webauthn.get".to_owned())),
        ("bytes behind", |key| key.trailing = vec![1]),
    ];
    for (name, lie) in lies {
        let mut keys = authenticator();
        lie(&mut keys.behaviour);
        let signed = register(&server, &link, &mut keys);
        let before = Snapshot::of(&server);
        let answer = server.post_page(&place, &signed.body());
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        refused(&server, &before, &answer, Logged::No);
    }
    let signed = register(&server, &link, &mut authenticator());
    server.post_page(&place, &signed.body()).expect(200);
}

#[test]
fn attack_059_a_claimed_model_is_not_a_proven_one() {
    for (attestation, strength) in [
        (Attestation::None, "Unproven: no attestation"),
        (Attestation::PackedSelf, "Unproven: self attestation"),
        (Attestation::Named("acme".to_owned()), "Unproven: no attestation"),
    ] {
        claims_a_model(attestation, strength);
    }
}

fn claims_a_model(attestation: Attestation, strength: &str) {
    let server = Server::start();
    let (id, link) = server.invite("Mara", &["release-managers"]);
    let mut keys = authenticator();
    // A YubiKey 5's AAGUID, without attestation.
    keys.behaviour.aaguid =
        [0xcb, 0x69, 0x48, 0x1e, 0x8f, 0xf7, 0x40, 0x39, 0x93, 0xec, 0x0a, 0x27, 0x29, 0xa1, 0x54, 0xa8];
    keys.behaviour.attestation = attestation;
    let signed = register(&server, &link, &mut keys);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
    assert_eq!(answer.json()["passkey"]["strength"], strength);
    let mut mara = Person { id, link, cookie: String::new(), authenticator: keys };
    let (token, key) = (server.job().sign(), crate::support::collector());
    let request = server.ask(&token, &key);
    mara.approve(&server, &request);
    let claims = server.exchange(&token, &["sts.amazonaws.com"]).collector(&key).send().expect(200).claims();
    assert!(!claims["amr"].to_string().contains("hwk"), "{claims}");
    assert_eq!(claims["acr"], "phr");
}
