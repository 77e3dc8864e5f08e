//! What passkeys of each kind prove, read from tokens that were really issued; and what is refused to those that prove less.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future as _;
use std::task::Poll;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::exchange::Answer;
use countersign::app::propose_change::Wish;
use countersign::app::settings::{DeviceSettings, MetadataDocuments, OwnRootDocuments};
use countersign::app::start::start;
use countersign::app::verify_bundle::verify_bundle;
use countersign::clock::Clock;
use countersign::domain::assurance::evidence::Aaguid;
use countersign::domain::assurance::policy::DevicePolicy;
use countersign::domain::bundle::report::StepOutcome;
use countersign::domain::ids::{Digest, GroupName};
use countersign::domain::log::entry::Event;
use countersign::domain::log::note::VerifierKey;
use countersign::domain::oauth::exchange::{ExchangeHeaders, parse};
use countersign::domain::people::Role;
use countersign::domain::time::Timestamp;
use countersign::store::StoreError;
use serde_json::{Value, json};

use crate::support::maker::{Leaf, Maker, Service};
use crate::support::person::{Signed, authenticator};
use crate::support::rules::{AWS, RULES};
use crate::support::server::{NOW, block_on, fresh_directory, parts};
use crate::support::{Options, Person, Server, Snapshot, collector};

/// Beside the usual rules: one that demands hardware, one whose policy takes security keys alone.
const MORE: &str = r#"
[[rule]]
name     = "vault deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "vault", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"] } }
acr      = "phrh"

[[rule]]
name     = "safe deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "safe", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"] } }
device_policy = "security keys"
"#;

const PIN: &[&[&str]] = &[&["passcode_external"]];
const FINGER: &[&[&str]] = &[&["fingerprint_internal"]];
const FINGER_OR_PIN: &[&[&str]] = &[&["fingerprint_internal"], &["passcode_external"]];
const HARDWARE: &[&str] = &["hardware", "secure_element"];

fn aaguid(n: u8) -> [u8; 16] {
    [n; 16]
}

/// A model's number, how it keeps keys, how it verifies its user.
type Kind<'a> = (u8, &'a [&'a str], &'a [&'a [&'a str]]);

/// A maker of models, and the service that lists them.
struct World {
    service: Service,
    makers: BTreeMap<u8, Maker>,
    number: u64,
}

impl World {
    fn new() -> Self {
        Self { service: Service::fido(), makers: (1..=12).map(|n| (n, Maker::of(aaguid(n)))).collect(), number: 0 }
    }

    /// A blob with models 1 to 9; `reports` are against some of them.
    fn documents(&mut self, next_update: &str, reports: &[(u8, &str)]) -> MetadataDocuments {
        self.number += 1;
        let kinds: [Kind<'_>; 9] = [
            (1, HARDWARE, PIN),
            (2, HARDWARE, FINGER_OR_PIN),
            (3, HARDWARE, FINGER),
            (4, &["software"], FINGER_OR_PIN),
            (5, HARDWARE, PIN),
            (6, HARDWARE, PIN),
            (7, HARDWARE, PIN),
            (8, HARDWARE, &[&["presence_internal"]]),
            (9, &["hardware", "tee"], &[&["faceprint_internal"]]),
        ];
        let entries: Vec<Value> = kinds
            .iter()
            .map(|(n, kept, verified)| {
                let against = reports.iter().filter(|(model, _)| model == n).map(|(_, status)| *status);
                let statuses: Vec<_> = std::iter::once("FIDO_CERTIFIED_L1").chain(against).collect();
                self.makers[n].entry(&Aaguid(aaguid(*n)).to_string(), kept, verified, &statuses)
            })
            .collect();
        MetadataDocuments { blob: self.service.blob(self.number, next_update, &entries), root: self.service.root_pem() }
    }

    fn devices(&mut self) -> DeviceSettings {
        DeviceSettings {
            metadata: Some(self.documents("2026-12-24", &[])),
            own_roots: vec![OwnRootDocuments {
                name: "Our CA".to_owned(),
                format: "packed".to_owned(),
                aaguids: BTreeSet::from([Aaguid(aaguid(11))]),
                roots: self.makers[&11].root_pem(),
                revoked: None,
            }],
            policies: vec![security_keys()],
            ..DeviceSettings::default()
        }
    }

