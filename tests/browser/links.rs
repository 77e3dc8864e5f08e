//! "Which GitLab user are you?", as people see and use it; and an enrolment link where somebody else is signed in.
//! In: people with passkeys, pipelines that bring a code. Out: every state of these pages, reached and pictured.
//! Implements DESIGN §11 (proof by pipeline), ATTACKS 52.
//! Never takes a code from anywhere but the page that shows it.

use countersign::app::propose_change::Wish;
use countersign::domain::change::LinkKind;
use countersign::domain::ids::IssuerName;
use countersign::domain::people::Role;
use serde_json::json;

use crate::approval::world_with_ada;
use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::pictures::look;
use crate::sessions::sign_in;
use crate::support::GROUP;

/// The code on the page.
fn code(browser: &Browser) -> String {
    let job = browser.text("[data-job]");
    job.split("code=").nth(1).expect("a code").split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_person_proves_which_gitlab_user_is_theirs() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/links", &key, &ada);
    browser.until_says("h1", "Which GitLab user are you?");
    browser.until_says("main", "No GitLab user is tied to you yet.");
    look(&browser, "links-none");

    browser.until("!document.querySelector('[data-act=code]').disabled");
    browser.click("[data-act=code]");
    browser.until_says("[data-step=code] h1", "Run this as yourself.");
    for words in ["aud: http://localhost:", "/link", "code=", "token@-"] {
        assert!(browser.text("[data-job]").contains(words), "{words}");
    }
    look(&browser, "links-code");
    // Another user ran it: the page says who, and nothing is signed.
    world.bring(&code(&browser), |job| job.with("user_id", json!("77")).with("user_login", json!("mal\u{200b}lory")));
    browser.until_says("h2", "GitLab says: user 77");
    assert!(browser.text("main").contains("mal\\u{200b}lory"), "{}", browser.text("main"));
    browser.until("!document.querySelector('[data-act=sign]').disabled");
    look(&browser, "links-strange");
    browser.click("[data-act=forget]");
    browser.until("document.querySelector('[data-proof]') === null && document.readyState === 'complete'");

    browser.until("!document.querySelector('[data-act=code]').disabled");
    browser.click("[data-act=code]");
    browser.until_says("[data-step=code] h1", "Run this as yourself.");
    world.bring(&code(&browser), |job| job);
    browser.until_says("h2", "GitLab says: user 88 (@mara) ran your pipeline.");
    for words in ["shop/api", "is Ada Lind", "Everything you will sign"] {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    browser.until("!document.querySelector('[data-act=sign]').disabled");
    look(&browser, "links-brought");
    browser.click("summary");
    look(&browser, "links-statement");
    // A touch that is broken off leaves it as it was.
    key.set_touched(false);
    browser.click("[data-act=sign]");
    browser.until_says("[data-step=signing] h1", "Touch your key");
    look(&browser, "links-signing");
    browser.click("[data-act=cancel]");
    browser.until_says("[data-note]:not([hidden])", "Nothing was signed.");
    look(&browser, "links-broken-off");
    key.set_touched(true);
    browser.until("!document.querySelector('[data-act=sign]').disabled");
    browser.click("[data-act=sign]");
    browser.until_says("[data-step=done] h1", "✓ Signed by you.");
    browser.until_says("[data-step=done]", "countersign people link PERSON --issuer gitlab --user-id 88");
    look(&browser, "links-done");
    browser.click("[data-act=done]");
    browser.until_says(".item", "You proved that it is yours.");
    look(&browser, "links-proved");
    let proved = world.app.store.read(|reader| reader.proved_by(&ada.id)).unwrap();
    assert_eq!(proved.len(), 1);
}

#[test]
fn what_others_say_of_users_stands_beside_what_was_proved() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let mara = world.person("Mara Voss", &[GROUP]);
    world.link_starter(&mara.id);
    let bot = |user_id: &str, owner| Wish::Link {
        person: ada.id.to_string(),
        issuer: IssuerName::parse("gitlab").unwrap(),
        user_id: user_id.to_owned(),
        owner,
    };
    world.act(bot("4242", LinkKind::Bot));
    world.act(bot("91", LinkKind::Person));
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "?next=/me/links", &key, &ada);
    browser.until_says("main", "A bot for which you answer.");
    browser.until_says("main", "An admin says that it is yours.");
    browser.until("!document.querySelector('[data-act=code]').disabled");
    browser.click("[data-act=code]");
    browser.until_says("[data-step=code] h1", "Run this as yourself.");
    world.bring(&code(&browser), |job| job);
    browser.until_says(".band", "Somebody else is tied to this user, too.");
    assert!(!browser.page_text().contains("Mara Voss"), "who that is does not show");
    browser.until("!document.querySelector('[data-act=sign]').disabled");
    look(&browser, "links-somebody-elses");
    world.act(Wish::Role { person: ada.id.to_string(), role: Role::Auditor });
    browser.open(&format!("{}/me/links", world.url));
    browser.until_says("main", "Auditors sign nothing");
    assert_eq!(browser.eval("document.querySelector('[data-proof], [data-act=sign], [data-act=code]')"), json!(null));
    look(&browser, "links-auditor");
}

#[test]
fn an_enrolment_link_does_not_open_where_somebody_else_is_signed_in() {
    let browser = browser!();
    let (world, ada) = world_with_ada();
    let (_, link) = world.invite("Tom Ahl", &[GROUP]);
    let key = Authenticator::in_browser(&browser);
    sign_in(&browser, &world, "", &key, &ada);
    key.clear();
    browser.open(&link);
    browser.until_says("h1", "You are signed in as Ada Lind.");
    assert!(!browser.page_text().contains("Tom"), "whose link it is shows later");
    look(&browser, "enrolment-occupied");
    browser.click("[data-act=sign-out]");
    browser.until_says("h1", "Welcome, Tom Ahl.");
}
