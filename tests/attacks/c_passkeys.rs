//! Assertions that are not what this ceremony asked of this person at this origin.

use countersign::app::refuse::MAX_LOGGED_A_MINUTE;
use std::sync::Barrier;

use countersign::cli::demo::authenticator::{Behaviour, SoftAuthenticator, UserHandle};
use serde_json::{Value, json};

use crate::support::person::{Signed, authenticator, decide};
use crate::support::rules::AWS;
use crate::support::{Answer, Logged, Person, Server, Snapshot, URL, collector, refused};

/// A server with a request, and somebody who may approve it.
struct Scene {
    server: Server,
    mara: Person,
    request: String,
}

fn scene() -> Scene {
    let server = Server::start();
    let mara = Person::manager(&server, "Mara");
    let request = server.ask(&server.job().sign(), &collector());
    Scene { server, mara, request }
}

impl Scene {
    /// Signs with a key that behaves otherwise, and expects a refusal that leaves nothing but the ceremony's end.
    fn lie(&mut self, code: &str, change: impl FnOnce(&mut Behaviour)) -> Answer {
        change(&mut self.mara.authenticator.behaviour);
        let signed = self.mara.sign(&self.server, &self.request, "approve");
        self.mara.authenticator.behaviour = Behaviour::default();
        let before = Snapshot::of(&self.server);
        let answer = decide(&self.server, &self.request, &signed).invalid(code);
        refused(&self.server, &before, &answer, Logged::No);
        answer
    }

    /// The control: the same person with an honest key.
    fn approves_after_all(mut self) {
        self.mara.approve(&self.server, &self.request);
    }
}

#[test]
fn attack_047_a_challenge_is_used_once() {
    let mut scene = scene();
    let mut ben = Person::manager(&scene.server, "Ben");
    let server = &scene.server;
    // Twice, wrong the first time.
    let good = scene.mara.sign(server, &scene.request, "approve");
    let mut bad = good.clone();
    bad.response["response"]["signature"] = json!("AAAA");
    decide(server, &scene.request, &bad).invalid("assertion_invalid");
    let before = Snapshot::of(server);
    let answer = decide(server, &scene.request, &good).invalid("challenge_unknown");
    refused(server, &before, &answer, Logged::No);
    // One challenge for two people.
    let options = server.post_page(&format!("/a/{}/options", scene.request), &json!({ "decision": "approve" })).json();
    let one = |keys: &mut SoftAuthenticator| json!({ "ceremony": options["ceremony"], "response": keys.get(&options).unwrap() });
    let (first, second) = (one(&mut scene.mara.authenticator), one(&mut ben.authenticator));
    let place = format!("/a/{}/decision", scene.request);
    server.post_page(&place, &first).expect(200);
    let before = Snapshot::of(server);
    for again in [&first, &second] {
        refused(server, &before, &server.post_page(&place, again).invalid("challenge_unknown"), Logged::No);
    }
    // One that nobody gave.
    let mut made_up = second;
    made_up["ceremony"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    refused(server, &before, &server.post_page(&place, &made_up).invalid("challenge_unknown"), Logged::No);
    assert_eq!(Snapshot::of(server).count("decision"), 1);
}

#[test]
fn attack_047_a_challenge_lives_five_minutes() {
    let mut scene = scene();
    let (late, in_time) = (
        scene.mara.sign(&scene.server, &scene.request, "approve"),
        scene.mara.sign(&scene.server, &scene.request, "deny"),
    );
    scene.server.pass(299);
    decide(&scene.server, &scene.request, &in_time).expect(200);
    scene.server.pass(2);
    let before = Snapshot::of(&scene.server);
    let answer = decide(&scene.server, &scene.request, &late).invalid("challenge_unknown");
    refused(&scene.server, &before, &answer, Logged::No);
}

#[test]
fn attack_047_a_double_submit_counts_once() {
    let mut scene = scene();
    for _ in 0..10 {
        scene.server.pass(61);
        let request = scene.server.ask(&scene.server.job().sign(), &collector());
        let signed = scene.mara.sign(&scene.server, &request, "approve");
        let barrier = Barrier::new(4);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let post = || {
                barrier.wait();
                decide(&scene.server, &request, &signed)
            };
            let posts: Vec<_> = (0..4).map(|_| scope.spawn(post)).collect();
            posts.into_iter().map(|post| post.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "challenge_unknown").count(), 3);
    }
}

