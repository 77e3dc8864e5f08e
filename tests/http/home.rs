//! `/`, `/waiting`, `/me/signed`: what a person sees of requests and of their own decisions.

use countersign::app::show_signed::MAX_SIGNED_SHOWN;
use countersign::app::show_waiting::MAX_WAITING_LOOKED_AT;
use countersign::http::home::endpoints::LAST_DECISIONS;
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
    assert!(waiting(&server, &of_mara).is_empty(), "what a changed rule ended stays over");
    let again = server.ask(&server.job().with("job_id", "5").environment("careful").sign(), &collector());
    assert_eq!(waiting(&server, &of_mara), [again.as_str()]);
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

#[test]
fn home_looks_at_so_many_requests_and_leaves_out_those_that_end_last() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let first = server.ask(&server.job().sign(), &collector());
    for _ in 1..MAX_WAITING_LOOKED_AT {
        server.ask(&server.job().sign(), &collector());
    }
    server.pass(1);
    let last = server.ask(&server.job().sign(), &collector());
    let seen = waiting(&server, &session);
    assert_eq!(seen.len(), MAX_WAITING_LOOKED_AT);
    assert!(seen.contains(&first) && !seen.contains(&last));
    // It is left out of a list, not of what may be signed; and what is decided makes room.
    mara.deny(&server, &first);
    let seen = waiting(&server, &session);
    assert!(seen.len() == MAX_WAITING_LOOKED_AT && seen.contains(&last));
    mara.approve(&server, &last);
}

#[test]
fn home_and_what_was_signed_show_so_many_decisions_and_the_way_to_the_older_ones() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let session = mara.sign_in(&server);
    let decided: Vec<_> = (0..=MAX_SIGNED_SHOWN)
        .map(|_| {
            let request = server.ask(&server.job().sign(), &collector());
            mara.deny(&server, &request);
            request
        })
        .collect();
    let shown = |path: &str| {
        let html = page(&server, &session, path).expect(200).text();
        let seen: Vec<_> =
            decided.iter().filter(|request| html.contains(&format!("/a/{request}\""))).cloned().collect();
        (seen, html)
    };
    let (seen, _) = shown("/");
    assert_eq!(seen, decided[decided.len() - LAST_DECISIONS..], "the newest");
    let (seen, html) = shown("/me/signed");
    assert_eq!(seen, decided[1..]);
    let older = html.split("href=\"/me/signed?before=").nth(1).expect("a way on").split('"').next().unwrap().to_owned();
    let (seen, html) = shown(&format!("/me/signed?before={older}"));
    assert_eq!(seen, decided[..1]);
    assert!(!html.contains("/me/signed?before="), "there is nothing older");
}
