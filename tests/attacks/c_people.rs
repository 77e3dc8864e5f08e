//! Changes that admins sign: nobody makes approvers alone, nobody comes back alone.

use std::collections::BTreeSet;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::propose_change::Wish;
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::change::LinkKind;
use countersign::domain::ids::{GroupName, IssuerName};
use countersign::domain::log::note::VerifierKey;
use countersign::domain::people::Role;
use serde_json::{Value, json};

use crate::support::person::{add_passkey, authenticator, decide, in_session, register};
use crate::support::rules::AWS;
use crate::support::{Answer, Logged, Person, Server, Snapshot, collector, refused, rejected};

const DAY: u64 = 24 * 3600;

fn group() -> GroupName {
    GroupName::parse("release-managers").unwrap()
}

fn join(person: &Person) -> Wish {
    Wish::Join { person: person.id.clone(), group: group() }
}

fn at_once(wish: Wish) -> ConsoleCommand {
    ConsoleCommand::Change { wish, propose: false }
}

/// A fresh request that release managers approve.
fn ask(server: &Server) -> String {
    server.ask(&server.job().sign(), &collector())
}

fn enrolment_is_dead(server: &Server, link: &str) {
    assert_eq!(server.get(&format!("/enrol/{link}")).status, 410);
    let answer = server.post_page(&format!("/enrol/{link}/options"), &json!({}));
    answer.expect_error(410, "access_denied", "link_spent");
}

fn role(person: &Person, role: Role) -> ConsoleCommand {
    at_once(Wish::Role { person: person.id.clone(), role })
}

/// What the page of a change says of it.
fn state(server: &Server, change: &str) -> String {
    let page = server.get(&format!("/changes/{change}")).expect(200).text();
    page.split("data-state=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn changes(snapshot: &Snapshot) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    snapshot.of_kind("change").map(|one| (text(&one["outcome"]).unwrap(), text(&one["by"]))).collect()
}

#[test]
fn attack_100_an_admin_does_not_make_himself_an_approver() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let _mara = Person::manager(&server, "Mara");
    let (change, _) = server.propose(join(&ada));
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "self_approval");
    rejected(&server, &before, &answer);

    let signed = bea.sign_change(&server, &change, "approve").expect(200).json();
    assert_eq!(signed["state"], "delayed");
    let request = ask(&server);
    let before = Snapshot::of(&server);
    let answer = ada.decide(&server, &request, "approve").expect_error(403, "access_denied", "not_an_approver");
    refused(&server, &before, &answer, Logged::Yes);
    let answer = bea.sign_change(&server, &change, "approve").expect_error(409, "access_denied", "already_approved");
    assert_eq!(answer.json()["error_code"], "already_approved");
    server.pass(DAY - 60);
    let request = ask(&server);
    ada.decide(&server, &request, "approve").expect_error(403, "access_denied", "not_an_approver");
    server.pass(61);
    let request = ask(&server);
    ada.approve(&server, &request);
    let snapshot = Snapshot::of(&server);
    let signed: Vec<_> = changes(&snapshot).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(signed, ["proposed", "rejected", "signed", "rejected", "done"]);
    // The window shows in the log: who signed, from when on it was in effect, and the statement that was signed.
    let entry = snapshot.of_kind("change").find(|one| one["outcome"] == "signed").unwrap();
    assert_eq!(entry["by"], bea.id.as_str());
    assert!(entry["effective"].as_str().unwrap() > entry["time"].as_str().unwrap());
    assert!(entry["evidence"]["statement"].is_string() && entry["evidence"]["assertion"].is_string());
    let joined = snapshot.of_kind("admin").filter(|one| one["outcome"] == "joined").last().unwrap();
    assert_eq!(joined["person"], ada.id.as_str());
}