    fn serve(&mut self, change: impl FnOnce(&mut DeviceSettings)) -> Server {
        let mut devices = self.devices();
        change(&mut devices);
        Server::with(Options { rules: format!("{RULES}{MORE}"), devices, ..Options::default() })
    }

    fn reload(&mut self, server: &Server, next_update: &str, reports: &[(u8, &str)]) {
        let documents = self.documents(next_update, reports);
        block_on(server.app.load_metadata(&documents)).unwrap();
    }
}

fn security_keys() -> DevicePolicy {
    DevicePolicy {
        name: "security keys".to_owned(),
        attestation: true,
        roaming: true,
        synced: false,
        ..DevicePolicy::default()
    }
}

/// How a passkey is made.
#[derive(Clone, Copy)]
enum Made<'a> {
    Plain,
    Itself,
    By(&'a Maker, u8),
}

/// What a passkey answers to a registration, before it is posted.
fn answer(server: &Server, link: &str, made: Made<'_>, backup_eligible: bool) -> (Person, Signed) {
    let mut device = authenticator();
    device.behaviour.backup_eligible = backup_eligible;
    device.behaviour.backup_state = backup_eligible;
    if let Made::By(_, n) = made {
        device.behaviour.aaguid = aaguid(n);
    }
    if matches!(made, Made::Itself) {
        device.behaviour.attestation = countersign::cli::demo::authenticator::Attestation::PackedSelf;
    }
    let options = server.post_page(&format!("/enrol/{link}/options"), &json!({})).expect(200).json();
    let mut response = device.create(&options).unwrap();
    if let Made::By(maker, _) = made {
        maker.vouch(&mut response);
    }
    let ceremony = options["ceremony"].as_str().unwrap().to_owned();
    let person = Person { id: String::new(), link: link.to_owned(), cookie: String::new(), authenticator: device };
    (person, Signed { ceremony, response })
}

fn enrol(server: &Server, made: Made<'_>, backup_eligible: bool) -> (Person, Value) {
    // Each person has a name of their own.
    let name = format!("Person {}", crate::support::gitlab::fresh_id());
    let (id, link) = server.invite(&name, &["release-managers"]);
    let (mut person, signed) = answer(server, &link, made, backup_eligible);
    let posted = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200).json();
    person.id = id;
    (person, posted["passkey"].clone())
}

/// The claims of a token that a person approved.
fn token(server: &Server, person: &mut Person, environment: &str) -> Value {
    let (job, key) = (server.job().environment(environment).sign(), collector());
    let id = server.ask(&job, &key);
    person.approve(server, &id);
    server.exchange(&job, &[AWS]).collector(&key).send().expect(200).claims()
}

