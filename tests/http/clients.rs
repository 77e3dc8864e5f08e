//! `/admin/clients/…`: one client, who has given it something, and the end of that.

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::end_client_grants::ENDED_AT_ONCE;
use countersign::app::look::{Look, Sight};
use countersign::app::propose_change::Wish;
use countersign::app::show_client::{ClientSeen, MAX_CLIENT_GRANTS_SHOWN};
use countersign::domain::ids::Audience;
use countersign::domain::oauth::client::Client;
use countersign::domain::oauth::scope::Scopes;
use countersign::domain::people::Role;
use serde_json::json;

use crate::support::clients::{client, code, redeem, refresh, server_with, userinfo};
use crate::support::devices::{allowed, poll, tv};
use crate::support::person::{in_session, page};
use crate::support::rules::AWS;
use crate::support::{Logged, Person, Server, Snapshot, refused};

const END: &str = "/admin/clients/grafana/end";

fn seen(server: &Server, id: &str) -> ClientSeen {
    match server.console(ConsoleCommand::Look { at: Look::Client { id: id.to_owned() } }) {
        ConsoleAnswer::Seen { sight: Sight::Client(seen) } => *seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_admin_sees_who_gave_a_client_something_and_ends_it() {
    let after = vec!["https://grafana.example/bye".to_owned()];
    let server =
        server_with(vec![Client { post_logout_redirect_uris: after, ..client("grafana") }, client("argo"), tv("tv")]);
    let mut ada = Person::admin(&server, "Ada");
    let (mut mara, mut tom) = (Person::manager(&server, "Mara"), Person::manager(&server, "Tom"));
    let (of_mara, of_tom) = (mara.sign_in(&server), tom.sign_in(&server));
    let session = ada.sign_in(&server);
    let place = "/admin/clients/grafana";
    assert!(page(&server, &session, place).expect(200).text().contains("Nobody is signed in to it."));
    let mine = redeem(&server, "grafana", &code(&server, &of_mara, "grafana", "openid offline_access")).expect(200);
    // A code that was never redeemed has no refresh token.
    code(&server, &of_tom, "grafana", "openid");
    let other = redeem(&server, "argo", &code(&server, &of_mara, "argo", "openid")).expect(200);
    let codes = allowed(&server, &of_mara, &mut mara, "openid");
    poll(&server, "tv", &codes.device).expect(200);

    let text = page(&server, &session, place).expect(200).text();
    for words in [
        "2 sign-ins count; 1 has a refresh token.",
        "Mara",
        "Tom",
        "while they are away, too",
        "access token 10 min, refresh token 12 h at rest, with offline_access 30 days",
        "https://grafana.example/bye",
        "End all of it",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(page(&server, &session, "/admin/clients").expect(200).text().contains("href=\"/admin/clients/grafana\""));
    assert!(page(&server, &session, "/admin/clients/tv").expect(200).text().contains("On a device"));
    let console = seen(&server, "grafana");
    assert_eq!((console.total, console.families, console.grants.len()), (2, 1, 2));
    assert_eq!((console.grants[0].name.as_str(), console.grants[1].offline), ("Tom", true));

    // On a sign-in that is not fresh nothing ends.
    server.pass(301);
    let before = Snapshot::of(&server);
    let stale = in_session(&server, &session, END, &json!({}));
    refused(&server, &before, &stale.expect_error(403, "access_denied", "sign_in_stale"), Logged::No);
    let session = ada.sign_in(&server);
    let before = Snapshot::of(&server);
    let answer = in_session(&server, &session, END, &json!({})).expect(200);
    assert_eq!(answer.json(), json!({ "ended": 2 }));
    let after = Snapshot::of(&server);
    let entries = after.since(&before);
    let outcomes: Vec<_> = entries.iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["all_ended", "ended", "ended"]);
    assert_eq!((&entries[0]["person"], &entries[0]["client"]), (&json!(ada.id), &json!("grafana")));
    assert!(entries.iter().all(|entry| entry["why"] == "by_admin"), "{entries:?}");
    userinfo(&server, &mine.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
    refresh(&server, "grafana", &mine.member("refresh_token")).expect_error(400, "invalid_grant", "grant_over");
    refresh(&server, "argo", &other.member("refresh_token")).expect(200);
    // With nothing left nothing is written.
    let before = Snapshot::of(&server);
    assert_eq!(in_session(&server, &session, END, &json!({})).expect(200).json(), json!({ "ended": 0 }));
    assert!(Snapshot::of(&server).since(&before).is_empty());
    // Whoever was sent away signs in again.
    redeem(&server, "grafana", &code(&server, &of_mara, "grafana", "openid")).expect(200);
}

#[test]
fn nobody_but_an_admin_ends_anything() {
    let server = server_with(vec![client("grafana")]);
    let (mut mara, mut uma) = (Person::manager(&server, "Mara"), Person::enrol(&server, "Uma", &[]));
    let wish = Wish::Role { person: uma.id.clone(), role: Role::Auditor };
    server.console(ConsoleCommand::Change { wish, propose: false });
    let (of_mara, of_uma) = (mara.sign_in(&server), uma.sign_in(&server));
    let tokens = redeem(&server, "grafana", &code(&server, &of_mara, "grafana", "openid")).expect(200);
    page(&server, &of_mara, "/admin/clients/grafana").expect(404);
    let text = page(&server, &of_uma, "/admin/clients/grafana").expect(200).text();
    assert!(text.contains("Mara") && !text.contains("End all of it"), "{text}");
    page(&server, &of_uma, "/admin/clients/nobody").expect(404);
    page(&server, &of_uma, "/admin/clients/%00").expect(404);
    for (session, status, code) in [(&of_mara, 404, "not_found"), (&of_uma, 403, "not_an_admin")] {
        let before = Snapshot::of(&server);
        let answer = in_session(&server, session, END, &json!({}));
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        refused(&server, &before, &answer, Logged::No);
    }
    refresh(&server, "grafana", &tokens.member("refresh_token")).expect(200);
    let unknown = ConsoleCommand::EndClientGrants { client: "nobody".to_owned() };
    assert_eq!(server.console_refuses(unknown), "not_found");
}

#[test]
fn however_many_gave_it_something_all_of_it_ends() {
    let server = server_with(vec![client("grafana")]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    let many = ENDED_AT_ONCE + 5;
    for _ in 0..many {
        code(&server, &session, "grafana", "openid");
    }
    let before = seen(&server, "grafana");
    assert_eq!((before.total, before.grants.len()), (many as u64, MAX_CLIENT_GRANTS_SHOWN));
    let ended = server.console(ConsoleCommand::EndClientGrants { client: "grafana".to_owned() });
    assert_eq!(ended, ConsoleAnswer::GrantsEnded { ended: many as u64 });
    assert_eq!(seen(&server, "grafana").total, 0);
    let snapshot = Snapshot::of(&server);
    let all: Vec<_> = snapshot.of_kind("grant").filter(|entry| entry["outcome"] == "all_ended").collect();
    assert!(all.len() == 1 && all[0].get("person").is_none(), "{all:?}");
}

#[test]
fn what_a_client_may_is_what_it_may_now() {
    let server = server_with(vec![client("grafana")]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    let tokens = redeem(&server, "grafana", &code(&server, &session, "grafana", "openid profile")).expect(200);
    let waiting = code(&server, &session, "grafana", "openid profile");
    let load = |clients: Vec<Client>| server.app.load_clients(clients.into_iter().map(std::sync::Arc::new).collect());
    // A client must not be what a rule issues for; then nothing of it is loaded.
    let aws = Client { resources: vec![Audience::parse(AWS).unwrap()], ..client("grafana") };
    assert!(load(vec![aws, tv("tv")]).unwrap_err().to_string().contains(AWS));
    let spelled = Audience::parse(&format!("https://{AWS}/")).unwrap();
    let spelled = Client { resources: vec![spelled], ..client("grafana") };
    assert!(load(vec![spelled, tv("tv")]).unwrap_err().to_string().contains(AWS), "nor in another spelling");
    let metadata = || server.get("/.well-known/openid-configuration").expect(200).json();
    assert!(metadata().get("device_authorization_endpoint").is_none());
    userinfo(&server, &tokens.member("access_token")).expect(200);
    // Less than was given: none of that counts any more, and a code gives nothing.
    let narrow = Client { scopes: Scopes::openid(), ..client("grafana") };
    assert_eq!(load(vec![narrow, tv("tv")]).unwrap(), ["grafana has other scopes", "tv is new"]);
    userinfo(&server, &tokens.member("access_token")).expect_error(401, "invalid_token", "access_token_invalid");
    refresh(&server, "grafana", &tokens.member("refresh_token")).expect_error(400, "invalid_grant", "grant_over");
    redeem(&server, "grafana", &waiting).expect_error(400, "invalid_grant", "grant_over");
    redeem(&server, "grafana", &code(&server, &session, "grafana", "openid")).expect(200);
    assert!(metadata().get("device_authorization_endpoint").is_some());
    assert_eq!(load(Vec::new()).unwrap(), ["grafana is gone", "tv is gone"]);
    refresh(&server, "grafana", &tokens.member("refresh_token")).expect_error(401, "invalid_client", "client_unknown");
    // As it was: what was not ended meanwhile goes on.
    load(vec![client("grafana")]).unwrap();
    let last = refresh(&server, "grafana", &tokens.member("refresh_token")).expect(200).member("refresh_token");
    // Also of one that is gone an admin can end it, so that it does not come back.
    load(Vec::new()).unwrap();
    let ended = server.console(ConsoleCommand::EndClientGrants { client: "grafana".to_owned() });
    assert!(matches!(ended, ConsoleAnswer::GrantsEnded { ended } if ended > 0), "{ended:?}");
    load(vec![client("grafana")]).unwrap();
    refresh(&server, "grafana", &last).expect_error(400, "invalid_grant", "grant_over");
}