#[test]
fn attack_048_the_origin_is_ours_exactly() {
    let mut scene = scene();
    for origin in [
        "https://evil.example",
        "https://login.sign.shop.example",
        "https://shop.example",
        "https://sign.shop.example:8443",
        "https://sign.shop.example:443",
        "http://sign.shop.example",
        "https://sign.shop.example/",
        "https://SIGN.shop.example",
        "https://xn--sgn-7pa.shop.example",
        "null",
        "",
    ] {
        scene.lie("origin_wrong", |key| key.origin = Some(origin.to_owned()));
    }
    scene.lie("origin_wrong", |key| key.cross_origin = Some(true));
    scene.lie("origin_wrong", |key| {
        key.cross_origin = Some(true);
        key.top_origin = Some("https://evil.example".to_owned());
    });
    scene.lie("origin_wrong", |key| key.top_origin = Some(URL.to_owned()));
    scene.approves_after_all();
}

#[test]
fn attack_048_only_our_own_page_posts() {
    let mut scene = scene();
    let signed = scene.mara.sign(&scene.server, &scene.request, "approve");
    let place = format!("/a/{}/decision", scene.request);
    let json = || scene.server.call("POST", &place).body("application/json", signed.body().to_string());
    let before = Snapshot::of(&scene.server);
    for (origin, site) in [
        (None, None),
        (Some("https://evil.example"), None),
        (Some("null"), None),
        (Some("https://sign.shop.example:443"), None),
        (Some(URL), Some("cross-site")),
        (Some(URL), Some("same-site")),
        (Some(URL), Some("none")),
        (None, Some("same-origin")),
    ] {
        let mut call = json();
        call = origin.map_or(call.clone(), |origin| call.header("origin", origin));
        call = site.map_or(call.clone(), |site| call.header("sec-fetch-site", site));
        call.send().invalid("origin_wrong");
        Snapshot::of(&scene.server).assert_identical(&before);
    }
    decide(&scene.server, &scene.request, &signed).expect(200);
}

#[test]
fn attack_049_the_rp_the_touch_and_the_kind_are_signed() {
    let mut scene = scene();
    for rp_id in ["shop.example", "evil.example", "login.sign.shop.example", ""] {
        scene.lie("origin_wrong", |key| key.rp_id = Some(rp_id.to_owned()));
    }
    scene.lie("assertion_invalid", |key| key.user_present = false);
    for kind in ["webauthn.create", "payment.get", "", "WEBAUTHN.GET"] {
        scene.lie("assertion_invalid", |key| key.ceremony = Some(kind.to_owned()));
    }
    scene.approves_after_all();
}

#[test]
fn attack_050_user_verification_is_not_the_pages_choice() {
    let mut scene = scene();
    scene.lie("uv_required", |key| key.user_verified = false);
    let body = json!({ "decision": "approve", "userVerification": "discouraged" });
    let place = format!("/a/{}/options", scene.request);
    scene.server.post_page(&place, &body).invalid("parameter_invalid");
    // The options edited on their way: the key does not verify, and says so.
    let mut options = scene.server.post_page(&place, &json!({ "decision": "approve" })).expect(200).json();
    assert_eq!(options["publicKey"]["userVerification"], "required");
    options["publicKey"]["userVerification"] = json!("discouraged");
    scene.mara.authenticator.behaviour.user_verified = false;
    let response = scene.mara.authenticator.get(&options).unwrap();
    scene.mara.authenticator.behaviour = Behaviour::default();
    let signed = Signed { ceremony: options["ceremony"].as_str().unwrap().to_owned(), response };
    let before = Snapshot::of(&scene.server);
    let answer = decide(&scene.server, &scene.request, &signed).invalid("uv_required");
    refused(&scene.server, &before, &answer, Logged::No);
    scene.approves_after_all();
}

