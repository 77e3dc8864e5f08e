//! Changes that are proposed on the admin's pages: who may, what a proposal is not, and what nobody learns from it.

use std::collections::BTreeSet;

use countersign::app::check_wish::MAX_GROUPS_OF_INVITATION;
use countersign::app::console::ConsoleCommand;
use countersign::app::propose_change::{Asker, MAX_OPEN_CHANGES_OF_PERSON, Wish};
use countersign::app::use_session::session_digest;
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::ids::{Digest, GroupName, IssuerName};
use countersign::domain::log::note::VerifierKey;
use countersign::domain::people::Role;
use serde_json::{Value, json};

use crate::support::diagnostics::heard;
use crate::support::person::{add_passkey, authenticator, in_session, page};
use crate::support::rules::AWS;
use crate::support::server::block_on;
use crate::support::wire::find;
use crate::support::{Answer, Logged, Options, Person, Server, Snapshot, collector, refused, rejected};

const DAY: u64 = 24 * 3600;
const PROPOSE: &str = "/admin/people/changes";

fn join(person: &str) -> Value {
    json!({ "act": "join", "person": person, "group": "release-managers" })
}

fn propose(server: &Server, session: &str, wish: &Value) -> Answer {
    in_session(server, session, PROPOSE, wish)
}

/// The link id of a change that was proposed.
fn id_of(answer: &Answer) -> String {
    answer.member("location").strip_prefix("/changes/").unwrap().to_owned()
}

fn set_role(server: &Server, person: &Person, role: Role) {
    let wish = Wish::Role { person: person.id.clone(), role };
    server.console(ConsoleCommand::Change { wish, propose: false });
}

/// Somebody of this role, and their session.
fn signed_in(server: &Server, name: &str, role: Role) -> (Person, String) {
    let mut person = Person::enrol(server, name, &[]);
    if role != Role::Member {
        set_role(server, &person, role);
    }
    let session = person.sign_in(server);
    (person, session)
}

#[test]
fn attack_100_a_proposal_is_no_signature_and_names_its_proposer() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let mut tom = Person::enrol(&server, "Tom Ahl", &[]);
    let session = ada.sign_in(&server);
    let started = Snapshot::of(&server).of_kind("session").last().unwrap()["seq"].clone();
    let before = Snapshot::of(&server);
    let change = id_of(&propose(&server, &session, &join(&tom.id)).expect(200));
    let after = Snapshot::of(&server);
    let [entry] = after.since(&before) else { panic!("{:?}", after.since(&before)) };
    assert_eq!((&entry["outcome"], &entry["by"]), (&json!("proposed"), &json!(ada.id)));
    assert_eq!(entry["session"], started);
    for table in ["membership", "change_signature", "person", "passkey"] {
        assert_eq!(after.table(table), before.table(table), "{table}");
    }
    let seen = server.get(&format!("/changes/{change}")).expect(200).text();
    assert!(seen.contains("0 of 2 · admins") && seen.contains("by an admin"), "{seen}");
    assert!(!seen.contains("Ada Admin"), "who proposes is not for whoever has the link");
    let seen = page(&server, &session, &format!("/changes/{change}")).expect(200).text();
    assert!(seen.contains("by <bdi>Ada Admin</bdi>"), "{seen}");

    // The proposer signs like any other admin, once.
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
    ada.sign_change(&server, &change, "approve").expect_error(409, "access_denied", "already_approved");
    assert_eq!(bea.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
    let request = server.ask(&server.job().sign(), &collector());
    tom.approve(&server, &request);

    // Whoever gains does not count, whoever proposed it.
    let own = id_of(&propose(&server, &session, &join(&ada.id)).expect(200));
    let before = Snapshot::of(&server);
    let answer = ada.sign_change(&server, &own, "approve").expect_error(403, "access_denied", "self_approval");
    rejected(&server, &before, &answer);
    // A proposal waits although its proposer is no admin any more; it gave nothing.
    set_role(&server, &ada, Role::Member);
    assert_eq!(bea.sign_change(&server, &own, "approve").expect(200).json()["state"], "delayed");
}