/// A row of the table in docs/amr.md.
fn row(class: &str, server: &Server, person: &mut Person) -> String {
    let claims = token(server, person, "production");
    let signed = &claims["approval"]["by"][0];
    assert_eq!((&claims["amr"], &claims["acr"]), (&signed["amr"], &json!("phr")), "the rule demands phr");
    let amr: Vec<_> = signed["amr"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let missing = claims.get("amr_missing").and_then(Value::as_object).cloned().unwrap_or_default();
    let missing: Vec<_> = missing.iter().map(|(value, why)| format!("{value}: {}", why.as_str().unwrap())).collect();
    let missing = if missing.is_empty() { "nothing".to_owned() } else { format!("`{}`", missing.join(", ")) };
    format!("| {class} | `{}` | `{}` | {missing} |", amr.join(" "), signed["acr"].as_str().unwrap())
}

#[test]
fn every_class_of_devices_proves_what_the_documentation_says() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let chromium = Maker::new(&Leaf {
        organization: "Chromium",
        common_name: "Batch Certificate",
        country: "US",
        ..Leaf::default()
    });
    let makers: BTreeMap<u8, Maker> = std::mem::take(&mut world.makers);
    let by = |n: u8| Made::By(&makers[&n], n);
    let classes = [
        ("A key bound to its device that sends no attestation", Made::Plain, false),
        ("A key that can be copied: iCloud, Google, a password manager", Made::Plain, true),
        ("A key that vouches for itself (self attestation)", Made::Itself, false),
        ("A key whose maker nobody lists", by(10), false),
        ("Chromium's virtual key, which everybody can copy", Made::By(&chromium, 1), false),
        ("A listed hardware key that checks a PIN alone", by(1), false),
        ("A listed hardware key that checks a finger or a PIN", by(2), false),
        ("A listed hardware key that checks a finger alone", by(3), false),
        ("A listed hardware key that checks a face alone", by(9), false),
        ("A listed hardware key that checks nobody", by(8), false),
        ("A listed model that keeps keys in software", by(4), false),
        ("A listed hardware key whose key can be copied", by(5), true),
        ("A key under a root of the operator's own", by(11), false),
    ];
    let mut found = Vec::new();
    for (class, made, backup_eligible) in classes {
        let (mut person, _) = enrol(&server, made, backup_eligible);
        found.push(row(class, &server, &mut person));
    }
    let (mut revoked, _) = enrol(&server, by(6), false);
    let (mut bypassed, _) = enrol(&server, by(7), false);
    let (mut before, _) = enrol(&server, by(1), false);
    world.makers = makers;
    world.reload(&server, "2026-12-24", &[(6, "REVOKED"), (7, "USER_VERIFICATION_BYPASS")]);
    found.push(row("A listed hardware key that was revoked later", &server, &mut revoked));
    found.push(row("A listed hardware key whose verification can be got round", &server, &mut bypassed));
    world.reload(&server, "2026-11-20", &[]);
    found.push(row("A listed hardware key from before the metadata was overdue", &server, &mut before));
    let (mut late, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    found.push(row("A listed hardware key that was made while it was overdue", &server, &mut late));

    println!("{}", found.join("\n"));
    let document = include_str!("../../docs/amr.md");
    for row in found {
        assert!(document.contains(&row), "docs/amr.md lacks this row:\n{row}");
    }
}

#[test]
fn a_rule_that_demands_hardware_takes_proven_hardware_alone() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let (mut proven, passkey) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    assert_eq!(passkey["name"], "Keys Inc. One");
    assert_eq!((&passkey["proven"], &passkey["claimed"]), (&json!(true), &json!(false)));
    assert_eq!(passkey["strength"], "Hardware key, proven");
    let claims = token(&server, &mut proven, "vault");
    assert_eq!((&claims["acr"], claims.get("amr_missing")), (&json!("phrh"), None));
    assert!(claims["sub"].as_str().unwrap().ends_with(":approval:phrh"), "{}", claims["sub"]);

    let (mut synced, passkey) = enrol(&server, Made::Plain, true);
    assert_eq!(passkey["strength"], "Synced passkey");
    let (mut unlisted, passkey) = enrol(&server, Made::By(&world.makers[&10], 10), false);
    assert_eq!(passkey["strength"], "Unproven: chain untrusted");
    let (job, key) = (server.job().environment("vault").sign(), collector());
    let id = server.ask(&job, &key);
    for (person, why) in [(&mut synced, "can be copied"), (&mut unlisted, "no maker that this server trusts")] {
        let before = Snapshot::of(&server);
        let answer = person.decide(&server, &id, "approve");
        assert_eq!((answer.status, answer.code().as_str()), (403, "acr_not_reached"), "{}", answer.text());
        assert!(answer.text().contains(why), "{}", answer.text());
        let after = Snapshot::of(&server);
        assert_eq!(after.count("decision"), before.count("decision"));
    }
    proven.approve(&server, &id);
    // What is known on the day of the issue counts, not what was known at the touch.
    world.reload(&server, "2026-12-24", &[(1, "REVOKED")]);
    server.pass(30);
    server.exchange(&job, &[AWS]).collector(&key).send().pending();
    world.reload(&server, "2026-12-24", &[]);
    server.pass(30);
    let claims = server.exchange(&job, &[AWS]).collector(&key).send().expect(200).claims();
    assert_eq!(claims["acr"], "phrh");
}

