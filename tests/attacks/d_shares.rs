//! Strangers who would use up what others need: places that wait, and what an address may do.

use countersign::config::cidr::Cidr;
use countersign::domain::oauth::client::{Client, ClientAuth};
use countersign::http::caller::{MAX_AUTHORIZATIONS_A_MINUTE, MAX_FOREIGN_A_MINUTE};
use countersign::store::authorizations::{MAX_AUTHORIZATION_REQUESTS, MAX_AUTHORIZATION_REQUESTS_OF_NETWORK};
use countersign::store::sessions::MAX_SIGN_INS;
use serde_json::json;

use crate::support::application::{Request, code, grafana, open};
use crate::support::clients::{SECRET, basic};
use crate::support::server::Options;
use crate::support::wire::{Answer, Call};
use crate::support::{Person, Server, Snapshot};

const FORM: &str = "application/x-www-form-urlencoded";

/// A server behind a proxy that is believed, so that each call may come from another address.
fn behind_a_proxy(clients: Vec<Client>) -> Server {
    let trusted_proxies = vec!["127.0.0.0/8".parse::<Cidr>().unwrap()];
    let clients = clients.into_iter().map(std::sync::Arc::new).collect();
    Server::with(Options { clients, trusted_proxies, ..Options::default() })
}

fn bring(server: &Server, request: &Request, address: &str) -> Answer {
    server.call("GET", &request.path()).header("x-forwarded-for", address).send()
}

fn waits(server: &Server, address: &str) -> String {
    bring(server, &Request::good(), address).expect(303).header("location").unwrap().to_owned()
}