#[test]
fn attack_100_a_second_admin_makes_it_so_at_once_and_any_admin_stops_it() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let (mut tom, mut eve) = (Person::enrol(&server, "Tom Ahl", &[]), Person::enrol(&server, "Eve", &[]));
    let _mara = Person::manager(&server, "Mara");
    let (change, _) = server.propose(join(&tom));
    ada.sign_change(&server, &change, "approve").expect(200);
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    let (token, key) = (server.job().sign(), collector());
    let request = server.ask(&token, &key);
    tom.approve(&server, &request);
    server.pass(6);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    // Whoever was let in by a change is in a proof like anybody else.
    let entry = answer.json()["log"]["index"].as_u64().unwrap();
    let bundle = serde_json::to_vec(&server.app.make_bundle(entry).unwrap()).unwrap();
    let pinned = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = verify_bundle(&bundle, &pinned);
    assert!(report.failed().is_none(), "{report:?}");
    let page = server.get(&format!("/changes/{change}")).expect(200).text();
    assert!(page.contains("data-state=\"done\"") && page.contains("Add somebody to release-managers"), "{page}");
    bea.sign_change(&server, &change, "deny").expect_error(409, "access_denied", "already_decided");

    let (change, _) = server.propose(join(&eve));
    ada.sign_change(&server, &change, "approve").expect(200);
    assert_eq!(bea.sign_change(&server, &change, "deny").expect(200).json()["state"], "refused");
    server.pass(2 * DAY);
    let request = ask(&server);
    eve.decide(&server, &request, "approve").expect_error(403, "access_denied", "not_an_approver");
    ada.sign_change(&server, &change, "approve").expect_error(409, "access_denied", "already_decided");
}

#[test]
fn attack_100_one_admin_does_not_make_two_approvers_by_inviting_them() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let _mara = Person::manager(&server, "Mara");
    let mut made = Vec::new();
    for name in ["Sock One", "Sock Two"] {
        let wish = Wish::Invite { name: name.to_owned(), groups: BTreeSet::from([group()]), role: Role::Admin };
        let (change, link) = server.propose(wish);
        let link = link.unwrap();
        enrolment_is_dead(&server, &link);
        assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
        let page = server.get(&format!("/enrol/{link}")).expect(200).text();
        assert!(page.contains("<bdi>Ada Admin</bdi> invited you") && page.contains("as a member."), "{page}");
        made.push((change, Person::by_link(&server, name, link)));
    }
    let request = ask(&server);
    for (_, sock) in &mut made {
        sock.decide(&server, &request, "approve").expect_error(403, "access_denied", "not_an_approver");
    }
    // They are no admins either: one cannot sign for the other.
    let (first, second) = made.split_at_mut(1);
    let answer = first[0].1.sign_change(&server, &second[0].0, "approve");
    answer.expect_error(403, "access_denied", "not_an_admin");
    // Whoever was let in by a change that is refused then is out.
    ada.sign_change(&server, &second[0].0, "deny").expect(200);
    server.pass(DAY + 1);
    let request = ask(&server);
    first[0].1.approve(&server, &request);
    second[0].1.decide(&server, &request, "deny").expect_error(403, "access_denied", "passkey_suspended");
}

#[test]
fn attack_052_only_an_admins_signature_counts_and_only_once() {
    let server = Server::start();
    let (mut ada, mut mara) = (Person::first_admin(&server), Person::manager(&server, "Mara"));
    let mut tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (change, _) = server.propose(join(&tom));
    let place = format!("/changes/{change}/signature");
    for nobody in [&mut mara, &mut tom] {
        let before = Snapshot::of(&server);
        let answer = nobody.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "not_an_admin");
        rejected(&server, &before, &answer);
        let answer = nobody.sign_change(&server, &change, "deny").expect_error(403, "access_denied", "not_an_admin");
        assert!(answer.json()["log"]["index"].is_u64());
    }
    // A key that was never enrolled.
    let options = server.post_page(&format!("/changes/{change}/options"), &json!({ "decision": "approve" }));
    let options = options.expect(200).json();
    let mut stranger = authenticator();
    register(&server, &server.invite("Nobody", &[]).1, &mut stranger);
    let before = Snapshot::of(&server);
    let body = json!({ "ceremony": options["ceremony"], "response": stranger.get(&options).unwrap() });
    let answer = server.post_page(&place, &body).expect_error(403, "access_denied", "passkey_unknown");
    refused(&server, &before, &answer, Logged::No);
    // The touch of an approval is no signature of a change, nor the other way round.
    let request = ask(&server);
    let approval = mara.sign(&server, &request, "approve");
    let before = Snapshot::of(&server);
    let answer = server.post_page(&place, &approval.body()).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    let options = server.post_page(&format!("/changes/{change}/options"), &json!({ "decision": "approve" }));
    let options = options.expect(200).json();
    let response = ada.authenticator.get(&options).unwrap();
    let body = json!({ "ceremony": options["ceremony"], "response": response });
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/a/{request}/decision"), &body).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    // Of another change.
    let (other, _) = server.propose(Wish::Suspend { person: tom.id.clone() });
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/changes/{other}/signature"), &body).invalid("statement_mismatch");
    refused(&server, &before, &answer, Logged::No);
    // Twice.
    let options = server.post_page(&format!("/changes/{change}/options"), &json!({ "decision": "approve" }));
    let options = options.expect(200).json();
    let body = json!({ "ceremony": options["ceremony"], "response": ada.authenticator.get(&options).unwrap() });
    server.post_page(&place, &body).expect(200);
    let before = Snapshot::of(&server);
    let answer = server.post_page(&place, &body).invalid("challenge_unknown");
    refused(&server, &before, &answer, Logged::No);
    // Signed as a denial, sent where an approval was asked: the server's own statement counts.
    for body in [json!({ "decision": "maybe" }), json!({}), json!({ "decision": "approve", "change": {} })] {
        server.post_page(&format!("/changes/{change}/options"), &body).invalid("parameter_invalid");
    }
    for unknown in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "..%2f.."] {
        assert_eq!(server.get(&format!("/changes/{unknown}")).status, 404);
        let answer = server.post_page(&format!("/changes/{unknown}/options"), &json!({ "decision": "approve" }));
        answer.expect_error(404, "invalid_request", "not_found");
    }
}