#[test]
fn attack_058_a_list_of_revoked_certificates_counts_once_it_is_reloaded() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let maker = &world.makers[&11];
    let (mut person, _) = enrol(&server, Made::By(maker, 11), false);
    assert_eq!(token(&server, &mut person, "production")["amr"], json!(["hwk", "pop", "user"]));
    let serial = maker.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string();
    let list = |text: String| BTreeMap::from([("Our CA".to_owned(), text.into_bytes())]);
    // One that cannot be read changes nothing.
    assert!(server.app.load_revoked(&list("[]".to_owned())).is_err());
    assert_eq!(token(&server, &mut person, "production")["amr"], json!(["hwk", "pop", "user"]));
    server.app.load_revoked(&list(json!({ "entries": { serial: {} } }).to_string())).unwrap();
    let claims = token(&server, &mut person, "production");
    assert_eq!((&claims["amr"], &claims["amr_missing"]["hwk"]), (&json!(["pop", "user"]), &json!("status")));
}

/// A job whose approval only a key of this maker's gave, and that has not been collected yet.
fn approved(server: &Server, person: &mut Person) -> (String, String) {
    let (job, key) = (server.job().environment("vault").sign(), collector());
    let id = server.ask(&job, &key);
    person.approve(server, &id);
    server.pass(30);
    (job, key)
}

#[test]
fn attack_058_what_is_known_of_a_key_counts_however_long_a_call_was_queued() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let maker = &world.makers[&11];
    let (mut person, _) = enrol(&server, Made::By(maker, 11), false);
    let (job, key) = approved(&server, &mut person);
    let serial = maker.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string();
    let revoked = json!({ "entries": { serial: {} } }).to_string().into_bytes();
    let form = crate::support::wire::form(&crate::support::exchange::exchange_pairs(&job, &[AWS]));
    let headers = ExchangeHeaders { idempotency_key: Some(&key), has_dpop: false };
    let asked = parse(form.as_bytes(), headers).unwrap();
    let answer = block_on(async {
        // The writer is held; the call has looked, and waits for it.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = server.app.store.write(move |_| -> Result<(), StoreError> {
            held.recv().ok();
            Ok(())
        });
        let mut call = std::pin::pin!(server.app.exchange(asked, None, None));
        let waits = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
        assert!(waits, "the call waits for the writer");
        server.app.load_revoked(&BTreeMap::from([("Our CA".to_owned(), revoked)])).unwrap();
        release.send(()).unwrap();
        first.await.unwrap();
        call.await
    });
    assert!(matches!(answer, Ok(Answer::Pending(_))), "{answer:?}");
    assert_eq!(Snapshot::of(&server).count("token"), 0);
}

#[test]
fn attack_058_nothing_counts_by_metadata_that_the_log_has_replaced() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let (mut person, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    let (job, key) = approved(&server, &mut person);
    let other = server.ask(&server.job().environment("vault").sign(), &collector());
    let (_, link) = server.invite("Late", &["release-managers"]);
    // The log has the next blob, and memory gets it a moment later.
    let next = world.documents("2026-12-24", &[(1, "REVOKED")]);
    let (number, sha256) = (world.number, Digest::of(&next.blob));
    let logged = server.app.store.write(move |unit| -> Result<(), StoreError> {
        let next_update = unit.now();
        let entry = unit.append(Event::Metadata { number, sha256, next_update, models: 9, skipped: 0 })?;
        unit.put_metadata_in_force(number, &sha256, entry)
    });
    block_on(logged).unwrap();
    let busy = |answer: crate::support::Answer| drop(answer.expect_error(503, "temporarily_unavailable", "queue_full"));
    busy(server.exchange(&job, &[AWS]).collector(&key).send());
    let signed = server.post_page(&format!("/a/{other}/options"), &json!({ "decision": "approve" }));
    busy(signed);
    let (_, made) = answer(&server, &link, Made::By(&world.makers[&2], 2), false);
    busy(server.post_page(&format!("/enrol/{link}/passkey"), &made.body()));
    assert_eq!(Snapshot::of(&server).count("token"), 0);
    block_on(server.app.load_metadata(&next)).unwrap();
    server.exchange(&job, &[AWS]).collector(&key).send().pending();
    assert_eq!(person.decide(&server, &other, "approve").code(), "acr_not_reached");
}

