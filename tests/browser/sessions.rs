//! Signing in, Home, my passkeys and what I signed, as people see and use them.
//! In: people with passkeys, jobs that wait. Out: every state of these pages, reached and pictured.
//! Implements SCREENS' Sign-in, Home, My passkeys and What I signed.
//! Never sets a cookie: sessions begin by the page.

use std::time::Duration;

use countersign::app::propose_change::Wish;
use countersign::domain::time::{FRESH_SIGN_IN, NEW_PASSKEY_PAUSE};
use serde_json::json;

use crate::approval::{open_ready, world_with_ada};
use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::support::{Person, World, stranger, without_account};

/// Opens the sign-in page before there is a key to offer, so that nothing happens by itself.
fn open_sign_in(browser: &Browser, world: &World, query: &str) {
    browser.open(&format!("{}/sign-in{query}", world.url));
    browser.until("!document.querySelector('[data-act=use]').disabled");
}

/// Signs in by the button.
pub fn sign_in(browser: &Browser, world: &World, query: &str, key: &Authenticator<'_>, person: &Person) {
    key.clear();
    open_sign_in(browser, world, query);
    key.add(&counted(person));
    browser.click("[data-act=use]");
    browser.until("location.pathname !== '/sign-in' && document.readyState === 'complete'");
}

/// The same key, further on than it was: Chromium starts anew each time that it is given one.
pub fn counted(person: &Person) -> serde_json::Value {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(100);
    let mut credential = person.credential.clone();
    credential["signCount"] = json!(COUNT.fetch_add(10, Ordering::Relaxed));
    credential
}

#[test]
fn a_person_signs_in_and_sees_what_waits() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    browser.open(&world.url);
    browser.until("location.pathname === '/sign-in'");
    browser.until_says("h1", "Sign in to Countersign");
    browser.until("!document.querySelector('[data-act=use]').disabled");
    assert!(browser.eval("document.querySelector('input[type=password]') === null").as_bool().unwrap());
    look(&browser, "sign-in");
    browser.click("summary");
    browser.until_says("details", "Ask an admin: #platform, or the desk on floor 3.");
    look(&browser, "sign-in-lost");

    sign_in(&browser, &world, "", &key, &ada);
    browser.until_says("h1", "Waiting for you");
    browser.until_says("#waiting", "Nothing waits for you. New requests appear here by themselves.");
    assert_eq!(browser.eval("document.title"), "Waiting for you · Countersign");
    look(&browser, "home-empty");

    // A request appears by itself, and another one of the same pipeline stands beside it.
    let first = world.ask(|job| job);
    browser.until_says("#waiting", "shop/api");
    let _second = world.ask(|job| job.with("environment", json!("payments")).with("pipeline_id", json!("7")));
    browser.until_says("#waiting", "payments");
    browser.until("document.title.startsWith('(2) ')");
    for words in ["production", "1f3c9ab", "@mara", "0 of 1 signed", "0 of 2 signed", "left"] {
        assert!(browser.text("#waiting").contains(words), "{words}: {}", browser.text("#waiting"));
    }
    look(&browser, "home-waiting");
    // The card leads to the request; what is signed there is gone from here.
    browser.click("#waiting .group:first-of-type a");
    browser.until("!document.querySelector('[data-act=approve]').disabled");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you");
    browser.until_says("[data-others]", "Next: 1 more waiting");
    look(&browser, "approval-next");
    assert_eq!(world.collect(&first).status, 200);
    browser.open(&world.url);
    browser.until_says("main", "✓ Approved");
    assert!(!browser.text("#waiting").contains("production"));
    look(&browser, "home-decided");

    // The virtual key would answer the page's offer by itself.
    key.clear();
    browser.click("[data-act=sign-out]");
    browser.until("location.pathname === '/sign-in'");
    browser.open(&world.url);
    browser.until("location.pathname === '/sign-in'");
}

#[test]
fn security_keys_and_phones_sign_people_in_and_approve() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    for transport in ["usb", "nfc", "ble", "hybrid"] {
        let key = Authenticator::by(&browser, transport);
        sign_in(&browser, &world, "", &key, &ada);
        browser.until_says("h1", "Waiting for you");
        let job = world.ask(|job| job);
        open_ready(&browser, &job);
        browser.click("[data-act=approve]");
        browser.until_says("h1", "✓ Approved by you");
        assert_eq!(world.collect(&job).status, 200, "{transport}");
        browser.open(&world.url);
        browser.click("[data-act=sign-out]");
        browser.until("location.pathname === '/sign-in'");
        key.remove();
    }
}

#[test]
fn the_browser_offers_the_passkey_by_itself() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    key.add(&ada.credential);
    browser.open(&format!("{}/sign-in?next=/me/signed", world.url));
    // The virtual key answers as soon as it is offered; a person picks it in the field for the user name.
    browser.until_says("h1", "What I signed");
    browser.until_says("main", "You have not signed anything yet.");
    assert_eq!(browser.eval("location.pathname"), "/me/signed");
    look(&browser, "signed-empty");
}

