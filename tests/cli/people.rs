//! `people`: at once on the console, or as changes that admins sign.

use serde_json::Value;

use crate::support::Place;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_same_acts_are_done_at_once_or_proposed_beside_a_running_server_and_without_one() {
    let place = Place::initialised();
    place.run(&["people", "invite", "Tom Ahl"]).expect(0, "/enrol/");
    let act = |words: &[&str], code: i32, says: &str| place.run(&[&["people"], words].concat()).expect(code, says);
    for served in [false, true] {
        let server = served.then(|| place.serve());
        act(&["join", "Tom Ahl", "release-managers"], 0, "done: add Tom Ahl to release-managers");
        act(&["join", "Tom Ahl", "release-managers"], 1, "already_decided");
        act(&["leave", "Tom Ahl", "release-managers"], 0, "done: take Tom Ahl out of release-managers");
        act(&["role", "Tom Ahl", "auditor"], 0, "done: make Tom Ahl an auditor");
        act(&["role", "Tom Ahl", "member"], 0, "done: make Tom Ahl a member");
        act(
            &["email", "Tom Ahl", "tom@Example.com"],
            0,
            "done: say that the e-mail address of Tom Ahl is tom@example.com",
        );
        act(&["email", "Tom Ahl", "tom@example.com"], 1, "has this e-mail address already");
        act(&["email", "First admin", "TOM@example.com"], 1, "name_taken");
        act(&["email", "First admin", "tom"], 2, "cure: write it as name@host");
        act(&["show", "Tom Ahl"], 0, "e-mail  tom@example.com");
        act(&["email", "Tom Ahl", "--none"], 0, "done: say that Tom Ahl has no e-mail address");
        act(&["suspend", "Tom Ahl"], 0, "done: suspend Tom Ahl");
        act(&["list"], 0, "suspended");
        act(&["restore", "Tom Ahl"], 0, "done: let Tom Ahl in again");
        act(&["link", "Tom Ahl", "--issuer", "gitlab", "--user-id", "77"], 0, "linked p");
        act(&["link", "First admin", "--issuer", "gitlab", "--user-id", "77"], 1, "cure: untie it first");
        act(&["unlink", "--issuer", "gitlab", "--user-id", "77"], 0, "done: say that user 77 of gitlab is not Tom Ahl");
        act(
            &["link", "Tom Ahl", "--issuer", "gitlab", "--user-id", "77", "--bot"],
            0,
            "a bot for which Tom Ahl answers",
        );
        act(&["list"], 0, "gitlab:77 (bot)");
        act(&["unlink", "--issuer", "gitlab", "--user-id", "77"], 0, "done");
        act(&["unlink", "--issuer", "gitlab", "--user-id", "77"], 1, "not_found");
        act(&["join", "Nobody", "release-managers"], 1, "not_found");
        act(&["invite", "tom ahl"], 1, "name_taken");
        if let Some(server) = server {
            assert_eq!(server.stop(), 0);
        }
    }
    act(&["suspend", "Tom Ahl", "--propose"], 0, "Admins sign here until");
    act(&["restore", "Tom Ahl", "--propose"], 1, "Tom Ahl is not suspended");
    let proposed = place.run(&["--json", "people", "invite", "Eva Nyman", "--group", "security", "--propose"]);
    let proposed = json(&proposed.expect(0, "").out);
    let (link, enrolment) = (proposed["link"].as_str().unwrap(), proposed["enrolment"].as_str().unwrap());
    assert!(link.contains("/changes/") && enrolment.contains("/enrol/"), "{proposed}");
    act(&["invite", "Eva Nyman", "--propose"], 1, "already_decided");
    let listed = json(&place.run(&["--json", "people", "changes"]).expect(0, "").out);
    let words: Vec<_> =
        listed["changes"].as_array().unwrap().iter().map(|one| one["words"].as_str().unwrap()).collect();
    assert_eq!(words, ["suspend Tom Ahl", "invite Eva Nyman as a member of security"]);
    act(&["changes"], 0, "0 of 1");
    assert!(!act(&["list"], 0, "Tom Ahl").out.contains("Eva"), "nothing is done before an admin signs");
    act(&["show", "Tom Ahl"], 0, "member");
    place.run(&["log", "check"]).expect(0, "entries");
}

#[test]
fn attack_082_what_waited_for_admins_is_void_after_a_restore() {
    let place = Place::initialised();
    place.run(&["people", "invite", "Tom Ahl"]).expect(0, "/enrol/");
    place.run(&["people", "join", "Tom Ahl", "security", "--propose"]).expect(0, "/changes/");
    let [database, _] = place.snapshot();
    place.run(&["people", "suspend", "Tom Ahl"]).expect(0, "done");
    place.put_back(&database, None);
    place.run(&["people", "changes"]).expect(2, "log resume");
    place.run(&["log", "resume", "--after-restore"]).expect(0, "");
    let listed = json(&place.run(&["--json", "people", "changes"]).expect(0, "").out);
    assert_eq!(listed["changes"], serde_json::json!([]));
    place.run(&["people", "join", "Tom Ahl", "security", "--propose"]).expect(0, "/changes/");
}

#[test]
fn attack_062_a_recovery_at_once_needs_the_master_key_of_this_state_and_is_told_for_a_week() {
    let place = Place::initialised();
    let other = Place::initialised();
    let recover = ["people", "recover", "First admin"];
    let key = place.read("keys/master-key");
    let entries = || place.run(&["log", "check"]).expect(0, "entries").out;
    let before = entries();
    place.write("keys/master-key", &other.read("keys/master-key"));
    place.run(&recover).expect(2, "master key");
    place.write("keys/master-key", &key);
    place.mode("keys/master-key", 0o644);
    place.run(&recover).expect(2, "chmod 0600");
    place.mode("keys/master-key", 0o600);
    assert_eq!(entries(), before, "nothing was done");
    let server = place.serve();
    place.write("keys/master-key", &other.read("keys/master-key"));
    place.run(&recover).expect(2, "");
    place.write("keys/master-key", &key);
    place.run(&recover).expect(0, "/enrol/");
    assert_eq!(server.stop(), 0);
    place.run(&["log", "show"]).expect(0, "recovered");
    place.run(&["doctor"]).expect(1, "the console let p");
}
