//! What a hostile page or a hostile job cannot do to a reader.
//! In: frames, scripts in claims, names that deceive. Out: what the browser does with them: nothing.
//! Implements the browser's half of ATTACKS' clickjacking and injection.
//! Never asks the server what it meant to send: the browser says what came of it.

use serde_json::json;

use crate::approval::{open_ready, world_with_ada};
use crate::authenticator::Authenticator;
use crate::browser;
use crate::pictures::look;
use crate::support::GROUP;

#[test]
fn attack_073_no_page_can_be_framed() {
    let browser = browser!();
    let (world, _) = world_with_ada();
    let job = world.ask(|job| job);
    let (_, link) = world.invite("Tom Ahl", &[GROUP]);
    let pages = [job.link.clone(), link, format!("{}/docs/errors", world.url), format!("{}/nothing-here", world.url)];
    for page in &pages {
        let frame = format!("data:text/html,<iframe src='{page}' onload='window.loaded = true'></iframe>");
        browser.open(&frame);
        browser.until("window.loaded");
        assert_eq!(browser.url_in_frame(), "chrome-error://chromewebdata/", "{page} was framed");
    }
    browser.open(&job.link);
    for page in &pages {
        let headers = browser.eval(&format!(
            "fetch({}).then(({{ headers }}) => [headers.get('x-frame-options'), headers.get('content-security-policy')])",
            json!(page)
        ));
        assert_eq!(headers[0], "DENY", "{page}");
        let policy = headers[1].as_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{page}: {policy}");
    }
}

#[test]
fn attack_074_claims_are_text() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let branch = "<img src=x onerror=alert(1)>";
    let job = world.ask(|job| {
        job.with("ref", json!(branch))
            .with("user_login", json!("{{7*7}}\"><script>alert(2)</script>"))
            .with("project_path", json!("shop/api'onmouseover=alert(3)"))
            .with("job_project_path", json!("shop/\u{200f}ipa"))
    });
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    assert!(!browser.has_dialog());
    let text = browser.page_text();
    for shown in [branch, "{{7*7}}\"><script>alert(2)</script>", "shop/\\u{200f}ipa", "! invisible or right-to-left"] {
        assert!(text.contains(shown), "{shown} is not shown as it is:\n{text}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('main img, main script, [onmouseover], [onerror]').length"), 0);
    look(&browser, "approval-hostile-claims");
    browser.click("[data-act=approve]");
    browser.until_says("h1", "✓ Approved by you at");
    assert!(!browser.has_dialog());
}

#[test]
fn a_fork_is_never_shown_as_the_project_it_runs_in() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    world.load_rules(&format!("{}{}", crate::support::RULES, FORKS));
    let job = world.ask(|job| {
        job.with("project_id", json!("9002"))
            .with("project_path", json!("evil/api"))
            .with("ref_protected", json!("false"))
            .with("environment", json!("forks"))
            .with("pipeline_source", json!("merge_request_event"))
    });
    Authenticator::in_browser(&browser).add(&ada.credential);
    open_ready(&browser, &job);
    browser.until_says("main", "! Fork: the code comes from evil/api (9002), the job runs in shop/api (4711).");
    browser.until_says("main", "! Branch not protected.");
    browser.until_says("h1", "Let shop/api ");
    look(&browser, "approval-fork");
}

const FORKS: &str = r#"
[[rule]]
name     = "forks may ask"
match    = { job_project_id = "4711", environment = "forks", fork = true, pipeline_source = "merge_request_event" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"] } }
aws      = { roles = ["arn:aws:iam::111122223333:role/review"] }
"#;