#[test]
fn a_key_that_is_not_offered_is_found_by_the_user_name() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    open_sign_in(&browser, &world, "");
    key.add(&without_account(&ada.credential));
    browser.type_into("#user", "ada lind");
    browser.click("[data-act=find]");
    browser.until_says("[data-step=found] h1", "Use your key.");
    look(&browser, "sign-in-found");
    browser.click("[data-step=found] [data-act=use]");
    browser.until_says("h1", "Waiting for you");
}

#[test]
fn every_refusal_of_a_sign_in_says_what_to_do() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    let again = || {
        browser.click("[data-step=refused] [data-act=back]");
        browser.until_says("[data-step=ask] h1", "Sign in to Countersign");
        browser.until("!document.querySelector('[data-act=use]').disabled");
    };
    // No key here.
    open_sign_in(&browser, &world, "");
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("[data-step=refused]", "look for it by your user name");
    look(&browser, "sign-in-browser-said-no");
    again();
    // A wrong finger.
    key.add(&counted(&ada));
    key.set_user_verified(false);
    open_sign_in_with_key(&browser, &world, &key, &ada);
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("[data-step=refused]", "The browser closed the passkey window.");
    key.set_user_verified(true);
    // Nobody touches it; then somebody cancels.
    key.clear();
    again();
    key.set_touched(false);
    key.add(&counted(&ada));
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("[data-step=signing] h1", "Touch your key");
    look(&browser, "sign-in-signing");
    browser.click("[data-act=cancel]");
    browser.until_says("[data-step=refused]", "You cancelled it.");
    key.set_touched(true);
    // A passkey that is not known here.
    key.clear();
    again();
    key.add(&stranger());
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("[data-step=refused]", "This passkey is not known here");
    look(&browser, "sign-in-unknown");
    key.clear();
    again();
    // A counter that went back.
    let session = world.app.store.read(|reader| reader.passkeys_of(&ada.id)).unwrap();
    assert!(session[0].suspended.is_none());
    sign_in(&browser, &world, "", &key, &ada);
    browser.until_says("h1", "Waiting for you");
    // The virtual key would answer the page's offer by itself.
    key.clear();
    browser.click("[data-act=sign-out]");
    browser.until("location.pathname === '/sign-in'");
    open_sign_in(&browser, &world, "");
    key.add(&ada.credential);
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("[data-step=refused]", "may have been copied");
    look(&browser, "sign-in-copied");
    let keys = world.app.store.read(|reader| reader.passkeys_of(&ada.id)).unwrap();
    assert!(keys[0].suspended.is_some());
}

fn open_sign_in_with_key(browser: &Browser, world: &World, key: &Authenticator<'_>, ada: &Person) {
    key.clear();
    open_sign_in(browser, world, "");
    key.add(&counted(ada));
}

#[test]
fn a_person_keeps_their_own_passkeys() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/passkeys", &key, &ada);
    browser.until_says("h1", "My passkeys");
    for words in ["Only one passkey", "Unproven: no attestation", "Chrome on Linux", "this browser"] {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    browser.click(".item summary");
    browser.until_says(".item", "not hwk: the key sent no attestation");
    assert!(browser.text(".item").contains("amr pop user") && browser.text(".item").contains("acr phr"));
    look(&browser, "passkeys-one");
    browser.click("[data-act=rename]");
    look(&browser, "passkeys-rename");
    browser.type_into(".item input", "Ada’s key");
    browser.click("[data-act=save]");
    browser.until_says(".item h2", "Ada’s key");
    // The last one stays.
    browser.click("[data-act=ask-remove]");
    look(&browser, "passkeys-remove");
    browser.click("[data-act=remove]");
    browser.until_says("[data-note]:not([hidden])", "This is your only passkey. Add another passkey first.");
    look(&browser, "passkeys-last");

    // Another one, from another device.
    key.clear();
    browser.click("[data-act=add]");
    browser.until("!document.querySelector('[data-act=make]').disabled");
    look(&browser, "passkeys-make");
    browser.click("[data-act=make]");
    browser.until_says("[data-step=made]", "✓ Your passkey is made.");
    look(&browser, "passkeys-made");
    browser.click("[data-act=done]");
    browser.until("document.querySelectorAll('[data-passkey]').length === 2");
    browser.until_says("main", "New: it approves nothing before");
    look(&browser, "passkeys-two");

    // It signs in, and does not approve yet.
    let job = world.ask(|job| job);
    browser.open(&job.link);
    browser.until("!document.querySelector('[data-act=approve]').disabled");
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "approves nothing before");
    look(&browser, "approval-too-new");
    world.hand.advance(NEW_PASSKEY_PAUSE);
    let job = world.ask(|job| job);
    browser.open(&job.link);
    browser.until("!document.querySelector('[data-act=approve]').disabled");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you");

    // What wants a fresh touch says so, and comes back.
    browser.open(&format!("{}/me/passkeys", world.url));
    if browser.eval("location.pathname") == "/sign-in" {
        browser.until_says("h1", "My passkeys");
    }
    world.hand.advance(FRESH_SIGN_IN + Duration::from_secs(1));
    browser.open(&format!("{}/me/passkeys", world.url));
    browser.until("!document.querySelector('[data-act=add]').disabled");
    browser.click("[data-act=ask-remove]");
    browser.until_says("[data-step=stale] h1", "First show that it is you.");
    look(&browser, "passkeys-stale");
    browser.click("[data-step=stale] a");
    // The key that this browser holds answers by itself, and the page comes back.
    browser.until("location.pathname === '/me/passkeys' && document.readyState === 'complete'");
    browser.click("[data-passkey]:first-child [data-act=ask-remove]");
    browser.click("[data-passkey]:first-child [data-act=remove]");
    browser.until("document.querySelectorAll('[data-passkey]').length === 1");
    let left = world.app.store.read(|reader| reader.passkeys_of(&ada.id)).unwrap();
    assert_eq!(left.len(), 1);
    assert_ne!(left[0].name, "Ada’s key");
}

