//! Signing in, sessions, and what only the owner of a session may do.

use std::collections::BTreeSet;
use std::io::Write as _;

use countersign::app::keep_passkeys::MAX_PASSKEYS_OF_PERSON;
use countersign::app::sign_in::MAX_SESSIONS_OF_PERSON;
use countersign::app::verify_bundle::verify_bundle;
use countersign::cli::demo::authenticator::{Behaviour, UserHandle};
use countersign::domain::bundle::Bundle;
use countersign::domain::ids::Digest;
use countersign::domain::log::note::VerifierKey;
use countersign::domain::time::Timestamp;
use serde_json::{Value, json};

use crate::support::person::{SESSION, Signed, add_passkey, authenticator, decide, in_session, page, session_of};
use crate::support::wire::find;
use crate::support::{Answer, Logged, Person, Server, Snapshot, URL, collector, refused};

const BEGIN: &str = "/sign-in/session";

struct Scene {
    server: Server,
    mara: Person,
}

fn scene() -> Scene {
    let server = Server::start();
    let mara = Person::manager(&server, "Mara");
    Scene { server, mara }
}

impl Scene {
    /// Signs in with a key that behaves otherwise, and expects a refusal that leaves nothing but the ceremony's end.
    fn lie(&mut self, code: &str, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.mara.authenticator.behaviour);
        let signed = self.mara.sign_in_answer(&self.server);
        self.mara.authenticator.behaviour = Behaviour::default();
        let before = Snapshot::of(&self.server);
        let answer = self.server.post_page(BEGIN, &signed.body()).invalid(code);
        assert!(answer.header("set-cookie").is_none());
        refused(&self.server, &before, &answer, Logged::No);
    }

    /// The control: an honest key.
    fn signs_in_after_all(mut self) {
        let session = self.mara.sign_in(&self.server);
        page(&self.server, &session, "/").expect(200);
    }
}

/// Nobody is signed in with this.
fn signed_out(server: &Server, session: &str) {
    let answer = page(server, session, "/").expect(303);
    assert_eq!(answer.header("location"), Some("/sign-in"));
    page(server, session, "/waiting").expect_error(401, "access_denied", "sign_in_needed");
}

/// The only passkey of a person in the database, by our number.
fn number_of(server: &Server, session: &str, name: &str) -> String {
    let html = page(server, session, "/me/passkeys").expect(200).text();
    let at = html.find(&format!("value=\"{name}\"")).unwrap_or_else(|| panic!("no passkey {name}: {html}"));
    let before = &html[..at];
    let item = &before[before.rfind("data-passkey=\"").unwrap() + 14..];
    item[..item.find('"').unwrap()].to_owned()
}

#[test]
fn attack_047_a_sign_in_is_answered_once_and_soon() {
    let mut scene = scene();
    let server = &scene.server;
    let signed = scene.mara.sign_in_answer(server);
    let mut broken = signed.clone();
    broken.response["response"]["signature"] = json!("AAAA");
    server.post_page(BEGIN, &broken.body()).invalid("assertion_invalid");
    let before = Snapshot::of(server);
    let answer = server.post_page(BEGIN, &signed.body()).invalid("challenge_unknown");
    refused(server, &before, &answer, Logged::No);
    let (late, good) = (scene.mara.sign_in_answer(server), scene.mara.sign_in_answer(server));
    server.pass(299);
    server.post_page(BEGIN, &good.body()).expect(200);
    server.pass(2);
    let before = Snapshot::of(server);
    for body in [good.body(), late.body(), json!({ "ceremony": "AAAA", "response": late.response })] {
        refused(server, &before, &server.post_page(BEGIN, &body).invalid("challenge_unknown"), Logged::No);
    }
    // A challenge of one kind is not found by another.
    let request = server.ask(&server.job().sign(), &collector());
    let approval = scene.mara.sign(server, &request, "approve");
    let before = Snapshot::of(server);
    refused(server, &before, &server.post_page(BEGIN, &approval.body()).invalid("challenge_unknown"), Logged::No);
    let sign_in = scene.mara.sign_in_answer(server);
    let before = Snapshot::of(server);
    refused(server, &before, &decide(server, &request, &sign_in).invalid("challenge_unknown"), Logged::No);
    // Nor is the answer to one good for the other under its own ceremony.
    let crossed = Signed { ceremony: sign_in.ceremony.clone(), response: approval.response.clone() };
    let answer = server.post_page(BEGIN, &crossed.body()).invalid("statement_mismatch");
    refused(server, &before, &answer, Logged::No);
}

#[test]
fn attack_048_a_sign_in_is_made_at_our_origin() {
    let mut scene = scene();
    for origin in ["https://evil.example", "https://sign.shop.example/", "http://sign.shop.example", "null"] {
        scene.lie("origin_wrong", |key| key.origin = Some(origin.to_owned()));
    }
    scene.lie("origin_wrong", |key| key.cross_origin = Some(true));
    scene.lie("origin_wrong", |key| key.top_origin = Some(URL.to_owned()));
    scene.lie("origin_wrong", |key| key.rp_id = Some("shop.example".to_owned()));
    scene.signs_in_after_all();
}

