//! What the page says when a signature does not count, or cannot be made.
//! In: the wrong person, key, time or answer. Out: the sentence that the page shows, and a request that did not move.
//! Implements SCREENS' states of the approval page from "Contested" on.
//! Never leaves a wrong signature behind: each test ends with what the server keeps.

use std::time::Duration;

use countersign::domain::ids::RequestId;
use countersign::domain::request::standing::Standing;
use serde_json::{Value, json};

use crate::approval::{open_ready, world_with_ada};
use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::support::{GROUP, RULES, Waiting, World, stranger};

fn standing(world: &World, job: &Waiting) -> (Standing, u32) {
    let seen = world.app.view_request(&RequestId::parse(&job.id).unwrap()).unwrap().unwrap();
    (seen.standing, seen.signed)
}

#[test]
fn attack_024_the_wrong_person_signs_nothing() {
    let browser = browser!();
    let world = World::start();
    let mara = world.person("Mara Voss", &[GROUP]);
    world.link_starter(&mara.id);
    let eve = world.person("Eve Olsen", &["interns"]);
    let job = world.ask(|job| job);
    let phone = Authenticator::in_browser(&browser);
    phone.add(&mara.credential);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "You started this job, and this rule wants somebody else.");
    browser.until_says("[data-panel=problem]", "Nothing was signed. Send this link to one of release-managers.");
    assert!(
        browser.eval("document.activeElement === document.querySelector('[data-panel=problem] h2')").as_bool().unwrap()
    );
    look(&browser, "problem-self-approval");
    browser.click("[data-act=copy]");
    browser.until_says("[data-act=copy]", "Copied");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));

    phone.clear();
    phone.add(&eve.credential);
    browser.click("[data-act=again]");
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "Only release-managers can sign this.");
    look(&browser, "problem-not-an-approver");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));

    phone.clear();
    phone.add(&stranger());
    browser.click("[data-act=again]");
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "This passkey is not known here (any more).");
    look(&browser, "problem-passkey-unknown");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));

    // The starter's own no counts: the job is withdrawn.
    phone.clear();
    phone.add(&mara.credential);
    browser.click("[data-act=again]");
    browser.click("[data-act=deny]");
    browser.click("[value='not now']");
    browser.click("[data-act=sign-denial]");
    browser.until_says("h1", "✕ Denied by you.");
    assert_eq!(standing(&world, &job).0, Standing::Denied);
}

#[test]
fn attack_050_an_answer_that_proves_less_is_refused() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    let phone = Authenticator::in_browser(&browser);
    phone.add(&ada.credential);
    open_ready(&browser, &job);

    phone.set_user_verified(false);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");
    look(&browser, "problem-browser");
    phone.set_user_verified(true);

    for (bit, code, words) in [
        ("isBadUV", "uv_required", "did not verify its user. Use one that asks for a PIN"),
        ("isBogusSignature", "assertion_invalid", "signature is not valid. Reload the page"),
        ("isBadUP", "assertion_invalid", "not touched"),
    ] {
        phone.lie(Some(bit));
        browser.eval(
            "window.refused = null; window.real ??= window.fetch; window.fetch = async (...all) => { \
             const answer = await window.real(...all); if (String(all[0]).endsWith('/decision')) \
             window.refused = [answer.status, (await answer.clone().json()).error_code]; return answer; }, 0",
        );
        browser.click("[data-panel=problem] [data-act=again]");
        browser.click("[data-act=approve]");
        let refused = browser.until("window.refused");
        assert_eq!(refused, json!([400, code]), "{bit}");
        browser.until_says("[data-panel=problem]", "Nothing was signed.");
        let said = browser.text("[data-panel=problem]");
        assert!(said.contains(words), "{bit}: {said}");
        look(&browser, &format!("problem-{bit}"));
    }
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));
    phone.lie(None);
    browser.click("[data-panel=problem] [data-act=again]");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
}

/// Changes what the page asks the browser for, as an attacker in the reader's own devtools can.
fn tamper(browser: &Browser, body: &str) {
    browser.eval(&format!(
        "window.ask ??= navigator.credentials.get.bind(navigator.credentials); \
         navigator.credentials.get = async (options) => {{ {body} }}, 0"
    ));
}

