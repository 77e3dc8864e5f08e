use std::sync::Barrier;

use super::*;
use crate::upstream::test_server::{Reply, TestServer};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const DEADLINE: Duration = Duration::from_millis(1500);

/// A key document here is a JSON array of key ids.
type Kids = Vec<String>;

fn reader() -> KeyReader<Kids> {
    KeyReader {
        parse: |bytes| serde_json::from_slice(bytes).map_err(|e| e.to_string()),
        has_kid: |kids, kid| kids.iter().any(|known| known == kid),
    }
}

fn source(server: &TestServer) -> IssuerSource {
    let mut source = IssuerSource::new(IssuerName::parse("gitlab").unwrap(), &server.url());
    source.ca_file = Some(server.ca_file.clone());
    source.allow_private = true;
    source
}

fn keys_of(server: &TestServer) -> IssuerKeys<Kids> {
    IssuerKeys::with_deadline(source(server), reader(), DEADLINE).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failing_field(keys: &IssuerKeys<Kids>, now: Duration) -> &'static str {
    match keys.key_set(Some("a"), now) {
        Err(UpstreamError::Unavailable { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_fetched_when_they_are_needed_and_then_kept_for_an_hour() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    assert_eq!(server.connections(), 0, "nothing is fetched before the first token");
    for now in [0, 1, 3599] {
        assert_eq!(keys.key_set(Some("a"), secs(now)).unwrap().keys, ["a"]);
    }
    assert_eq!((server.asked(DISCOVERY), server.asked("/jwks")), (1, 1));
    keys.key_set(Some("a"), secs(3600)).unwrap();
    assert_eq!(server.asked("/jwks"), 2);
}

#[test]
fn attack_014_a_flood_of_unknown_key_ids_causes_one_fetch_a_cooldown() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    keys.key_set(Some("a"), secs(0)).unwrap();
    for at in 0..10_000 {
        let snapshot = keys.key_set(Some(&format!("random-{at}")), secs(1)).unwrap();
        assert_eq!(snapshot.keys, ["a"]);
    }
    assert_eq!(server.asked("/jwks"), 2, "the first, and one more");
    keys.key_set(Some("random"), secs(60)).unwrap();
    assert_eq!(server.asked("/jwks"), 2);
    keys.key_set(Some("random"), secs(61)).unwrap();
    assert_eq!(server.asked("/jwks"), 3);
}

#[test]
fn attack_014_calls_at_once_share_one_fetch() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    server.answer("/jwks", Reply::Gated(br#"["a"]"#.to_vec()));
    let keys = keys_of(&server);
    let start = Barrier::new(31);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..30)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    keys.key_set(Some("a"), secs(0)).unwrap().keys.clone()
                })
            })
            .collect();
        start.wait();
        while keys.lock().waiting < 29 {
            std::thread::yield_now();
        }
        server.open_gate();
        for call in calls {
            assert_eq!(call.join().unwrap(), ["a"]);
        }
    });
    assert_eq!((server.asked(DISCOVERY), server.asked("/jwks")), (1, 1));
}

#[test]
fn attack_014_a_known_key_never_waits_for_a_fetch_that_an_unknown_one_caused() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    keys.key_set(Some("a"), secs(0)).unwrap();
    server.answer("/jwks", Reply::Gated(br#"["a","b"]"#.to_vec()));
    std::thread::scope(|scope| {
        let forced = scope.spawn(|| keys.key_set(Some("b"), secs(1)).unwrap().keys.clone());
        while !keys.lock().in_flight {
            std::thread::yield_now();
        }
        assert_eq!(keys.key_set(Some("a"), secs(1)).unwrap().keys, ["a"]);
        let second = scope.spawn(|| keys.key_set(Some("b"), secs(1)).unwrap().keys.clone());
        while keys.lock().waiting == 0 {
            std::thread::yield_now();
        }
        server.open_gate();
        assert_eq!(forced.join().unwrap(), ["a", "b"]);
        assert_eq!(second.join().unwrap(), ["a", "b"], "who waits for the same key gets it, too");
    });
    assert_eq!(server.asked("/jwks"), 2);
}

#[test]
fn attack_014_more_calls_than_may_wait_are_answered_at_once() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    {
        let mut state = keys.lock();
        state.in_flight = true;
        state.waiting = MAX_WAITING;
    }
    assert!(matches!(keys.key_set(Some("a"), secs(0)), Err(UpstreamError::Unavailable { .. })));
    assert_eq!(server.connections(), 0);
}

