//! Being told on a device, as people ask for it and stop it, and what the service worker shows.
//! In: a push service of this test's own. Out: every state of Home's section, reached and pictured.
//! Implements SCREENS' Home, W3C Push API.
//! Never reaches a browser maker's push service: where Chromium would ask one, the answer is put in its place.

use countersign::app::settings::PushSettings;
use countersign::domain::push::Service;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::https::{Reply, TestServer};
use crate::pictures::look;
use crate::sessions::sign_in;
use crate::support::{GROUP, Person, World};

/// A push service, and a server that talks to it alone.
fn world() -> (TestServer, World, Person) {
    let service = TestServer::start();
    service.answer("/push/here", Reply::status(201));
    let settings = PushSettings {
        services: vec![Service::parse(&format!("localhost:{}", service.port)).unwrap()],
        ca_file: Some(service.ca_file.clone()),
        allow_private: true,
    };
    let world = World::with(Some(settings));
    let (starter, _) = world.invite("Mara Voss", &[GROUP]);
    world.link_starter(&starter);
    let ada = world.person("Ada Lind", &[GROUP]);
    (service, world, ada)
}

fn permit(browser: &Browser, world: &World, setting: &str) {
    let permission = json!({ "name": "notifications" });
    browser.devtools(
        "Browser.setPermission",
        &json!({ "permission": permission, "setting": setting, "origin": world.url }),
    );
}

/// Stands in for the browser's own push service: what `subscribe` gives, and what is kept of it.
fn answer_for_the_service(browser: &Browser, endpoint: &str) {
    let (key, auth) = (BASE64URL_NOPAD.encode(&public_key()), BASE64URL_NOPAD.encode(&[7; 16]));
    let source = format!(
        "const made = {{ endpoint: '{endpoint}', toJSON: () => ({{ endpoint: '{endpoint}', keys: {{ p256dh: '{key}', auth: '{auth}' }} }}), \
         unsubscribe: async () => {{ localStorage.removeItem('told'); return true; }} }}; \
         PushManager.prototype.subscribe = async () => {{ localStorage.setItem('told', 'yes'); return made; }}; \
         PushManager.prototype.getSubscription = async () => (localStorage.getItem('told') ? made : null);"
    );
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source }));
}

fn public_key() -> Vec<u8> {
    let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    secret.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

#[test]
fn a_person_asks_to_be_told_on_this_device_and_stops_it() {
    let browser = browser!();
    let (service, world, ada) = world();
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "", &key, &ada);
    permit(&browser, &world, "denied");
    browser.open(&world.url);
    browser.until_says("[data-push=denied]:not([hidden])", "messages of this site are blocked");
    look(&browser, "home-push-denied");
    // What puts the site on a home screen is there, and Chromium has nothing to say against it.
    let manifest = browser.devtools("Page.getAppManifest", &json!({}));
    assert_eq!(
        (&manifest["url"], &manifest["errors"]),
        (&format!("{}/static/manifest.webmanifest", world.url).into(), &json!([]))
    );
    assert!(manifest["data"].as_str().unwrap().contains("standalone"), "{manifest}");

    permit(&browser, &world, "granted");
    browser.open(&world.url);
    browser.until_says("[data-push=ask]:not([hidden])", "Tell me on this device when something waits");
    look(&browser, "home-push-ask");
    // Chromium reaches no push service here.
    browser.click("[data-act=push]");
    browser.until_says("[data-push-note]:not([hidden])", "Your browser asks its push service…");
    look(&browser, "home-push-asking");
    browser.until_says("[data-push-note]:not([hidden])", "The browser reaches no push service.");
    look(&browser, "home-push-unreached");
    // The worker is there, and has the page's own policy.
    let scope = "navigator.serviceWorker.getRegistration('/').then((one) => one.scope)";
    assert_eq!(browser.eval(scope), format!("{}/", world.url));

    answer_for_the_service(&browser, service.at("/push/here").as_str());
    browser.open(&world.url);
    browser.until("document.querySelector('[data-push=ask]:not([hidden])')");
    browser.click("[data-act=push]");
    browser.until_says("[data-push=told]:not([hidden])", "✓ This device tells you when something waits.");
    browser.until_says("[data-device]", "this browser");
    look(&browser, "home-push-told");

    // A request comes, and the service is told.
    let job = world.ask(|job| job);
    browser.until_says("#waiting", "shop/api");
    let taken = (0..3_000).any(|_| {
        std::thread::yield_now();
        !service.taken().is_empty() || browser.eval("new Promise((done) => setTimeout(() => done(false), 10))") == true
    });
    assert!(taken, "nothing was sent for {}", job.id);
    assert!(service.taken()[0].head.starts_with("POST /push/here HTTP/1.1"));

    browser.click("[data-act=push-stop]");
    browser.until("document.querySelector('[data-push=ask]:not([hidden])')");
    assert_eq!(browser.eval("document.querySelectorAll('[data-device]').length"), 0);
    assert!(world.app.pushes_of(&ada.id).unwrap().is_empty());
}