#[test]
fn attack_051_the_key_names_its_own_person() {
    let mut scene = scene();
    let mut eve = Person::enrol(&scene.server, "Eve", &["others"]);
    let handle = |signed: &Signed| signed.response["response"]["userHandle"].clone();
    let server = &scene.server;
    let of_mara = scene.mara.sign(server, &scene.request, "approve");
    let of_eve = eve.sign(server, &scene.request, "approve");
    let before = Snapshot::of(server);
    // B's key with A's handle, A's id with B's signature.
    let mut claimed = of_eve.clone();
    claimed.response["response"]["userHandle"] = handle(&of_mara);
    refused(server, &before, &decide(server, &scene.request, &claimed).invalid("assertion_invalid"), Logged::No);
    let mut renamed = eve.sign(server, &scene.request, "approve");
    renamed.response["id"] = of_mara.response["id"].clone();
    renamed.response["rawId"] = of_mara.response["rawId"].clone();
    renamed.response["response"]["userHandle"] = handle(&of_mara);
    refused(server, &before, &decide(server, &scene.request, &renamed).invalid("assertion_invalid"), Logged::No);
    let mut split = scene.mara.sign(server, &scene.request, "approve");
    split.response["id"] = of_eve.response["id"].clone();
    refused(server, &before, &decide(server, &scene.request, &split).invalid("assertion_invalid"), Logged::No);
    // A key that nobody enrolled, made with A's handle.
    let mut unknown = scene.mara.sign(server, &scene.request, "approve");
    unknown.response["id"] = json!("AAAA");
    unknown.response["rawId"] = json!("AAAA");
    let answer = decide(server, &scene.request, &unknown).expect_error(403, "access_denied", "passkey_unknown");
    refused(server, &before, &answer, Logged::No);

    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Absent);
    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Other(vec![7; 16]));
    scene.lie("assertion_invalid", |key| key.user_handle = UserHandle::Other(Vec::new()));
    scene.approves_after_all();
}

/// A counter went back: the refusal is logged, and the passkey is over.
fn copied(server: &Server, before: &Snapshot, answer: &Answer, person: &Person) {
    let after = Snapshot::of(server);
    let new = after.since(before);
    let told: Vec<_> = new.iter().map(|entry| (entry["kind"].clone(), entry["outcome"].clone())).collect();
    let wanted = [("refusal", "assertion_invalid"), ("passkey", "copied")];
    assert_eq!(told, wanted.map(|(kind, outcome)| (json!(kind), json!(outcome))), "{}", answer.text());
    assert!(new.iter().all(|entry| entry["person"] == person.id.as_str()));
    assert_eq!(answer.json()["log"]["index"], new[0]["seq"]);
    // What it approved and what no token came of yet counts no more: that alone, the last column, may have moved.
    let decisions = |snapshot: &Snapshot| -> Vec<String> {
        let rows = snapshot.table("decision").iter();
        rows.map(|row| row.trim_end_matches(['0', '1', '\u{1f}']).to_owned()).collect()
    };
    assert_eq!(decisions(&after), decisions(before));
    for table in ["request", "issued", "session", "person"] {
        assert_eq!(after.table(table), before.table(table), "{table}");
    }
}

#[test]
fn attack_054_a_counter_that_goes_back_is_a_copy() {
    let mut scene = scene();
    for (at, step) in [0, -1, -5].into_iter().enumerate() {
        let mut one = Person::manager(&scene.server, &format!("Person {at}"));
        one.authenticator.behaviour.counter_step = 6;
        one.approve(&scene.server, &scene.request);
        scene.request = scene.server.ask(&scene.server.job().sign(), &collector());
        one.authenticator.behaviour.counter_step = step;
        let signed = one.sign(&scene.server, &scene.request, "approve");
        let before = Snapshot::of(&scene.server);
        let answer = decide(&scene.server, &scene.request, &signed).invalid("assertion_invalid");
        copied(&scene.server, &before, &answer, &one);
        // Neither the key nor its copy signs again, however far it counts.
        one.authenticator.behaviour.counter_step = 100;
        let signed = one.sign(&scene.server, &scene.request, "approve");
        let before = Snapshot::of(&scene.server);
        let answer = decide(&scene.server, &scene.request, &signed);
        let answer = answer.expect_error(403, "access_denied", "passkey_suspended");
        refused(&scene.server, &before, &answer, Logged::No);
    }
    scene.mara.authenticator.behaviour.counter_step = 1 << 31;
    let request = scene.request.clone();
    scene.mara.approve(&scene.server, &request);
}