#[test]
fn attack_049_a_sign_in_is_an_assertion_with_a_touch() {
    let mut scene = scene();
    scene.lie("assertion_invalid", |key| key.user_present = false);
    for kind in ["webauthn.create", "payment.get", ""] {
        scene.lie("assertion_invalid", |key| key.ceremony = Some(kind.to_owned()));
    }
    let (_, link) = scene.server.invite("Ben", &[]);
    let made = crate::support::person::register(&scene.server, &link, &mut authenticator());
    let crossed = Signed { ceremony: scene.mara.sign_in_answer(&scene.server).ceremony, response: made.response };
    let before = Snapshot::of(&scene.server);
    let answer = scene.server.post_page(BEGIN, &crossed.body());
    answer.clone().expect_error(403, "access_denied", "passkey_unknown");
    refused(&scene.server, &before, &answer, Logged::No);
    scene.signs_in_after_all();
}

#[test]
fn attack_050_a_sign_in_verifies_its_user() {
    let mut scene = scene();
    scene.lie("uv_required", |key| key.user_verified = false);
    let asked = scene.server.post_page("/sign-in/options", &json!({})).expect(200).json();
    assert_eq!(asked["publicKey"]["userVerification"], "required");
    let body = json!({ "userVerification": "discouraged" });
    scene.server.post_page("/sign-in/options", &body).invalid("parameter_invalid");
    scene.signs_in_after_all();
}

#[test]
fn attack_051_who_signs_in_is_who_owns_the_passkey() {
    let mut scene = scene();
    let mut eve = Person::enrol(&scene.server, "Eve", &["others"]);
    let server = &scene.server;
    let of_mara = scene.mara.sign_in_answer(server);
    let mut claimed = eve.sign_in_answer(server);
    claimed.response["response"]["userHandle"] = of_mara.response["response"]["userHandle"].clone();
    let mut renamed = eve.sign_in_answer(server);
    for member in ["id", "rawId"] {
        renamed.response[member] = of_mara.response[member].clone();
    }
    renamed.response["response"]["userHandle"] = of_mara.response["response"]["userHandle"].clone();
    // Mara's list, answered by Eve's key.
    let listed = server.post_page("/sign-in/options", &json!({ "user": "Mara" })).expect(200).json();
    let mut free = listed.clone();
    free["publicKey"]["allowCredentials"] = json!([]);
    let other = Signed {
        ceremony: listed["ceremony"].as_str().unwrap().to_owned(),
        response: eve.authenticator.get(&free).unwrap(),
    };
    let before = Snapshot::of(server);
    for wrong in [claimed, renamed] {
        refused(server, &before, &server.post_page(BEGIN, &wrong.body()).invalid("assertion_invalid"), Logged::No);
    }
    let answer = server.post_page(BEGIN, &other.body()).expect_error(403, "access_denied", "passkey_unknown");
    refused(server, &before, &answer, Logged::No);
    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Absent);
    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Other(vec![7; 16]));
    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Other(Vec::new()));
    // A key that holds no account may leave the handle out where it was listed, and must not name another.
    for (handle, status) in [(UserHandle::Absent, 200), (UserHandle::Other(vec![7; 16]), 400)] {
        let listed = scene.server.post_page("/sign-in/options", &json!({ "user": " mara " })).expect(200).json();
        scene.mara.authenticator.behaviour.user_handle = handle;
        let response = scene.mara.authenticator.get(&listed).unwrap();
        let body = json!({ "ceremony": listed["ceremony"], "response": response });
        scene.server.post_page(BEGIN, &body).expect(status);
    }
    scene.mara.authenticator.behaviour = Behaviour::default();
    scene.signs_in_after_all();
}

