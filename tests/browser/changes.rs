//! A change, as admins sign it.
//! In: a proposed change. Out: every state of `/changes/⟨id⟩`, reached and pictured.
//! Implements SCREENS (Admin: "You will sign: add Tom Ahl to release-managers.").
//! Never trusts the page about itself: what it shows is compared with the statement that the server keeps.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::app::propose_change::Wish;
use countersign::domain::change::LinkKind;
use countersign::domain::ids::{GroupName, IssuerName};
use countersign::domain::people::Role;
use countersign::domain::time::CHANGE_OPEN;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::sessions::sign_in;
use crate::support::{GROUP, Person, RULES, STARTER, World, without_account};

fn join(person: &Person) -> Wish {
    Wish::Join { person: person.id.to_string(), group: GroupName::parse(GROUP).unwrap() }
}

/// Two admins, and Tom, who is in no group.
fn world() -> (World, Person, Person, Person) {
    let world = World::start();
    let (ada, bea) = (world.admin("Ada Lind"), world.admin("Bea Holm"));
    let tom = world.person("Tom Ahl", &[]);
    (world, ada, bea, tom)
}

fn open_ready(browser: &Browser, link: &str) {
    browser.open(link);
    browser.until("!document.querySelector('[data-act=sign]').disabled");
}

#[test]
fn attack_045_a_change_shows_what_is_signed_and_two_admins_make_it_so() {
    let browser = browser!();
    let (world, ada, bea, tom) = world();
    let (link, _) = world.propose(join(&tom));
    let first = Authenticator::in_browser(&browser);
    first.add(&ada.credential);
    let spy = "const fetched = window.fetch; window.fetch = async (...all) => { const answer = await fetched(...all); \
               if (String(all[0]).endsWith('/options')) answer.clone().json().then(({ statement }) => { window.seen = statement; }); \
               return answer; };";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": spy }));
    open_ready(&browser, &link);
    browser.until_says("h1", "You will sign: add Tom Ahl to release-managers.");
    for words in
        ["Tom Ahl", tom.id.as_str(), "in no group", "in release-managers", "0 of 2 · admins", "24 h after the first"]
    {
        assert!(browser.page_text().contains(words), "{words} is missing:\n{}", browser.page_text());
    }
    look(&browser, "change-waiting");
    browser.click("summary");
    let statement: Value = serde_json::from_str(browser.until("window.seen").as_str().unwrap()).unwrap();
    assert_eq!(statement["type"], "countersign/change/v1");
    let rows = browser.eval(
        "[...document.querySelectorAll('#statement > div')].map((row) => \
         [row.querySelector('dt code').innerText, row.querySelector('dd').innerText.trim()])",
    );
    let rows: Vec<(String, String)> = serde_json::from_value(rows).unwrap();
    for (field, text) in &rows {
        let value = field.split('.').fold(&statement, |value, name| &value[name]);
        assert_eq!(value.as_str(), Some(text.as_str()), "{field}");
    }
    let leaves = |value: &Value| value.as_object().unwrap().len();
    let expected = leaves(&statement) - 1 + leaves(&statement["change"]) - 1 + leaves(&statement["change"]["act"]);
    assert_eq!(rows.len(), expected, "each field, and no other: {rows:?}");
    look(&browser, "change-everything");
    browser.click("summary");

    browser.click("[data-act=sign]");
    browser.until_says("h1", "✓ Signed by you.");
    browser.until_says("main", "unless an admin refuses, or at once when another admin signs.");
    assert!(browser.eval("document.activeElement === document.querySelector('h1')").as_bool().unwrap());
    look(&browser, "change-signed");

    // Once is enough of one admin.
    open_ready(&browser, &link);
    browser.until_says("main", "1 of 2 · admins");
    look(&browser, "change-delayed");
    browser.click("[data-act=sign]");
    browser.until_says("[data-panel=problem]", "Your signature counts already.");

    first.remove();
    Authenticator::in_browser(&browser).add(&bea.credential);
    open_ready(&browser, &link);
    browser.click("[data-act=sign]");
    browser.until_says("h1", "✓ In effect, signed by you.");
    look(&browser, "change-done");
    browser.open(&link);
    browser.until_says("h1", "✓ In effect.");
    let members = world.app.store.read(|reader| reader.members(&GroupName::parse(GROUP).unwrap())).unwrap();
    assert!(members.contains(&tom.id));
}

#[test]
fn whoever_gains_or_is_no_admin_is_told_so_and_an_admin_refuses() {
    let browser = browser!();
    let (world, ada, _bea, tom) = world();
    let (own, _) = world.propose(join(&ada));
    let holder = Authenticator::in_browser(&browser);
    holder.add(&ada.credential);
    open_ready(&browser, &own);
    browser.click("[data-act=sign]");
    browser.until_says("[data-panel=problem]", "This concerns you, so somebody else must sign it.");
    look(&browser, "change-concerns-you");

    let groups = BTreeSet::from([GroupName::parse(GROUP).unwrap()]);
    let (link, _) = world.propose(Wish::Invite { name: "Eva Nyman".to_owned(), groups, role: Role::Admin });
    holder.remove();
    let holder = Authenticator::in_browser(&browser);
    holder.add(&tom.credential);
    open_ready(&browser, &link);
    browser.click("[data-act=sign]");
    browser.until_says("[data-panel=problem]", "Only an admin can sign this.");
    look(&browser, "change-not-an-admin");

    holder.remove();
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &link);
    browser.until_says("h1", "You will sign: invite Eva Nyman as an admin and a member of release-managers.");
    browser.click("[data-act=sign]");
    browser.until_says("main", "The invitation works already.");
    look(&browser, "change-invitation");
    browser.click("[data-act=refuse]");
    browser.until_says("[data-panel=refuse]", "whoever was invited is suspended");
    browser.until("!document.querySelector('[data-act=sign-refusal]').disabled");
    look(&browser, "change-refuse");
    browser.click("[data-act=sign-refusal]");
    browser.until_says("h1", "✕ Refused by you");
    look(&browser, "change-refused");
}

