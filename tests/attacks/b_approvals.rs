//! People's decisions: bound to one request, counted once, in time.

use std::sync::Barrier;
use std::time::Duration;

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::Wish;
use countersign::domain::ids::GroupName;
use countersign::domain::time::Timestamp;
use serde_json::json;

use crate::support::person::{Signed, decide, in_session, page, register};
use crate::support::rules::{AWS, VAULT};
use crate::support::wire::form;
use crate::support::{Logged, Options, Person, Server, Snapshot, URL, collector, refused};

#[test]
fn attack_024_nobody_approves_his_own_job() {
    let server = Server::start();
    let unlinked = server.job().environment("careful").sign();
    let mut mara = Person::manager(&server, "Mara");
    let mut ben = Person::manager(&server, "Ben");
    let before = Snapshot::of(&server);
    let answer = server.exchange(&unlinked, &[AWS]).collector(&collector()).send().invalid("starter_not_linked");
    refused(&server, &before, &answer, Logged::Yes);
    server.link_starter(&mara.id);

    let (token, key) = (server.job().environment("careful").sign(), collector());
    let id = server.ask(&token, &key);
    let before = Snapshot::of(&server);
    let answer = mara.decide(&server, &id, "approve").expect_error(403, "access_denied", "self_approval");
    refused(&server, &before, &answer, Logged::Yes);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().pending();
    ben.approve(&server, &id);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);

    let (token, key) = (server.job().environment("careful").sign(), collector());
    let id = server.ask(&token, &key);
    mara.deny(&server, &id);
    server.pass(6);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    answer.expect_error(400, "access_denied", "denied_by_person");
}

#[test]
fn attack_025_an_approval_is_for_the_job_that_was_shown() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (key_a, key_b) = (collector(), collector());
    let (job_a, job_b) = (server.job().sign(), server.job().sign());
    let (a, b) = (server.ask(&job_a, &key_a), server.ask(&job_b, &key_b));

    // The id in the POST is another's.
    let signed = mara.sign(&server, &a, "approve");
    let before = Snapshot::of(&server);
    let answer = decide(&server, &b, &signed).invalid("statement_mismatch");
    refused(&server, &before, &answer, Logged::No);
    // The ceremony is B's, the signature is over A's statement.
    let over_a = mara.sign(&server, &a, "approve");
    let mut over_b = mara.sign(&server, &b, "approve");
    over_b.response = over_a.response;
    let before = Snapshot::of(&server);
    let answer = decide(&server, &b, &over_b).invalid("statement_mismatch");
    refused(&server, &before, &answer, Logged::No);
    // An approval in place of a denial of the same request.
    let approve = mara.sign(&server, &a, "approve");
    let mut deny = mara.sign(&server, &a, "deny");
    deny.response = approve.response;
    let before = Snapshot::of(&server);
    let answer = decide(&server, &a, &deny).invalid("statement_mismatch");
    refused(&server, &before, &answer, Logged::No);
    // A statement of the client's own is not even read.
    let signed = mara.sign(&server, &a, "approve");
    let mut body = signed.body();
    body["statement"] = json!("{}");
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/a/{a}/decision"), &body).invalid("parameter_invalid");
    refused(&server, &before, &answer, Logged::No);

    server.pass(6);
    server.exchange(&job_a, &[AWS]).collector(&key_a).send().pending();
    server.exchange(&job_b, &[AWS]).collector(&key_b).send().pending();
}