#[test]
fn attack_053_a_policy_is_held_at_the_signature() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let (mut proven, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    assert_eq!(token(&server, &mut proven, "safe")["acr"], "phr");
    let (mut plain, _) = enrol(&server, Made::Plain, false);
    let (mut claimed, _) = {
        // The model of a listed key, and nobody's word for it.
        let (id, link) = server.invite("Tom", &["release-managers"]);
        let mut device = authenticator();
        device.behaviour.aaguid = aaguid(1);
        let options = server.post_page(&format!("/enrol/{link}/options"), &json!({})).expect(200).json();
        let response = device.create(&options).unwrap();
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        let posted = server.post_page(&format!("/enrol/{link}/passkey"), &body).expect(200).json();
        (Person { id, link, cookie: String::new(), authenticator: device }, posted)
    };
    let (job, key) = (server.job().environment("safe").sign(), collector());
    let id = server.ask(&job, &key);
    for person in [&mut plain, &mut claimed] {
        let answer = person.decide(&server, &id, "approve");
        assert_eq!((answer.status, answer.code().as_str()), (400, "policy_not_met"), "{}", answer.text());
        assert!(answer.text().contains("security keys") && answer.text().contains("no proof from its maker"));
    }
}

#[test]
fn attack_052_a_passkey_carries_no_more_than_the_admins_who_let_its_owner_in() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let mut ada = Person::first_admin(&server);
    let keys = || Made::By(&world.makers[&1], 1);
    let invite = |admin: &mut Person, name: &str| {
        let wish = Wish::Invite { name: name.to_owned(), groups: BTreeSet::new(), role: Role::Member };
        let (change, link) = server.propose(wish);
        assert_eq!(admin.sign_change(&server, &change, "approve").expect(200).json()["state"], "done");
        let link = link.unwrap();
        let (mut person, signed) = answer(&server, &link, keys(), false);
        let made = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200).json();
        let ConsoleAnswer::Person { person: shown } = server.console(ConsoleCommand::Show { person: name.to_owned() })
        else {
            panic!("nobody")
        };
        person.id = shown.line.person.to_string();
        let group = GroupName::parse("release-managers").unwrap();
        let wish = Wish::Join { person: person.id.clone(), group };
        server.console(ConsoleCommand::Change { wish, propose: false });
        (person, made["passkey"]["strength"].clone())
    };
    // Let in by an admin whose key proves no hardware: his own key is no better.
    let (mut mara, strength) = invite(&mut ada, "Mara");
    assert_ne!(strength, "Hardware key, proven");
    let job = server.job().environment("vault").sign();
    let id = server.ask(&job, &collector());
    mara.decide(&server, &id, "approve").expect_error(403, "access_denied", "acr_not_reached");
    assert_eq!(token(&server, &mut mara, "production")["approval"]["by"][0]["acr"], "phr");
    // By one whose key does.
    let (mut bea, _) = enrol(&server, keys(), false);
    server.console(ConsoleCommand::Change {
        wish: Wish::Role { person: bea.id.clone(), role: Role::Admin },
        propose: false,
    });
    let (mut tom, strength) = invite(&mut bea, "Tom");
    assert_eq!(strength, "Hardware key, proven");
    assert_eq!(token(&server, &mut tom, "vault")["acr"], "phrh");
}

#[test]
fn attack_053_a_policy_is_held_at_the_enrolment() {
    let mut world = World::new();
    let server = world.serve(|devices| devices.enrolment = vec!["security keys".to_owned()]);
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let page = server.get(&format!("/enrol/{link}")).expect(200).text();
    assert!(page.contains("Policy security keys: a hardware security key with proof from its maker."), "{page}");
    let refused = |made: Made<'_>, copied: bool, why: &str| {
        let before = Snapshot::of(&server);
        let (_, signed) = answer(&server, &link, made, copied);
        let answer = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body());
        assert_eq!((answer.status, answer.code().as_str()), (400, "policy_not_met"), "{}", answer.text());
        let text = answer.text();
        for part in [why, "security keys", "Nothing was kept.", "hardware security key"] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        assert_eq!(Snapshot::of(&server).table("passkey"), before.table("passkey"));
    };
    refused(Made::Plain, false, "no proof from its maker");
    refused(Made::Plain, true, "can be copied");
    refused(Made::Itself, false, "vouched for itself");
    refused(Made::By(&world.makers[&10], 10), false, "no maker that this server trusts");
    // The link is not spent by what was refused.
    let (_, signed) = answer(&server, &link, Made::By(&world.makers[&1], 1), false);
    server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
}