#[test]
fn attack_100_only_an_admin_proposes_and_an_auditor_looks() {
    let server = Server::start();
    let _ada = Person::first_admin(&server);
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (_, member) = signed_in(&server, "Mia", Role::Member);
    let (_, auditor) = signed_in(&server, "Aud", Role::Auditor);
    let (bea, admin) = signed_in(&server, "Bea", Role::Admin);
    let pages = ["/admin/people".to_owned(), format!("/admin/people/{}", tom.id)];
    let forms = |html: &str| html.matches("<form").count();
    for path in &pages {
        let answer = server.get(path).expect(303);
        assert!(answer.header("location").unwrap().starts_with("/sign-in?next=%2Fadmin%2Fpeople"));
        let text = page(&server, &member, path).expect(404).text();
        assert!(text.contains("This page does not exist, or it is not yours to see.") && !text.contains("Tom Ahl"));
        let text = page(&server, &auditor, path).expect(200).text();
        assert!(text.contains("Tom Ahl") && forms(&text) == 0, "{text}");
        let text = page(&server, &admin, path).expect(200).text();
        assert!(forms(&text) > 0 && text.contains("aria-current=\"page\">People"), "{text}");
    }
    for unknown in ["paaaaaaaaaaaaaaaa", "x", "Tom%20Ahl", "..%2f.."] {
        page(&server, &admin, &format!("/admin/people/{unknown}")).expect(404);
    }
    let wish = join(&tom.id);
    let refuse = |session: &str, status: u16, error: &str, code: &str| {
        let before = Snapshot::of(&server);
        let answer = propose(&server, session, &wish).expect_error(status, error, code);
        refused(&server, &before, &answer, Logged::No);
    };
    refuse("__Host-countersign=AAAA", 401, "access_denied", "sign_in_needed");
    refuse(&member, 404, "invalid_request", "not_found");
    refuse(&auditor, 403, "access_denied", "not_an_admin");
    // Judged at each call, and once more where it is written: what an admin was a moment ago counts for nothing.
    let digest = session_digest(admin.split_once('=').unwrap().1);
    let written = |session: Option<Digest>| {
        let wish = Wish::Suspend { person: tom.id.clone() };
        let error = block_on(server.app.propose(wish, Asker::Page(session))).unwrap_err();
        error.code().as_str().to_owned()
    };
    set_role(&server, &bea, Role::Auditor);
    refuse(&admin, 403, "access_denied", "not_an_admin");
    assert_eq!(written(Some(digest)), "not_an_admin");
    set_role(&server, &bea, Role::Member);
    refuse(&admin, 404, "invalid_request", "not_found");
    assert_eq!((written(Some(digest)).as_str(), written(None).as_str()), ("not_found", "sign_in_needed"));
    page(&server, &admin, &pages[0]).expect(404);
    set_role(&server, &bea, Role::Admin);
    page(&server, &admin, &pages[0]).expect(200);
    server.console(ConsoleCommand::Change { wish: Wish::Suspend { person: bea.id.clone() }, propose: false });
    refuse(&admin, 401, "access_denied", "sign_in_needed");
    page(&server, &admin, &pages[0]).expect(303);
}