#[test]
fn attack_016_a_new_key_works_at_once_and_a_withdrawn_one_dies_within_the_hour() {
    let server = TestServer::start();
    server.publish(r#"["one"]"#);
    let keys = keys_of(&server);
    keys.key_set(Some("one"), secs(0)).unwrap();
    server.publish(r#"["one","two"]"#);
    assert_eq!(keys.key_set(Some("two"), secs(5)).unwrap().keys, ["one", "two"]);
    assert_eq!(server.asked("/jwks"), 2, "one forced refresh");
    server.publish(r#"["two"]"#);
    server.answer("/jwks", Reply::json(r#"["two"]"#).with("Cache-Control", "public, max-age=86400"));
    assert_eq!(keys.key_set(Some("one"), secs(3604)).unwrap().keys, ["one", "two"], "still within the hour");
    assert_eq!(keys.key_set(Some("one"), secs(3605)).unwrap().keys, ["two"], "the cache limit is ours");
}

#[test]
fn attack_016_an_issuer_that_withdraws_every_key_is_believed() {
    let server = TestServer::start();
    server.publish(r#"["one"]"#);
    let keys = keys_of(&server);
    keys.key_set(Some("one"), secs(0)).unwrap();
    server.publish("[]");
    assert!(keys.key_set(Some("one"), CACHE).unwrap().keys.is_empty());
}

#[test]
fn attack_090_an_issuer_that_is_down_at_start_recovers_by_itself() {
    let server = TestServer::start();
    let keys = keys_of(&server);
    server.answer(DISCOVERY, Reply::status(503));
    assert_eq!(failing_field(&keys, secs(0)), "url");
    let status = keys.status(secs(0));
    assert!(!status.usable && status.field == Some("url") && status.issuer.as_str() == "gitlab", "{status:?}");
    assert!(status.last_error.unwrap().contains("503"));
    for now in 1..15 {
        assert_eq!(failing_field(&keys, secs(now)), "url");
    }
    assert_eq!(server.asked(DISCOVERY), 1, "a down issuer is not hammered");
    server.publish(r#"["a"]"#);
    assert_eq!(keys.key_set(Some("a"), secs(15)).unwrap().keys, ["a"]);
    let status = keys.status(secs(20));
    assert_eq!((status.usable, status.field, status.last_error, status.age), (true, None, None, Some(secs(5))));
}

#[test]
fn attack_090_known_keys_serve_while_the_issuer_fails_and_not_for_ever() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    keys.key_set(Some("a"), secs(0)).unwrap();
    server.answer("/jwks", Reply::status(500));
    assert!(keys.key_set(Some("a"), CACHE).is_ok());
    let status = keys.status(CACHE);
    assert!(status.usable && status.field == Some("jwks_uri"), "{status:?}");
    assert!(keys.key_set(Some("new"), CACHE).is_err(), "whether a new key is good cannot be told");
    assert_eq!(server.asked("/jwks"), 2);
    assert!(keys.key_set(Some("a"), secs(24 * 3600 - 1)).is_ok());
    assert_eq!(failing_field(&keys, STALE_USE), "jwks_uri");
    assert!(!keys.status(STALE_USE).usable);
    server.publish(r#"["a"]"#);
    assert!(keys.key_set(Some("a"), STALE_USE + RETRY_AFTER_FAILURE).is_ok());
}

#[test]
fn attack_015_what_is_wrong_is_named_by_its_field() {
    let server = TestServer::start();
    let other = TestServer::start();
    let document = |issuer: &str, jwks_uri: &str| {
        Reply::json(serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string())
    };
    let url = server.url();
    for (reply, field) in [
        (document(&format!("{url}/"), &format!("{url}/jwks")), "issuer"),
        (document(&url, &format!("{}/jwks", other.url())), "jwks_uri"),
        (document(&url, &format!("http://localhost:{}/jwks", server.port)), "jwks_uri"),
        (document(&url, &format!("{url}/missing")), "jwks_uri"),
        (document(&url, &format!("{url}/bad")), "keys"),
        (Reply::json("no JSON"), "document"),
        (Reply::typed("text/html", "<html>"), "url"),
    ] {
        server.answer("/bad", Reply::json("{}"));
        server.answer(DISCOVERY, reply);
        assert_eq!(failing_field(&keys_of(&server), secs(0)), field);
    }
    assert_eq!(other.connections(), 0);
    let mut strict = source(&server);
    strict.allow_private = false;
    let strict = IssuerKeys::new(strict, reader()).unwrap();
    let error = strict.key_set(None, secs(0)).unwrap_err().to_string();
    assert!(error.contains("allow_private"), "{error}");
}

#[test]
fn a_jwks_host_may_be_named_and_needs_the_same_care() {
    let server = TestServer::start();
    let mut elsewhere = source(&server);
    elsewhere.jwks_host = Some(format!("127.0.0.1:{}", server.port));
    let keys = IssuerKeys::with_deadline(elsewhere, reader(), DEADLINE).unwrap();
    let uri = format!("https://127.0.0.1:{}/jwks", server.port);
    let document = serde_json::json!({"issuer": server.url(), "jwks_uri": uri}).to_string();
    server.answer(DISCOVERY, Reply::json(document));
    server.answer("/jwks", Reply::json(r#"["a"]"#));
    assert_eq!(keys.key_set(Some("a"), secs(0)).unwrap().keys, ["a"]);
}

#[test]
fn pinned_keys_are_never_fetched() {
    let server = TestServer::start();
    let mut pinned = source(&server);
    pinned.pinned_jwks = Some(br#"["a"]"#.to_vec());
    let keys = IssuerKeys::new(pinned.clone(), reader()).unwrap();
    for kid in [Some("a"), Some("unknown"), None] {
        assert_eq!(keys.key_set(kid, secs(1_000_000)).unwrap().keys, ["a"]);
    }
    let status = keys.status(secs(1_000_000));
    assert!(status.pinned && status.usable && status.age.is_none());
    assert_eq!(server.connections(), 0);
    pinned.pinned_jwks = Some(b"broken".to_vec());
    assert!(IssuerKeys::new(pinned, reader()).is_err());
}

#[test]
fn faults_of_the_configuration_show_at_once() {
    let name = IssuerName::parse("gitlab").unwrap();
    assert!(IssuerKeys::new(IssuerSource::new(name.clone(), "http://gitlab.example.com"), reader()).is_err());
    let mut source = IssuerSource::new(name, "https://gitlab.example.com");
    source.ca_file = Some("/nonexistent".into());
    assert!(IssuerKeys::new(source, reader()).is_err());
}

#[test]
fn what_is_known_of_an_issuer_is_told_without_asking_it() {
    let server = TestServer::start();
    server.publish(r#"["a"]"#);
    let keys = keys_of(&server);
    assert!(keys.is_unasked() && keys.known().is_none());
    assert_eq!((keys.status(secs(5)).next, keys.status(secs(5)).failed), (None, None));
    let dated = Reply::json(r#"["a"]"#).with("Date", "Mon, 23 Nov 2026 10:40:00 GMT");
    server.answer("/jwks", dated);
    keys.key_set(None, secs(10)).unwrap();
    assert_eq!(keys.known().unwrap().their_time, Timestamp::parse("2026-11-23T10:40:00.000Z"));
    assert_eq!(keys.status(secs(70)).next, Some(secs(3540)));
    assert_eq!(keys.status(secs(3610)).next, None, "the next token has it asked");
    server.answer("/jwks", Reply::status(500));
    keys.key_set(None, secs(3610)).unwrap();
    let status = keys.status(secs(3613));
    assert_eq!((status.failed, status.next), (Some(secs(3)), RETRY_AFTER_FAILURE.checked_sub(secs(3))));
    assert!(status.usable && !keys.is_unasked());
    assert_eq!(server.connections(), 4, "a look at what is known asks nobody");
}
