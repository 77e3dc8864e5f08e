//! `/me/push`: people who asked for it are told on their devices; a push service of our own opens what it is sent.

use countersign::app::keep_pushes::MAX_PUSHES_OF_PERSON;
use countersign::app::propose_change::Wish;
use countersign::app::push_requests::MAX_PUSHES_OF_REQUEST;
use countersign::app::settings::PushSettings;
use countersign::domain::ids::PersonId;
use countersign::domain::push::Subscription;
use countersign::domain::time::PUSH_LIVES;
use countersign::outbound::push::PUSH_LANES;
use countersign::store::push::PushRow;
use countersign::store::{StoreError, Unit};
use serde_json::{Value, json};

use crate::support::diagnostics::heard;
use crate::support::https::{Reply, TestServer};
use crate::support::person::{in_session, page};
use crate::support::push::{Device, settings};
use crate::support::rules::RULES;
use crate::support::server::{block_on, until};
use crate::support::{Options, Person, Server, Snapshot, collector};

struct World {
    service: TestServer,
    server: Server,
}

impl World {
    fn new() -> Self {
        let service = TestServer::start();
        let server = Server::with(Options { push: Some(settings(&service)), ..Options::default() });
        Self { service, server }
    }

    /// A device that its service knows.
    fn device(&self, name: &str) -> Device {
        self.service.answer(&format!("/push/{name}"), Reply::status(201));
        Device::at(&self.service, name)
    }

    /// Somebody who is signed in, and told on a device of theirs.
    fn told(&self, person: &mut Person, name: &str) -> (String, Device) {
        let (session, device) = (person.sign_in(&self.server), self.device(name));
        in_session(&self.server, &session, "/me/push", &device.body()).expect(200);
        (session, device)
    }

    fn devices_of(&self, person: &Person) -> usize {
        self.server.app.pushes_of(&PersonId::parse(&person.id).unwrap()).unwrap().len()
    }

    /// Waits until a device was sent that many messages: those.
    fn messages(&self, device: &Device, count: usize) -> Vec<Value> {
        until("told", || device.calls(&self.service).len() >= count);
        let messages = device.messages(&self.service);
        assert_eq!(messages.len(), count, "{messages:?}");
        messages
    }

    fn ask(&self, environment: &str, job: &str) -> String {
        self.server.ask(&self.server.job().with("job_id", job).environment(environment).sign(), &collector())
    }
}

fn number(server: &Server, session: &str) -> String {
    let home = page(server, session, "/").expect(200).text();
    home.split("data-number=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn whoever_may_sign_and_asked_for_it_is_told_and_nobody_else() {
    let world = World::new();
    let (mut mara, mut ben) = (Person::manager(&world.server, "Mara"), Person::manager(&world.server, "Ben"));
    let mut eve = Person::enrol(&world.server, "Eve", &["others"]);
    world.server.link_starter(&ben.id);
    let ((_, of_mara), (_, of_ben), (_, of_eve)) =
        (world.told(&mut mara, "mara"), world.told(&mut ben, "ben"), world.told(&mut eve, "eve"));
    // Ben started the job, and this rule wants somebody else.
    let careful = world.ask("careful", "1");
    let message = world.messages(&of_mara, 1).remove(0);
    assert_eq!((&message["place"], &message["path"]), (&"shop/api · careful".into(), &format!("/a/{careful}").into()));
    assert!(message["until"].as_str().unwrap().starts_with("2026-11-23T"), "{message}");
    let names: std::collections::BTreeSet<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["path", "place", "tag", "until"].into(), "and no word more");
    let call = &of_mara.calls(&world.service)[0];
    let left: u64 = call.header("ttl").unwrap().parse().unwrap();
    assert!(left > 800 && left <= 900, "{left}");
    assert_eq!((call.header("topic").unwrap().len(), call.header("urgency")), (32, Some("high")));
    assert_eq!(call.header("topic"), message["tag"].as_str());
    assert!(!call.head.contains(&careful), "the link is sealed: {}", call.head);
    let second = world.ask("production", "2");
    assert_eq!(world.messages(&of_mara, 2)[1]["path"], format!("/a/{second}"));
    assert_eq!(world.messages(&of_ben, 1)[0]["path"], format!("/a/{second}"));
    assert!(of_eve.calls(&world.service).is_empty());
    let sizes: Vec<_> = of_mara.calls(&world.service).iter().map(|call| call.body.len()).collect();
    assert_eq!(sizes[0], sizes[1], "a length tells nothing");
    // The link shows, and does nothing by itself.
    let before = Snapshot::of(&world.server);
    world.server.get(&format!("/a/{second}")).expect(200);
    Snapshot::of(&world.server).assert_identical(&before);
}

