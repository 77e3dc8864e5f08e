//! Approval, as a signer does it: read, compare, touch.
//! In: a job that waits. Out: every state of `/a/⟨id⟩` that a good signature leads to, reached and pictured.
//! Implements SCREENS' approval page, DESIGN §5 and §6 seen from the page.
//! Never trusts the page about itself: what it shows is compared with the statement that the server keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::support::{GROUP, Person, Waiting, World, without_account};

/// Two days after a first deploy, so that the page can compare.
pub fn second_deploy(world: &World) -> Waiting {
    let mut earlier = world.person("Tom Ahl", &[GROUP]);
    let first = world.ask(|job| job.with("sha", json!("9e01b77a0c2d6f8f4b7e9c1f2a3d4e5f60718293")));
    world.approve(&first, &mut earlier);
    assert_eq!(world.collect(&first).status, 200);
    world.hand.advance(Duration::from_hours(48));
    let job = world.ask(|job| job);
    world.hand.advance(Duration::from_secs(20));
    job
}

/// A server, a linked starter, and Ada, who may sign.
pub fn world_with_ada() -> (World, Person) {
    let world = World::start();
    let (starter, _) = world.invite("Mara Voss", &[GROUP]);
    world.link_starter(&starter);
    let ada = world.person("Ada Lind", &[GROUP]);
    (world, ada)
}

/// Opens the page and waits until it can be signed.
pub fn open_ready(browser: &Browser, job: &Waiting) {
    browser.open(&job.link);
    browser.until("!document.querySelector('[data-act=approve]').disabled");
}

fn leaves(value: &Value, field: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                leaves(member, &if field.is_empty() { name.clone() } else { format!("{field}.{name}") }, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{field}[{at}]"), found);
            }
        }
        leaf => {
            found.insert(field.to_owned(), leaf.clone());
        }
    }
}

/// The list as it is read: field name to text.
fn listed(browser: &Browser) -> BTreeMap<String, String> {
    let rows = browser.eval(
        "[...document.querySelectorAll('#statement > div')].map((row) => \
         [row.querySelector('dt code').innerText, row.querySelector('dd').innerText.trim()])",
    );
    serde_json::from_value::<Vec<(String, String)>>(rows).unwrap().into_iter().collect()
}

#[test]
fn attack_045_the_page_shows_what_is_signed_then_the_job_gets_its_token() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = second_deploy(&world);
    Authenticator::in_browser(&browser).add(&ada.credential);
    // What the server hands out to be signed, as it passes by.
    let spy = "const fetched = window.fetch; window.fetch = async (...all) => { const answer = await fetched(...all); \
               if (String(all[0]).endsWith('/options')) answer.clone().json().then(({ statement }) => { window.seen = statement; }); \
               return answer; };";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": spy }));
    open_ready(&browser, &job);

    for words in [
        "production",
        "Let shop/api deploy to AWS?",
        "Project 4711",
        "job 555125",
        "@mara (Maintainer)",
        " s ago says GitLab",
        "1f3c9ab",
        "branch main, protected",
        "AWS sts.amazonaws.com",
        "role deploy",
        "for 10 min",
        "9e01b77, 2 days ago",
        "0 of 1 · release-managers",
        "production deploy",
        &job.code,
    ] {
        assert!(browser.page_text().contains(words), "{words} is missing:\n{}", browser.page_text());
    }
    assert!(!browser.page_text().contains("First request ever"));
    look(&browser, "approval-waiting");

    browser.click("summary");
    let statement: Value = serde_json::from_str(browser.until("window.seen").as_str().unwrap()).unwrap();
    let mut signed = BTreeMap::new();
    leaves(&statement, "", &mut signed);
    let shown = listed(&browser);
    assert_eq!(signed.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>(), "each field, and no other");
    for (field, value) in &signed {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(shown[field], text, "{field}");
    }
    let counted = browser.text("[data-count]");
    assert_eq!(counted, signed.len().to_string());
    look(&browser, "approval-everything");
    browser.click("summary");

    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
    browser.until_says("main", "The job has until");
    assert!(browser.eval("document.activeElement === document.querySelector('h1')").as_bool().unwrap());
    assert!(browser.eval("document.querySelector('[data-act=deny]').checkVisibility()").as_bool().unwrap());
    look(&browser, "approval-not-collected");

    let token = world.collect(&job);
    assert_eq!(token.status, 200, "{}", token.text);
    let payload = token.text("access_token").split('.').nth(1).unwrap().to_owned();
    let claims: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap();
    assert_eq!(claims["approver"], ada.id.as_str());
    assert_eq!(claims["acr"], "phr");

    browser.until_says("main", "The job has its token. Log entry");
    browser.until_says("h1", "✓ Approved by you at");
    assert!(!browser.page_text().contains("Nothing is left to do"));
    assert!(browser.eval("document.querySelector('[data-act=deny]') === null").as_bool().unwrap());
    look(&browser, "approval-collected");
}