#[test]
fn attack_052_a_passkey_is_added_in_a_fresh_session_alone() {
    let mut scene = scene();
    let server = &scene.server;
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    let (session, of_eve) = (scene.mara.sign_in(server), eve.sign_in(server));
    let begin = |cookie: &str| in_session(server, cookie, "/me/passkeys/options", &json!({}));
    let before = Snapshot::of(server);
    for cookie in ["x=y", &format!("{SESSION}="), &format!("{SESSION}=AAAA"), &format!("x{session}")] {
        let answer = begin(cookie).expect_error(401, "access_denied", "sign_in_needed");
        refused(server, &before, &answer, Logged::No);
    }
    // Begun in one session, finished in another, or in none.
    for cookie in ["x=y", of_eve.as_str()] {
        let options = begin(&session).expect(200).json();
        let body = json!({ "ceremony": options["ceremony"], "response": authenticator().create(&options).unwrap() });
        let before = Snapshot::of(server);
        let answer = in_session(server, cookie, "/me/passkeys/new", &body).invalid("statement_mismatch");
        refused(server, &before, &answer, Logged::No);
        let answer = in_session(server, &session, "/me/passkeys/new", &body).invalid("challenge_unknown");
        refused(server, &before, &answer, Logged::No);
    }
    // A key that is enrolled already, whoever has it.
    let options = begin(&session).expect(200).json();
    let known = scene.mara.authenticator.create(&options).unwrap_err();
    assert!(known.contains("InvalidStateError"), "{known}");
    // What was begun in time is finished in time, or not at all.
    let options = begin(&session).expect(200).json();
    let body = json!({ "ceremony": options["ceremony"], "response": authenticator().create(&options).unwrap() });
    server.pass(301);
    let before = Snapshot::of(server);
    let answer = in_session(server, &session, "/me/passkeys/new", &body).invalid("challenge_unknown");
    refused(server, &before, &answer, Logged::No);
    refused(server, &before, &begin(&session).expect_error(403, "access_denied", "sign_in_stale"), Logged::No);
    let html = page(server, &session, "/me/passkeys").expect(200).text();
    assert!(html.contains("/sign-in?again=yes&amp;next=/me/passkeys"));
    // A new touch, and it goes.
    let session = scene.mara.sign_in(server);
    let before = Snapshot::of(server);
    let added = add_passkey(server, &session, &mut authenticator()).expect(200);
    let after = Snapshot::of(server);
    let new = after.since(&before);
    assert_eq!(new.len(), 1);
    assert_eq!(
        (&new[0]["kind"], &new[0]["outcome"], &new[0]["seq"]),
        (&json!("passkey"), &json!("added"), &added.json()["log"])
    );
    let first = before.of_kind("passkey").find(|entry| entry["person"] == scene.mara.id.as_str()).unwrap();
    assert_eq!(new[0]["admitted_by"], first["seq"]);
    assert!(new[0].get("enrolment").is_none());
    // What admitted it is kept beside it: it never carries more than that sign-in.
    assert!(new[0]["evidence"]["attestation"].is_string(), "{}", new[0]);
}

#[test]
fn attack_052_a_passkey_that_was_added_approves_nothing_for_an_hour() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let mut keys = authenticator();
    add_passkey(server, &session, &mut keys).expect(200);
    std::mem::swap(&mut scene.mara.authenticator, &mut keys);
    let request = server.ask(&server.job().sign(), &collector());
    let signed = scene.mara.sign(server, &request, "approve");
    let before = Snapshot::of(server);
    let answer = decide(server, &request, &signed).expect_error(403, "access_denied", "passkey_too_new");
    refused(server, &before, &answer, Logged::Yes);
    scene.mara.deny(server, &request);
    server.pass(3600);
    let (token, key) = (server.job().sign(), collector());
    let request = server.ask(&token, &key);
    scene.mara.approve(server, &request);
    let issued = server.exchange(&token, &["sts.amazonaws.com"]).collector(&key).send().expect(200);
    // Offline: the chain from that passkey down to the invitation, and nothing left out of it.
    let bundle = server.app.make_bundle(issued.json()["log"]["index"].as_u64().unwrap()).unwrap();
    let key = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = |bundle: &Bundle| verify_bundle(serde_json::to_string(bundle).unwrap().as_bytes(), &key);
    assert!(report(&bundle).failed().is_none(), "{:?}", report(&bundle).failed());
    let admitting: Vec<_> =
        bundle.entries.iter().filter(|entry| entry.entry.contains("\"kind\":\"passkey\"")).collect();
    assert_eq!(admitting.len(), 2);
    let mut without = bundle.clone();
    without.entries.retain(|entry| entry.index != admitting[0].index);
    assert!(report(&without).failed().is_some());
}

/// Runs the block of docs/people.md over a receipt; where a tool of it is missing, nothing is tested.
fn by_hand(receipt: &[u8]) {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/people.md")).unwrap();
    let block = document.split("```sh receipt\n").nth(1).unwrap().split("```").next().unwrap();
    for tool in ["jq", "openssl", "basenc"] {
        if std::process::Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is not installed");
            let _ = writeln!(std::io::stderr(), "SKIPPED, nothing was tested: {tool} is not installed");
            return;
        }
    }
    let folder = crate::support::server::fresh_directory();
    std::fs::write(folder.join("receipt.json"), receipt).unwrap();
    let run = || std::process::Command::new("bash").arg("-c").arg(block).current_dir(&folder).output().unwrap();
    let ran = run();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("Verified OK"), "{said}");
    let changed =
        String::from_utf8_lossy(receipt).replace("\\\"decision\\\":\\\"deny\\\"", "\\\"decision\\\":\\\"approve\\\"");
    assert_ne!(changed.as_bytes(), receipt);
    std::fs::write(folder.join("receipt.json"), changed).unwrap();
    assert!(!run().status.success(), "another decision is not what was signed");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_receipt_holds_what_was_signed_and_is_the_signers_alone() {
    let mut scene = scene();
    let server = &scene.server;
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    let (session, of_eve) = (scene.mara.sign_in(server), eve.sign_in(server));
    let request = server.ask(&server.job().sign(), &collector());
    scene.mara.deny(server, &request);
    let snapshot = Snapshot::of(server);
    let decision = snapshot.of_kind("decision").next().unwrap();
    let place = format!("/me/signed/{}", decision["seq"]);
    let answer = page(server, &session, &place).expect(200);
    let disposition = format!("attachment; filename=\"receipt-{}.json\"", decision["seq"]);
    assert_eq!(answer.header("content-disposition"), Some(disposition.as_str()));
    let receipt = answer.json();
    assert_eq!((&receipt["type"], &receipt["decision"]), (&json!("countersign/receipt/v1"), &decision["seq"]));
    let document = |name: &str| {
        let digest = decision["evidence"][name].as_str().unwrap();
        receipt["evidence"][digest]["text"].as_str().unwrap().to_owned()
    };
    let statement = document("statement");
    assert!(statement.contains("\"decision\":\"deny\"") && statement.contains(&request));
    let assertion: Value = serde_json::from_str(&document("assertion")).unwrap();
    let decode = |text: &Value| data_encoding::BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let client_data: Value = serde_json::from_slice(&decode(&assertion["client_data_json"])).unwrap();
    assert_eq!(decode(&client_data["challenge"]), Digest::of(statement.as_bytes()).as_bytes());
    by_hand(&answer.body);
    for wrong in [place.as_str(), "/me/signed/0", "/me/signed/x", "/me/signed/99999"] {
        page(server, &of_eve, wrong).expect(404);
    }
    for wrong in ["0", "x", "99999"] {
        page(server, &session, &format!("/me/signed/{wrong}")).expect(404);
    }
}

