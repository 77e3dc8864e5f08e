//! Signing in on a device, as people see it: the code, what is asked, and what became of it.
//! In: an application for devices, people with passkeys. Out: every state of these pages, reached and pictured.
//! Implements RFC 8628 §3.3 and §5.4 as people meet them.
//! Never takes a code from anywhere but the device's answer.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::domain::assurance::Acr;
use countersign::domain::ids::{Audience, ClientId, GroupName};
use countersign::domain::oauth::client::{Client, GrantType, Logo};
use countersign::domain::oauth::scope::Scopes;
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::maker::Maker;
use crate::pictures::look;
use crate::sessions::{counted, sign_in};
use crate::support::{MODEL, Person, World};

const PICTURE: &[u8] = br##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect x="3" y="8" width="42" height="28" rx="4" fill="#1D3F8F"/><path d="M17 42h14" stroke="#1D3F8F" stroke-width="4"/><path d="m20 16 9 6-9 6z" fill="#fff"/></svg>"##;

fn client(id: &str, name: &str) -> Client {
    Client {
        grants: BTreeSet::from([GrantType::DeviceCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile groups offline_access builds:read").unwrap(),
        resources: vec![Audience::parse("https://builds.example.com").unwrap()],
        logo: Some(Logo { media_type: "image/svg+xml", bytes: PICTURE.to_vec() }),
        ..Client::plain(ClientId::parse(id).unwrap(), name.to_owned())
    }
}

fn world() -> (World, Maker) {
    let maker = Maker::of(MODEL);
    let closed = Some(BTreeSet::from([GroupName::parse("finance").unwrap()]));
    let clients = vec![
        client("wall", "Build wall"),
        Client { acr: Acr::Phrh, logo: None, ..client("vault", "Vault") },
        Client { groups: closed, ..client("payroll", "Payroll") },
    ];
    (World::for_clients(clients, &maker), maker)
}

/// Where the browser of these tests is.
const HERE: &str = "127.0.0.1";

/// A device asks from this address: its two codes.
fn ask(world: &World, client: &str, from: &str) -> (String, String) {
    let scope = "openid profile offline_access builds:read";
    let form = [("client_id", client), ("scope", scope), ("resource", "https://builds.example.com")];
    let (status, answer) = world.form("/device_authorization", &form, from);
    assert_eq!(status, 200, "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (text("device_code"), text("user_code"))
}

/// What the device is told.
fn told(world: &World, client: &str, device_code: &str) -> (u16, String) {
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let form = [("grant_type", grant), ("client_id", client), ("device_code", device_code)];
    let (status, answer) = world.form("/token", &form, HERE);
    (status, answer["error"].as_str().unwrap_or_default().to_owned())
}

/// Types the code, as somebody in a hurry does.
fn type_code(browser: &Browser, world: &World, code: &str) {
    browser.open(&format!("{}/device", world.url));
    browser.until("document.activeElement?.id === 'code' && !document.querySelector('[data-act=find]').disabled");
    browser.type_into("#code", code);
    browser.click("[data-act=find]");
}

fn opens(browser: &Browser, world: &World, (client, name): (&str, &str), from: &str) -> String {
    let (device, user) = ask(world, client, from);
    type_code(browser, world, &user.to_lowercase().replace('-', ""));
    browser.until_says("[data-step=ask] h1", &format!("Sign a device in to {name}?"));
    device
}

fn signed_in(browser: &Browser, world: &World, key: &Authenticator<'_>, person: &Person) {
    sign_in(browser, world, "?next=/device", key, person);
    browser.until_says("h1", "Sign in on a device");
}

#[test]
fn a_person_types_a_code_and_allows_the_device_with_a_touch() {
    let browser = browser!();
    let (world, _) = world();
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    // Sign-in first, then back.
    browser.open(&format!("{}/device", world.url));
    browser.until("location.pathname === '/sign-in' && location.search === '?next=%2Fdevice'");
    signed_in(&browser, &world, &key, &ada);
    browser.until("!document.querySelector('[data-act=find]').disabled");
    look(&browser, "device-code");
    // A slip, and a code that nobody waits with.
    type_code(&browser, &world, "2345");
    browser.until_says("[data-note]:not([hidden])", "A code has 8 letters and digits");
    type_code(&browser, &world, "2222-2222");
    browser.until_says("[data-note]:not([hidden])", "No device waits with this code.");
    look(&browser, "device-code-wrong");

    let device = opens(&browser, &world, ("wall", "Build wall"), HERE);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    for words in
        ["127.0.0.1", "where this browser is, too", "Ada Lind", "Your name", "builds:read", "while you are away"]
    {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    assert_eq!(browser.eval("document.querySelector('.logo').naturalWidth > 0"), true);
    look(&browser, "device-asks");
    browser.click("summary");
    look(&browser, "device-statement");
    // Enter, pressed by habit, allows nothing.
    browser.press(crate::driver::ENTER);
    // A touch that is broken off leaves it as it was.
    key.set_touched(false);
    browser.click("[data-act=allow]");
    browser.until_says("[data-step=signing] h1", "Touch your key");
    look(&browser, "device-signing");
    browser.click("[data-act=cancel]");
    browser.until_says("[data-step=ask] [data-note]:not([hidden])", "Nothing was signed.");
    assert_eq!(told(&world, "wall", &device), (400, "authorization_pending".to_owned()));
    key.set_touched(true);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("h1", "✓ Allowed.");
    browser.until_says("main", "You can close this page, and go on at the device");
    look(&browser, "device-allowed");
    assert_eq!(told(&world, "wall", &device).0, 200);
    browser.open(&format!("{}/me/applications", world.url));
    browser.until_says("main", "On a device that you allowed");
    look(&browser, "device-in-applications");
}

#[test]
fn a_code_that_was_sent_is_denied_and_stays_denied() {
    let browser = browser!();
    let (world, _) = world();
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    signed_in(&browser, &world, &key, &ada);
    let device = opens(&browser, &world, ("wall", "Build wall"), "203.0.113.9");
    browser.until_says("main", "it asked from 203.0.113.9, and this browser is at 127.0.0.1.");
    browser.until_says("main", "If somebody sent you this code, deny.");
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    look(&browser, "device-elsewhere");
    browser.click("[data-act=deny]");
    browser.until_says("h1", "✕ Denied.");
    browser.until_says("main", "Tell #platform, or the desk on floor 3");
    look(&browser, "device-denied");
    assert_eq!(told(&world, "wall", &device), (400, "access_denied".to_owned()));
    // One that was left open too long says so by itself where somebody comes back to it.
    let device = opens(&browser, &world, ("wall", "Build wall"), HERE);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    world.hand.advance(Duration::from_mins(11));
    browser.click("[data-act=allow]");
    browser.until_says("h1", "Too late: this request ended at");
    look(&browser, "device-late");
    assert_eq!(told(&world, "wall", &device), (400, "expired_token".to_owned()));
    browser.click("a.button");
    browser.until_says("h1", "Sign in on a device");
}

#[test]
fn whoever_may_not_and_whatever_is_too_weak_is_told_on_the_page() {
    let browser = browser!();
    let (world, maker) = world();
    let ada = world.person("Ada Lind", &["sre"]);
    let tom = world.person_with_hardware("Tom Ahl", &[], &maker);
    let key = Authenticator::in_browser(&browser);
    signed_in(&browser, &world, &key, &ada);
    let _ = opens(&browser, &world, ("payroll", "Payroll"), HERE);
    browser.until_says("main", "Payroll is not open to you");
    assert_eq!(browser.eval("document.querySelector('[data-act=allow]')"), json!(null));
    look(&browser, "device-outside");
    let device = opens(&browser, &world, ("vault", "Vault"), HERE);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("[data-step=ask] [data-note]:not([hidden])", "This application needs a hardware key");
    look(&browser, "device-too-weak");
    // Somebody else's key is nobody's word for her: the browser does not even offer it.
    key.clear();
    key.add(&counted(&tom));
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("[data-step=ask] [data-note]:not([hidden])", "The browser closed the passkey window.");
    assert_eq!(told(&world, "vault", &device), (400, "authorization_pending".to_owned()));
    sign_in(&browser, &world, "?next=/device&again=yes", &key, &tom);
    let device = opens(&browser, &world, ("vault", "Vault"), HERE);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("h1", "✓ Allowed.");
    assert_eq!(told(&world, "vault", &device).0, 200);
    // Five wrong codes, and then a wait.
    for _ in 0..5 {
        type_code(&browser, &world, "2222-2222");
        browser.until_says("[data-note]:not([hidden])", "No device waits with this code.");
    }
    type_code(&browser, &world, "2222-2222");
    browser.until_says("[data-note]:not([hidden])", "Too many wrong codes were typed");
    look(&browser, "device-too-many");
}

#[test]
fn an_admin_sees_what_people_gave_a_client_and_ends_it() {
    let browser = browser!();
    let (world, _) = world();
    let ada = world.admin("Ada Lind");
    let key = Authenticator::in_browser(&browser);
    signed_in(&browser, &world, &key, &ada);
    let device = opens(&browser, &world, ("wall", "Build wall"), HERE);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("h1", "✓ Allowed.");
    assert_eq!(told(&world, "wall", &device).0, 200);
    browser.open(&format!("{}/admin/clients", world.url));
    browser.click("a[href='/admin/clients/wall']");
    browser.until_says("h1", "Build wall");
    browser.until_says("main", "1 sign-in counts; 1 has a refresh token.");
    browser.until_says("main", "On a device, while they are away, too");
    browser.until("!document.querySelector('[data-act=ask-end]').disabled");
    look(&browser, "admin-client");
    browser.click("[data-act=ask-end]");
    browser.until_says("[data-panel=end]:not([hidden])", "End everything that people gave it?");
    look(&browser, "admin-client-end");
    // A sign-in that is not fresh is asked for anew, and leads back here.
    world.hand.advance(Duration::from_mins(6));
    key.clear();
    browser.click("[data-panel=end] [data-act=end]");
    browser.until("location.pathname === '/sign-in' && !document.querySelector('[data-act=use]').disabled");
    key.add(&counted(&ada));
    browser.click("[data-act=use]");
    browser.until("location.pathname === '/admin/clients/wall' && document.readyState === 'complete'");
    browser.click("[data-act=ask-end]");
    browser.click("[data-panel=end] [data-act=end]");
    browser.until_says("main", "Nobody is signed in to it.");
    look(&browser, "admin-client-nobody");
}