#[test]
fn a_denial_with_a_reason_reaches_the_job() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = second_deploy(&world);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    browser.click("[data-act=deny]");
    browser.until_says("[data-panel=deny]", "Deny for good?");
    assert!(browser.eval("document.querySelector('[data-act=sign-denial]').disabled").as_bool().unwrap());
    look(&browser, "approval-deny");
    browser.click("[data-act=back]");
    browser.until("document.querySelector('[data-panel=choose]').checkVisibility()");
    browser.click("[data-act=deny]");
    browser.click("[value=other]");
    browser.until("document.querySelector('#other').checkVisibility()");
    browser.type_into("#other", "not today");
    browser.until("!document.querySelector('[data-act=sign-denial]').disabled");
    look(&browser, "approval-deny-other");
    browser.click("[value='wrong commit']");
    browser.click("[data-act=sign-denial]");
    browser.until_says("h1", "✕ Denied by you.");
    browser.until_says("main", "The job was told: wrong commit. Log entry");
    look(&browser, "approval-denied");
    let told = world.collect(&job);
    assert_eq!((told.status, told.text("error").as_str()), (400, "access_denied"), "{}", told.text);
    assert!(told.text("error_description").contains("wrong commit"), "{}", told.text);

    browser.open(&job.link);
    browser.until_says("h1", "✕ Already denied.");
    look(&browser, "approval-already-denied");
}

#[test]
fn an_approval_can_be_taken_back_until_the_job_has_its_token() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    assert!(browser.page_text().contains("! First request ever for this project and environment."));
    look(&browser, "approval-first");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
    browser.click("[data-act=deny]");
    browser.click("[value='not expected']");
    browser.click("[data-act=sign-denial]");
    browser.until_says("h1", "✕ Denied by you.");
    assert_eq!(world.collect(&job).text("error"), "access_denied");
}

#[test]
fn a_key_that_holds_no_account_is_found_by_its_owners_name_and_signs() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    key.add(&without_account(&ada.credential));
    let job = world.ask(|job| job);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");
    browser.click("[data-panel=problem] summary");
    look(&browser, "approval-not-offered");
    browser.type_into("#user", "Nobody");
    browser.click("[data-act=find]");
    browser.until_says("[data-panel=problem] h2", "Use your key.");
    // A name that nobody has looks the same, and finds no key.
    browser.click("[data-act=use]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");
    browser.click("[data-panel=problem] summary");
    browser.type_into("#user", "ada lind");
    browser.click("[data-act=find]");
    browser.until_says("[data-panel=problem] h2", "Use your key.");
    look(&browser, "approval-found");
    browser.click("[data-act=use]");
    browser.until_says("h1", "✓ Approved by you");
    assert_eq!(world.collect(&job).status, 200);
    // A denial is signed in the same way.
    let job = second_deploy(&world);
    open_ready(&browser, &job);
    browser.click("[data-act=deny]");
    browser.click("input[value='wrong commit']");
    browser.click("[data-act=sign-denial]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");
    browser.click("[data-panel=problem] summary");
    browser.type_into("#user", ada.id.as_str());
    browser.click("[data-act=find]");
    browser.click("[data-act=use]");
    browser.until_says("h1", "✕ Denied by you");
}

#[test]
fn two_people_sign_and_the_second_tab_sees_it_by_itself() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let mut tom = world.person("Tom Ahl", &[GROUP]);
    let job = world.ask(|job| job.with("environment", json!("payments")));
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    browser.until_says("main", "0 of 2 · release-managers");
    let first = browser.new_tab();
    crate::pictures::resize(&browser, crate::pictures::PHONE);
    browser.open(&job.link);
    browser.until_says("main", "0 of 2 · release-managers");
    let second = browser.new_tab();
    browser.go_to_tab(&first);
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Your signature counts: 1 of 2.");
    browser.until_says("main", "Waiting for one more of release-managers. You can close this page.");
    look(&browser, "approval-counted");
    browser.go_to_tab(&second);
    browser.until_says("main", "1 of 2 · release-managers");
    assert!(!browser.page_text().contains("Ada"), "who signed is not for everybody with the link");

    // A signature counts once.
    browser.go_to_tab(&first);
    browser.open(&job.link);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "Your signature counts already.");
    look(&browser, "problem-already-approved");

    world.approve(&job, &mut tom);
    for tab in [&first, &second] {
        browser.go_to_tab(tab);
        browser.until_says("h1", "✓ Already approved");
        browser.until_says("main", "The job has until");
        assert!(browser.eval("document.querySelector('[data-act=deny]').checkVisibility()").as_bool().unwrap());
    }
    look(&browser, "approval-by-others");
    assert_eq!(world.collect(&job).status, 200);
    for tab in [&first, &second] {
        browser.go_to_tab(tab);
        browser.until_says("main", "Nothing is left to do. The job has its token.");
    }
    look(&browser, "approval-collected-by-others");
}
