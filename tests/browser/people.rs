//! The admin's pages for people, as an admin uses them.
//! In: admins with passkeys, people in every state. Out: every state of `/admin/people…`, reached and pictured.
//! Implements SCREENS (Admin: People).
//! Never proposes but by the forms.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::app::propose_change::Wish;
use countersign::domain::change::LinkKind;
use countersign::domain::ids::{GroupName, IssuerName};
use countersign::domain::people::Role;
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::sessions::{counted, sign_in};
use crate::support::{GROUP, Person, World};

/// Signs the change that is open, with this person's key and no other.
pub fn sign(browser: &Browser, key: &Authenticator<'_>, person: &Person) {
    key.clear();
    key.add(&counted(person));
    browser.until("!document.querySelector('[data-act=sign]').disabled");
    browser.click("[data-act=sign]");
}

/// Signs in as somebody else.
fn change_seats(browser: &Browser, world: &World, key: &Authenticator<'_>, person: &Person, query: &str) {
    key.clear();
    browser.open(&world.url);
    browser.click("[data-act=sign-out]");
    browser.until("location.pathname === '/sign-in'");
    sign_in(browser, world, query, key, person);
}

pub fn page_of(browser: &Browser, world: &World, person: &Person) {
    browser.open(&format!("{}/admin/people/{}", world.url, person.id));
}

/// Opens the form of an act; a page may have several of it.
pub fn unfold(browser: &Browser, act: &str) -> String {
    let form = format!("form[data-wish={act}]");
    browser.click(&format!("details:has(> {form}) > summary"));
    browser.until(&format!("document.querySelector('{form}').checkVisibility()"));
    form
}

#[test]
fn an_admin_invites_from_the_page_and_the_link_shown_once_works() {
    let browser = browser!();
    let world = World::start();
    let ada = world.admin("Ada Lind");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "", &key, &ada);
    browser.click(".nav a[href='/admin']");
    browser.until_says("h1", "Health");
    browser.click(".nav a[href='/admin/people']");
    browser.until_says("h1", "People");
    browser.until_says("main", "! You are the only admin. Invite a second.");
    assert_eq!(browser.eval("document.title"), "People · Countersign");
    look(&browser, "people-alone");

    browser.type_into("#invite-name", "ada  lind");
    browser.click("form[data-wish=invite] button");
    browser.until_says("[data-note]", "could be taken for");
    assert!(browser.eval("document.activeElement === document.querySelector('[data-note]')").as_bool().unwrap());
    look(&browser, "people-refused");
    browser.type_into("#invite-name", "Eva Nyman");
    browser.click("input[name=groups]");
    browser.type_into("#invite-others", "security, night-shift");
    browser.click("input[value=admin]");
    browser.click("form[data-wish=invite] button");
    browser.until_says("h1", "Give this link to Eva Nyman.");
    for words in
        ["It is shown once", "invite Eva Nyman as an admin and a member of night-shift, release-managers, security"]
    {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    look(&browser, "people-link");
    let link = browser.text("[data-link]");
    assert!(link.starts_with(&format!("{}/enrol/", world.url)), "{link}");
    assert!(!browser.eval("location.href").as_str().unwrap().contains("enrol"));
    browser.devtools(
        "Browser.grantPermissions",
        &json!({ "origin": world.url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] }),
    );
    browser.click("[data-act=copy-link]");
    browser.until_says("[data-act=copy-link]", "Copied");
    assert_eq!(browser.eval("navigator.clipboard.readText()"), link.as_str());

    browser.click("main a.button");
    browser.until_says("h1", "You will sign: invite Eva Nyman as an admin");
    browser.until_says("main", "by Ada Lind");
    look(&browser, "people-change");
    // Going back finds no link.
    browser.eval("history.back()");
    browser.until_says("h1", "People");
    assert!(!browser.eval("document.documentElement.innerHTML").as_str().unwrap().contains("/enrol/"));
    browser.until_says("main", "Invite Eva Nyman as an admin");
    browser.until_says("main", "0 of 2 signed");
    look(&browser, "people-waiting");
    browser.click("#changes + .items a");
    sign(&browser, &key, &ada);
    browser.until_says("main", "The invitation works already.");

    // Eva comes with the link.
    key.clear();
    browser.open(&link);
    browser.until_says("h1", "You are signed in as Ada Lind.");
    browser.click("[data-act=sign-out]");
    browser.until_says("h1", "Welcome, Eva Nyman.");
    browser.until_says("main", "Ada Lind invited you");
    browser.click("[data-act=continue]");
    browser.click("[data-step=make] [data-act=make]");
    browser.until_says("[data-step=name]", "✓ Your passkey is made.");
}