#[test]
fn attack_054_a_copied_key_signs_nobody_in_any_more() {
    let mut scene = scene();
    let server = &scene.server;
    scene.mara.authenticator.behaviour.counter_step = 5;
    let session = scene.mara.sign_in(server);
    scene.mara.authenticator.behaviour.counter_step = -1;
    let signed = scene.mara.sign_in_answer(server);
    let before = Snapshot::of(server);
    let answer = server.post_page(BEGIN, &signed.body()).invalid("assertion_invalid");
    assert!(answer.text().contains("may have been copied") && answer.header("set-cookie").is_none());
    let after = Snapshot::of(server);
    let new = after.since(&before);
    assert_eq!(new.len(), 1);
    assert_eq!((&new[0]["kind"], &new[0]["outcome"]), (&json!("passkey"), &json!("copied")));
    assert_eq!(answer.json()["log"]["index"], new[0]["seq"]);
    assert_eq!(after.table("session"), before.table("session"));
    // Its sessions are over, and it is suspended from here on.
    signed_out(server, &session);
    scene.mara.authenticator.behaviour.counter_step = 50;
    let signed = scene.mara.sign_in_answer(server);
    let before = Snapshot::of(server);
    let answer = server.post_page(BEGIN, &signed.body()).expect_error(403, "access_denied", "passkey_suspended");
    refused(server, &before, &answer, Logged::No);
    // Admins are told.
    let findings = server.app.examine().unwrap();
    assert!(findings.iter().any(|finding| finding.text.contains(&scene.mara.id)), "{findings:?}");
}

#[test]
fn attack_055_backup_flags_hold_at_a_sign_in_too() {
    let mut scene = scene();
    scene.lie("assertion_invalid", |key| key.backup_eligible = true);
    scene.lie("assertion_invalid", |key| (key.backup_eligible, key.backup_state) = (true, true));
    scene.lie("assertion_invalid", |key| key.backup_state = true);
    // Eligible: the state may move, and is recorded.
    let server = &scene.server;
    let (id, link) = server.invite("Ben", &[]);
    let mut keys = authenticator();
    keys.behaviour.backup_eligible = true;
    let made = crate::support::person::register(server, &link, &mut keys);
    server.post_page(&format!("/enrol/{link}/passkey"), &made.body()).expect(200);
    let mut ben = Person { id, link, cookie: String::new(), authenticator: keys };
    let backed_up = || Snapshot::of(server).table("passkey").iter().any(|row| row.contains("\"backup_state\":true"));
    for state in [true, false] {
        ben.authenticator.behaviour.backup_state = state;
        let session = ben.sign_in(server);
        assert_eq!(backed_up(), state);
        assert!(page(server, &session, "/me/passkeys").expect(200).text().contains("Synced passkey"));
    }
    scene.signs_in_after_all();
}

#[test]
fn attack_060_names_are_text_wherever_they_are_shown() {
    let server = Server::start();
    for (at, name) in ["<script>alert(1)</script>", "Ma\u{202e}ar", "{{ 7 }}", "М\u{430}ra"].into_iter().enumerate() {
        let mut person = Person::manager(&server, &format!("Mara {at}"));
        let session = person.sign_in(&server);
        let number = number_of(&server, &session, "Passkey");
        let place = format!("/me/passkeys/{number}/name");
        in_session(&server, &session, &place, &json!({ "name": name })).expect(200);
        for path in ["/", "/me/passkeys", "/me/signed"] {
            let html = page(&server, &session, path).expect(200).text();
            assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'), "{path}");
        }
        let before = Snapshot::of(&server);
        for wrong in ["", " ", "a\0b", "a\nb", &"x".repeat(101), &"x".repeat(10_000)] {
            let answer = in_session(&server, &session, &place, &json!({ "name": wrong })).invalid("parameter_invalid");
            refused(&server, &before, &answer, Logged::No);
        }
    }
}