#[test]
fn attack_026_a_ceremony_of_one_kind_is_not_one_of_another() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (_, link) = server.invite("Ben", &["release-managers"]);
    let id = server.ask(&server.job().sign(), &collector());
    let mut new_key = crate::support::person::authenticator();

    // A registration, posted as a decision under its own ceremony and under a decision's.
    let registration = register(&server, &link, &mut new_key);
    let before = Snapshot::of(&server);
    let answer = decide(&server, &id, &registration).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    let mut decision = mara.sign(&server, &id, "approve");
    let own = std::mem::replace(&mut decision.response, registration.response.clone());
    let before = Snapshot::of(&server);
    let answer = decide(&server, &id, &decision);
    answer.clone().expect_error(403, "access_denied", "passkey_unknown");
    refused(&server, &before, &answer, Logged::No);
    // The same, under the name of a key that is known.
    let mut decision = mara.sign(&server, &id, "approve");
    decision.response = registration.response;
    decision.response["id"] = own["id"].clone();
    decision.response["rawId"] = own["rawId"].clone();
    let before = Snapshot::of(&server);
    let answer = decide(&server, &id, &decision).invalid("assertion_invalid");
    refused(&server, &before, &answer, Logged::No);

    // An assertion, posted as a registration.
    let place = format!("/enrol/{link}/passkey");
    let assertion = mara.sign(&server, &id, "approve");
    let before = Snapshot::of(&server);
    let answer = server.post_page(&place, &assertion.body()).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    let mut registration = register(&server, &link, &mut new_key);
    registration.response = assertion.response;
    let before = Snapshot::of(&server);
    let answer = server.post_page(&place, &registration.body()).invalid("assertion_invalid");
    refused(&server, &before, &answer, Logged::No);
    assert_eq!(Snapshot::of(&server).count("decision"), 0);
}

/// A ceremony of each kind that an assertion answers: how it is begun, and where its answer is posted.
struct Kind {
    name: &'static str,
    begin: (String, serde_json::Value),
    finish: String,
}

#[test]
fn attack_026_what_was_signed_for_one_purpose_serves_no_other() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let session = ada.sign_in(&server);
    let (tom, _) = server.invite("Tom Ahl", &[]);
    let (ben, link) = server.invite("Ben", &["release-managers"]);
    let in_group = Wish::Join { person: ada.id.clone(), group: GroupName::parse("release-managers").unwrap() };
    server.console(ConsoleCommand::Change { wish: in_group, propose: false });
    let request = server.ask(&server.job().sign(), &collector());
    let (change, _) = server.propose(Wish::Suspend { person: tom });
    let call = |path: &str, body: &serde_json::Value| in_session(&server, &session, path, body);
    // What a job brought for Ada's code.
    let code = call("/me/links/code", &json!({})).expect(200).member("code");
    let by_hand = json!({ "pipeline_source": "web", "aud": format!("{URL}/link"), "iat": server.now() });
    let token = server.job().with_all(by_hand).sign();
    let body = form(&[("code", &code), ("token", &token)]);
    server.call("POST", "/link").body("application/x-www-form-urlencoded", body).send().expect(200);
    let html = page(&server, &session, "/me/links").expect(200).text();
    let proof = html.split("data-proof=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let kind = |name, begin: (&str, serde_json::Value), finish: &str| Kind {
        name,
        begin: (begin.0.to_owned(), begin.1),
        finish: finish.to_owned(),
    };
    let kinds = [
        kind("sign-in", ("/sign-in/options", json!({})), "/sign-in/session"),
        kind(
            "decision",
            (&format!("/a/{request}/options"), json!({ "decision": "approve" })),
            &format!("/a/{request}/decision"),
        ),
        kind(
            "change",
            (&format!("/changes/{change}/options"), json!({ "decision": "approve" })),
            &format!("/changes/{change}/signature"),
        ),
        kind("link", ("/me/links/options", json!({ "proof": proof })), "/me/links/signature"),
    ];
    let mut sign = |one: &Kind| {
        let options = call(&one.begin.0, &one.begin.1).expect(200).json();
        (options["ceremony"].clone(), ada.authenticator.get(&options).unwrap())
    };
    for one in &kinds {
        for other in kinds.iter().filter(|other| other.name != one.name) {
            let what = format!("{} as {}", one.name, other.name);
            // Under its own ceremony: no table but its own knows that.
            let (ceremony, response) = sign(one);
            let before = Snapshot::of(&server);
            let answer = call(&other.finish, &json!({ "ceremony": ceremony, "response": response }));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "challenge_unknown"),
                "{what}: {}",
                answer.text()
            );
            refused(&server, &before, &answer, Logged::No);
            // Under one of the other kind: that is over another challenge.
            let (theirs, _) = sign(other);
            let before = Snapshot::of(&server);
            let answer = call(&other.finish, &json!({ "ceremony": theirs, "response": response }));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "statement_mismatch"),
                "{what}: {}",
                answer.text()
            );
            refused(&server, &before, &answer, Logged::No);
        }
        // As a registration, by a link and in a session; and a registration as each of them.
        let mut fresh = crate::support::person::authenticator();
        let options = call("/me/passkeys/options", &json!({})).expect(200).json();
        let made = fresh.create(&options).unwrap();
        let (ceremony, response) = sign(one);
        for place in [format!("/enrol/{link}/passkey"), "/me/passkeys/new".to_owned()] {
            let before = Snapshot::of(&server);
            let body = json!({ "ceremony": ceremony, "response": response });
            let answer = if place.starts_with("/me") { call(&place, &body) } else { server.post_page(&place, &body) };
            refused(&server, &before, &answer.invalid("challenge_unknown"), Logged::No);
        }
        let before = Snapshot::of(&server);
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        refused(&server, &before, &call("/me/passkeys/new", &body).invalid("assertion_invalid"), Logged::No);
        let (ceremony, _) = sign(one);
        let before = Snapshot::of(&server);
        let answer = call(&one.finish, &json!({ "ceremony": ceremony, "response": made }));
        assert!(matches!(answer.code().as_str(), "passkey_unknown" | "assertion_invalid"), "{}", answer.text());
        refused(&server, &before, &answer, Logged::No);
    }
    let snapshot = Snapshot::of(&server);
    assert_eq!((snapshot.count("decision"), snapshot.table("proved_link").len()), (0, 0));
    assert_eq!(snapshot.of_kind("passkey").filter(|key| key["person"] == json!(ben)).count(), 0);
    // Each does what it was made for.
    // A proof ends what its user's jobs asked for, and signing in ends the session.
    let [sign_in, decision, change, proof] = &kinds;
    for one in [decision, change, proof, sign_in] {
        let (ceremony, response) = sign(one);
        call(&one.finish, &json!({ "ceremony": ceremony, "response": response })).expect(200);
    }
}