/// Fills a table behind the server's back: tens of thousands of calls would take minutes.
fn fill(server: &Server, sql: &str) {
    let connection = rusqlite::Connection::open(server.directory.join("countersign.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn attack_044_one_address_pushes_nobody_elses_sign_in_out() {
    let server = behind_a_proxy(vec![grafana()]);
    let session = Person::enrol(&server, "Ada", &[]).sign_in(&server);
    let of_ada = waits(&server, "198.51.100.7");
    let first = waits(&server, "2001:db8::1");
    server.pass(1);
    for n in 0..MAX_AUTHORIZATION_REQUESTS_OF_NETWORK {
        if n % 500 == 499 {
            server.pass(61);
        }
        // One network, whichever of its addresses calls.
        waits(&server, &format!("2001:db8::{:x}", n + 2));
    }
    let rows = Snapshot::of(&server).table("authorization_request").len();
    assert_eq!(rows, MAX_AUTHORIZATION_REQUESTS_OF_NETWORK + 1);
    open(&server, Some(&session), &first).expect(410);
    code(&open(&server, Some(&session), &of_ada));
}

#[test]
fn attack_044_a_table_that_strangers_filled_refuses_and_keeps_what_waits() {
    let secret = ClientAuth::Basic(vec![countersign::domain::ids::Digest::of(SECRET.as_bytes())]);
    let server = behind_a_proxy(vec![Client { auth: secret, ..grafana() }]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    let of_ada = waits(&server, "198.51.100.7");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <";
    fill(
        &server,
        &format!(
            "{many} {}) INSERT INTO authorization_request (id_sha256, client, request, pushed, created, ends, payer)
             SELECT CAST(printf('%032d', i) AS BLOB), 'grafana', x'7b7d', 0, i, 9000000000000,
                 '10.' || (i / 62500) || '.' || (i / 250 % 250) || '.' || (i % 250) FROM n",
            MAX_AUTHORIZATION_REQUESTS - 1
        ),
    );
    let refused = bring(&server, &Request::good(), "203.0.113.9").expect(503);
    assert!(refused.header("retry-after").is_some() && refused.text().contains("Too many"), "{}", refused.text());
    // A client that proves who it is brings its people all the same.
    let push = server.call("POST", "/par").body(FORM, Request::good().form());
    let pushed = push.header("authorization", &basic("grafana", SECRET)).send().expect(201).member("request_uri");
    let by_uri = Request::default().with("client_id", "grafana").with("request_uri", &pushed);
    let waiting = bring(&server, &by_uri, "203.0.113.9").expect(303).header("location").unwrap().to_owned();
    code(&open(&server, Some(&session), &waiting));
    code(&open(&server, Some(&session), &of_ada));

    let signed = ada.sign_in_answer(&server);
    fill(
        &server,
        &format!(
            "{many} {}) INSERT INTO sign_in_ceremony (id, challenge, started, network)
             SELECT 'n' || i, zeroblob(32), 9000000000000, '10.0.' || (i / 250) || '.' || (i % 250) FROM n",
            MAX_SIGN_INS - 1
        ),
    );
    let options = server.call("POST", "/sign-in/options").of_our_page(&json!({}));
    let refused = options.header("x-forwarded-for", "203.0.113.9").send();
    let refused = refused.expect_error(503, "temporarily_unavailable", "queue_full");
    assert!(refused.header("retry-after").is_some());
    server.post_page("/sign-in/session", &signed.body()).expect(200);
}

/// As a page of somebody else's has a browser send it, in the words of the browsers of today or of before.
fn foreign(call: Call, today: bool) -> Call {
    let call = call.header("origin", "https://evil.example");
    if today { call.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors") } else { call }
}

#[test]
fn attack_078_a_foreign_page_uses_up_nothing_of_its_visitors_address() {
    let clients = vec![std::sync::Arc::new(grafana())];
    let server = Server::with(Options { refused_a_minute: 5, clients, ..Options::default() });
    let junk =
        || server.call("POST", "/token").body(FORM, "grant_type=refresh_token&client_id=grafana&refresh_token=x");
    for _ in 0..10 {
        foreign(junk(), true).send().expect(400);
        foreign(junk(), false).send().expect(400);
        foreign(server.call("GET", "/userinfo").header("authorization", "Bearer x"), true).send().expect(401);
        foreign(server.call("POST", "/link").body(FORM, "code=x"), true).send().expect(400);
        foreign(server.call("GET", "/logout?client_id=x&client_id=y"), true).send().expect(400);
    }
    for _ in 0..5 {
        junk().send().expect(400);
    }
    junk().send().expect(429);
    // It has an end of its own.
    for _ in 50..MAX_FOREIGN_A_MINUTE {
        foreign(junk(), true).send().expect(400);
    }
    foreign(junk(), true).send().expect(429);
    // The pages of a public client call for themselves.
    server.pass(61);
    for _ in 0..5 {
        let call = junk().header("origin", "https://grafana.example.com").header("sec-fetch-site", "cross-site");
        call.send().expect(400);
    }
    junk().send().expect(429);
}

#[test]
fn attack_078_only_a_person_on_their_way_begins_a_sign_in() {
    let server = Server::for_clients(vec![grafana()]);
    let of = |site: &str, mode: &str, place: &str| {
        let call = server.call("GET", &Request::good().path());
        call.header("sec-fetch-site", site).header("sec-fetch-mode", mode).header("sec-fetch-dest", place).send()
    };
    let from = |mode: &str, place: &str| of("cross-site", mode, place);
    let before = Snapshot::of(&server);
    for _ in 0..MAX_AUTHORIZATIONS_A_MINUTE {
        let answer = from("no-cors", "image").expect(400);
        assert!(answer.text().contains("no script or picture in their place"), "{}", answer.text());
    }
    from("cors", "empty").expect(400);
    Snapshot::of(&server).assert_identical(&before);
    // Frames of foreign pages have an end of their own.
    for _ in 0..MAX_FOREIGN_A_MINUTE {
        from("navigate", "iframe").expect(303);
    }
    from("navigate", "iframe").expect(429);
    let push = || {
        let body = Request::of("grafana").form();
        server.call("POST", "/par").body(FORM, body)
    };
    foreign(push(), true).send().expect(429);
    from("navigate", "document").expect(303);
    of("same-site", "navigate", "iframe").expect(303);
    push().send().expect(201);
}