#[test]
fn attack_061_a_name_that_nobody_has_is_answered_like_one_that_somebody_has() {
    let scene = scene();
    let (server, ids) = (&scene.server, |answer: &Answer| answer.json()["publicKey"]["allowCredentials"].clone());
    let ask = |user: &str| server.post_page("/sign-in/options", &json!({ "user": user })).expect(200);
    let (known, unknown) = (ask("Mara"), ask("Nobody"));
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(members(&known.json()), members(&unknown.json()));
    assert_eq!(members(&known.json()["publicKey"]), members(&unknown.json()["publicKey"]));
    for answer in [&known, &unknown] {
        let listed = ids(answer);
        let listed = listed.as_array().unwrap();
        assert!((1..=2).contains(&listed.len()), "{listed:?}");
        assert!(listed.iter().all(|one| members(one) == BTreeSet::from(["id", "type"].map(str::to_owned))));
    }
    // The same each time, also after a restart, and in every spelling that would be found.
    assert_eq!(ids(&ask("Nobody")), ids(&ask(" nobody ")));
    assert_ne!(ids(&ask("Nobody")), ids(&ask("Nobody else")));
    assert_eq!(ids(&ask("Mara")), ids(&ask(&scene.mara.id)), "an id is a name as well");
    // Somebody without a passkey is nobody.
    let (id, _) = server.invite("Ben", &[]);
    assert_eq!(ids(&ask("Ben")).as_array().map(Vec::is_empty), Some(false));
    assert_eq!(ids(&ask(&id)).as_array().map(Vec::is_empty), Some(false));
    let mut scene = scene;
    let told = ids(&scene.server.post_page("/sign-in/options", &json!({ "user": "Nobody" })).expect(200));
    scene.server.restart();
    assert_eq!(told, ids(&scene.server.post_page("/sign-in/options", &json!({ "user": "Nobody" })).expect(200)));
    // Without a name nobody is asked for, so nobody is told.
    assert_eq!(ids(&scene.server.post_page("/sign-in/options", &json!({})).expect(200)), json!([]));
    for wrong in ["", " ", "a\nb", &"x".repeat(101)] {
        scene.server.post_page("/sign-in/options", &json!({ "user": wrong })).invalid("parameter_invalid");
    }
}

#[test]
fn attack_061_an_answer_with_a_made_up_key_is_refused_like_one_with_a_true_key() {
    let mut scene = scene();
    let server = &scene.server;
    let request = server.ask(&server.job().sign(), &collector());
    // What whoever holds neither key answers: their own signature under the id that was listed.
    let mut eve = authenticator();
    let (_, link) = server.invite("Eve", &[]);
    let made = crate::support::person::register(server, &link, &mut eve);
    server.post_page(&format!("/enrol/{link}/passkey"), &made.body()).expect(200);
    let listed = |user: &str| {
        let options = server.post_page("/sign-in/options", &json!({ "user": user })).expect(200).json();
        let id = options["publicKey"]["allowCredentials"][0]["id"].as_str().unwrap().to_owned();
        (options, id)
    };
    let mut forge = |options: &Value, id: &str, handle: Option<&str>| {
        let mut asked = options.clone();
        asked["publicKey"]["allowCredentials"] = json!([]);
        let mut response = eve.get(&asked).unwrap();
        (response["id"], response["rawId"]) = (json!(id), json!(id));
        match handle {
            Some(handle) => response["response"]["userHandle"] = json!(handle),
            None => drop(response["response"].as_object_mut().unwrap().remove("userHandle")),
        }
        json!({ "ceremony": options["ceremony"], "response": response })
    };
    let shape = |answer: &Answer| {
        let mut body = answer.json();
        body["call_id"] = Value::Null;
        (answer.status, body)
    };
    for handle in [None, Some("AAAAAAAAAAAAAAAAAAAAAA")] {
        let answers = ["Mara", "Nobody"].map(|user| {
            let (options, id) = listed(user);
            let before = Snapshot::of(server);
            let answer = server.post_page(BEGIN, &forge(&options, &id, handle)).invalid("assertion_invalid");
            refused(server, &before, &answer, Logged::No);
            shape(&answer)
        });
        assert_eq!(answers[0], answers[1], "{handle:?}");
        // Under a ceremony that listed nothing, for a decision, and under one that listed others.
        let ids = ["Mara", "Nobody"].map(|user| listed(user).1);
        let open = ids.clone().map(|id| {
            let options = server.post_page("/sign-in/options", &json!({})).expect(200).json();
            shape(&server.post_page(BEGIN, &forge(&options, &id, handle)).invalid("assertion_invalid"))
        });
        assert_eq!(open[0], open[1], "{handle:?}");
        let decisions = ids.clone().map(|id| {
            let place = format!("/a/{request}/options");
            let options = server.post_page(&place, &json!({ "decision": "deny" })).expect(200).json();
            let body = forge(&options, &id, handle);
            shape(&server.post_page(&format!("/a/{request}/decision"), &body).invalid("assertion_invalid"))
        });
        assert_eq!(decisions[0], decisions[1], "{handle:?}");
        let others = ids.map(|id| {
            let options = listed("Somebody").0;
            let answer = server.post_page(BEGIN, &forge(&options, &id, handle));
            shape(&answer.expect_error(403, "access_denied", "passkey_unknown"))
        });
        assert_eq!(others[0], others[1], "{handle:?}");
    }
    // What was neither listed nor enrolled is unknown, and says so; the true key signs in.
    let options = server.post_page("/sign-in/options", &json!({})).expect(200).json();
    let body = forge(&options, "AAAAAAAAAAAAAAAAAAAAAA", None);
    server.post_page(BEGIN, &body).expect_error(403, "access_denied", "passkey_unknown");
    scene.mara.sign_in(server);
}