#[test]
fn a_groups_policy_holds_for_its_members_alone() {
    let mut world = World::new();
    let group = GroupName::parse("release-managers").unwrap();
    let server = world.serve(|devices| drop(devices.groups.insert(group, vec!["security keys".to_owned()])));
    let (_, link) = server.invite("Mara", &["release-managers"]);
    let (_, signed) = answer(&server, &link, Made::Plain, false);
    let refused = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body());
    assert_eq!(refused.code(), "policy_not_met");
    let (_, link) = server.invite("Tom", &["readers"]);
    let (_, signed) = answer(&server, &link, Made::Plain, false);
    server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
}

#[test]
fn a_groups_policy_holds_before_a_change_puts_anybody_into_it() {
    let mut world = World::new();
    let group = GroupName::parse("release-managers").unwrap();
    let policy = vec!["security keys".to_owned()];
    let server = world.serve(|devices| drop(devices.groups.insert(group.clone(), policy)));
    let mut ada = Person::first_admin(&server);
    // Let in by one admin: the group waits, its policy does not.
    let groups = [group.clone()].into();
    let (change, link) = server.propose(Wish::Invite { name: "Mara".to_owned(), groups, role: Role::Member });
    assert_eq!(ada.sign_change(&server, &change, "approve").expect(200).json()["state"], "delayed");
    let (id, waiting) = server.invite("Tom", &["readers"]);
    server.propose(Wish::Join { person: id, group });
    for link in [link.unwrap(), waiting] {
        let page = server.get(&format!("/enrol/{link}")).expect(200).text();
        assert!(page.contains("Policy security keys"), "{page}");
        let (_, signed) = answer(&server, &link, Made::Plain, false);
        let refused = server.post_page(&format!("/enrol/{link}/passkey"), &signed.body());
        assert_eq!(refused.code(), "policy_not_met");
        let (_, signed) = answer(&server, &link, Made::By(&world.makers[&1], 1), false);
        // Whoever let its owner in, the device is what the policy asks for; what it may prove later is another matter.
        server.post_page(&format!("/enrol/{link}/passkey"), &signed.body()).expect(200);
    }
}

#[test]
fn unattested_verification_counts_where_the_operator_says_so() {
    let mut world = World::new();
    let server = world.serve(|devices| devices.trust_unattested_uv = true);
    let (mut plain, _) = enrol(&server, Made::Plain, false);
    let claims = token(&server, &mut plain, "production");
    assert_eq!(claims["amr"], json!(["mfa", "pop", "user"]));
    assert_eq!(claims["amr_missing"], json!({ "hwk": "no_attestation" }));
    bundle_says(&server, &claims, &[]);
}

#[test]
fn attack_058_metadata_never_goes_back_and_a_bad_blob_changes_nothing() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let older = world.documents("2026-12-24", &[]);
    world.reload(&server, "2026-12-24", &[(1, "REVOKED")]);
    let logged = Snapshot::of(&server);
    let entry = logged.of_kind("metadata").last().unwrap();
    assert_eq!((&entry["number"], &entry["models"], &entry["skipped"]), (&json!(3), &json!(9), &json!(0)));
    let refused = block_on(server.app.load_metadata(&older)).unwrap_err().to_string();
    assert!(refused.contains("no. 2, and no. 3 was in force"), "{refused}");
    let mut broken = world.documents("2026-12-24", &[]);
    broken.blob.truncate(200);
    assert!(block_on(server.app.load_metadata(&broken)).is_err());
    let forged = MetadataDocuments { root: Service::fido().root_pem(), ..world.documents("2026-12-24", &[]) };
    assert!(block_on(server.app.load_metadata(&forged)).is_err());
    assert_eq!(server.app.trusted().metadata.as_ref().unwrap().number, 3);
    assert_eq!(Snapshot::of(&server).count("metadata"), logged.count("metadata"));
    // A model that is revoked admits no new key.
    let (mut plain, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    assert_eq!(token(&server, &mut plain, "production")["amr_missing"]["hwk"], "chain_untrusted");
}

