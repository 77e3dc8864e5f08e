//! How the pages read: on one screen, by keyboard, without script.
//! In: the waiting page. Out: its measures, its order of focus, its words where no script runs.
//! Implements SCREENS' rules for every page.
//! Never signs anything.

use serde_json::{Value, json};

use crate::approval::{open_ready, second_deploy, world_with_ada};
use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::{ENTER, TAB};
use crate::pictures::{DESK, PHONE, SMALLEST, findings, look, resize};
use crate::support::{GROUP, World};

#[test]
fn all_of_a_waiting_request_is_on_one_phone_screen() {
    let browser = browser!();
    let (world, _) = world_with_ada();
    let job = second_deploy(&world);
    open_ready(&browser, &job);
    let below = browser.eval("document.documentElement.scrollHeight - innerHeight");
    assert_eq!(below, 0, "the page is longer than the screen");
    let small = browser.eval(
        "[...document.querySelectorAll('button, summary, .button')].filter((one) => one.checkVisibility()) \
         .filter((one) => one.getBoundingClientRect().height < 48).map((one) => one.innerText)",
    );
    assert_eq!(small, json!([]), "too small to tap");
    let gap = "(() => { const [a, b] = [...document.querySelectorAll('.bar button')].filter((one) => one.checkVisibility()) \
               .map((one) => one.getBoundingClientRect()); return [b.left - a.right, a.width - b.width, a.height - b.height]; })()";
    assert_eq!(browser.eval(gap), json!([12, 0, 0]), "12 px apart, and equal");
    for (size, width) in [(SMALLEST, 320), (PHONE, 360), (DESK, 1280)] {
        resize(&browser, size);
        assert_eq!(browser.eval("document.documentElement.scrollWidth"), width);
    }
    // 400 % zoom of a 1280 px window is a 320 px wide, 200 px high page.
    let zoomed = json!({ "width": 320, "height": 200, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", &zoomed);
    let over = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(over, 0, "400 % zoom scrolls sideways");
    assert_eq!(browser.eval("getComputedStyle(document.documentElement).fontSize"), "17px");
}

#[test]
fn the_keyboard_reads_downwards_and_enter_approves_nothing() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let job = second_deploy(&world);
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    assert!(browser.eval("document.activeElement === document.body").as_bool().unwrap(), "nothing is focused at first");
    browser.press(ENTER);
    assert_eq!(browser.eval("document.body.dataset.state"), "waiting");
    assert_eq!(browser.eval("document.querySelector('[data-panel=sign]').hidden"), true);

    browser.eval("window.order = [], document.addEventListener('focusin', ({ target }) => order.push(target)), 0");
    let reachable = "[...document.querySelectorAll('a[href], button, summary, input')] \
                     .filter((one) => !one.disabled && one.checkVisibility())";
    let count = browser.eval(&format!("{reachable}.length")).as_u64().unwrap();
    for _ in 0..count {
        browser.press(TAB);
        let ring = browser.eval(
            "(({ outlineStyle, outlineWidth }) => `${outlineStyle} ${outlineWidth}`)(getComputedStyle(document.activeElement))",
        );
        assert_eq!(ring, "solid 3px", "focus is always visible");
    }
    let same = browser.eval(&format!("JSON.stringify(order.map((one) => {reachable}.indexOf(one)))"));
    let expected: Vec<u64> = (0..count).collect();
    assert_eq!(same, json!(expected).to_string(), "tab order is the order in which the page stands");
    let downwards = browser.eval(
        "order.every((one, at) => at === 0 || one.getBoundingClientRect().bottom >= order[at - 1].getBoundingClientRect().top)",
    );
    assert_eq!(downwards, true, "reading order");
    assert!(count >= 5, "links, the list and both buttons: {count}");

    // From here, the keyboard alone approves: the last stop is Approve.
    browser.press(ENTER);
    browser.until_says("h1", "✓ Approved by you at");
    let focused = browser.eval("document.activeElement.tagName");
    assert_eq!(focused, "H1", "focus moves to the new heading");
    browser.until("document.getElementById('live').textContent.includes('Approved')");
}

#[test]
fn the_title_counts_down_and_times_are_the_readers() {
    let browser = browser!();
    let (world, _) = world_with_ada();
    let job = second_deploy(&world);
    browser.devtools("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Asia/Kolkata" }));
    open_ready(&browser, &job);
    let title = browser.until("/^1[34]:[0-5][0-9] · Approve shop\\/api$/.test(document.title) && document.title");
    let title: Value = title;
    browser.until(&format!("document.title !== {title}"));
    let left = browser.text("#left");
    assert!(left.ends_with("left"), "{left}");
    let until = browser.eval("document.querySelector('time[data-as=ago]').title");
    assert_eq!(until, "25 Nov 16:10 · 25 Nov 10:40 UTC".replace("25 Nov ", ""), "the reader's zone, then UTC");
}

#[test]
fn without_script_the_pages_still_read() {
    let browser = browser!();
    let (world, _) = world_with_ada();
    let job = second_deploy(&world);
    let (_, link) = world.invite("Nia Berg", &[GROUP]);
    browser.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    browser.open(&job.link);
    let text = browser.page_text();
    for words in ["Let shop/api deploy to AWS?", "@mara", "1f3c9ab", &job.code, "Passkeys need JavaScript."] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert_eq!(
        browser.eval("[...document.querySelectorAll('button')].every((one) => one.disabled || !one.checkVisibility())"),
        true
    );
    browser.click("summary");
    let open = browser.eval("document.querySelector('#statement').checkVisibility()");
    assert_eq!(open, true, "the list opens without script");
    browser.open(&link);
    let text = browser.page_text();
    assert!(text.contains("Welcome, Nia Berg.") && text.contains("Passkeys need JavaScript."), "{text}");
}

#[test]
fn what_few_can_read_is_found() {
    let browser = browser!();
    let world = World::start();
    let (_, link) = world.invite("Nia Berg", &[GROUP]);
    browser.open(&link);
    let Some(found) = findings(&browser) else { return };
    assert_eq!(found, [""; 0]);
    // 5 : 1 is enough for others, and not for us.
    browser.eval(
        "document.querySelector('h1').style.color = '#6f6f6f', document.querySelector('button').innerText = '', 0",
    );
    let found = findings(&browser).unwrap().join("\n");
    assert!(found.contains("color-contrast") && found.contains("button-name"), "{found}");
}

#[test]
fn errors_and_documents_are_pages_too() {
    let browser = browser!();
    let (world, _) = world_with_ada();
    browser.open(&format!("{}/a/AAAAAAAAAAAAAAAAAAAAAA", world.url));
    browser.until_says("h1", "This page does not exist, or it is not yours to see.");
    look(&browser, "error-not-found");
    browser.open(&format!("{}/docs/errors", world.url));
    assert!(!browser.page_text().contains('`'), "what is typed stands apart by its letters");
    browser.until_says("h1", "Error codes");
    look(&browser, "errors");
}