#[test]
fn attack_062_the_last_passkey_stays() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let first = number_of(server, &session, "Passkey");
    let remove =
        |session: &str, number: &str| in_session(server, session, &format!("/me/passkeys/{number}/remove"), &json!({}));
    let before = Snapshot::of(server);
    let answer = remove(&session, &first).expect_error(409, "access_denied", "last_passkey");
    refused(server, &before, &answer, Logged::No);
    let mut second = authenticator();
    add_passkey(server, &session, &mut second).expect(200);
    // Somebody else's, and none at all, are not there.
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    let of_eve = eve.sign_in(server);
    let before = Snapshot::of(server);
    for number in [first.as_str(), "999", "x", "-1", "1e3"] {
        let answer = remove(&of_eve, number).expect_error(404, "invalid_request", "not_found");
        refused(server, &before, &answer, Logged::No);
        let place = format!("/me/passkeys/{number}/name");
        let answer = in_session(server, &of_eve, &place, &json!({ "name": "mine" }));
        refused(server, &before, &answer.expect_error(404, "invalid_request", "not_found"), Logged::No);
        let answer = in_session(server, &of_eve, &format!("/me/passkeys/{number}/report"), &json!({}));
        refused(server, &before, &answer.expect_error(404, "invalid_request", "not_found"), Logged::No);
    }
    server.pass(301);
    let answer = remove(&session, &first).expect_error(403, "access_denied", "sign_in_stale");
    refused(server, &before, &answer, Logged::No);
    // One that was added a moment ago does not stand in for the one that approves, in whoever's hand it is.
    let session = scene.mara.sign_in(server);
    let before = Snapshot::of(server);
    let answer = remove(&session, &first).expect_error(409, "access_denied", "last_passkey");
    refused(server, &before, &answer, Logged::No);
    server.pass(3600);
    let session = scene.mara.sign_in(server);
    let before = Snapshot::of(server);
    remove(&session, &first).expect(200);
    let after = Snapshot::of(server);
    let new = after.since(&before);
    assert_eq!((new.len(), &new[0]["outcome"]), (1, &json!("removed")));
    // The session was begun with the key that is gone.
    signed_out(server, &session);
    let signed = scene.mara.sign_in_answer(server);
    server.post_page(BEGIN, &signed.body()).expect_error(403, "access_denied", "passkey_unknown");
    std::mem::swap(&mut scene.mara.authenticator, &mut second);
    let session = scene.mara.sign_in(server);
    let html = page(server, &session, "/me/passkeys").expect(200).text();
    assert_eq!(html.matches("data-passkey=").count(), 1, "{html}");
}

#[test]
fn attack_062_an_open_page_takes_no_other_passkey_and_not_the_last_one() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let first = number_of(server, &session, "Passkey");
    let report =
        |session: &str, number: &str| in_session(server, session, &format!("/me/passkeys/{number}/report"), &json!({}));
    server.pass(301);
    let before = Snapshot::of(server);
    let answer = report(&session, &first).expect_error(403, "access_denied", "sign_in_stale");
    refused(server, &before, &answer, Logged::No);
    let session = scene.mara.sign_in(server);
    let mut second = authenticator();
    add_passkey(server, &session, &mut second).expect(200);
    std::mem::swap(&mut scene.mara.authenticator, &mut second);
    let session = scene.mara.sign_in(server);
    server.pass(301);
    let before = Snapshot::of(server);
    let answer = report(&session, &first).expect_error(403, "access_denied", "sign_in_stale");
    refused(server, &before, &answer, Logged::No);
    // What the reported one admitted is in doubt as well.
    let session = scene.mara.sign_in(server);
    let before = Snapshot::of(server);
    report(&session, &first).expect(200);
    let after = Snapshot::of(server);
    let new: Vec<_> = after.since(&before).iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(new, ["reported", "reported"]);
    signed_out(server, &session);
    let signed = scene.mara.sign_in_answer(server);
    server.post_page(BEGIN, &signed.body()).expect_error(403, "access_denied", "passkey_suspended");
}

#[test]
fn attack_062_a_person_has_only_so_many_passkeys() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    for _ in 1..MAX_PASSKEYS_OF_PERSON {
        add_passkey(server, &session, &mut authenticator()).expect(200);
    }
    let before = Snapshot::of(server);
    let answer = add_passkey(server, &session, &mut authenticator());
    refused(server, &before, &answer.expect_error(409, "access_denied", "passkeys_enough"), Logged::No);
}

