//! `/me/applications`: where a person is signed in, what they allowed, and taking it back.

use countersign::domain::oauth::client::{Client, Consent};
use serde_json::json;

use crate::support::application::{Request, code, grafana, named, open, say};
use crate::support::person::{in_session, page};
use crate::support::{Logged, Person, Server, Snapshot, refused};

const FORGET: &str = "/me/applications/grafana/forget";

#[test]
fn what_was_allowed_can_be_taken_back() {
    let wiki = named("wiki", "Wiki");
    let server = Server::for_clients(vec![Client { consent: Consent::Once, ..grafana() }, wiki]);
    let (mut ada, mut ben) = (Person::enrol(&server, "Ada", &[]), Person::enrol(&server, "Ben", &[]));
    let (session, of_ben) = (ada.sign_in(&server), ben.sign_in(&server));
    let listed = |session: &str| page(&server, session, "/me/applications").expect(200).text();
    assert!(listed(&session).contains("You are signed in to no application."));
    for who in [&session, &of_ben] {
        let waiting = Request::good().with("scope", "openid groups offline_access").waits(&server);
        say(&server, Some(who), &waiting, "consent").expect(200);
        code(&open(&server, Some(who), &waiting));
    }
    code(&Request::of("wiki").go(&server, Some(&session)));
    let own = |session: &str| page(&server, session, "/me/passkeys").expect(200).text();
    assert!(own(&session).contains("Signed in to <bdi>Grafana</bdi>, <bdi>Wiki</bdi></p>"), "{}", own(&session));
    assert!(own(&of_ben).contains("Signed in to <bdi>Grafana</bdi></p>"), "{}", own(&of_ben));
    let text = listed(&session);
    for words in ["Grafana", "Wiki", "It has access while you are away", "Signed in in", "The groups that you are in"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let before = Snapshot::of(&server);
    in_session(&server, &session, FORGET, &json!({})).expect(200);
    let after = Snapshot::of(&server);
    let outcomes: Vec<_> = after.since(&before).iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["consent_withdrawn", "ended"]);
    assert_eq!(after.since(&before)[1]["why"], "consent_withdrawn");
    assert_eq!(after.table("consent").len(), 1, "Ben's stays");
    let text = listed(&session);
    assert!(!text.contains("Grafana") && text.contains("Wiki"), "{text}");
    assert!(listed(&of_ben).contains("Grafana"));
    // It asks again.
    assert!(Request::good().go(&server, Some(&session)).expect(200).text().contains("What it gets"));
    // What was forgotten, or is nobody's, is not there.
    for path in [FORGET, "/me/applications/nobody/forget", "/me/applications/%00/forget"] {
        let before = Snapshot::of(&server);
        let answer = in_session(&server, &session, path, &json!({}));
        answer.clone().expect_error(404, "invalid_request", "not_found");
        refused(&server, &before, &answer, Logged::No);
    }
    // A sign-in that asked nobody ends as well.
    in_session(&server, &session, "/me/applications/wiki/forget", &json!({})).expect(200);
    assert!(listed(&session).contains("You are signed in to no application."));
}

#[test]
fn what_hangs_on_a_session_is_gone_with_it() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let (first, second) = (ada.sign_in(&server), ada.sign_in(&server));
    code(&Request::good().go(&server, Some(&first)));
    let listed = || page(&server, &second, "/me/applications").expect(200).text();
    assert!(listed().contains("Grafana"));
    in_session(&server, &first, "/sign-out", &json!({})).expect(200);
    assert!(!listed().contains("Grafana"), "{}", listed());
}