#[test]
fn attack_052_a_passkey_that_was_added_signs_no_change_for_an_hour() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let session = ada.sign_in(&server);
    let mut keys = authenticator();
    add_passkey(&server, &session, &mut keys).expect(200);
    std::mem::swap(&mut ada.authenticator, &mut keys);
    let (change, _) = server.propose(Wish::Suspend { person: tom.id.clone() });
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "passkey_too_new");
    rejected(&server, &before, &answer);
    server.pass(3601);
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
}

#[test]
fn attack_054_a_copied_key_signs_no_change_any_more() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (first, _) = server.propose(join(&tom));
    bea.authenticator.behaviour.counter_step = 6;
    bea.sign_change(&server, &first, "approve").expect(200);
    let (change, _) = server.propose(Wish::Suspend { person: tom.id.clone() });
    bea.authenticator.behaviour.counter_step = -1;
    let before = Snapshot::of(&server);
    bea.sign_change(&server, &change, "approve").invalid("assertion_invalid");
    let after = Snapshot::of(&server);
    let new: Vec<_> = after.since(&before).iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(new, ["rejected", "copied"]);
    bea.authenticator.behaviour.counter_step = 100;
    bea.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "passkey_suspended");
    // What it signed before does not count either, and its delay does not run out.
    server.pass(2 * DAY);
    assert_eq!(state(&server, &first), "waiting");
    assert_eq!(ada.sign_change(&server, &first, "approve").expect(200).json()["state"], "delayed");
}

#[test]
fn attack_100_what_an_admin_signed_ends_with_the_admin() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let (tom, eve) = (Person::enrol(&server, "Tom Ahl", &[]), Person::enrol(&server, "Eve", &[]));
    let _mara = Person::manager(&server, "Mara");
    let (gone, back) = (
        [at_once(Wish::Suspend { person: bea.id.clone() }), role(&bea, Role::Member)],
        [at_once(Wish::Restore { person: bea.id.clone() }), role(&bea, Role::Admin)],
    );
    for ((gone, back), whose) in gone.into_iter().zip(back).zip([&tom, &eve]) {
        let (change, _) = server.propose(join(whose));
        assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
        server.console(gone);
        assert_eq!(state(&server, &change), "waiting");
        server.console(back);
        assert_eq!(state(&server, &change), "waiting");
        server.pass(DAY + 60);
        assert_eq!(state(&server, &change), "waiting");
        // Another signature starts the delay anew; the same admin may sign again.
        assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
        server.pass(DAY - 60);
        assert_eq!(state(&server, &change), "delayed");
        assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    }
}

#[test]
fn attack_100_what_a_reported_passkey_signed_does_not_count() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (change, _) = server.propose(join(&tom));
    bea.sign_change(&server, &change, "approve").expect(200);
    let session = bea.sign_in(&server);
    let page = server.call("GET", "/me/passkeys").header("cookie", &session).send().expect(200).text();
    let number = page.split("data-passkey=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    in_session(&server, &session, &format!("/me/passkeys/{number}/report"), &json!({})).expect(200);
    assert_eq!(state(&server, &change), "waiting");
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
}