#[test]
fn attack_072_signing_in_makes_a_new_session_and_ends_the_old_one() {
    let mut scene = scene();
    let server = &scene.server;
    // A session that somebody else chose is not gone on with.
    let chosen = format!("{SESSION}={}", "A".repeat(43));
    let signed = scene.mara.sign_in_answer(server);
    let answer = in_session(server, &chosen, BEGIN, &signed.body()).expect(200);
    let session = session_of(&answer);
    assert_ne!(session, chosen);
    signed_out(server, &chosen);
    let set = answer.header("set-cookie").unwrap();
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    // Its secret is nowhere on the disk.
    let secret = session.split_once('=').unwrap().1;
    assert_eq!(secret.len(), 43);
    for file in std::fs::read_dir(&server.directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(find(&bytes, secret.as_bytes()).is_none(), "the secret lies on the disk");
    }
    // Again in the same browser: another secret, and the first is over.
    let signed = scene.mara.sign_in_answer(server);
    let again = session_of(&in_session(server, &session, BEGIN, &signed.body()).expect(200));
    assert_ne!(again, session);
    signed_out(server, &session);
    page(server, &again, "/").expect(200);
    let snapshot = Snapshot::of(server);
    let outcomes: Vec<_> = snapshot.of_kind("session").map(|entry| (&entry["outcome"], entry.get("why"))).collect();
    let renewed = json!("renewed");
    assert_eq!(outcomes, [(&json!("started"), None), (&json!("ended"), Some(&renewed)), (&json!("started"), None)]);
}

#[test]
fn attack_072_what_a_session_may_do_only_our_own_page_asks_for() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let number = number_of(server, &session, "Passkey");
    let signed = scene.mara.sign_in_answer(server);
    let before = Snapshot::of(server);
    for (path, body) in [
        (BEGIN.to_owned(), signed.body()),
        ("/sign-out".to_owned(), json!({})),
        ("/me/passkeys/options".to_owned(), json!({})),
        (format!("/me/passkeys/{number}/name"), json!({ "name": "x" })),
        (format!("/me/passkeys/{number}/remove"), json!({})),
        (format!("/me/passkeys/{number}/report"), json!({})),
    ] {
        for (origin, site) in
            [(None, None), (Some("https://evil.example"), None), (Some("null"), None), (Some(URL), Some("cross-site"))]
        {
            let mut call = server.call("POST", &path).body("application/json", body.to_string());
            call = call.header("cookie", &session);
            call = origin.map_or(call.clone(), |origin| call.header("origin", origin));
            call = site.map_or(call.clone(), |site| call.header("sec-fetch-site", site));
            call.send().invalid("origin_wrong");
            Snapshot::of(server).assert_identical(&before);
        }
        // What a form of another site could send.
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let call = server.call("POST", &path).header("origin", URL).header("cookie", &session);
            call.body(kind, body.to_string()).send().expect(415);
            Snapshot::of(server).assert_identical(&before);
        }
    }
    page(server, &session, "/").expect(200);
}

#[test]
fn attack_072_a_session_ends_by_rest_by_age_and_with_its_person() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    server.pass(3600);
    page(server, &session, "/").expect(200);
    // Looking for news is no use.
    for _ in 0..60 {
        server.pass(60);
        page(server, &session, "/waiting").expect(200);
    }
    server.pass(1);
    signed_out(server, &session);
    // However busy.
    let session = scene.mara.sign_in(server);
    for _ in 0..24 {
        server.pass(1800);
        page(server, &session, "/").expect(200);
    }
    server.pass(1);
    signed_out(server, &session);
    let session = scene.mara.sign_in(server);
    let before = Snapshot::of(server);
    // The owner reports the very key: that counts at once.
    let number = number_of(server, &session, "Passkey");
    in_session(server, &session, &format!("/me/passkeys/{number}/report"), &json!({})).expect(200);
    signed_out(server, &session);
    let after = Snapshot::of(server);
    let new = after.since(&before);
    assert_eq!((new.len(), &new[0]["outcome"]), (1, &json!("reported")));
    let answer = in_session(server, &session, "/sign-out", &json!({}));
    answer.expect_error(401, "access_denied", "sign_in_needed");
}

#[test]
fn attack_072_a_person_ends_their_own_sessions_and_nobody_elses() {
    let mut scene = scene();
    let server = &scene.server;
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    let of_eve = eve.sign_in(server);
    let (here, there, third) = (scene.mara.sign_in(server), scene.mara.sign_in(server), scene.mara.sign_in(server));
    let entries: Vec<String> = Snapshot::of(server).of_kind("session").map(|entry| entry["seq"].to_string()).collect();
    let [of_eve_at, here_at, there_at, _] = entries.as_slice() else { panic!("{entries:?}") };
    let end = |entry: &str| in_session(server, &here, &format!("/me/sessions/{entry}/end"), &json!({}));
    let before = Snapshot::of(server);
    for entry in [of_eve_at.as_str(), here_at, "0", "x"] {
        refused(server, &before, &end(entry).expect_error(404, "invalid_request", "not_found"), Logged::No);
    }
    end(there_at).expect(200);
    signed_out(server, &there);
    page(server, &third, "/").expect(200);
    let answer = in_session(server, &here, "/sign-out", &json!({ "everywhere": true })).expect(200);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    signed_out(server, &here);
    signed_out(server, &third);
    page(server, &of_eve, "/").expect(200);
    // Nobody has more than so many: the oldest ends.
    let sessions: Vec<_> = (0..=MAX_SESSIONS_OF_PERSON).map(|_| scene.mara.sign_in(server)).collect();
    signed_out(server, &sessions[0]);
    page(server, &sessions[1], "/").expect(200);
}