#[test]
fn attack_072_only_our_own_page_proposes_and_only_what_a_form_says() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let tom = Person::enrol(&server, "Tom Ahl", &[]);
    let session = ada.sign_in(&server);
    let before = Snapshot::of(&server);
    for origin in ["https://evil.example", "null", "https://sign.shop.example.evil.example"] {
        let call = server.call("POST", PROPOSE).header("cookie", &session).header("origin", origin);
        let answer = call.body("application/json", join(&tom.id).to_string()).send().invalid("origin_wrong");
        refused(&server, &before, &answer, Logged::No);
    }
    let call = server.call("POST", PROPOSE).header("cookie", &session).header("origin", crate::support::URL);
    let answer = call.header("sec-fetch-site", "same-site").body("application/json", join(&tom.id).to_string());
    refused(&server, &before, &answer.send().invalid("origin_wrong"), Logged::No);
    let call = server.call("POST", PROPOSE).header("cookie", &session).header("origin", crate::support::URL);
    let form = call.body("application/x-www-form-urlencoded", format!("act=suspend&person={}", tom.id));
    form.send().expect(415);
    for wrong in [
        json!({}),
        json!([]),
        json!({ "act": "delete", "person": tom.id }),
        json!({ "act": "suspend" }),
        json!({ "act": "suspend", "person": tom.id, "propose": false }),
        json!({ "act": "suspend", "person": [tom.id] }),
        json!({ "act": "join", "person": tom.id, "group": "Release Managers" }),
        json!({ "act": "role", "person": tom.id, "role": "owner" }),
        json!({ "act": "link", "person": tom.id, "issuer": "gitlab", "user_id": "88x", "owner": "person" }),
        json!({ "act": "link", "person": tom.id, "issuer": "nowhere", "user_id": "88", "owner": "person" }),
        json!({ "act": "link", "person": tom.id, "issuer": "gitlab", "user_id": "88", "owner": "both" }),
        json!({ "act": "invite", "name": "Eve", "groups": "release-managers", "role": "member" }),
        json!({ "act": "invite", "name": "E\u{202e}ve", "groups": [], "role": "member" }),
    ] {
        let answer = propose(&server, &session, &wrong).invalid("parameter_invalid");
        refused(&server, &before, &answer, Logged::No);
    }
    for (wish, status, code) in [
        (json!({ "act": "suspend", "person": "Nobody" }), 404, "not_found"),
        (json!({ "act": "restore", "person": tom.id }), 409, "already_decided"),
        (json!({ "act": "suspend", "person": ada.id }), 409, "last_admin"),
        (json!({ "act": "remove-passkey", "person": tom.id, "passkey": "0" }), 404, "not_found"),
        (json!({ "act": "unlink", "issuer": "gitlab", "user_id": "1" }), 404, "not_found"),
        (json!({ "act": "invite", "name": "tom ahl", "groups": [], "role": "member" }), 409, "name_taken"),
    ] {
        let answer = propose(&server, &session, &wish).expect(status);
        assert_eq!(answer.code(), code, "{wish}");
        assert!(!answer.member("hint").contains("countersign people"), "a page has no console: {}", answer.text());
        refused(&server, &before, &answer, Logged::No);
    }
}

#[test]
fn attack_100_one_admins_proposals_leave_room_for_others() {
    let server = Server::with(Options { refused_a_minute: 5, ..Options::default() });
    let mut ada = Person::first_admin(&server);
    let session = ada.sign_in(&server);
    let invite = |n: usize| json!({ "act": "invite", "name": format!("Person {n}"), "groups": [], "role": "member" });
    for n in 0..MAX_OPEN_CHANGES_OF_PERSON {
        propose(&server, &session, &invite(n)).expect(200);
    }
    let before = Snapshot::of(&server);
    let groups: Vec<_> = (0..=MAX_GROUPS_OF_INVITATION).map(|n| format!("group-{n}")).collect();
    let wide = json!({ "act": "invite", "name": "Eva Nyman", "groups": groups, "role": "member" });
    let answer = propose(&server, &session, &wide).expect_error(400, "invalid_request", "parameter_invalid");
    refused(&server, &before, &answer, Logged::No);
    let answer = propose(&server, &session, &invite(0)).expect_error(409, "access_denied", "already_decided");
    refused(&server, &before, &answer, Logged::No);
    let answer = propose(&server, &session, &invite(MAX_OPEN_CHANGES_OF_PERSON));
    refused(&server, &before, &answer.expect_error(429, "temporarily_unavailable", "rate_limited"), Logged::No);
    let wish = Wish::Invite { name: "Other".to_owned(), groups: BTreeSet::new(), role: Role::Member };
    server.propose(wish);
    let mut bea = Person::admin(&server, "Bea Admin");
    let other = bea.sign_in(&server);
    propose(&server, &other, &invite(MAX_OPEN_CHANGES_OF_PERSON)).expect(200);
    // What nobody signed in time makes room.
    server.pass(7 * DAY + 1);
    let session = ada.sign_in(&server);
    propose(&server, &session, &invite(MAX_OPEN_CHANGES_OF_PERSON + 1)).expect(200);
    // Whoever is not signed in has a share of wrong calls.
    for _ in 0..5 {
        propose(&server, "__Host-countersign=AAAA", &invite(0)).expect(401);
    }
    propose(&server, "__Host-countersign=AAAA", &invite(0)).expect(429);
}