#[test]
fn attack_062_the_last_passkey_and_the_last_admin_stay() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let mara = Person::manager(&server, "Mara");
    let digest = |person: &Person| match server.console(ConsoleCommand::Show { person: person.id.clone() }) {
        ConsoleAnswer::Person { person } => person.keys[0].credential.to_string(),
        other => panic!("{other:?}"),
    };
    let key =
        |person: &Person| Wish::RemovePasskey { person: person.id.clone(), passkey: digest(person)[..12].to_owned() };
    let (adas, maras) = (key(&ada), key(&mara));
    let before = Snapshot::of(&server);
    for propose in [false, true] {
        for (wish, code) in [
            (maras.clone(), "last_passkey"),
            (adas.clone(), "last_passkey"),
            (Wish::Suspend { person: ada.id.clone() }, "last_admin"),
            (Wish::Role { person: ada.id.clone(), role: Role::Member }, "last_admin"),
            (Wish::Role { person: ada.id.clone(), role: Role::Auditor }, "last_admin"),
            (Wish::RemovePasskey { person: mara.id.clone(), passkey: "0".to_owned() }, "not_found"),
        ] {
            assert_eq!(
                server.console_refuses(ConsoleCommand::Change { wish: wish.clone(), propose }),
                code,
                "{wish:?}"
            );
        }
    }
    Snapshot::of(&server).assert_identical(&before);
    // Judged again when it is signed: what was possible then may leave nobody now.
    let mut bea = Person::admin(&server, "Bea Admin");
    let (gone, _) = server.propose(Wish::Suspend { person: bea.id.clone() });
    let (demoted, _) = server.propose(Wish::Suspend { person: ada.id.clone() });
    ada.sign_change(&server, &gone, "approve").expect(200);
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &demoted, "approve").expect_error(409, "access_denied", "last_admin");
    rejected(&server, &before, &answer);
    bea.sign_change(&server, &demoted, "approve").expect_error(403, "access_denied", "passkey_suspended");
}

#[test]
fn attack_062_nobody_comes_back_alone() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let mut mara = Person::manager(&server, "Mara");
    let recover = |person: &Person| Wish::Recover { person: person.id.clone() };
    // The only admin cannot let himself in, however long it takes.
    let (own, link) = server.propose(recover(&ada));
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &own, "approve").expect_error(403, "access_denied", "self_approval");
    rejected(&server, &before, &answer);
    server.pass(3 * DAY);
    enrolment_is_dead(&server, &link.unwrap());

    let (mut bea, mut cyd) = (Person::admin(&server, "Bea Admin"), Person::admin(&server, "Cyd Admin"));
    let (change, link) = server.propose(recover(&mara));
    let link = link.unwrap();
    ada.sign_change(&server, &change, "approve").expect(200);
    server.pass(2 * DAY);
    enrolment_is_dead(&server, &link);
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
    server.pass(DAY - 1);
    enrolment_is_dead(&server, &link);
    // Whoever still has a passkey of that person stops it.
    assert_eq!(mara.sign_change(&server, &change, "deny").expect(200).json()["state"], "refused");
    server.pass(DAY);
    enrolment_is_dead(&server, &link);

    let (change, link) = server.propose(recover(&mara));
    let link = link.unwrap();
    for admin in [&mut bea, &mut cyd] {
        admin.sign_change(&server, &change, "approve").expect(200);
    }
    server.pass(DAY + 1);
    let mut back = Person::by_link(&server, "Mara", link.clone());
    let request = ask(&server);
    let before = Snapshot::of(&server);
    let answer = mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_unknown");
    refused(&server, &before, &answer, Logged::No);
    let before = Snapshot::of(&server);
    let answer = back.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_rests");
    refused(&server, &before, &answer, Logged::Yes);
    back.deny(&server, &request);
    enrolment_is_dead(&server, &link);
    server.pass(DAY + 1);
    let request = ask(&server);
    back.approve(&server, &request);
    let snapshot = Snapshot::of(&server);
    assert!(snapshot.of_kind("enrolment").any(|entry| entry["outcome"] == "recovery"));
    assert!(snapshot.of_kind("admin").any(|entry| entry["outcome"] == "passkey_removed"));
}

