//! Enrolment, as an invited person does it.
//! In: an invitation. Out: every step and end of `/enrol/⟨link⟩`, reached and pictured.
//! Implements SCREENS' enrolment.
//! Never skips a page: the passkeys are made by its script.

use countersign::domain::time::{ENROLMENT_LINK, SECOND_PASSKEY};
use std::time::Duration;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::pictures::look;
use crate::support::{GROUP, World};

#[test]
fn an_invited_person_makes_two_passkeys_and_the_link_is_spent() {
    let browser = browser!();
    let world = World::start();
    let (person, link) = world.invite("Ada Lind", &[GROUP]);
    let phone = Authenticator::in_browser(&browser);

    browser.open(&link);
    browser.until_says("h1", "Welcome, Ada Lind.");
    let welcome = browser.text("main");
    assert!(welcome.contains("a member of release-managers"), "{welcome}");
    assert!(welcome.contains("This link works once, until 24 Nov"), "{welcome}");
    look(&browser, "enrolment-welcome");

    browser.click("[data-act=continue]");
    browser.until_says("[data-step=make]", "Make your passkey.");
    browser.until("!document.querySelector('[data-step=make] [data-act=make]').disabled");
    look(&browser, "enrolment-make");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
    look(&browser, "enrolment-name");
    browser.type_into("#name", "Ada’s phone");
    browser.click("[data-act=named]");
    browser.until_says("[data-step=second]", "Add a second one now.");
    look(&browser, "enrolment-second");
    browser.click("[data-act=later]");
    browser.until_says("[data-step=done]", "Only one passkey.");
    look(&browser, "enrolment-done");

    let names = || {
        let keys = world.app.store.read(|reader| reader.passkeys_of(&person)).unwrap();
        keys.into_iter().map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["Ada’s phone"]);
    // Chromium's key vouches with a certificate; anybody may have the key under that, so it proves nothing.
    let made = world.app.passkeys_of(&person).unwrap().remove(0);
    assert_eq!(made.row.format.as_deref(), Some("packed"));
    let why = made.assurance.amr_missing.get("hwk").map(String::as_str);
    assert_eq!((made.assurance.acr.as_str(), why), ("phr", Some("chain_untrusted")));

    // The same browser may come back for a second one: its cookie says that it made the first.
    phone.remove();
    let _key = Authenticator::in_browser(&browser);
    browser.open(&link);
    browser.click("[data-act=continue]");
    browser.click("[data-step=make] [data-act=make], [data-step=second] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
    browser.click("[data-act=named]");
    browser.until_says("[data-step=done]", "✓ You can sign now.");
    assert!(!browser.text("[data-step=done]").contains("Only one passkey"));
    assert_eq!(names().len(), 2);

    world.hand.advance(SECOND_PASSKEY + Duration::from_secs(1));
    browser.open(&link);
    browser.until_says("h1", "This link was used on 23 Nov");
    let dead = browser.eval("document.documentElement.outerHTML").to_string();
    assert!(!dead.contains("Ada") && !dead.contains(person.as_str()), "a dead link names nobody: {dead}");
    look(&browser, "enrolment-used");
}

#[test]
fn another_browser_cannot_use_a_spent_link() {
    let browser = browser!();
    let world = World::start();
    let (_, link) = world.invite("Ada Lind", &[GROUP]);
    let _phone = Authenticator::in_browser(&browser);
    browser.open(&link);
    browser.click("[data-act=continue]");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
    let other = world.calls.get(link.strip_prefix(&world.url).unwrap()).unwrap();
    assert_eq!(other.status, 410);
    assert!(other.text.contains("This link was used on") && !other.text.contains("Ada"), "{}", other.text);
}

#[test]
fn a_link_ends_by_time_and_by_saying_so() {
    let browser = browser!();
    let world = World::start();
    let (_, link) = world.invite("Ada Lind", &[GROUP]);
    browser.open(&link);
    browser.until_says("[data-act=decline]", "I am not Ada Lind");
    browser.click("[data-act=decline]");
    browser.until_says("[data-step=declined]", "This link has ended.");
    look(&browser, "enrolment-declined");
    browser.open(&link);
    browser.until_says("h1", "This link was ended.");

    let (_, late) = world.invite("Tom Ahl", &[GROUP]);
    world.hand.advance(ENROLMENT_LINK + Duration::from_secs(1));
    browser.open(&late);
    browser.until_says("h1", "This link has expired.");
    assert!(!browser.page_text().contains("Tom"));
    look(&browser, "enrolment-expired");
}

#[test]
fn a_device_that_says_no_keeps_nothing() {
    let browser = browser!();
    let world = World::start();
    let (person, link) = world.invite("Ada Lind", &[GROUP]);
    let phone = Authenticator::in_browser(&browser);
    browser.open(&link);
    browser.click("[data-act=continue]");
    phone.set_user_verified(false);
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=make] [data-note]", "Nothing was made. The browser closed the passkey window.");
    look(&browser, "enrolment-browser-said-no");
    phone.set_user_verified(true);
    phone.lie(Some("isBadUV"));
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=refused]", "✕ This passkey was not accepted.");
    look(&browser, "enrolment-refused");
    assert!(world.app.store.read(|reader| reader.passkeys_of(&person)).unwrap().is_empty());
    phone.lie(None);
    phone.clear();
    browser.click("[data-act=again]");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
}
