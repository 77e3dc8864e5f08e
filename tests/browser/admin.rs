//! The admin's pages, as admins see them.
//! In: a new server, and one that is busy. Out: every page and state, reached and pictured.
//! Implements SCREENS' Admin.
//! Never sets a cookie: the admin signs in by the page.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::domain::ids::{Audience, ClientId, Digest, GroupName};
use countersign::domain::oauth::client::{Client, ClientAuth, GrantType};
use countersign::domain::oauth::scope::Scopes;
use countersign::domain::rules::TokenAlg;
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::maker::Maker;
use crate::pictures::look;
use crate::sessions::sign_in;
use crate::support::{GROUP, MODEL, World};

/// Opens a page of the admin's.
fn open(browser: &Browser, world: &World, path: &str, heading: &str) {
    browser.open(&format!("{}{path}", world.url));
    browser.until_says("h1", heading);
    browser.until("document.readyState === 'complete'");
}

fn says(browser: &Browser, words: &[&str]) {
    let text = browser.page_text();
    for words in words {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
}

#[test]
fn a_new_server_says_what_is_to_be_done_next() {
    let browser = browser!();
    let world = World::start();
    world.load_rules("");
    let ada = world.admin("Ada Lind");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin", &key, &ada);
    browser.until_says("h1", "Health");
    says(
        &browser,
        &[
            "First run",
            "✓ Server",
            "✓ GitLab answers",
            "○ First rule",
            "○ Second admin",
            "○ First token",
            "○ Cloud trust",
            "countersign people invite NAME --admin",
            "there is only one admin",
        ],
    );
    assert_eq!(browser.eval("document.querySelector('.nav [aria-current=page]').textContent"), "Health");
    look(&browser, "admin-health-new");
    open(&browser, &world, "/admin/rules", "Rules");
    says(&browser, &["There are no rules, so nothing is issued.", "Refused tokens", "None."]);
    look(&browser, "admin-rules-none");
    open(&browser, &world, "/admin/requests", "Requests");
    says(&browser, &["Nothing waits."]);
    look(&browser, "admin-requests-none");
}

#[test]
fn a_busy_server_shows_its_rules_refusals_issuers_keys_and_what_waits() {
    let browser = browser!();
    let world = World::start();
    let (ada, _bea) = (world.admin("Ada Lind"), world.admin("Bea Holm"));
    let (starter, _) = world.invite("Mara Voss", &[GROUP]);
    world.link_starter(&starter);
    let mut tom = world.person("Tom Ahl", &[GROUP]);
    let first = world.ask(|job| job);
    world.approve(&first, &mut tom);
    assert_eq!(world.collect(&first).status, 200);
    let refused = world.refuse(|job| job.with("environment", json!("nowhere")));
    world.refuse(|job| job.with("job_project_path", json!("shop/\u{200b}ipa")).with("job_project_id", json!("4712")));
    world.hand.advance(Duration::from_mins(1));
    world.ask(|job| job);
    let payments = world.ask(|job| job.with("environment", json!("payments")));
    world.approve(&payments, &mut tom);
    let contested = world.ask(|job| job);
    world.collect_as(&contested, "another-collector-of-enough-characters");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin", &key, &ada);
    browser.until_says("h1", "Health");
    says(&browser, &["✓ First rule", "✓ Second admin", "✓ First token", "○ Cloud trust", "✕ Fault", "✓ Good"]);
    look(&browser, "admin-health");
    browser.click("summary");
    browser.until_says("pre", "/log");
    look(&browser, "admin-health-checkpoint");

    open(&browser, &world, "/admin/rules", "Rules");
    says(&browser, &["1 · production deploy", "✕ Too few", "Refused tokens", "no_rule_matches", "! invisible or"]);
    look(&browser, "admin-rules");
    browser.eval("document.querySelector('#refused').scrollIntoView(), 0");
    look(&browser, "admin-refusals");
    open(&browser, &world, &format!("/admin/refusals/{refused}"), "was refused");
    says(&browser, &["no_rule_matches", "✕ \"production deploy\"", "there is \"nowhere\"", "→ refuse:", "cure:"]);
    look(&browser, "admin-refusal");
    browser.click("summary");
    browser.until_says("details", "pipeline_source");
    look(&browser, "admin-refusal-claims");

    open(&browser, &world, "/admin/issuers", "Issuers");
    says(&browser, &["gitlab ✓ answers", "Known since", "every project that a rule names"]);
    look(&browser, "admin-issuers");

    open(&browser, &world, "/admin/keys", "Keys");
    says(&browser, &["✓ signs, published", "Copy the line", "the file master-key"]);
    let line = browser.text("#log-key");
    assert_eq!(line, world.app.log_vkey);
    // What would be copied is the line and nothing else.
    browser.eval("navigator.clipboard.writeText = async (text) => { window.copied = text; }, 0");
    browser.click("[data-copy]");
    assert_eq!(browser.until("window.copied"), line.as_str());
    browser.until_says("[data-copy]", "Copied");
    look(&browser, "admin-keys");
    world.rotate_keys(TokenAlg::Rs256, true);
    world.rotate_keys(TokenAlg::Rs256, false);
    open(&browser, &world, "/admin/keys", "Keys");
    says(&browser, &["published, signs later", "✕ revoked", "begins to sign", "a new key is published"]);
    look(&browser, "admin-keys-changing");

    open(&browser, &world, "/admin/requests", "Requests");
    says(
        &browser,
        &[
            "3 requests wait.",
            "payments deploy 1",
            "production deploy 2",
            "1 of 2 signed",
            "! contested",
            " left, until ",
        ],
    );
    // The time left runs by itself.
    let first = "document.querySelector('[data-until]').textContent";
    let before = browser.eval(first);
    browser.until(&format!("{first} !== '{}'", before.as_str().unwrap()));
    assert!(!browser.page_text().contains(&contested.code) && !browser.page_text().contains("Tom"));
    look(&browser, "admin-requests");
    browser.click(&format!("a[href=\"/a/{}\"]", payments.id));
    browser.until_says("h1", "shop/api");
}

fn grafana() -> Client {
    Client {
        auth: ClientAuth::Basic(vec![Digest::of(b"new"), Digest::of(b"old")]),
        redirect_uris: vec!["https://grafana.example.com/login/generic_oauth".to_owned()],
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile email groups offline_access").unwrap(),
        groups: Some(BTreeSet::from([GroupName::parse(GROUP).unwrap()])),
        ..Client::plain(ClientId::parse("grafana").unwrap(), "Grafana".to_owned())
    }
}

#[test]
fn clients_are_shown_with_what_they_may() {
    let browser = browser!();
    let robot = Client {
        id: ClientId::parse("inventory-robot").unwrap(),
        name: "Inventory\u{202e} robot".to_owned(),
        auth: ClientAuth::PrivateKeyJwt(Vec::new()),
        redirect_uris: Vec::new(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scopes::parse("inventory:read inventory:write").unwrap(),
        resources: vec![Audience::parse("https://inventory.shop.example/v2/warehouses").unwrap()],
        serves: vec![Audience::parse("https://inventory.shop.example/robot").unwrap()],
        groups: None,
        dpop: true,
        ..grafana()
    };
    let world = World::for_clients(vec![grafana(), robot], &Maker::of(MODEL));
    let ada = world.admin("Ada Lind");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin/clients", &key, &ada);
    browser.until_says("h1", "Clients");
    says(
        &browser,
        &[
            "Grafana grafana",
            "none yet",
            "members of release-managers",
            "! Two secrets count",
            "nobody: it has tokens of its own alone",
            "proves a key for each token",
            "! invisible or",
        ],
    );
    look(&browser, "admin-clients");
}

#[test]
fn without_clients_the_page_says_how_to_make_one() {
    let browser = browser!();
    let world = World::start();
    let ada = world.admin("Ada Lind");
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/admin/clients", &key, &ada);
    browser.until_says("h1", "Clients");
    says(&browser, &["There are none."]);
    look(&browser, "admin-clients-none");
}
