//! `/`, `/waiting`, `/me/signed`: what a person sees of requests and of their own decisions.

use serde_json::json;

use crate::support::person::page;
use crate::support::rules::RULES;
use crate::support::{Person, Server, Snapshot, collector};

/// The requests on Home, in their order.
fn waiting(server: &Server, session: &str) -> Vec<String> {
    let told = page(server, session, "/waiting").expect(200).json();
    let html = told["html"].as_str().unwrap().to_owned();
    let links: Vec<String> =
        html.split("href=\"/a/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert_eq!(told["count"], links.len());
    let whole = page(server, session, "/").expect(200).text();
    assert!(links.iter().all(|id| whole.contains(id)));
    links
}

#[test]
fn home_lists_what_this_person_may_sign_and_nothing_else() {
    let mut server = Server::start();
    let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let mut eve = Person::enrol(&server, "Eve", &["others"]);
    server.link_starter(&ben.id);
    let (of_mara, of_ben, of_eve) = (mara.sign_in(&server), ben.sign_in(&server), eve.sign_in(&server));
    assert!(waiting(&server, &of_mara).is_empty());
    let late = server.ask(&server.job().with("job_id", "2").sign(), &collector());
    server.pass(60);
    let careful = server.ask(&server.job().with("job_id", "3").environment("careful").sign(), &collector());
    let finance = server.ask(&server.job().with("job_id", "4").environment("finance").sign(), &collector());
    // Soonest deadline first; whoever started the job does not see what they may not sign.
    let seen = waiting(&server, &of_mara);
    assert_eq!((seen.len(), &seen[0]), (3, &late));
    let seen = waiting(&server, &of_ben);
    assert!(seen.contains(&late) && seen.contains(&finance) && !seen.contains(&careful), "{seen:?}");
    assert!(waiting(&server, &of_eve).is_empty(), "no group of hers is asked");
    // Signed once, it waits for the others alone; approved or denied, for nobody.
    mara.approve(&server, &finance);
    assert!(!waiting(&server, &of_mara).contains(&finance) && waiting(&server, &of_ben).contains(&finance));
    ben.deny(&server, &late);
    assert_eq!(waiting(&server, &of_mara), [careful.as_str()]);
    // Another rule voids it; time ends it.
    server.load_rules(&RULES.replacen("not = [\"starter\"]", "not = [\"starter\"], count = 2", 1));
    assert!(waiting(&server, &of_mara).is_empty());
    server.load_rules(RULES);
    assert_eq!(waiting(&server, &of_mara), [careful.as_str()]);
    server.pass(15 * 60 + 1);
    assert!(waiting(&server, &of_mara).is_empty());
}

#[test]
fn looking_changes_nothing_but_when_the_session_was_used() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let request = server.ask(&server.job().sign(), &collector());
    mara.deny(&server, &request);
    let before = Snapshot::of(&server);
    for path in ["/", "/waiting", "/me/passkeys", "/me/signed"] {
        page(&server, &session, path).expect(200);
        Snapshot::of(&server).assert_identical(&before);
    }
    server.pass(60);
    page(&server, &session, "/waiting").expect(200);
    Snapshot::of(&server).assert_identical(&before);
    page(&server, &session, "/").expect(200);
    let after = Snapshot::of(&server);
    assert!(after.since(&before).is_empty());
    assert_ne!(after.table("session"), before.table("session"));
}

#[test]
fn old_decisions_are_a_link_away() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    for at in 0..52 {
        let request = server.ask(&server.job().with("job_id", format!("9{at}")).sign(), &collector());
        mara.deny(&server, &request);
    }
    let count = |html: &str| html.matches("data-entry=").count();
    let html = page(&server, &session, "/me/signed").expect(200).text();
    assert_eq!(count(&html), 50);
    let link = html.split("/me/signed?before=").nth(1).unwrap().split('"').next().unwrap();
    let older = page(&server, &session, &format!("/me/signed?before={link}")).expect(200).text();
    assert_eq!(count(&older), 2);
    assert!(!older.contains("before="));
    assert_eq!(count(&page(&server, &session, "/me/signed?before=x").expect(200).text()), 50);
    let home = page(&server, &session, "/").expect(200).text();
    assert_eq!(home.matches("✕ Denied").count(), 5);
    let told = page(&server, &session, "/waiting").expect(200).json();
    assert_eq!(told["count"], json!(0));
}