#[test]
fn browsers_forget_passkeys_that_were_removed_and_keep_those_that_are_suspended() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    // Not known here: forgotten when it is tried, wherever that is.
    key.add(&stranger());
    browser.open(&format!("{}/sign-in", world.url));
    key.until_it_holds(0);
    key.add(&stranger());
    open_ready(&browser, &world.ask(|job| job));
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "This passkey is not known here");
    key.until_it_holds(0);
    // Removed elsewhere: forgotten when its owner looks at their passkeys with another one.
    sign_in(&browser, &world, "?next=/me/passkeys", &key, &ada);
    browser.until_says("h1", "My passkeys");
    key.until_it_holds(1);
    let mut removed = stranger();
    removed["userHandle"] = ada.credential["userHandle"].clone();
    key.clear();
    key.add(&removed);
    browser.open(&format!("{}/me/passkeys", world.url));
    key.until_it_holds(0);
    key.add(&counted(&ada));
    browser.open(&format!("{}/me/passkeys", world.url));
    browser.until_says("h1", "My passkeys");
    // Suspended with its owner: it may come back, so that it stays.
    world.act(Wish::Suspend { person: ada.id.to_string() });
    let job = world.ask(|job| job);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "This passkey, or its owner, is suspended.");
    look(&browser, "approval-suspended");
    assert_eq!(key.only()["credentialId"], ada.credential["credentialId"]);
}

#[test]
fn a_person_ends_a_session_elsewhere() {
    let browser = browser!();
    let (world, mut ada) = world_with_ada();
    let options = world.calls.post("/sign-in/options", &json!({})).unwrap();
    let response = ada.soft.get(&options.body).unwrap();
    let body = json!({ "ceremony": options.text("ceremony"), "response": response });
    assert_eq!(world.calls.post("/sign-in/session", &body).unwrap().status, 200);
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/passkeys", &key, &ada);
    browser.until("document.querySelectorAll('[data-session]').length === 2");
    browser.until_says("main", "Unknown browser");
    look(&browser, "sessions");
    browser.click("[data-act=end]");
    browser.until("document.querySelectorAll('[data-session]').length === 1");
    assert_eq!(world.app.sessions_of(&ada.id).unwrap().len(), 1);
}

#[test]
fn what_was_signed_is_listed_and_can_be_reported() {
    let browser = browser!();
    let (world, mut ada) = world_with_ada();
    let root = world.admin("Root Lee");
    let job = world.ask(|job| job);
    world.approve(&job, &mut ada);
    let other = world.ask(|job| job.with("environment", json!("payments")));
    let answer = world.calls.decide(&other.id, &json!({ "decision": "deny" }), &mut ada.soft).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    world.hand.advance(Duration::from_secs(20));
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/signed", &key, &ada);
    browser.until_says("h1", "What I signed");
    for words in ["✓ Approved", "✕ Denied", "shop/api", "production", "payments", "20 s ago", "log entry", "Receipt"]
    {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    look(&browser, "signed");
    let receipt = browser.eval(
        "fetch(document.querySelector('a[download]').href).then((answer) => answer.json()).then(({ type }) => type)",
    );
    assert_eq!(receipt, "countersign/receipt/v1");
    browser.click("[data-act=ask-report]");
    browser.until_says("[data-panel=report]:not([hidden])", "signs nothing from now on");
    look(&browser, "signed-report");
    key.clear();
    browser.click("[data-panel=report]:not([hidden]) [data-act=report]");
    // It is the key of this very session.
    browser.until("location.pathname === '/sign-in'");
    let keys = world.app.store.read(|reader| reader.passkeys_of(&ada.id)).unwrap();
    assert!(keys[0].suspended.is_some());
    // An admin is told.
    sign_in(&browser, &world, "", &key, &root);
    browser.until_says("main", "was reported by its owner");
    look(&browser, "home-admin");
}
