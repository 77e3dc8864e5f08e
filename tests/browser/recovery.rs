//! Coming back after every passkey was lost: the whole ladder, on pages alone.
//! In: three admins, somebody who lost every passkey, a job that waits. Out: that person's next approval.
//! Implements DESIGN §11 (recovery), SCREENS' Sign-in (Lost your key?) and Admin.
//! Never takes a step on the console.

use std::time::Duration;

use countersign::domain::time::RECOVERY_DELAY;
use serde_json::Value;

use crate::approval::open_ready;
use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::people::{page_of, sign, unfold};
use crate::pictures::look;
use crate::sessions::{counted, sign_in};
use crate::support::{GROUP, Person, World};

struct Ladder {
    world: World,
    admins: [Person; 3],
    tom: Person,
}

impl Ladder {
    fn new() -> Self {
        let world = World::start();
        let admins = ["Ada Lind", "Bea Holm", "Cyd Moss"].map(|name| world.admin(name));
        let (starter, _) = world.invite("Mara Voss", &[GROUP]);
        world.link_starter(&starter);
        let tom = world.person("Tom Ahl", &[GROUP]);
        Self { world, admins, tom }
    }

    /// The first admin proposes an act on the person's page: the change's page is open, and this is its address.
    fn propose(&self, browser: &Browser, key: &Authenticator<'_>, act: &str) -> (String, Option<String>) {
        let query = format!("?next=/admin/people/{}", self.tom.id);
        sign_in(browser, &self.world, &query, key, &self.admins[0]);
        page_of(browser, &self.world, &self.tom);
        let form = unfold(browser, act);
        browser.click(&format!("{form} button"));
        let link = (act == "recover").then(|| {
            browser.until_says("h1", "Give this link to Tom Ahl.");
            let link = browser.text("[data-link]");
            browser.click("main a.button");
            link
        });
        browser.until_says("h1", "You will sign: ");
        (browser.eval("location.href").as_str().unwrap().to_owned(), link)
    }

    /// Two admins sign a recovery, and the delay begins.
    fn recovery_signed(&self, browser: &Browser, key: &Authenticator<'_>) -> (String, String) {
        let (change, link) = self.propose(browser, key, "recover");
        let link = link.unwrap();
        browser.until_says("h1", "let Tom Ahl make a new passkey after losing all others.");
        sign(browser, key, &self.admins[0]);
        browser.until_says("main", "Waiting for 1 more. Send this link to another admin.");
        assert!(!self.works(&link), "one admin is not enough");
        browser.open(&change);
        sign(browser, key, &self.admins[1]);
        browser.until_says("h1", "✓ Signed by you.");
        browser.until_says("main", "unless an admin or a remaining passkey of Tom Ahl refuses.");
        (change, link)
    }

    /// Whether an enrolment link opens.
    fn works(&self, link: &str) -> bool {
        self.world.calls.get(link.strip_prefix(&self.world.url).unwrap()).unwrap().status == 200
    }
}

#[test]
fn whoever_lost_every_passkey_comes_back_over_the_whole_ladder() {
    let browser = browser!();
    let ladder = Ladder::new();
    let (world, tom) = (&ladder.world, &ladder.tom);
    let key = Authenticator::in_browser(&browser);
    let (change, link) = ladder.recovery_signed(&browser, &key);
    look(&browser, "recovery-delayed");
    world.hand.advance(RECOVERY_DELAY.saturating_sub(Duration::from_secs(10)));
    assert!(!ladder.works(&link), "not before the delay is over");
    world.hand.advance(Duration::from_secs(11));

    // Tom comes with the link, and with no key.
    key.clear();
    browser.open(&link);
    browser.until_says("h1", "Welcome, Tom Ahl.");
    look(&browser, "recovery-welcome");
    browser.click("[data-act=continue]");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
    let living = world.app.passkeys_of(&tom.id).unwrap().into_iter().filter(|own| own.row.suspended.is_none());
    assert_eq!(living.count(), 1, "it took the place of all others");
    browser.open(&change);
    browser.until_says("h1", "✓ In effect.");

    // It rests.
    let job = world.ask(|job| job);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "This passkey was made after a recovery, and approves nothing before");
    look(&browser, "recovery-rests");
    let new: Value = key.only();
    // What was lost, and comes up again, is nobody's.
    key.clear();
    key.add(&counted(tom));
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "This passkey is not known here (any more).");

    // Those who know that it is Tom's vouch for it.
    let (vouch, _) = ladder.propose(&browser, &key, "vouch");
    browser.until_says("h1", "vouch for the new passkey of Tom Ahl.");
    sign(&browser, &key, &ladder.admins[0]);
    browser.until_says("main", "Waiting for 1 more.");
    browser.open(&vouch);
    sign(&browser, &key, &ladder.admins[2]);
    browser.until_says("h1", "✓ In effect, signed by you.");

    key.clear();
    key.add(&new);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you");
    assert_eq!(world.collect(&job).status, 200);
}

#[test]
fn a_passkey_that_was_not_lost_stops_a_recovery() {
    let browser = browser!();
    let ladder = Ladder::new();
    let key = Authenticator::in_browser(&browser);
    let (change, link) = ladder.recovery_signed(&browser, &key);
    key.clear();
    key.add(&counted(&ladder.tom));
    browser.open(&change);
    browser.click("[data-act=refuse]");
    browser.until("!document.querySelector('[data-act=sign-refusal]').disabled");
    browser.click("[data-act=sign-refusal]");
    browser.until_says("h1", "✕ Refused by you");
    look(&browser, "recovery-refused");
    ladder.world.hand.advance(RECOVERY_DELAY + Duration::from_secs(1));
    assert!(!ladder.works(&link));
    // Tom signs with it as before.
    let job = ladder.world.ask(|job| job);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you");
}