#[test]
fn a_second_admin_signs_what_the_first_proposed() {
    let browser = browser!();
    let world = World::start();
    let (ada, bea) = (world.admin("Ada Lind"), world.admin("Bea Holm"));
    let tom = world.person("Tom Ahl", &[]);
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin/people", &key, &ada);
    browser.until_says("h1", "People");
    assert!(!browser.text("main").contains("only admin"));
    look(&browser, "people");
    browser.click(&format!("a[href$='{}']", tom.id));
    browser.until_says("h1", "Tom Ahl");
    look(&browser, "person");
    let form = unfold(&browser, "join");
    browser.type_into("#join-group", "Release Managers");
    browser.click(&format!("{form} button"));
    browser.until_says(&format!("{form} [data-note]"), "Spell groups as the rules do");
    look(&browser, "person-refused");
    browser.type_into("#join-group", GROUP);
    browser.click(&format!("{form} button"));
    browser.until_says("h1", "You will sign: add Tom Ahl to release-managers.");
    browser.until_says("main", "0 of 2 · admins");
    sign(&browser, &key, &ada);
    browser.until_says("h1", "✓ Signed by you.");
    let place = browser.eval("location.href").as_str().unwrap().to_owned();

    change_seats(&browser, &world, &key, &bea, "");
    browser.until_says("main", "1 change waits for a signature.");
    look(&browser, "home-change-waits");
    browser.click(".band a[href='/admin/people#changes']");
    browser.until_says("#changes + .items", "1 of 2 signed · takes effect");
    look(&browser, "people-delayed");
    browser.click("#changes + .items a");
    sign(&browser, &key, &bea);
    browser.until_says("h1", "✓ In effect, signed by you.");
    let members = world.app.store.read(|reader| reader.members(&GroupName::parse(GROUP).unwrap())).unwrap();
    assert!(members.contains(&tom.id));

    // Over, it names Tom to admins, and to strangers nobody.
    browser.open(&place);
    browser.until_says("main", "Add Tom Ahl to release-managers");
    look(&browser, "change-over-admin");
    browser.open(&world.url);
    key.clear();
    browser.click("[data-act=sign-out]");
    browser.until("location.pathname === '/sign-in'");
    browser.open(&place);
    browser.until_says("main", "Add somebody to release-managers");
    assert!(!browser.page_text().contains("Tom Ahl"));
    look(&browser, "change-over-stranger");
}