#[test]
fn attack_074_claims_are_text_on_the_pages_of_a_session_too() {
    let mut scene = scene();
    let server = &scene.server;
    let job =
        server.job().with("job_project_path", "shop/<img src=x onerror=alert(1)>").with("user_login", "{{ 7 }}<b>");
    let request = server.ask(&job.sign(), &collector());
    let session = scene.mara.sign_in(server);
    let waiting = page(server, &session, "/").expect(200).text();
    assert!(waiting.contains(&format!("/a/{request}")), "{waiting}");
    scene.mara.deny(server, &request);
    for path in ["/", "/me/signed"] {
        let html = page(server, &session, path).expect(200).text();
        assert!(!html.contains("<img") && !html.contains("7 }}<b>"), "{path}: {html}");
        assert!(html.contains("&#60;img src=x"), "{path}: {html}");
    }
}

#[test]
fn attack_075_after_a_sign_in_only_our_own_pages_come_next() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let wrong = [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/..//evil.example",
        "javascript:alert(1)",
        "%00",
        "/%0d%0aset-cookie:x=y",
        "",
    ];
    for next in wrong {
        let html = server.get(&format!("/sign-in?next={next}")).expect(200).text();
        assert!(html.contains("data-next=\"/\""), "{next}: {html}");
        let sent = page(server, &session, &format!("/sign-in?next={next}")).expect(303);
        assert_eq!(sent.header("location"), Some("/"), "{next}");
    }
    let sent = page(server, &session, "/sign-in?next=/me/signed").expect(303);
    assert_eq!(sent.header("location"), Some("/me/signed"));
    let sent = server.get("/me/signed?before=7").expect(303);
    assert_eq!(sent.header("location"), Some("/sign-in?next=%2Fme%2Fsigned%3Fbefore%3D7"));
    // Nobody is signed out by a link or by another site.
    assert_eq!(server.call("GET", "/sign-out").header("cookie", &session).send().status, 405);
    page(server, &session, "/").expect(200);
}

#[test]
fn attack_076_a_fresh_sign_in_that_is_broken_off_leaves_the_old_one_as_old_as_it_was() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    server.pass(600);
    // Asked for again: the page, not a way past it.
    page(server, &session, "/sign-in?again=yes&next=/me/passkeys").expect(200);
    in_session(server, &session, "/sign-in/options", &json!({})).expect(200);
    let answer = in_session(server, &session, "/me/passkeys/options", &json!({}));
    answer.expect_error(403, "access_denied", "sign_in_stale");
    // Somebody else's touch does not make it fresh either: it makes another session, theirs.
    let mut eve = Person::enrol(server, "Eve", &["others"]);
    let signed = eve.sign_in_answer(server);
    let theirs = session_of(&in_session(server, &session, BEGIN, &signed.body()).expect(200));
    signed_out(server, &session);
    assert!(page(server, &theirs, "/me/passkeys").expect(200).text().contains("Eve"));
}

#[test]
fn attack_084_a_session_that_was_over_stays_over_and_a_wrong_clock_judges_none() {
    let mut scene = scene();
    let server = &scene.server;
    let session = scene.mara.sign_in(server);
    let true_time = Timestamp::from_seconds(server.now());
    for wrong in [server.now() - 3600, server.now() + 10 * 365 * 86_400, server.now() + 61] {
        server.hand.set(Timestamp::from_seconds(wrong));
        let before = Snapshot::of(server);
        page(server, &session, "/me/passkeys").expect(503);
        page(server, &session, "/waiting").expect_error(503, "temporarily_unavailable", "clock_stepped");
        let answer = in_session(server, &session, "/me/passkeys/options", &json!({}));
        answer.expect_error(503, "temporarily_unavailable", "clock_stepped");
        Snapshot::of(server).assert_identical(&before);
        server.hand.set(true_time);
    }
    page(server, &session, "/").expect(200);
    server.pass(3601);
    let before = Snapshot::of(server);
    for _ in 0..3 {
        signed_out(server, &session);
    }
    let after = Snapshot::of(server);
    let new = after.since(&before);
    assert_eq!((new.len(), &new[0]["outcome"], &new[0]["why"]), (1, &json!("ended"), &json!("too_old")));
    // The clock goes back, and somebody says that it is right.
    server.hand.set(true_time);
    let _ = server.app.clock.accept();
    signed_out(server, &session);
    let unknown = format!("{SESSION}={}", "B".repeat(43));
    let before = Snapshot::of(server);
    signed_out(server, &unknown);
    Snapshot::of(server).assert_identical(&before);
}
