//! The life of our own signing keys, as `/jwks`, tokens and the admin's page show it.

use std::time::Duration;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::domain::keys::{PUBLISH_BEFORE, PUBLISHED_AHEAD, RETIRED_STAYS, ROTATE_EVERY};
use countersign::domain::rules::TokenAlg;
use countersign::domain::time::Timestamp;

use crate::support::rotation::{Issued, outcomes, pass_and_turn, published, turn_at};
use crate::support::server::FOUNDED;
use crate::support::{Person, Server, Snapshot, person::page};

const MILLISECOND: Duration = Duration::from_millis(1);

fn rotate(alg: Option<TokenAlg>) -> ConsoleCommand {
    ConsoleCommand::RotateKeys { alg, emergency: false }
}

#[test]
fn a_whole_rotation_and_each_token_verifies_from_its_first_moment_to_its_last() {
    let mut server = Server::start();
    let before = Snapshot::of(&server).entries.len();
    let [first] = published(&server, "RSA").try_into().unwrap();
    let begins = Timestamp::from_seconds(FOUNDED) + ROTATE_EVERY - PUBLISH_BEFORE - PUBLISHED_AHEAD;
    assert_eq!(turn_at(&server, begins - MILLISECOND), 0);
    assert_eq!(published(&server, "RSA"), [first.as_str()]);
    assert_eq!(turn_at(&server, begins), 2, "one of each algorithm");
    let keys = published(&server, "RSA");
    let [signs, next] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!((signs, keys.len(), published(&server, "EC").len()), (&first, 2, 2), "who signs stands first");
    let signs_from = begins + PUBLISH_BEFORE;
    assert_eq!(turn_at(&server, signs_from - MILLISECOND), 0);
    let old = Issued::of(&server);
    assert_eq!(old.kid(), first);
    assert_eq!(turn_at(&server, signs_from), 2);
    let new = Issued::of(&server);
    assert_eq!(new.kid(), *next, "a token is signed with what was published for a day");
    assert_eq!(published(&server, "RSA"), [next.as_str(), first.as_str()]);
    // A lost answer is the same token, signed by the key that signed it then.
    let again = old.again(&server).expect(200).member("access_token");
    assert_eq!(again, old.token, "RS256 is deterministic");
    assert!(old.verifies(&server) && new.verifies(&server));
    server.restart();
    assert_eq!(old.again(&server).expect(200).member("access_token"), old.token);
    let gone = signs_from + RETIRED_STAYS;
    assert_eq!(turn_at(&server, gone - MILLISECOND), 0);
    assert_eq!(published(&server, "RSA").len(), 2);
    assert_eq!(turn_at(&server, gone), 2);
    assert_eq!(published(&server, "RSA"), [next.as_str()]);
    assert!(!old.verifies(&server) && new.verifies(&server));
    let (next, first) = (next.clone(), first.clone());
    let expected = [("added", &next), ("retired", &first), ("signing", &next), ("removed", &first)];
    assert_eq!(
        outcomes(&server, before, "RS256"),
        expected.map(|(outcome, kid)| (outcome.to_owned(), kid.clone())),
        "each step is an entry"
    );
    let after = Snapshot::of(&server);
    let row = after.table("signing_key").iter().find(|row| row.starts_with(&first)).unwrap().clone();
    assert!(row.contains("removed") && !row.contains("eyJ"), "no private part is kept: {row}");
}

#[test]
fn by_hand_a_key_is_published_now_and_signs_in_its_time() {
    let server = Server::start();
    let [first] = published(&server, "RSA").try_into().unwrap();
    let ConsoleAnswer::Rotated { keys, revoked } = server.console(rotate(Some(TokenAlg::Rs256))) else { panic!() };
    assert!(revoked.is_empty());
    assert_eq!(keys[0].signs.seconds(), server.now() + 86_400);
    assert_eq!(published(&server, "RSA"), [first.as_str(), keys[0].kid.as_str()]);
    assert_eq!(published(&server, "EC").len(), 1, "only the one that was named");
    // Another one would only be confused with it; nothing of the refused command remains.
    let before = Snapshot::of(&server);
    assert_eq!(server.console_refuses(rotate(None)), "already_decided");
    Snapshot::of(&server).assert_identical(&before);
    assert_eq!(pass_and_turn(&server, PUBLISH_BEFORE), 1);
    assert_eq!(Issued::of(&server).kid(), keys[0].kid.as_str());
    // From then on it goes by itself again: 30 days later the next one signs.
    pass_and_turn(&server, RETIRED_STAYS);
    assert_eq!(published(&server, "RSA").len(), 1);
    turn_at(&server, keys[0].signs + ROTATE_EVERY - PUBLISH_BEFORE);
    assert_eq!(published(&server, "RSA").len(), 2);
}

#[test]
fn a_server_that_was_off_for_long_publishes_before_it_signs() {
    let mut server = Server::start();
    let [first] = published(&server, "RSA").try_into().unwrap();
    server.hand.advance(Duration::from_hours(400 * 24));
    server.restart();
    assert_eq!(Issued::of(&server).kid(), first, "it is old, and the only one");
    assert_eq!(pass_and_turn(&server, Duration::ZERO), 2);
    let [_, next] = published(&server, "RSA").try_into().unwrap();
    assert_eq!(Issued::of(&server).kid(), first);
    // Off again after three hours, for days in which nobody could fetch the new key.
    assert_eq!(pass_and_turn(&server, Duration::from_hours(3)), 0);
    Issued::of(&server);
    let before = Snapshot::of(&server).entries.len();
    server.hand.advance(Duration::from_hours(100));
    server.restart();
    assert_eq!(outcomes(&server, before, "RS256"), [("published".to_owned(), next.clone())]);
    let signs = server.app.clock.now() + Duration::from_hours(21);
    assert_eq!(turn_at(&server, signs - MILLISECOND), 0);
    assert_eq!(Issued::of(&server).kid(), first);
    assert_eq!(turn_at(&server, signs), 2);
    assert_eq!(Issued::of(&server).kid(), next);
    // A restart takes nothing away.
    let before = Snapshot::of(&server);
    server.restart();
    Snapshot::of(&server).assert_identical(&before);
}

#[test]
fn what_comes_next_is_shown_to_admins_and_measured() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let shown = |session: &str| {
        let html = page(&server, session, "/admin/keys").expect(200).text();
        html.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let session = ada.sign_in(&server);
    assert!(shown(&session).contains("a new key is published"));
    server.console(rotate(Some(TokenAlg::Es256)));
    let [_, next] = published(&server, "EC").try_into().unwrap();
    let html = shown(&session);
    assert!(html.contains("published, signs later") && html.contains("begins to sign"), "{html}");
    assert!(html.matches(next.as_str()).count() >= 2, "{html}");
    let age = server.now() - FOUNDED;
    let metrics = server.get("/metrics").expect(200).text();
    for alg in ["RS256", "ES256"] {
        assert!(
            metrics.contains(&format!("countersign_signing_key_age_seconds{{alg=\"{alg}\"}} {age}\n")),
            "{metrics}"
        );
    }
    // A clock that stepped stops nothing but what it would falsify, and is told.
    server.hand.set(Timestamp::from_seconds(server.now() + 40 * 86_400));
    assert!(crate::support::server::block_on(server.app.turn_keys()).is_err());
    assert!(server.app.warnings().iter().any(|line| line.starts_with("keys: they are not rotated")));
}