#[test]
fn attack_062_admins_vouch_for_a_passkey_and_the_console_is_loud() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let mara = Person::manager(&server, "Mara");
    let wish = Wish::Recover { person: mara.id.clone() };
    let ConsoleAnswer::Invited { link, .. } = server.console(at_once(wish)) else { panic!("no link") };
    let mut back = Person::by_link(&server, "Mara", link.rsplit_once('/').unwrap().1.to_owned());
    let told = server.get("/readyz").expect(200).json()["warnings"].to_string();
    assert!(told.contains(&format!("the console let {} in again", mara.id)), "{told}");
    let request = ask(&server);
    back.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_rests");
    let ConsoleAnswer::Person { person } = server.console(ConsoleCommand::Show { person: mara.id.clone() }) else {
        panic!("no person")
    };
    let passkey = person.keys[0].credential.to_string();
    let (change, _) = server.propose(Wish::Vouch { person: mara.id.clone(), passkey });
    back.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "not_an_admin");
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "waiting");
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    back.approve(&server, &request);
    let snapshot = Snapshot::of(&server);
    assert!(snapshot.of_kind("admin").any(|entry| entry["outcome"] == "recovered"));
    server.pass(8 * DAY);
    assert_eq!(server.get("/readyz").expect(200).json()["warnings"], json!([]));
}

#[test]
fn attack_100_suspension_is_at_once_and_coming_back_is_not() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let (token, key) = (server.job().environment("finance").sign(), collector());
    let request = server.ask(&token, &key);
    mara.approve(&server, &request);
    let (_, fresh) = server.invite("Late", &["release-managers"]);
    let late = match server.console(ConsoleCommand::Show { person: "Late".to_owned() }) {
        ConsoleAnswer::Person { person } => person.line.person.to_string(),
        other => panic!("{other:?}"),
    };
    let mut keys = authenticator();
    let begun = register(&server, &fresh, &mut keys);
    for person in [&mara.id, &late] {
        let (change, _) = server.propose(Wish::Suspend { person: person.clone() });
        assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    }
    enrolment_is_dead(&server, &fresh);
    let answer = server.post_page(&format!("/enrol/{fresh}/passkey"), &begun.body());
    answer.expect_error(410, "access_denied", "link_spent");
    mara.decide(&server, &request, "deny").expect_error(403, "access_denied", "passkey_suspended");

    let (change, _) = server.propose(Wish::Restore { person: mara.id.clone() });
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
    mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_suspended");
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    // What she signed before does not count again.
    ben.approve(&server, &request);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().pending();
    assert!(server.get(&format!("/a/{request}")).expect(200).text().contains("data-signed=\"1\""));
}

#[test]
fn attack_100_whose_user_it_is_changes_by_two_and_ends_what_was_asked() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let (mut mara, tom) = (Person::manager(&server, "Mara"), Person::manager(&server, "Tom Ahl"));
    server.link_starter(&mara.id);
    let issuer = || IssuerName::parse("gitlab").unwrap();
    let link =
        |owner: LinkKind| Wish::Link { person: tom.id.clone(), issuer: issuer(), user_id: "88".to_owned(), owner };
    let unlink = Wish::Unlink { person: None, issuer: issuer(), user_id: "88".to_owned() };
    let (token, key) = (server.job().environment("careful").sign(), collector());
    let request = server.ask(&token, &key);
    assert_eq!(server.console_refuses(at_once(link(LinkKind::Person))), "already_decided");
    let (change, _) = server.propose(unlink);
    ada.sign_change(&server, &change, "approve").expect(200);
    mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "self_approval");
    bea.sign_change(&server, &change, "approve").expect(200);
    // Nobody signs a request whose starter is somebody else by now.
    let answer = server.post_page(&format!("/a/{request}/options"), &json!({ "decision": "approve" }));
    assert_eq!(answer.code(), "rule_changed", "{}", answer.text());
    let (change, _) = server.propose(link(LinkKind::Bot));
    ada.sign_change(&server, &change, "approve").expect(200);
    bea.sign_change(&server, &change, "approve").expect(200);
    let request = ask(&server);
    let page = server.get(&format!("/a/{request}")).expect(200).text();
    assert!(page.contains("Started by a bot for which <bdi>Tom Ahl</bdi> answers"), "{page}");
    let outcomes: Vec<_> =
        Snapshot::of(&server).of_kind("link").map(|entry| entry["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["added", "removed", "added"]);
}

#[test]
fn attack_060_a_name_that_could_be_taken_for_anothers_is_not_given() {
    let server = Server::start();
    server.invite("Mara Voss", &[]);
    let before = Snapshot::of(&server);
    let invite = |name: &str| Wish::Invite { name: name.to_owned(), groups: BTreeSet::new(), role: Role::Member };
    for name in ["mara voss", "Маra Voss", "MaraVoss", "Ada Adm\u{131}n", "\u{ff21}da Admin"] {
        for propose in [true, false] {
            let command = ConsoleCommand::Change { wish: invite(name), propose };
            assert_eq!(server.console_refuses(command), "name_taken", "{name}");
        }
    }
    for name in ["", "Mara\u{202e}", "a\u{0}b", "Ma\u{200b}ra", &"x".repeat(10_000)] {
        for propose in [true, false] {
            let command = ConsoleCommand::Change { wish: invite(name), propose };
            assert_eq!(server.console_refuses(command), "parameter_invalid", "{name:?}");
        }
    }
    Snapshot::of(&server).assert_identical(&before);
}

#[test]
fn attack_100_a_change_ends_and_waits_once() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (change, _) = server.propose(join(&tom));
    let again = ConsoleCommand::Change { wish: join(&tom), propose: true };
    assert_eq!(server.console_refuses(again), "already_decided");
    server.pass(7 * DAY + 1);
    assert!(server.get(&format!("/changes/{change}")).expect(200).text().contains("data-state=\"expired\""));
    ada.sign_change(&server, &change, "approve").expect_error(410, "access_denied", "change_over");
    // What takes effect by itself after something else changed is not done.
    let (change, _) = server.propose(join(&tom));
    ada.sign_change(&server, &change, "approve").expect(200);
    server.console(at_once(Wish::Suspend { person: tom.id.clone() }));
    server.pass(DAY + 1);
    assert!(server.get(&format!("/changes/{change}")).expect(200).text().contains("data-state=\"failed\""));
    let last = Snapshot::of(&server).of_kind("change").last().unwrap().clone();
    assert_eq!((&last["outcome"], &last["fault"]), (&json!("failed"), &json!("already_decided")));
}