#[test]
fn attack_095_the_link_for_the_person_is_in_one_answer_and_nowhere_else() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let mut mara = Person::manager(&server, "Mara");
    let session = ada.sign_in(&server);
    let invite = json!({ "act": "invite", "name": "Eva Nyman", "groups": ["release-managers"], "role": "member" });
    let recover = json!({ "act": "recover", "person": mara.id });
    for (wish, works_after) in [(invite, 0), (recover, DAY + 1)] {
        let answer = propose(&server, &session, &wish).expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let change = id_of(&answer);
        let html = answer.member("html");
        let link = html.split("data-link>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let secret = link.strip_prefix(&format!("{}/enrol/", crate::support::URL)).unwrap();
        assert_eq!(secret.len(), 43, "{link}");
        assert!(!answer.member("location").contains(secret));
        // It does nothing yet, and no page, row, entry or line of diagnostics has it.
        assert_eq!(server.get(&format!("/enrol/{secret}")).status, 410);
        assert!(!heard().contains(secret));
        for file in std::fs::read_dir(&server.directory).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
            assert!(find(&bytes, secret.as_bytes()).is_none());
        }
        let about = format!("/admin/people/{}", mara.id);
        for path in ["/admin/people", &about, &format!("/changes/{change}"), "/"] {
            assert!(!page(&server, &session, path).expect(200).text().contains(secret), "{path}");
        }
        assert!(Snapshot::of(&server).entries.iter().all(|entry| !entry.to_string().contains(secret)));
        for admin in [&mut ada, &mut bea] {
            admin.sign_change(&server, &change, "approve").expect(200);
        }
        server.pass(works_after);
        let page = server.get(&format!("/enrol/{secret}")).expect(200).text();
        assert!(page.contains("invited you"), "{page}");
        if works_after > 0 {
            let mut back = Person::by_link(&server, "Mara", secret.to_owned());
            let request = server.ask(&server.job().sign(), &collector());
            mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_unknown");
            back.decide(&server, &request, "approve").expect_error(403, "access_denied", "passkey_rests");
        }
    }
}