#[test]
fn what_waits_no_more_is_taken_back_where_it_was_told() {
    let world = World::new();
    let (mut mara, mut ben) = (Person::manager(&world.server, "Mara"), Person::manager(&world.server, "Ben"));
    let ((_, of_mara), (_, of_ben)) = (world.told(&mut mara, "mara"), world.told(&mut ben, "ben"));
    let request = world.ask("finance", "1");
    let first = world.messages(&of_mara, 1).remove(0);
    world.messages(&of_ben, 1);
    // One of two has signed: it still waits for the other.
    mara.approve(&world.server, &request);
    ben.approve(&world.server, &request);
    let last = world.messages(&of_ben, 2).remove(1);
    assert_eq!((&last["over"], &last["tag"], &last["path"]), (&true.into(), &first["tag"], &"/".into()));
    assert_eq!(of_ben.calls(&world.service)[1].header("topic"), first["tag"].as_str());
    assert_eq!(world.messages(&of_mara, 2)[1]["over"], true);
    let denied = world.ask("production", "2");
    world.messages(&of_mara, 3);
    ben.deny(&world.server, &denied);
    assert_eq!(world.messages(&of_mara, 4)[3]["over"], true);
}

#[test]
fn attack_044_many_requests_are_one_message() {
    let world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let (_, device) = world.told(&mut mara, "mara");
    for n in 1..=17 {
        world.ask("production", &n.to_string());
    }
    world.messages(&device, 5);
    world.server.pass(60);
    world.server.app.tell_gathered().unwrap();
    let last = world.messages(&device, 6).remove(5);
    assert_eq!((&last["count"], &last["place"], &last["path"]), (&12.into(), &"shop/api".into(), &"/".into()));
}

#[test]
fn so_many_devices_are_told_of_one_request() {
    const OTHERS: &str = "\n[[rule]]\nname = \"others' deploy\"\naudience = [\"sts.amazonaws.com\"]\n\
        match = { issuer = \"gitlab\", job_project_id = \"4711\", environment = \"elsewhere\" }\n\
        require = { approval = { of = [\"others\"] } }\n";
    let service = TestServer::start();
    let push = Some(settings(&service));
    let server = Server::with(Options { push, ..Options::rules(&format!("{RULES}{OTHERS}")) });
    let world = World { service, server };
    let (mut mara, mut eve) =
        (Person::manager(&world.server, "Mara"), Person::enrol(&world.server, "Eve", &["others"]));
    world.told(&mut mara, "mara");
    world.told(&mut eve, "eve");
    // More than a person may have: in place of a hundred people.
    let add = |person: &Person, names: Vec<String>| {
        let id = PersonId::parse(&person.id).unwrap();
        let row = world.server.app.pushes_of(&id).unwrap().remove(0).row;
        let rows: Vec<_> = names
            .iter()
            .map(|name| {
                let endpoint = world.device(name).endpoint;
                let subscription = Subscription::of(&endpoint, row.subscription.key, row.subscription.auth).unwrap();
                PushRow { subscription, ..row.clone() }
            })
            .collect();
        let insert = move |unit: &mut Unit<'_>| -> Result<(), StoreError> {
            rows.iter().try_for_each(|row| unit.insert_push(row))
        };
        block_on(world.server.app.store.write(insert)).unwrap();
    };
    add(&mara, (1..=MAX_PUSHES_OF_REQUEST).map(|n| format!("mara-{n}")).collect());
    // One in each lane: what was put there before them was handed over before them.
    add(&eve, (0..PUSH_LANES).map(|n| format!("eve-{n}")).collect());
    world.ask("production", "1");
    world.ask("elsewhere", "2");
    let told = |of: &str| {
        let taken = world.service.taken();
        taken.iter().filter(|call| call.path.starts_with(&format!("/push/{of}"))).count()
    };
    until("Eve is told on every device", || told("eve") == PUSH_LANES + 1);
    assert_eq!(told("mara"), MAX_PUSHES_OF_REQUEST, "of one more devices than that");
    let troubles = world.server.get("/readyz").expect(200).json()["warnings"].to_string();
    assert!(!troubles.contains("push"), "nothing was lost: {troubles}");
}

