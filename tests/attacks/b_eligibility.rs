//! Who may sign, when it counts: by id, until the token is recorded, for the job that was shown.

use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::Wish;
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::ids::GroupName;
use countersign::domain::log::note::VerifierKey;
use serde_json::json;

use crate::support::person::{add_passkey, authenticator, decide};
use crate::support::rules::AWS;
use crate::support::{Logged, Person, Server, Snapshot, collector, refused};

#[test]
fn attack_024_the_starter_is_known_by_his_id_and_not_by_his_name() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let _ben = Person::manager(&server, "Ben");
    server.link_starter(&mara.id);
    // Another user with Mara's login and address: nobody knows who that is, so nobody is asked.
    let other = server.job().environment("careful").with("user_id", "99");
    let before = Snapshot::of(&server);
    let answer = server.exchange(&other.sign(), &[AWS]).collector(&collector()).send().invalid("starter_not_linked");
    refused(&server, &before, &answer, Logged::Yes);
    // Mara's own user under another name is Mara.
    let renamed = json!({ "user_login": "ben", "user_email": "ben@shop.example" });
    let id = server.ask(&server.job().environment("careful").with_all(renamed).sign(), &collector());
    let before = Snapshot::of(&server);
    let answer = mara.decide(&server, &id, "approve").expect_error(403, "access_denied", "self_approval");
    refused(&server, &before, &answer, Logged::Yes);
}

#[test]
fn attack_025_two_tabs_are_one_person_and_each_signs_what_it_shows() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (a, b) = (server.ask(&server.job().sign(), &collector()), server.ask(&server.job().sign(), &collector()));
    // Both pages are open, and each has begun; the tabs finish crosswise.
    let (mut in_a, mut in_b) = (mara.sign(&server, &a, "approve"), mara.sign(&server, &b, "approve"));
    std::mem::swap(&mut in_a.response, &mut in_b.response);
    for (request, signed) in [(&a, &in_a), (&b, &in_b)] {
        let before = Snapshot::of(&server);
        let answer = decide(&server, request, signed).invalid("statement_mismatch");
        refused(&server, &before, &answer, Logged::No);
    }
    // Two tabs of one request: the second finds that it is done.
    let (first, second) = (mara.sign(&server, &a, "approve"), mara.sign(&server, &a, "approve"));
    decide(&server, &a, &first).expect(200);
    let before = Snapshot::of(&server);
    let answer = decide(&server, &a, &second).expect_error(409, "access_denied", "already_approved");
    refused(&server, &before, &answer, Logged::Yes);
    assert!(server.get(&format!("/a/{b}")).text().contains("data-state=\"waiting\""));
}

#[test]
fn attack_025_a_job_that_says_something_else_after_the_signature_gets_nothing() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (job, key) = (server.job(), collector());
    let id = server.ask(&job.sign(), &key);
    let signed = mara.sign(&server, &id, "approve");
    for (name, value) in [("sha", "f".repeat(40)), ("user_id", "89".to_owned()), ("pipeline_id", "90211".to_owned())] {
        let before = Snapshot::of(&server);
        let other = job.again().with(name, value);
        let answer = server.exchange(&other.sign(), &[AWS]).collector(&key).send().invalid("token_spent");
        refused(&server, &before, &answer, Logged::Yes);
    }
    decide(&server, &id, &signed).expect(200);
    server.pass(6);
    server.exchange(&job.sign(), &[AWS]).collector(&key).send().expect(200);
}

#[test]
fn attack_030_an_approval_after_the_job_tokens_end_is_too_late() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().with("exp", server.now() + 100).sign(), collector());
    let id = server.ask(&token, &key);
    server.pass(99);
    let signed = mara.sign(&server, &id, "approve");
    server.pass(2);
    decide(&server, &id, &signed).expect_error(410, "expired_token", "request_expired");
    mara.decide(&server, &id, "approve").expect_error(410, "expired_token", "request_expired");
    let snapshot = Snapshot::of(&server);
    assert_eq!((snapshot.count("decision"), snapshot.count("token")), (0, 0));
    server.exchange(&token, &[AWS]).collector(&key).send().invalid("token_expired");
}

/// Somebody leaves: on the console, or by a change that an admin signs.
fn leave(server: &Server, wish: Wish, admin: Option<&mut Person>) {
    match admin {
        None => drop(server.console(ConsoleCommand::Change { wish, propose: false })),
        Some(admin) => {
            let (change, _) = server.propose(wish);
            assert_eq!(admin.sign_change(server, &change, "approve").expect(200).json()["state"], "done");
        }
    }
}

#[test]
fn attack_032_whoever_leaves_before_the_token_does_not_count() {
    for (way, by_admin) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        let server = Server::start();
        let mut ada = Person::first_admin(&server);
        let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
        let mut cem = Person::manager(&server, "Cem");
        // One's only passkey is not taken away.
        let session = mara.sign_in(&server);
        add_passkey(&server, &session, &mut authenticator()).expect(200);
        let (token, key) = (server.job().environment("finance").sign(), collector());
        let id = server.ask(&token, &key);
        mara.approve(&server, &id);
        let person = mara.id.clone();
        let before = Snapshot::of(&server);
        let signed = before.of_kind("decision").last().unwrap()["seq"].clone();
        let credential =
            before.of_kind("passkey").find(|key| key["person"] == json!(person)).unwrap()["credential"].clone();
        let (wish, outcome) = match way {
            0 => (Wish::Leave { person, group: GroupName::parse("release-managers").unwrap() }, "left"),
            1 => (Wish::Suspend { person }, "suspended"),
            _ => {
                let passkey = credential.as_str().unwrap().to_owned();
                (Wish::RemovePasskey { person, passkey }, "passkey_removed")
            }
        };
        leave(&server, wish, by_admin.then_some(&mut ada));
        // The log says why what was signed before does not count.
        let after = Snapshot::of(&server);
        let said = after.since(&before).iter().find(|entry| entry["kind"] == "admin").unwrap();
        assert_eq!((&said["outcome"], &said["person"]), (&json!(outcome), &json!(mara.id)));
        ben.approve(&server, &id);
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().pending();
        assert_eq!(Snapshot::of(&server).count("token"), 0, "{outcome}");
        assert!(server.get(&format!("/a/{id}")).expect(200).text().contains("data-signed=\"1\""), "{outcome}");
        // Somebody else makes it two.
        cem.approve(&server, &id);
        server.pass(11);
        let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
        assert!(!claims["approver"].as_str().unwrap().contains(&mara.id), "{outcome}: {claims}");
        let snapshot = Snapshot::of(&server);
        let issued = snapshot.of_kind("token").last().unwrap();
        assert!(!issued["decisions"].as_array().unwrap().contains(&signed), "{issued}");
        let bundle = server.app.make_bundle(issued["seq"].as_u64().unwrap()).unwrap();
        let verifier = VerifierKey::parse(&server.app.log_vkey).unwrap();
        let report = verify_bundle(&serde_json::to_vec(&bundle).unwrap(), &verifier);
        assert_eq!(report.failed().map(|step| step.name), None, "{report:?}");
    }
}
