//! Who may sign, when it counts: by id, until the token is recorded, for the job that was shown.

use serde_json::json;

use crate::support::person::decide;
use crate::support::rules::AWS;
use crate::support::{Logged, Person, Server, Snapshot, collector, refused};

/// What an administration would do while the server runs; this version has no command for it.
fn in_the_database(server: &Server, sql: &str) {
    let database = rusqlite::Connection::open(server.directory.join("countersign.db")).unwrap();
    database.busy_timeout(crate::support::wire::PATIENCE).unwrap();
    assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
}

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

#[test]
fn attack_032_whoever_leaves_before_the_token_does_not_count() {
    for leaves in [
        "DELETE FROM membership WHERE person = '⟨id⟩'",
        "UPDATE person SET suspended = 1 WHERE id = '⟨id⟩'",
        "UPDATE passkey SET suspended = 1 WHERE person = '⟨id⟩'",
    ] {
        let server = Server::start();
        let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
        let mut cem = Person::manager(&server, "Cem");
        let (token, key) = (server.job().environment("finance").sign(), collector());
        let id = server.ask(&token, &key);
        mara.approve(&server, &id);
        in_the_database(&server, &leaves.replace("⟨id⟩", &mara.id));
        ben.approve(&server, &id);
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().pending();
        assert_eq!(Snapshot::of(&server).count("token"), 0, "{leaves}");
        // Somebody else makes it two.
        cem.approve(&server, &id);
        server.pass(11);
        let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
        assert!(!claims["approver"].as_str().unwrap().contains(&mara.id), "{leaves}: {claims}");
    }
}