#[test]
fn attack_027_what_a_page_had_somebody_sign_shows_where_they_look() {
    let server = Server::start();
    let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    // A page at our origin says "sign in" and has Mara touch her key over an approval. It is one: a signature says which
    // challenge was signed, and not what was on the screen. As a sign-in it is nothing.
    let signed = mara.sign(&server, &id, "approve");
    let before = Snapshot::of(&server);
    let answer = server.post_page("/sign-in/session", &signed.body()).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    decide(&server, &id, &signed).expect(200);
    let entry = Snapshot::of(&server).of_kind("decision").last().unwrap()["seq"].clone();
    // Mara sees it, with its receipt, at the next look; nobody else does.
    let session = mara.sign_in(&server);
    let html = page(&server, &session, "/me/signed").expect(200).text();
    assert!(html.contains(&format!("data-entry=\"{entry}\"")) && html.contains(&format!("/a/{id}\"")), "{html}");
    let receipt = page(&server, &session, &format!("/me/signed/{entry}")).expect(200).json();
    let others = ben.sign_in(&server);
    assert!(!page(&server, &others, "/me/signed").expect(200).text().contains(&id));
    assert_eq!(page(&server, &others, &format!("/me/signed/{entry}")).status, 404);
    // What was signed names its kind and the origin of the page.
    let text = receipt.to_string();
    assert!(text.contains("countersign/approval/v1"), "{text}");
    let client_data = signed.response["response"]["clientDataJSON"].as_str().unwrap();
    let client_data = data_encoding::BASE64URL_NOPAD.decode(client_data.as_bytes()).unwrap();
    let client_data: serde_json::Value = serde_json::from_slice(&client_data).unwrap();
    assert_eq!((&client_data["type"], &client_data["origin"]), (&json!("webauthn.get"), &json!(URL)));
}