/// The link of the one change that waits.
fn waiting(world: &World) -> String {
    let [change] = world.app.list_changes().unwrap().try_into().unwrap();
    change.link
}

#[test]
fn attack_100_other_rules_are_shown_value_by_value_and_two_admins_put_them_in_force() {
    let browser = browser!();
    let world = World::with_signed_rules();
    let (ada, bea) = (world.admin("Ada Lind"), world.admin("Bea Holm"));
    let weaker = RULES.replace("count = 2, not = [\"starter\"]", "count = 1");
    let (kept, _) = weaker.rsplit_once("[[rule]]").unwrap();
    let other = "[[rule]]\nname = \"reports\"\nmatch = { job_project_id = \"4711\", environment = \"reports\" }\n\
                 audience = [\"https://vault.shop.example\"]\nrequire = \"none\"\n";
    world.load_rules(&format!("{other}{kept}"));
    let link = waiting(&world);
    let key = Authenticator::in_browser(&browser);
    key.add(&ada.credential);
    open_ready(&browser, &link);
    browser.until_says("h1", "You will sign: put other rules in force (1 added, 1 changed, 1 removed).");
    for words in [
        "reports · new",
        "asked before \"production deploy\"",
        "match.environment is \"reports\"",
        "payments deploy · changed",
        "require.approval.count was 2, is 1",
        "require.approval.not was [\"starter\"], is []",
        "0 of 2 · admins",
        "as soon as enough admins have signed",
        "by the files of the rules",
    ] {
        assert!(browser.page_text().contains(words), "{words} is missing:\n{}", browser.page_text());
    }
    look(&browser, "rules-waiting");
    browser.eval("document.querySelector('details').open = true");
    look(&browser, "rules-everything");
    let before = world.app.rules().rules.digest();
    browser.click("[data-act=sign]");
    browser.until_says("h1", "✓ Signed by you.");
    browser.until_says("main", "Waiting for 1 more. Send this link to another admin.");
    look(&browser, "rules-signed");
    assert_eq!(world.app.rules().rules.digest(), before);

    // Home of an admin says that it waits, and the rules page that the files say something else.
    sign_in(&browser, &world, "?next=/admin/rules", &key, &ada);
    browser.until_says("main", "the files hold other rules, which admins must sign first");
    look(&browser, "rules-unsigned");
    browser.open(&world.url);
    browser.until_says("main", "1 change waits for a signature.");

    key.remove();
    let key = Authenticator::in_browser(&browser);
    key.add(&bea.credential);
    open_ready(&browser, &link);
    browser.click("[data-act=sign]");
    browser.until_says("h1", "✓ In effect, signed by you.");
    look(&browser, "rules-done");
    assert_ne!(world.app.rules().rules.digest(), before);
    assert!(world.app.rules().waits.is_none());

    // Files that are put back are another change; files that agree again end it.
    world.load_rules(RULES);
    let back = waiting(&world);
    assert_ne!(back, link);
    world.load_rules(&format!("{other}{kept}"));
    browser.open(&back);
    browser.until_says("h1", "This change was withdrawn.");
    look(&browser, "rules-withdrawn");
}

#[test]
fn a_key_that_holds_no_account_signs_a_change() {
    let browser = browser!();
    let (world, ada, _bea, tom) = world();
    let (link, _) = world.propose(join(&tom));
    Authenticator::in_browser(&browser).add(&without_account(&ada.credential));
    open_ready(&browser, &link);
    browser.click("[data-act=sign]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");
    browser.click("[data-panel=problem] summary");
    browser.type_into("#user", "Ada Lind");
    browser.click("[data-act=find]");
    browser.until_says("[data-panel=problem] h2", "Use your key.");
    browser.click("[data-act=use]");
    browser.until_says("h1", "✓");
}

#[test]
fn a_bots_job_names_who_answers_for_it() {
    let browser = browser!();
    let (world, _ada, _bea, tom) = world();
    let mara = world.person("Mara Voss", &[GROUP]);
    let (issuer, user_id) = (IssuerName::parse("gitlab").unwrap(), STARTER.to_owned());
    world.act(Wish::Link { person: mara.id.to_string(), issuer, user_id, owner: LinkKind::Bot });
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&tom.credential);
    browser.open(&job.link);
    browser.until_says("main", "! Started by a bot for which Mara Voss answers.");
    look(&browser, "approval-bot");
}

#[test]
fn what_nobody_signs_ends() {
    let browser = browser!();
    let (world, _ada, _bea, tom) = world();
    let (link, _) = world.propose(Wish::Suspend { person: tom.id.to_string() });
    world.hand.advance(CHANGE_OPEN + Duration::from_secs(1));
    browser.open(&link);
    browser.until_says("h1", "Too late: this change ended on");
    look(&browser, "change-expired");

    let (link, enrolment) = world.propose(Wish::Recover { person: tom.id.to_string() });
    browser.open(&link);
    browser.until_says("h1", "You will sign: let Tom Ahl make a new passkey after losing all others.");
    browser.until_says("main", "24 h after enough admins have signed, unless somebody refuses");
    look(&browser, "change-recovery");
    browser.open(&enrolment.unwrap());
    browser.until_says("h1", "This link is not known here.");
}
