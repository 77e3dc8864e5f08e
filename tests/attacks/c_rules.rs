//! Who changes rules: by files alone, or with the signatures of admins.

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::put_rules::MAX_RULES_SIGNED;
use countersign::domain::change::standing::Terms;
use countersign::domain::people::Role;
use countersign::domain::time::CHANGE_OPEN;
use serde_json::{Value, json};

use crate::support::rules::{AWS, RULES};
use crate::support::server::Options;
use crate::support::{Logged, Person, Server, Snapshot, collector, refused, rejected};

const SIGNED: Terms = signed_by(2);

const fn signed_by(admins: u32) -> Terms {
    Terms { delay: std::time::Duration::from_hours(24), recovery_signatures: 2, rule_signatures: Some(admins) }
}

fn server() -> Server {
    Server::with(Options { people: SIGNED, ..Options::default() })
}

/// The same, two admins, and somebody whom jobs for production ask.
fn two_admins() -> (Server, Person, Person) {
    let server = server();
    let (ada, bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    Person::manager(&server, "Mara");
    (server, ada, bea)
}

/// Rules under which nobody is asked for production.
fn weak() -> String {
    let asked = "require  = { approval = { of = [\"release-managers\"] } }\ntoken ";
    assert_eq!(RULES.matches(asked).count(), 1);
    RULES.replace(asked, "require  = \"none\"\ntoken ")
}

/// What waits for admins: the id of each change, and what it does.
fn waiting(server: &Server) -> Vec<(String, String)> {
    match server.console(ConsoleCommand::Changes) {
        ConsoleAnswer::Changes { changes } => {
            changes.into_iter().map(|line| (line.change.to_string(), line.words)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The one change of rules that waits.
fn the_one(server: &Server) -> String {
    match waiting(server).as_slice() {
        [(id, words)] if words.starts_with("put other rules in force (") => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// Whether production asks somebody.
fn asks(server: &Server) -> bool {
    let token = server.job().sign();
    match server.exchange(&token, &[AWS]).collector(&collector()).send() {
        answer if answer.status == 200 => false,
        answer => {
            answer.pending();
            true
        }
    }
}

fn rules_entries(server: &Server) -> Vec<Value> {
    Snapshot::of(server).of_kind("rules").cloned().collect()
}

fn state(server: &Server, change: &str) -> String {
    let page = server.get(&format!("/changes/{change}")).expect(200).text();
    page.split("data-state=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn attack_100_a_weakened_rule_is_in_force_only_when_a_second_admin_has_signed() {
    let mut server = server();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let mut mara = Person::manager(&server, "Mara");
    let [first] = rules_entries(&server).try_into().unwrap();
    assert!(first.get("before").is_none() && first.get("change").is_none(), "{first}");

    let (token, key) = (server.job().sign(), collector());
    let request = server.ask(&token, &key);
    server.load_rules(&weak());
    let change = the_one(&server);
    let page = server.get(&format!("/changes/{change}")).expect(200).text();
    for part in ["<bdi>production deploy</bdi>", "require.approval.count was 1, is gone", "0 of 2 · admins"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(asks(&server), "the files alone change nothing");
    assert_eq!(state(&server, &change), "waiting");
    // Nobody but an admin, and no admin twice.
    let before = Snapshot::of(&server);
    let answer = mara.sign_change(&server, &change, "approve").expect_error(403, "access_denied", "not_an_admin");
    rejected(&server, &before, &answer);
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "waiting");
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &change, "approve").expect_error(409, "access_denied", "already_approved");
    rejected(&server, &before, &answer);
    server.pass(6 * 24 * 3600);
    assert_eq!(state(&server, &change), "waiting", "time alone does nothing");
    assert!(asks(&server));
    assert_eq!(rules_entries(&server).len(), 1);

    let open = server.ask(&server.job().sign(), &collector());
    let signed = bea.sign_change(&server, &change, "approve").expect(200).json();
    assert_eq!(signed["state"], "done");
    assert!(!asks(&server), "the signed rules are in force with the answer");
    // What waited under the rule of before is void.
    mara.decide(&server, &open, "approve").expect_error(409, "invalid_request", "rule_changed");
    let page = server.get(&format!("/a/{request}")).text();
    assert!(!page.contains("data-state=\"waiting\""), "{page}");

    // The log has both digests, what was signed, and by whom.
    let snapshot = Snapshot::of(&server);
    let [_, second] = rules_entries(&server).try_into().unwrap();
    assert_eq!(second["before"], first["sha256"]);
    assert_ne!(second["sha256"], first["sha256"]);
    let proposed = snapshot.of_kind("change").find(|one| one["outcome"] == "proposed").unwrap();
    assert_eq!(second["change"], proposed["seq"]);
    assert!(proposed.get("person").is_none() && proposed.get("by").is_none(), "{proposed}");
    let signatures: Vec<_> = snapshot.of_kind("change").filter(|one| one["outcome"] == "signed").collect();
    let signers: Vec<_> = signatures.iter().map(|one| one["by"].as_str().unwrap()).collect();
    assert_eq!(signers, [ada.id.as_str(), bea.id.as_str()]);
    for one in signatures {
        assert_eq!(one["proposed"], proposed["seq"]);
        assert!(one["evidence"]["statement"].is_string() && one["evidence"]["assertion"].is_string());
    }
    // `log show --rule` tells the window and the change by which it began.
    let windows = server.app.show_rule("production deploy").unwrap();
    let signed: Vec<_> = windows.iter().map(|window| window.change).collect();
    assert_eq!(signed, [None, proposed["seq"].as_u64()]);
}

#[test]
fn attack_100_a_restart_does_not_let_unsigned_rules_in() {
    let (mut server, mut ada, mut bea) = two_admins();
    server.restart_with(&weak());
    let change = the_one(&server);
    assert!(asks(&server), "the rules of before are in force, from the copy that the store keeps");
    ada.sign_change(&server, &change, "approve").expect(200);
    // The same files propose nothing new, and what was signed counts still.
    server.restart();
    server.load_rules(&weak());
    assert_eq!(the_one(&server), change);
    assert!(asks(&server));
    // Neither does a restart without any rules.
    server.restart_with("");
    assert_ne!(the_one(&server), change);
    assert_eq!(state(&server, &change), "withdrawn");
    assert!(asks(&server));
    server.restart_with(&weak());
    let change = the_one(&server);
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &change, "approve").expect(200);
    }
    assert!(!asks(&server));
    // What was signed stays in force over a restart, also where the files are put back: that is a change, too.
    server.restart_with(RULES);
    assert!(!asks(&server));
    let back = the_one(&server);
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &back, "approve").expect(200);
    }
    assert!(asks(&server));
    assert_eq!(rules_entries(&server).len(), 3);
}

#[test]
fn attack_100_files_that_change_again_end_what_was_signed_for_them() {
    let (mut server, mut ada, mut bea) = two_admins();
    // One admin signs something harmless; then the files say something else.
    let harmless = RULES.replace("pipeline_id\", \"job_id", "job_id");
    server.load_rules(&harmless);
    let first = the_one(&server);
    ada.sign_change(&server, &first, "approve").expect(200);
    server.load_rules(&weak());
    let second = the_one(&server);
    assert_ne!(first, second);
    assert_eq!(state(&server, &first), "withdrawn");
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/changes/{first}/options"), &json!({ "decision": "approve" }));
    refused(&server, &before, &answer.expect_error(410, "access_denied", "change_over"), Logged::No);
    assert_eq!(bea.sign_change(&server, &second, "approve").expect(200).json()["state"], "waiting");
    assert!(asks(&server));
    // Put back, nothing waits.
    server.load_rules(RULES);
    assert!(waiting(&server).is_empty());
    assert_eq!(state(&server, &second), "withdrawn");
    let outcomes = |server: &Server| -> Vec<String> {
        let snapshot = Snapshot::of(server);
        snapshot.of_kind("change").map(|one| one["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(outcomes(&server), ["proposed", "signed", "withdrawn", "proposed", "signed", "withdrawn"]);
    // A signature that was begun before the files changed counts for nothing.
    server.load_rules(&weak());
    let third = the_one(&server);
    let options = server.post_page(&format!("/changes/{third}/options"), &json!({ "decision": "approve" }));
    let options = options.expect(200).json();
    server.load_rules(RULES);
    let body = json!({ "ceremony": options["ceremony"], "response": ada.authenticator.get(&options).unwrap() });
    let before = Snapshot::of(&server);
    let answer = server.post_page(&format!("/changes/{third}/signature"), &body);
    rejected(&server, &before, &answer.expect_error(410, "access_denied", "change_over"));
    assert!(asks(&server));
}

#[test]
fn attack_100_one_admin_stops_other_rules() {
    let (mut server, mut ada, mut bea) = two_admins();
    server.load_rules(&weak());
    let change = the_one(&server);
    ada.sign_change(&server, &change, "approve").expect(200);
    assert_eq!(bea.sign_change(&server, &change, "deny").expect(200).json()["state"], "refused");
    assert!(asks(&server) && waiting(&server).is_empty());
    ada.sign_change(&server, &change, "approve").expect_error(409, "access_denied", "already_decided");
    // Whoever wants them still says so by loading them again; it is another change.
    server.load_rules(&weak());
    assert_ne!(the_one(&server), change);
    assert!(asks(&server));
}

#[test]
fn attack_100_what_was_signed_is_what_takes_effect() {
    let (mut server, mut ada, mut bea) = two_admins();
    server.load_rules(&weak());
    let change = the_one(&server);
    ada.sign_change(&server, &change, "approve").expect(200);
    let signed = server.app.rules().waits.as_ref().unwrap().rules.digest();
    // Whoever can write the database exchanges the copy: it is not what was signed.
    let database = rusqlite::Connection::open(server.directory.join("countersign.db")).unwrap();
    let other =
        "UPDATE rule_set SET document = CAST(replace(CAST(document AS TEXT), '\"production\"', '\"anything\"') AS BLOB)
                 WHERE sha256 = ?1";
    assert_eq!(database.execute(other, [signed.as_bytes()]).unwrap(), 1);
    let before = Snapshot::of(&server);
    bea.sign_change(&server, &change, "approve").expect_error(503, "temporarily_unavailable", "log_unavailable");
    assert_eq!(Snapshot::of(&server).of_kind("rules").count(), before.of_kind("rules").count());
    assert!(asks(&server));
    // Loading the files again puts the copy right, under the same change.
    server.load_rules(&weak());
    assert_eq!(the_one(&server), change);
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    assert!(!asks(&server));
}

#[test]
fn attack_100_more_rules_than_somebody_looks_at_are_not_signed() {
    let (mut server, mut ada, mut bea) = two_admins();
    let rule = |at: u32| {
        format!("[[rule]]\nname = \"elsewhere {at}\"\nmatch = {{ job_project_id = \"{at}\" }}\ndeny = \"Not here.\"\n")
    };
    let more = |count: u32| format!("{RULES}{}", (1..=count).map(rule).collect::<String>());
    server.load_rules(&more(MAX_RULES_SIGNED));
    let most = the_one(&server);
    server.load_rules(&more(MAX_RULES_SIGNED + 1));
    assert!(waiting(&server).is_empty());
    assert_eq!(state(&server, &most), "withdrawn");
    let told = server.app.rule_warnings().unwrap();
    let says = format!("in {} rules, and admins sign at most {MAX_RULES_SIGNED} at once", MAX_RULES_SIGNED + 1);
    assert!(told.iter().any(|text| text.contains(&says)), "{told:?}");
    assert_eq!(rules_entries(&server).len(), 1);
    // The same after a restart; fewer can be signed again.
    server.restart();
    assert!(waiting(&server).is_empty() && asks(&server));
    server.load_rules(&more(MAX_RULES_SIGNED));
    let most = the_one(&server);
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &most, "approve").expect(200);
    }
    assert_eq!(rules_entries(&server).len(), 2);
}

#[test]
fn attack_100_signatures_that_came_too_late_are_made_anew_under_another_link() {
    let (mut server, mut ada, mut bea) = two_admins();
    let session = ada.sign_in(&server);
    server.load_rules(&weak());
    let late = the_one(&server);
    ada.sign_change(&server, &late, "approve").expect(200);
    server.pass(CHANGE_OPEN.as_secs() + 1);
    bea.sign_change(&server, &late, "approve").expect_error(410, "access_denied", "change_over");
    assert!(waiting(&server).is_empty() && asks(&server));
    server.load_rules(&weak());
    let change = the_one(&server);
    assert_ne!(change, late);
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &change, "approve").expect(200);
    }
    assert!(!asks(&server));
    // The page of the one that is over asks for no copy of rules that nobody keeps any more.
    let page = server.call("GET", &format!("/changes/{late}")).header("cookie", &session).send().expect(200).text();
    assert!(page.contains("data-state=\"expired\"") || page.contains("data-state=\"withdrawn\""), "{page}");
}

#[test]
fn attack_100_too_few_admins_change_no_rule_and_are_told() {
    let mut server = Server::with(Options { people: signed_by(2), ..Options::default() });
    let mut ada = Person::first_admin(&server);
    let _mara = Person::manager(&server, "Mara");
    server.load_rules(&weak());
    let change = the_one(&server);
    ada.sign_change(&server, &change, "approve").expect(200);
    assert_eq!(state(&server, &change), "waiting");
    assert!(asks(&server));
    let told: Vec<_> = server.app.examine().unwrap().into_iter().map(|finding| finding.text).collect();
    for part in ["other rules need 2 admins to sign, and 1 can", "the files hold other rules"] {
        assert!(told.iter().any(|text| text.contains(part)), "{part}: {told:?}");
    }
    // What an admin signed ends with the admin.
    let mut bea = Person::admin(&server, "Bea Admin");
    let auditor = countersign::app::propose_change::Wish::Role { person: ada.id.clone(), role: Role::Auditor };
    server.console(ConsoleCommand::Change { wish: auditor, propose: false });
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "waiting");
    assert!(asks(&server));
}

#[test]
fn attack_100_without_the_demand_the_files_say_it_and_the_log_shows_that_nobody_signed() {
    let mut server = server();
    let mut ada = Person::first_admin(&server);
    let _mara = Person::manager(&server, "Mara");
    server.load_rules(&weak());
    let change = the_one(&server);
    ada.sign_change(&server, &change, "approve").expect(200);
    // Whoever has the configuration takes the demand away: they take effect, in the open.
    server.restart_on(Terms::default());
    server.load_rules(&weak());
    assert!(!asks(&server));
    assert_eq!(state(&server, &change), "withdrawn");
    let [first, second] = rules_entries(&server).try_into().unwrap();
    assert_eq!(second["before"], first["sha256"]);
    assert!(second.get("change").is_none(), "{second}");
}