#[test]
fn attack_028_approve_against_deny_has_one_end() {
    let server = Server::with(Options { workers: 4, ..Options::default() });
    let mut mara = Person::manager(&server, "Mara");
    let mut ben = Person::manager(&server, "Ben");
    let mut ends = [0_u32; 2];
    // As many as a run has time for; `tests/drill` takes its time.
    let races = if std::env::var("COUNTERSIGN_DRILL").is_ok_and(|how| how == "full") { 1_000 } else { 50 };
    for _ in 0..races {
        server.pass(6);
        let (token, key) = (server.job().sign(), collector());
        let id = server.ask(&token, &key);
        let (yes, no) = (mara.sign(&server, &id, "approve"), ben.sign(&server, &id, "deny"));
        server.pass(6);
        let barrier = Barrier::new(3);
        let (approved, denied, collected) = std::thread::scope(|scope| {
            let together = |signed: &Signed| {
                barrier.wait();
                decide(&server, &id, signed)
            };
            let (yes, no) = (&yes, &no);
            let approve = scope.spawn(move || together(yes));
            let deny = scope.spawn(move || together(no));
            let collect = scope.spawn(|| {
                barrier.wait();
                server.exchange(&token, &[AWS]).collector(&key).send()
            });
            (approve.join().unwrap(), deny.join().unwrap(), collect.join().unwrap())
        });
        server.pass(11);
        let last = server.exchange(&token, &[AWS]).collector(&key).send();
        if denied.status == 200 {
            last.expect_error(400, "access_denied", "denied_by_person");
            assert!(collected.status == 400, "{}", collected.text());
            assert!(approved.status == 200 || approved.code() == "already_decided", "{}", approved.text());
            ends[0] += 1;
        } else {
            denied.expect_error(409, "access_denied", "already_decided");
            approved.expect(200);
            assert_eq!(last.expect(200).claims(), collected.expect(200).claims());
            ends[1] += 1;
        }
    }
    assert!(ends[0] > 0, "not one denial came in time: {ends:?}");
}

#[test]
fn attack_028_a_no_counts_until_the_token_is_recorded() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let mut ben = Person::manager(&server, "Ben");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    ben.decide(&server, &id, "approve").expect_error(409, "access_denied", "already_approved");
    ben.deny(&server, &id);
    server.pass(6);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    answer.expect_error(400, "access_denied", "denied_by_person");

    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    let held = ben.sign(&server, &id, "deny");
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    let before = Snapshot::of(&server);
    let answer = decide(&server, &id, &held).expect_error(409, "access_denied", "already_decided");
    refused(&server, &before, &answer, Logged::Yes);
    ben.decide(&server, &id, "deny").expect_error(409, "access_denied", "already_decided");
}

#[test]
fn attack_029_a_denial_closes_the_job_for_good() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let mut ben = Person::manager(&server, "Ben");
    let (job, key) = (server.job(), collector());
    let token = job.sign();
    let id = server.ask(&token, &key);
    let early = ben.sign(&server, &id, "approve");
    let body = json!({ "decision": "deny", "reason": "not on a Friday" });
    let no = mara.sign_body(&server, &id, &body);
    decide(&server, &id, &no).expect(200);
    let before = Snapshot::of(&server);
    let answer = decide(&server, &id, &early).expect_error(409, "access_denied", "already_decided");
    refused(&server, &before, &answer, Logged::Yes);
    ben.decide(&server, &id, "approve").expect_error(409, "access_denied", "already_decided");
    for round in 0..2 {
        for (token, audience) in [(token.clone(), AWS), (job.again().sign(), AWS), (job.again().sign(), VAULT)] {
            let before = Snapshot::of(&server);
            let answer = server.exchange(&token, &[audience]).collector(&key).send();
            let answer = answer.expect_error(400, "access_denied", "denied_by_person");
            assert!(answer.member("error_description").contains("not on a Friday"));
            refused(&server, &before, &answer, Logged::Yes);
        }
        if round == 0 {
            server.restart();
        }
    }
    server.ask(&server.job().sign(), &key);
}