#[test]
fn overdue_metadata_is_told_to_whoever_looks() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    let warnings = |server: &Server| server.get("/readyz").json()["warnings"].to_string();
    assert!(!warnings(&server).contains("metadata"));
    let finding = |server: &Server| {
        let findings = server.app.examine().unwrap();
        findings.into_iter().find(|finding| finding.subject == "metadata").unwrap()
    };
    assert_eq!(finding(&server).cure, None);
    world.reload(&server, "2026-11-20", &[]);
    assert!(finding(&server).cure.unwrap().contains("mds.fidoalliance.org"));
    assert!(
        warnings(&server).contains("FIDO metadata no. 2, 9 models, next due 2026-11-20: overdue"),
        "{}",
        warnings(&server)
    );
}

#[test]
fn attack_058_a_start_with_older_metadata_is_refused() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    world.reload(&server, "2026-12-24", &[]);
    world.reload(&server, "2026-12-24", &[]);
    // The same state elsewhere, started with the second blob's numbers and with a newer one.
    let with = |number: u64| {
        let directory = fresh_directory();
        for file in std::fs::read_dir(&server.directory).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), directory.join(file.file_name())).unwrap();
            }
        }
        let blob = world.service.blob(number, "2026-12-24", &[]);
        let metadata = Some(MetadataDocuments { blob, root: world.service.root_pem() });
        let devices = DeviceSettings { metadata, ..DeviceSettings::default() };
        let options = Options { devices, ..Options::default() };
        let (clock, _) = Clock::steerable(Timestamp::from_seconds(NOW + 60));
        let rules = [("rules.toml".to_owned(), options.rules.clone())];
        let started = block_on(start(parts(&directory, &clock, &options), Some(&rules)));
        std::fs::remove_dir_all(&directory).unwrap();
        started.map(|app| app.store.close()).map_err(|error| error.to_string())
    };
    assert!(with(2).unwrap_err().contains("no. 2, and no. 3 was in force"));
    assert_eq!(with(4), Ok(()));
}

/// The steps of a token's bundle that are not checked; the others hold.
fn bundle_says(server: &Server, claims: &Value, not_checked: &[&str]) {
    let index = claims["log"]["index"].as_u64().unwrap();
    let bundle = serde_json::to_vec(&server.app.make_bundle(index).unwrap()).unwrap();
    let key = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = verify_bundle(&bundle, &key);
    let failed: Vec<_> = report.steps.iter().filter(|step| step.outcome == StepOutcome::Failed).collect();
    assert!(failed.is_empty(), "{report:#?}");
    let skipped: Vec<_> =
        report.steps.iter().filter(|step| step.outcome == StepOutcome::NotChecked).map(|step| step.name).collect();
    assert_eq!(skipped, not_checked, "{report:#?}");
}

#[test]
fn a_bundle_proves_the_level_or_says_what_is_the_logs_word() {
    let mut world = World::new();
    let server = world.serve(|_| ());
    for (made, not_checked) in [
        (Made::Plain, &[][..]),
        (Made::Itself, &[]),
        (Made::By(&world.makers[&10], 10), &[]),
        (Made::By(&world.makers[&1], 1), &["model"]),
        (Made::By(&world.makers[&11], 11), &["model"]),
    ] {
        let (mut person, _) = enrol(&server, made, false);
        let claims = token(&server, &mut person, "production");
        bundle_says(&server, &claims, not_checked);
    }
    // The rule is decided again on the level and on the policy.
    let (mut person, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    for environment in ["vault", "safe"] {
        let claims = token(&server, &mut person, environment);
        bundle_says(&server, &claims, &["model"]);
    }
    // A verdict that the log did not record is no proof.
    let (mut person, _) = enrol(&server, Made::By(&world.makers[&1], 1), false);
    let claims = token(&server, &mut person, "vault");
    let index = claims["log"]["index"].as_u64().unwrap();
    let mut bundle = serde_json::to_value(server.app.make_bundle(index).unwrap()).unwrap();
    let documents = bundle["evidence"].as_object_mut().unwrap();
    let verdict = documents.values_mut().find(|one| one["text"].as_str().unwrap().contains("\"anchor\"")).unwrap();
    verdict["text"] = verdict["text"].as_str().unwrap().replace("hardware", "software").into();
    let key = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let answer = verify_bundle(bundle.to_string().as_bytes(), &key).answer();
    assert!(answer.starts_with("no: documents failed"), "{answer}");
}
