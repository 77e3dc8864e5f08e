//! The main job in Firefox: a passkey is made, and a request approved with it.
//! In: firefox and geckodriver, where they are. Out: the two pages, used as people use them.
//! Implements SCREENS in a second browser, as far as its driver goes.
//! Never looked at in pictures: those are Chromium's.

use crate::authenticator::Authenticator;
use crate::driver::Browser;
use crate::support::{GROUP, World};

#[test]
fn firefox_makes_a_passkey_and_approves_with_it() {
    let Some(browser) = Browser::firefox() else { return };
    let world = World::start();
    let (starter, _) = world.invite("Mara Voss", &[GROUP]);
    world.link_starter(&starter);
    let (person, link) = world.invite("Ada Lind", &[GROUP]);
    let _key = Authenticator::in_browser(&browser);
    browser.open(&link);
    browser.until_says("h1", "Welcome, Ada Lind.");
    browser.click("[data-act=continue]");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
    browser.click("[data-act=named]");
    browser.click("[data-act=later]");
    assert_eq!(world.app.store.read(|reader| reader.passkeys_of(&person)).unwrap().len(), 1);

    let job = world.ask(|job| job);
    browser.open(&job.link);
    browser.until_says("main", "Let shop/api deploy");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you");
    assert_eq!(world.collect(&job).status, 200);
}