#[test]
fn a_person_in_every_state_and_every_form() {
    let browser = browser!();
    let world = World::start();
    let (ada, _bea) = (world.admin("Ada Lind"), world.admin("Bea Holm"));
    let tom = world.person("Tom Ahl", &[GROUP]);
    let (sue, aud) = (world.person("Sue Long", &[GROUP]), world.person("Aud Berg", &[]));
    let issuer = || IssuerName::parse("gitlab").unwrap();
    let at = |person: &Person| person.id.to_string();
    world.act(Wish::Link { person: at(&tom), issuer: issuer(), user_id: "88".to_owned(), owner: LinkKind::Person });
    world.act(Wish::Link { person: at(&tom), issuer: issuer(), user_id: "4242".to_owned(), owner: LinkKind::Bot });
    world.act(Wish::Suspend { person: at(&sue) });
    world.act(Wish::Role { person: at(&aud), role: Role::Auditor });
    let back = world.recovered("Rex Orr");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/passkeys", &key, &tom);
    key.clear();
    browser.click("[data-act=add]");
    browser.click("[data-act=make]");
    browser.until_says("[data-step=made]", "✓ Your passkey is made.");

    change_seats(&browser, &world, &key, &ada, "?next=/admin/people");
    page_of(&browser, &world, &tom);
    browser.until_says("main", "A bot for which this person answers.");
    browser.until_says("main", "New: it approves nothing before");
    look(&browser, "person-whole");
    // Every form, unfolded.
    browser.eval("for (const one of document.querySelectorAll('details')) one.open = true");
    look(&browser, "person-forms");
    page_of(&browser, &world, &sue);
    browser.until_says("main", "✕ Suspended");
    browser.eval("for (const one of document.querySelectorAll('details')) one.open = true");
    look(&browser, "person-suspended");
    page_of(&browser, &world, &back);
    browser.until_says("main", "Made after a recovery");
    let form = unfold(&browser, "vouch");
    look(&browser, "person-rests");
    browser.click(&format!("{form} button"));
    browser.until_says("h1", "You will sign: vouch for the new passkey of Rex Orr.");

    page_of(&browser, &world, &tom);
    let form = unfold(&browser, "recover");
    browser.click(&format!("{form} button"));
    browser.until_says("h1", "Give this link to Tom Ahl.");
    browser.until_says("main", "once enough admins have signed and the delay after that is over");
    look(&browser, "person-recovery-link");
    page_of(&browser, &world, &tom);
    browser.until_says("main", "Let Tom Ahl make a new passkey");
    look(&browser, "person-waiting");

    // An auditor sees the same, and no form.
    change_seats(&browser, &world, &key, &aud, &format!("?next=/admin/people/{}", tom.id));
    browser.until_says("h1", "Tom Ahl");
    assert_eq!(browser.eval("document.querySelectorAll('form').length"), 0);
    look(&browser, "person-auditor");
    browser.open(&format!("{}/admin/people", world.url));
    assert_eq!(browser.eval("document.querySelectorAll('form').length"), 0);
    look(&browser, "people-auditor");
    // A member finds nothing.
    change_seats(&browser, &world, &key, &tom, "");
    assert_eq!(browser.eval("document.querySelectorAll(\"a[href^='/admin']\").length"), 0);
    browser.open(&format!("{}/admin/people", world.url));
    browser.until_says("h1", "This page does not exist, or it is not yours to see.");
}

#[test]
fn without_a_network_and_without_a_session_nothing_is_proposed() {
    let browser = browser!();
    let world = World::start();
    let ada = world.admin("Ada Lind");
    let tom = world.person("Tom Ahl", &[]);
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin/people", &key, &ada);
    page_of(&browser, &world, &tom);
    let form = unfold(&browser, "suspend");
    browser.set_offline(true);
    browser.until(&format!("document.querySelector('{form} button').disabled"));
    browser.set_offline(false);
    browser.until(&format!("!document.querySelector('{form} button').disabled"));
    let groups: BTreeSet<GroupName> = BTreeSet::new();
    world.propose(Wish::Invite { name: "Eva Nyman".to_owned(), groups, role: Role::Member });
    world.act(Wish::Suspend { person: tom.id.to_string() });
    browser.click(&format!("{form} button"));
    browser.until_says(&format!("{form} [data-note]"), "Tom Ahl is suspended already.");
    // A session that ended leads to the sign-in, and back.
    key.clear();
    world.hand.advance(Duration::from_hours(2));
    browser.click(&format!("{form} button"));
    browser.until("location.pathname === '/sign-in'");
    assert_eq!(browser.eval("new URLSearchParams(location.search).get('next')"), format!("/admin/people/{}", tom.id));
    assert_eq!(world.app.list_changes().unwrap().len(), 1, "the invitation of the console alone");
}