#[test]
fn a_browser_that_takes_no_messages_is_told_so() {
    let browser = browser!();
    let (_service, world, ada) = world();
    let key = Authenticator::in_browser(&browser);
    let source = json!({ "source": "delete window.PushManager;" });
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &source);
    sign_in(&browser, &world, "", &key, &ada);
    browser.until_says("[data-push=none]:not([hidden])", "Not possible here");
    look(&browser, "home-push-none");
}

#[test]
fn the_worker_shows_what_waits_and_takes_it_back() {
    let browser = browser!();
    let (_service, world, ada) = world();
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "", &key, &ada);
    permit(&browser, &world, "granted");
    browser.open(&world.url);
    browser.until("document.querySelector('[data-push=ask]:not([hidden])')");
    browser.eval("navigator.serviceWorker.register('/sw.js', { scope: '/' }).then(() => navigator.serviceWorker.ready).then(() => true)");
    browser.devtools("ServiceWorker.enable", &json!({}));
    let deliver = |message: serde_json::Value| {
        let parameters = json!({ "origin": world.url, "registrationId": "0", "data": message.to_string() });
        browser.devtools("ServiceWorker.deliverPushMessage", &parameters);
    };
    let shown = "navigator.serviceWorker.getRegistration('/').then((one) => one.getNotifications()).then((all) => \
                 JSON.stringify(all.map(({ title, body, tag, silent, data }) => ({ title, body, tag, silent, path: data.path }))))";
    let until = |wanted: &str| {
        let found = (0..5_000).map(|_| browser.eval(shown).as_str().unwrap_or_default().to_owned());
        let mut last = String::new();
        for now in found {
            if now.contains(wanted) {
                return now;
            }
            last = now;
        }
        panic!("never {wanted}: {last}")
    };
    deliver(
        json!({ "place": "shop/api · production", "path": "/a/AAAAAAAAAAAAAAAAAAAAAA", "tag": "one", "until": "2026-11-23T10:55:00.000Z" }),
    );
    let one = until("shop/api · production");
    assert!(one.contains("Waits for you until ") && one.contains("\"path\":\"/a/AAAAAAAAAAAAAAAAAAAAAA\""), "{one}");
    deliver(json!({ "place": "shop/api · production", "path": "/", "tag": "one", "over": true }));
    let over = until("No longer waits.");
    assert!(
        over.matches("title").count() == 1 && over.contains("\"silent\":true"),
        "it took the other's place: {over}"
    );
    // A path that is not one of ours leads Home.
    deliver(json!({ "place": "x", "path": "//evil.example/", "tag": "two" }));
    let two = until("\"tag\":\"two\"");
    assert!(!two.contains("evil"), "{two}");
    deliver(json!({ "place": "shop/api", "path": "/", "tag": "three", "count": 12 }));
    until("12 more requests wait for you.");
}