#[test]
fn a_device_that_its_service_does_not_know_any_more_is_forgotten() {
    let world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let (_, device) = world.told(&mut mara, "mara");
    let before = Snapshot::of(&world.server);
    world.service.answer("/push/mara", Reply::status(410));
    world.ask("production", "1");
    until("forgotten", || world.devices_of(&mara) == 0);
    let after = Snapshot::of(&world.server);
    let gone: Vec<_> = after.since(&before).iter().filter(|entry| entry["outcome"] == "push_gone").collect();
    assert_eq!((gone.len(), &gone[0]["person"]), (1, &mara.id.as_str().into()));
    world.ask("production", "2");
    assert_eq!(device.calls(&world.service).len(), 1);
    assert!(!heard().contains(&device.endpoint) && !heard().contains("/push/"), "nobody is told an address");
}

#[test]
fn attack_015_a_browser_gives_no_address_but_of_a_listed_service() {
    let world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let session = mara.sign_in(&world.server);
    let device = world.device("mara");
    let before = Snapshot::of(&world.server);
    let refused = |name: &str, value: &str| {
        let mut body = device.body();
        body[name] = value.into();
        let answer = in_session(&world.server, &session, "/me/push", &body);
        assert_eq!(answer.status, 400, "{name} {value}: {}", answer.text());
        assert!(!answer.text().contains("secret-path"), "{}", answer.text());
    };
    for endpoint in [
        "https://fcm.googleapis.com/secret-path",
        "https://localhost/secret-path",
        "https://169.254.169.254/secret-path",
        "http://localhost:1/secret-path",
        "https://user:pass@localhost:1/secret-path",
        "gopher://localhost/secret-path",
        "",
    ] {
        refused("endpoint", endpoint);
    }
    refused("endpoint", &format!("{}{}", device.endpoint, "a".repeat(1024)));
    refused("p256dh", "BBBB");
    refused("p256dh", &data_encoding::BASE64URL_NOPAD.encode(&[4; 65]));
    refused("auth", "AAAA");
    refused("auth", "!");
    refused("more", "x");
    let known = world.server.call("POST", "/me/push").of_our_page(&device.body()).send();
    assert_eq!(known.status, 401, "{}", known.text());
    let long = json!({ "endpoint": "a".repeat(64 * 1024), "p256dh": "", "auth": "" });
    assert_eq!(in_session(&world.server, &session, "/me/push", &long).status, 413);
    Snapshot::of(&world.server).assert_same_state(&before);
    assert!(world.service.taken().is_empty(), "asking sends nothing");
}

#[test]
fn attack_015_nothing_is_sent_to_a_private_address() {
    let service = TestServer::start();
    let push = PushSettings { allow_private: false, ..settings(&service) };
    let server = Server::with(Options { push: Some(push), ..Options::default() });
    let world = World { service, server };
    let mut mara = Person::manager(&world.server, "Mara");
    let (_, _device) = world.told(&mut mara, "secret-path");
    world.ask("production", "1");
    let troubles = || world.server.get("/readyz").expect(200).json()["warnings"].to_string();
    until("told of it", || troubles().contains("push by localhost: its address is loopback"));
    assert!(!troubles().contains("secret-path"), "{}", troubles());
    let told: Vec<_> = heard().lines().filter(|line| line.contains("secret-path")).map(str::to_owned).collect();
    assert!(told.is_empty(), "an address is told in the diagnostics: {told:#?}");
    assert_eq!(world.service.connections(), 0);
}