#[test]
fn attack_049_tampered_options_prove_nothing() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    let phone = Authenticator::in_browser(&browser);
    phone.add(&ada.credential);
    open_ready(&browser, &job);

    // attack 50: the page asks for less, and an honest authenticator gives less.
    phone.set_user_verified(false);
    tamper(&browser, "options.publicKey.userVerification = 'discouraged'; return ask(options);");
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "The passkey did not verify its user.");
    phone.set_user_verified(true);

    // Another site's passkeys: the browser itself refuses.
    tamper(&browser, "options.publicKey.rpId = 'sign.example.com'; return ask(options);");
    browser.click("[data-act=again]");
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "The browser closed the passkey window.");

    // A registration's answer in place of an assertion.
    tamper(
        &browser,
        "return navigator.credentials.create({ publicKey: { ...options.publicKey, rp: { id: 'localhost', name: 'x' }, \
         user: { id: new Uint8Array(16), name: 'x', displayName: 'x' }, \
         pubKeyCredParams: [{ type: 'public-key', alg: -7 }], authenticatorSelection: { residentKey: 'required' } } });",
    );
    browser.click("[data-act=again]");
    browser.click("[data-act=approve]");
    browser.until("document.querySelector('[data-panel=problem] [data-act=again]')?.checkVisibility()");
    browser.until_says("[data-panel=problem]", "This passkey is not known here");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));
}

#[test]
fn a_signature_can_be_called_off() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    let phone = Authenticator::in_browser(&browser);
    phone.add(&ada.credential);
    phone.set_touched(false);
    open_ready(&browser, &job);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=sign]", "Touch your key or use your phone’s lock.");
    assert_eq!(browser.eval("document.activeElement.innerText"), "Touch your key or use your phone’s lock.");
    look(&browser, "approval-signing");
    browser.click("[data-act=cancel]");
    browser.until_says("[data-panel=problem]", "Nothing was signed.");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));
    phone.set_touched(true);
    browser.click("[data-panel=problem] [data-act=again]");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
}

#[test]
fn attack_055_a_passkey_that_becomes_copyable_is_refused() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    let phone = Authenticator::in_browser(&browser);
    phone.add(&ada.credential);
    open_ready(&browser, &job);
    phone.set_backup(ada.credential["credentialId"].as_str().unwrap(), true, true);
    browser.click("[data-act=approve]");
    browser.until_says("[data-panel=problem]", "Nothing was signed.");
    look(&browser, "problem-backup");
    assert_eq!(standing(&world, &job), (Standing::Waiting, 0));
}

#[test]
fn a_request_ends_by_itself_on_the_page() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&ada.credential);
    world.hand.advance(Duration::from_secs(15 * 60 - 2));
    open_ready(&browser, &job);
    browser.until("document.getElementById('left').classList.contains('soon')");
    look(&browser, "approval-soon");
    world.hand.advance(Duration::from_secs(3));
    browser.until_says("h1", "Too late: this request ended at");
    browser.until_says("main", "Retry the job in GitLab to ask again.");
    assert!(browser.eval("document.querySelector('[data-act=approve]') === null").as_bool().unwrap());
    look(&browser, "approval-expired");
    assert_eq!(standing(&world, &job), (Standing::Expired, 0));
}

#[test]
fn a_second_collector_makes_the_page_warn_by_itself() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    let thief = world.collect_as(&job, &"x".repeat(43));
    assert_eq!(thief.text("error_code"), "other_collector", "{}", thief.text);
    browser.until_says("h1", "! Somebody else tried to collect this token.");
    browser.until_says("main", "It cannot be approved any more. Deny it, and look at the job.");
    assert!(browser.eval("document.querySelector('[data-act=approve]') === null").as_bool().unwrap());
    look(&browser, "approval-contested");
    browser.click("[data-act=deny]");
    browser.click("[value='not expected']");
    browser.click("[data-act=sign-denial]");
    browser.until_says("h1", "✕ Denied by you.");
}

#[test]
fn a_changed_rule_takes_no_signature() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    world.load_rules(&RULES.replace("role/deploy", "role/other"));
    // The open page hears of it and takes the button away.
    browser.until_says("h1", "The rule changed after this request was made, so nothing was signed.");
    assert_eq!(browser.eval("document.querySelector('[data-act=approve]')"), Value::Null);
    browser.until_says(
        "main",
        "aws.roles was [\"arn:aws:iam::111122223333:role/deploy\"], is [\"arn:aws:iam::111122223333:role/other\"]",
    );
    look(&browser, "approval-changed");
    assert_eq!(standing(&world, &job), (Standing::Voided, 0));
}

#[test]
fn without_a_connection_nothing_is_sent() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = world.ask(|job| job);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    browser.set_offline(true);
    browser.until_says("[data-note]", "No connection. Nothing was sent.");
    assert!(browser.eval("document.querySelector('[data-act=approve]').disabled").as_bool().unwrap());
    look(&browser, "approval-offline");
    browser.set_offline(false);
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
    assert_eq!(standing(&world, &job), (Standing::Approved, 1));
}