#[test]
fn attack_054_nothing_crowds_a_copied_key_out_of_the_log() {
    let mut scene = scene();
    // One signature more than are logged as refused, and the one that counts.
    let signed: Vec<_> =
        (0..MAX_LOGGED_A_MINUTE + 2).map(|_| scene.mara.sign(&scene.server, &scene.request, "approve")).collect();
    decide(&scene.server, &scene.request, &signed[0]).expect(200);
    let refusals = signed[1..].iter().map(|one| decide(&scene.server, &scene.request, one));
    let logged = refusals.filter(|answer| {
        assert_eq!(answer.code(), "already_approved");
        answer.json().get("log").is_some()
    });
    assert_eq!(u32::try_from(logged.count()).unwrap(), MAX_LOGGED_A_MINUTE);
    scene.request = scene.server.ask(&scene.server.job().sign(), &collector());
    scene.mara.authenticator.behaviour.counter_step = -i64::from(MAX_LOGGED_A_MINUTE + 1);
    let signed = scene.mara.sign(&scene.server, &scene.request, "approve");
    let before = Snapshot::of(&scene.server);
    let answer = decide(&scene.server, &scene.request, &signed).invalid("assertion_invalid");
    copied(&scene.server, &before, &answer, &scene.mara);
}

#[test]
fn attack_054_a_key_that_does_not_count_is_fine() {
    let mut scene = scene();
    for _ in 0..3 {
        scene.mara.authenticator.behaviour.counter_step = 0;
        let request = scene.server.ask(&scene.server.job().sign(), &collector());
        scene.mara.approve(&scene.server, &request);
    }
}

#[test]
fn attack_055_backup_eligibility_never_changes() {
    let mut scene = scene();
    scene.lie("assertion_invalid", |key| key.backup_eligible = true);
    scene.lie("assertion_invalid", |key| (key.backup_eligible, key.backup_state) = (true, true));
    scene.lie("assertion_invalid", |key| key.backup_state = true);
    let (server, request) = (&scene.server, scene.request.clone());

    let (id, link) = server.invite("Ben", &["release-managers"]);
    let mut keys = authenticator();
    keys.behaviour.backup_state = true;
    let signed = crate::support::person::register(server, &link, &mut keys);
    let before = Snapshot::of(server);
    let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(400);
    refused(server, &before, &answer, Logged::No);
    keys.behaviour.backup_eligible = true;
    let signed = crate::support::person::register(server, &link, &mut keys);
    server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
    let mut ben = Person { id, link, cookie: String::new(), authenticator: keys };
    // Eligible: the state may move either way.
    for (state, decision) in [(false, "approve"), (true, "deny")] {
        ben.authenticator.behaviour.backup_state = state;
        ben.decide(server, &request, decision).expect(200);
    }
    let (token, key) = (server.job().sign(), collector());
    let request = server.ask(&token, &key);
    ben.authenticator.behaviour.backup_eligible = false;
    ben.authenticator.behaviour.backup_state = false;
    ben.decide(server, &request, "approve").invalid("assertion_invalid");
    ben.authenticator.behaviour.backup_eligible = true;
    ben.approve(server, &request);
    let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    let amr = claims["amr"].as_array().unwrap();
    assert!(amr.contains(&Value::from("swk")) && !amr.contains(&Value::from("hwk")), "{amr:?}");
}

#[test]
fn attack_056_what_is_malformed_is_refused() {
    let mut scene = scene();
    scene.lie("assertion_invalid", |key| key.trailing = vec![0]);
    scene.lie("assertion_invalid", |key| key.extra_flags = 0x40);
    scene.lie("assertion_invalid", |key| key.extra_flags = 0x80);
    let server = &scene.server;
    let before = Snapshot::of(server);
    for (member, value) in [
        ("authenticatorData", json!("AAAA")),
        ("authenticatorData", json!("")),
        ("clientDataJSON", json!("")),
        ("clientDataJSON", json!("e30")),
        ("signature", json!("")),
        ("signature", json!("A".repeat(20_000))),
        ("authenticatorData", json!("A".repeat(40_000))),
        ("signature", json!(7)),
    ] {
        let mut signed = scene.mara.sign(server, &scene.request, "approve");
        signed.response["response"][member] = value;
        let answer = decide(server, &scene.request, &signed).invalid("assertion_invalid");
        refused(server, &before, &answer, Logged::No);
    }
    for response in [json!(null), json!([]), json!("x"), json!({}), json!({ "rawId": "%%%" })] {
        let ceremony = scene.mara.sign(server, &scene.request, "approve").ceremony;
        decide(server, &scene.request, &Signed { ceremony, response }).expect(400);
    }
    let doubled = r#"{"ceremony":"x","ceremony":"y","response":{}}"#;
    let call = server.call("POST", &format!("/a/{}/decision", scene.request));
    call.header("origin", URL).body("application/json", doubled).send().invalid("parameter_invalid");
    scene.approves_after_all();
}