#[test]
fn a_person_has_few_devices_and_stops_their_own_alone() {
    let world = World::new();
    let (mut mara, mut ben) = (Person::manager(&world.server, "Mara"), Person::manager(&world.server, "Ben"));
    let (session, first) = world.told(&mut mara, "first");
    let (of_ben, _) = world.told(&mut ben, "ben");
    // Asked again, it is the same device.
    in_session(&world.server, &session, "/me/push", &first.body()).expect(200);
    assert_eq!(world.devices_of(&mara), 1);
    for n in 0..MAX_PUSHES_OF_PERSON {
        in_session(&world.server, &session, "/me/push", &world.device(&format!("n{n}")).body()).expect(200);
    }
    assert_eq!(world.devices_of(&mara), MAX_PUSHES_OF_PERSON);
    let home = page(&world.server, &session, "/").expect(200).text();
    assert_eq!(home.matches("data-device=").count(), MAX_PUSHES_OF_PERSON);
    assert!(!home.contains("/push/"), "an address is not shown");
    let stop = |session: &str, number: &str| {
        in_session(&world.server, session, &format!("/me/push/{number}/stop"), &json!({})).status
    };
    let number = number(&world.server, &session);
    assert_eq!((stop(&of_ben, &number), stop(&session, "999"), stop(&session, "x")), (404, 404, 404));
    assert_eq!((stop(&session, &number), stop(&session, &number)), (200, 404));
    assert_eq!(world.devices_of(&mara), MAX_PUSHES_OF_PERSON - 1);
    world.server.pass(PUSH_LIVES.as_secs());
    assert_eq!((world.devices_of(&mara), world.devices_of(&ben)), (0, 0), "after a while they must ask again");
}

#[test]
fn a_device_is_told_no_more_when_its_person_leaves_it() {
    let world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let mut ben = Person::manager(&world.server, "Ben");
    let started = world.server.now();
    // A session that only grew old says nothing.
    let (session, _) = world.told(&mut mara, "one");
    world.server.pass(2 * 60 * 60);
    assert!(world.server.now() > started && page(&world.server, &session, "/").status == 303);
    assert_eq!(world.devices_of(&mara), 1);
    // The next sign-in in the same browser takes it over, and signing out ends it.
    let again = |person: &mut Person, before: &str| {
        let signed = person.sign_in_answer(&world.server);
        let call = world.server.call("POST", "/sign-in/session").of_our_page(&signed.body());
        crate::support::person::session_of(&call.header("cookie", before).send().expect(200))
    };
    let next = again(&mut mara, &session);
    in_session(&world.server, &next, "/sign-out", &json!({})).expect(200);
    assert_eq!(world.devices_of(&mara), 0);
    // Somebody else in the same browser.
    let (session, _) = world.told(&mut mara, "two");
    let _of_ben = again(&mut ben, &session);
    assert_eq!((world.devices_of(&mara), world.devices_of(&ben)), (0, 0));
    // Ended from elsewhere.
    let (_, _) = world.told(&mut mara, "three");
    let here = mara.sign_in(&world.server);
    in_session(&world.server, &here, "/sign-out", &json!({ "everywhere": true })).expect(200);
    assert_eq!(world.devices_of(&mara), 0);
    // Suspended, and let in again.
    let (_, device) = world.told(&mut mara, "four");
    for wish in [Wish::Suspend { person: mara.id.clone() }, Wish::Restore { person: mara.id.clone() }] {
        world.server.console(countersign::app::console::ConsoleCommand::Change { wish, propose: false });
    }
    assert_eq!(world.devices_of(&mara), 0);
    world.ask("production", "1");
    // Its passkey was reported.
    let (session, _) = world.told(&mut ben, "five");
    assert_eq!(world.devices_of(&ben), 1);
    let listed = page(&world.server, &session, "/me/passkeys").expect(200).text();
    let key = listed.split("data-passkey=\"").nth(1).unwrap().split('"').next().unwrap();
    in_session(&world.server, &session, &format!("/me/passkeys/{key}/report"), &json!({})).expect(200);
    assert_eq!(world.devices_of(&ben), 0);
    assert!(device.calls(&world.service).is_empty());
}