#[test]
fn attack_100_what_takes_effect_by_itself_survives_a_restart_and_a_crowd() {
    let mut server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let mut tom = Person::enrol(&server, "Tom Ahl", &[]);
    let _mara = Person::manager(&server, "Mara");
    let (change, _) = server.propose(join(&tom));
    ada.sign_change(&server, &change, "approve").expect(200);
    server.restart();
    server.pass(DAY + 1);
    // A job that asks finds the group as it is by now, and so does whoever signs.
    let request = ask(&server);
    tom.approve(&server, &request);
    assert_eq!(changes(&Snapshot::of(&server)).last().unwrap().0, "done");
    // Two admins at the same moment: it is done once.
    let eve = Person::enrol(&server, "Eve", &[]);
    let (change, _) = server.propose(join(&eve));
    let touch = |admin: &mut Person| {
        let options = server.post_page(&format!("/changes/{change}/options"), &json!({ "decision": "approve" }));
        let options = options.expect(200).json();
        json!({ "ceremony": options["ceremony"], "response": admin.authenticator.get(&options).unwrap() })
    };
    let bodies = [touch(&mut ada), touch(&mut bea)];
    let place = format!("/changes/{change}/signature");
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| server.post_page(&place, body).expect(200));
        }
    });
    let snapshot = Snapshot::of(&server);
    let proposed =
        snapshot.of_kind("change").filter(|entry| entry["outcome"] == "proposed").last().unwrap()["seq"].clone();
    let of_this = snapshot.of_kind("change").filter(|one| one["seq"] == proposed || one["proposed"] == proposed);
    let outcomes: Vec<_> = of_this.map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["proposed", "signed", "signed", "done"]);
    let joined = snapshot.of_kind("admin").filter(|entry| entry["person"] == eve.id.as_str());
    assert_eq!(joined.count(), 1);
}

#[test]
fn attack_100_an_auditor_signs_nothing() {
    let server = Server::start();
    let (mut mara, _ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    server.console(at_once(Wish::Role { person: mara.id.clone(), role: Role::Auditor }));
    let request = ask(&server);
    for decision in ["approve", "deny"] {
        let before = Snapshot::of(&server);
        let answer: Answer = mara.decide(&server, &request, decision);
        refused(&server, &before, &answer.expect_error(403, "access_denied", "not_an_approver"), Logged::Yes);
    }
    let signed = mara.sign(&server, &request, "approve");
    decide(&server, &request, &signed).expect_error(403, "access_denied", "not_an_approver");
}