#[test]
fn attack_030_a_signature_counts_when_it_arrives() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    server.pass(899);
    let signed = mara.sign(&server, &id, "approve");
    server.pass(2);
    decide(&server, &id, &signed).expect_error(410, "expired_token", "request_expired");
    mara.decide(&server, &id, "approve").expect_error(410, "expired_token", "request_expired");
    let back = Timestamp::from_seconds(server.now()) - Duration::from_secs(55);
    for _ in 0..2 {
        server.exchange(&token, &[AWS]).collector(&key).send().expect_error(400, "expired_token", "request_expired");
        // A clock that goes back, and not so far that all stops, revives nothing.
        server.hand.set(back);
    }
    mara.decide(&server, &id, "approve").expect_error(410, "expired_token", "request_expired");
    assert!(server.get(&format!("/a/{id}")).text().contains("data-state=\"expired\""));
}

#[test]
fn attack_030_nothing_outlives_the_job_token() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let short = || server.job().with("exp", server.now() + 100);
    let (token, key) = (short().sign(), collector());
    let pending = server.exchange(&token, &[AWS]).collector(&key).send().pending();
    assert_eq!(pending.json()["expires_in"], 100);
    let id = pending.member("approval_id");
    server.pass(40);
    mara.approve(&server, &id);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    assert_eq!(answer.json()["expires_in"], 60);
    assert_eq!(answer.claims()["exp"], crate::support::NOW + 100);

    let (token, key) = (short().sign(), collector());
    let id = server.ask(&token, &key);
    let signed = mara.sign(&server, &id, "approve");
    server.pass(99);
    decide(&server, &id, &signed).expect(200);
    let late = mara.sign(&server, &server.ask(&short().sign(), &collector()), "approve");
    drop(late);
    server.pass(2);
    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().invalid("token_expired");
    refused(&server, &before, &answer, Logged::Yes);
    server.pass(30);
    server.exchange(&token, &[AWS]).collector(&key).send().invalid("token_expired");
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_031_two_signatures_are_two_people() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let mut ben = Person::manager(&server, "Ben");
    let mut eve = Person::enrol(&server, "Eve", &["others"]);
    let (token, key) = (server.job().environment("finance").sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    // A second passkey of the same person, on another authenticator.
    let mut second = crate::support::person::authenticator();
    let place = format!("/enrol/{}", mara.link);
    let call = |path: &str, body: &serde_json::Value| {
        server.call("POST", &format!("{place}/{path}")).of_our_page(body).header("cookie", &mara.cookie).send()
    };
    let options = call("options", &json!({})).expect(200).json();
    let response = second.create(&options).unwrap();
    call("passkey", &json!({ "ceremony": options["ceremony"], "response": response })).expect(200);
    for keys in [&mut mara.authenticator, &mut second] {
        let options =
            server.post_page(&format!("/a/{id}/options"), &json!({ "decision": "approve" })).expect(200).json();
        let body = json!({ "ceremony": options["ceremony"], "response": keys.get(&options).unwrap() });
        let before = Snapshot::of(&server);
        let answer = server.post_page(&format!("/a/{id}/decision"), &body);
        let answer = answer.expect_error(409, "access_denied", "already_approved");
        refused(&server, &before, &answer, Logged::Yes);
    }
    eve.decide(&server, &id, "approve").expect_error(403, "access_denied", "not_an_approver");
    eve.decide(&server, &id, "deny").expect_error(403, "access_denied", "not_an_approver");
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().pending();
    ben.approve(&server, &id);
    let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    let mut both = [mara.id.as_str(), ben.id.as_str()];
    both.sort_unstable();
    assert_eq!(claims["approver"], both.join("+"));
}