#[test]
fn attack_087_nothing_that_leaves_the_server_leads_to_whose_change_it_was() {
    let server = Server::start();
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let tom_wish = Wish::Invite {
        name: "Tom Ahl".to_owned(),
        groups: BTreeSet::from([GroupName::parse("release-managers").unwrap()]),
        role: Role::Member,
    };
    let (change, link) = server.propose(tom_wish);
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &change, "approve").expect(200);
    }
    let mut tom = Person::by_link(&server, "Tom Ahl", link.unwrap());
    let mia = Person::enrol(&server, "Mia", &[]);
    let tie = json!({ "act": "link", "person": mia.id, "issuer": "gitlab", "user_id": "88", "owner": "person" });
    let (of_ada, of_tom) = (ada.sign_in(&server), tom.sign_in(&server));
    let tied = id_of(&propose(&server, &of_ada, &tie).expect(200));
    for admin in [&mut ada, &mut bea] {
        admin.sign_change(&server, &tied, "approve").expect(200);
    }
    let (token, key) = (server.job().environment("careful").sign(), collector());
    let request = server.ask(&token, &key);
    tom.approve(&server, &request);
    server.pass(6);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    let entry = answer.json()["log"]["index"].as_u64().unwrap();
    // A bundle also has the newest entry, here one about a change.
    let (newest, _) = server.propose(Wish::Suspend { person: mia.id.clone() });
    let bundle = serde_json::to_string(&server.app.make_bundle(entry).unwrap()).unwrap();
    let proposed = |of: usize| {
        Snapshot::of(&server).of_kind("change").filter(|one| one["outcome"] == "proposed").nth(of).unwrap()["seq"]
            .clone()
    };
    assert!(bundle.contains(&format!("\\\"invited_by\\\":\\\"change:{}\\\"", proposed(0))), "{bundle}");
    assert!(bundle.contains(&format!("\\\"act\\\":\\\"joined\\\",\\\"by\\\":\\\"change:{}\\\"", proposed(0))));
    assert!(bundle.contains(&format!("\\\"by\\\":\\\"change:{}\\\",\\\"issuer\\\":\\\"gitlab\\\"", proposed(1))));
    assert!(bundle.contains("\\\"kind\\\":\\\"change\\\""));
    let receipt = server.app.receipt(&countersign::domain::ids::PersonId::parse(&tom.id).unwrap(), entry - 1).unwrap();
    let receipt = serde_json::to_string(&receipt).unwrap();
    for id in [&change, &tied, &newest] {
        assert!(!bundle.contains(id.as_str()) && !receipt.contains(id.as_str()));
        assert!(Snapshot::of(&server).entries.iter().all(|entry| !entry.to_string().contains(id.as_str())), "{id}");
    }
    let report = verify_bundle(bundle.as_bytes(), &VerifierKey::parse(&server.app.log_vkey).unwrap());
    assert!(report.failed().is_none(), "{report:?}");

    // Whoever has the link of a change that is over learns what was decided, and about nobody.
    let mut aud = Person::enrol(&server, "Aud", &[]);
    set_role(&server, &aud, Role::Auditor);
    let of_aud = aud.sign_in(&server);
    let mut eve = Person::enrol(&server, "Eve", &[]);
    let of_eve = eve.sign_in(&server);
    let place = format!("/changes/{change}");
    let named = |html: &str| html.contains("Tom Ahl") || html.contains(&tom.id);
    for stranger in [server.get(&place), page(&server, &of_eve, &place), page(&server, "__Host-countersign=AA", &place)]
    {
        let html = stranger.expect(200).text();
        assert!(html.contains("Invite somebody as a member of release-managers") && !named(&html), "{html}");
        assert!(html.contains("✓ In effect") && !html.contains("id=\"statement\""));
    }
    for session in [&of_ada, &of_aud, &of_tom] {
        let html = page(&server, session, &place).expect(200).text();
        assert!(named(&html) && html.contains("id=\"statement\""), "{html}");
    }
    // Refused and expired ones are over too.
    let (no, _) = server.propose(Wish::Suspend { person: tom.id.clone() });
    assert!(
        named(&server.get(&format!("/changes/{no}")).expect(200).text()),
        "whoever signs must see whom it concerns"
    );
    let signed = ada.sign_change(&server, &no, "deny").expect(200).member("html");
    assert!(named(&signed), "whoever has just signed sees what");
    assert!(!named(&server.get(&format!("/changes/{no}")).expect(200).text()));
    let (late, _) = server.propose(Wish::Suspend { person: tom.id.clone() });
    let issuer = IssuerName::parse("gitlab").unwrap();
    let (untied, _) = server.propose(Wish::Unlink { person: None, issuer, user_id: "88".to_owned() });
    let place = format!("/changes/{untied}");
    assert!(server.get(&place).expect(200).text().contains("Mia"), "how things are, for whoever signs");
    server.pass(7 * DAY + 1);
    let html = server.get(&place).expect(200).text();
    assert!(!html.contains("Mia") && !html.contains(&mia.id), "{html}");
    assert!(!named(&server.get(&format!("/changes/{late}")).expect(200).text()));
    let answer = server.post_page(&format!("/changes/{late}/options"), &json!({ "decision": "approve" }));
    assert!(!named(&answer.text()), "{}", answer.text());
}

#[test]
fn attack_060_names_are_text_on_the_admins_pages() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let mut eve = Person::enrol(&server, "<img src=x onerror=alert(1)>", &["release-managers"]);
    let of_eve = eve.sign_in(&server);
    let number = {
        let html = page(&server, &of_eve, "/me/passkeys").expect(200).text();
        html.split("data-passkey=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let name = json!({ "name": "</h3><script>\u{202e}x" });
    in_session(&server, &of_eve, &format!("/me/passkeys/{number}/name"), &name).expect(200);
    add_passkey(&server, &of_eve, &mut authenticator()).expect(200);
    let session = ada.sign_in(&server);
    let suspend = json!({ "act": "suspend", "person": eve.id });
    let invite = json!({ "act": "invite", "name": "\"><b>Bob", "groups": [], "role": "member" });
    propose(&server, &session, &suspend).expect(200);
    let shown = propose(&server, &session, &invite).expect(200).member("html");
    let person = format!("/admin/people/{}", eve.id);
    let pages = ["/admin/people", &person].map(|path| page(&server, &session, path).expect(200).text());
    for html in pages.iter().chain([&shown]) {
        for raw in ["<img src=x", "</h3><script>", "\u{202e}", "\"><b>Bob"] {
            assert!(!html.contains(raw), "{raw}: {html}");
        }
    }
    assert!(pages[1].contains("\\u{202e}") && pages[1].contains("&#60;img src=x"), "{}", pages[1]);
    assert!(pages[0].contains("Suspend ") && shown.contains("Bob"));
}