#[test]
fn the_key_that_says_who_sends_stays_and_is_wrapped() {
    let mut world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let (session, device) = world.told(&mut mara, "mara");
    let shown = page(&world.server, &session, "/").expect(200).text();
    let key = world.server.app.push_key().unwrap().to_owned();
    assert!(shown.contains(&format!("data-push-key=\"{key}\"")));
    assert_eq!(data_encoding::BASE64URL_NOPAD.decode(key.as_bytes()).unwrap().len(), 65);
    world.server.restart();
    assert_eq!(world.server.app.push_key(), Some(key.as_str()));
    world.ask("production", "1");
    let message = world.messages(&device, 1);
    assert!(device.calls(&world.service)[0].header("authorization").unwrap().ends_with(&format!(", k={key}")));
    assert_eq!(message[0]["place"], "shop/api · production");
    let kept = Snapshot::of(&world.server);
    let row = kept.table("push_key").iter().next().unwrap().clone();
    assert!(row.contains("..") && !row.contains("\"d\""), "{row}");
    assert!(world.server.app.jwks().to_string().matches("\"kid\"").count() == 2, "it signs no token");
}

#[test]
fn no_answer_waits_for_a_push_service_that_stalls() {
    let world = World::new();
    let mut mara = Person::manager(&world.server, "Mara");
    let (_, device) = world.told(&mut mara, "mara");
    world.service.answer("/push/mara", Reply::Gated(b"{}".to_vec()));
    let requests: Vec<_> = (1..=5).map(|n| world.ask("production", &n.to_string())).collect();
    mara.approve(&world.server, &requests[0]);
    until("begun", || device.calls(&world.service).len() == 1);
    world.service.open_gate();
    until("told of the others", || device.calls(&world.service).len() >= 5);
}

#[test]
fn the_site_can_be_put_on_a_home_screen() {
    let world = World::new();
    let page = world.server.get("/sign-in").expect(200);
    assert!(page.header("content-security-policy").unwrap().contains("manifest-src 'self'"));
    let html = page.text();
    let link = |rel: &str| {
        let rest = html.split(&format!("<link rel=\"{rel}\" href=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let manifest = world.server.get(&link("manifest")).expect(200);
    assert!(manifest.header("content-type").unwrap().starts_with("application/manifest+json"));
    let manifest = manifest.json();
    assert_eq!((&manifest["start_url"], &manifest["display"]), (&"/".into(), &"standalone".into()));
    let mut icons: Vec<(String, String, String)> = Vec::new();
    for icon in manifest["icons"].as_array().unwrap() {
        let part = |name: &str| icon[name].as_str().unwrap().to_owned();
        icons.push((part("src"), part("type"), part("sizes")));
    }
    icons.push((link("apple-touch-icon"), "image/png".to_owned(), "512x512".to_owned()));
    for (path, kind, size) in icons {
        let icon = world.server.get(&path).expect(200);
        assert_eq!(icon.header("content-type"), Some(kind.as_str()), "{path}");
        if kind == "image/png" {
            assert!(icon.body.starts_with(b"\x89PNG\r\n\x1a\n"));
            let side = |at: usize| u32::from_be_bytes(icon.body[at..at + 4].try_into().unwrap());
            assert_eq!(format!("{}x{}", side(16), side(20)), size, "{path}");
        }
    }
}

#[test]
fn where_the_operator_says_nothing_nobody_is_told_on_devices() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    assert!(!page(&server, &session, "/").expect(200).text().contains("data-push-key"));
    let service = TestServer::start();
    let answer = in_session(&server, &session, "/me/push", &Device::at(&service, "x").body());
    assert!(answer.invalid("parameter_invalid").member("hint").contains("[push]"));
    assert_eq!(Snapshot::of(&server).table("push_key").len(), 0);
    assert!(server.get("/sw.js").expect(200).header("cache-control") == Some("no-cache"));
}
