//! How much of what strangers and sign-outs leave behind is kept.

use super::*;
use crate::domain::ids::{ClientId, SessionId};
use crate::domain::network::Network;
use crate::domain::oauth::device::DeviceRequest;
use crate::domain::oauth::logout::LogoutNotice;
use crate::domain::oauth::scope::Scopes;
use crate::domain::time::DEVICE_AUTHORIZATION;
use crate::store::authorizations::{
    AuthorizationRow, MAX_AUTHORIZATION_REQUESTS, MAX_AUTHORIZATION_REQUESTS_OF_NETWORK, MAX_PROVEN_REQUESTS_OF_CLIENT,
};
use crate::store::devices::{MAX_DEVICES, MAX_PROVEN_DEVICES_OF_CLIENT};
use crate::store::grants::PRUNED_AT_ONCE;
use crate::store::logouts::MAX_LOGOUT_NOTICES;
use crate::store::sessions::{MAX_SIGN_INS, MAX_SIGN_INS_OF_NETWORK, NewSignIn};
use crate::store::shares::Payer;

const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <";

/// Runs SQL of our own: thousands of rows that a use case would make one by one.
fn fill(store: &Store, sql: String) {
    store.write_blocking(move |unit| -> Result<()> { Ok(unit.conn().execute_batch(&sql)?) }).unwrap();
}

fn count(store: &Store, table: &'static str) -> usize {
    let sql = format!("SELECT count(*) FROM {table}");
    let rows: i64 = read(store, |reader| Ok(reader.conn().query_row(&sql, [], |row| row.get(0))?));
    usize::try_from(rows).unwrap()
}

fn network(text: &str) -> Network {
    Network::of(text.parse().unwrap())
}

/// Brings one more authorization request of this payer.
fn ask(store: &Store, name: &str, payer: Payer) -> Result<Digest> {
    let id_sha256 = Digest::of(name.as_bytes());
    store.write_blocking(move |unit| {
        let created = unit.now();
        let ends = created + std::time::Duration::from_mins(1);
        let client = ClientId::parse("grafana").unwrap();
        let (pushed, proven) = (payer == Payer::Client, payer == Payer::Client);
        let row =
            AuthorizationRow { id_sha256, client, request: b"{}".to_vec(), pushed, proven, created, ends, taken: None };
        unit.insert_authorization_request(&row, payer)
    })?;
    Ok(id_sha256)
}

/// Rows of a pool: `rows` of each payer, `payers` being SQL over `n`.
fn fill_requests(store: &Store, rows: usize, pool: &str, payers: &str) {
    fill(
        store,
        format!(
            "{MANY} {rows}) INSERT INTO authorization_request
             (id_sha256, client, request, pushed, created, ends, pool, payer)
             SELECT CAST(printf('%s%031d', substr('{pool}', 1, 1), i) AS BLOB), 'grafana', x'7b7d', 0, i, 9000000000000,
                 '{pool}', {payers} FROM n"
        ),
    );
}

fn waits(store: &Store, id: &Digest) -> bool {
    read(store, |reader| Ok(reader.authorization_request(id)?.is_some()))
}

#[test]
fn attack_044_one_network_ends_only_its_own_waiting_requests() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (loud, quiet) = (network("192.0.2.1"), network("2001:db8::1"));
    let of_quiet = ask(&store, "of the quiet one", Payer::Network(quiet)).unwrap();
    let first = ask(&store, "first", Payer::Network(loud)).unwrap();
    fill_requests(&store, MAX_AUTHORIZATION_REQUESTS_OF_NETWORK - 1, "strangers", "'192.0.2.1'");
    let oldest = Digest::from_bytes(*b"s0000000000000000000000000000001");
    assert_eq!(count(&store, "authorization_request"), MAX_AUTHORIZATION_REQUESTS_OF_NETWORK + 1);
    let newest = ask(&store, "newest", Payer::Network(loud)).unwrap();
    assert_eq!(count(&store, "authorization_request"), MAX_AUTHORIZATION_REQUESTS_OF_NETWORK + 1);
    assert!(!waits(&store, &oldest) && waits(&store, &first) && waits(&store, &newest) && waits(&store, &of_quiet));
}

#[test]
fn attack_044_a_full_table_makes_room_at_the_cost_of_whoever_has_most() {
    let scratch = Scratch::new();
    let store = scratch.create();
    // Half of it is taken, and some more: whoever has many ends their own, before others are kept out.
    let half = MAX_AUTHORIZATION_REQUESTS / 2 + 1;
    fill_requests(&store, half, "strangers", "'10.0.' || (i / 50 / 250) || '.' || (i / 50 % 250)");
    let many = network("10.0.0.1");
    ask(&store, "in a crowd", Payer::Network(many)).unwrap();
    assert_eq!(count(&store, "authorization_request"), half, "fifty of one are its share now");
    let somebody = ask(&store, "somebody", Payer::Network(network("192.0.2.1"))).unwrap();
    // All of it.
    fill(&store, "DELETE FROM authorization_request WHERE payer LIKE '10.%'".to_owned());
    assert_eq!(count(&store, "shared_out"), 2, "one payer, and all together");
    let rest = MAX_AUTHORIZATION_REQUESTS - 1;
    fill_requests(&store, rest, "strangers", "'10.' || (i / 62500) || '.' || (i / 250 % 250) || '.' || (i % 250)");
    // All have one: the oldest goes. Then somebody has two, and theirs goes.
    let oldest = Digest::from_bytes(*b"s0000000000000000000000000000001");
    let newcomer = ask(&store, "newcomer", Payer::Network(network("198.51.100.7"))).unwrap();
    assert!(!waits(&store, &oldest) && waits(&store, &newcomer) && waits(&store, &somebody));
    fill(&store, "DELETE FROM authorization_request WHERE payer = '10.0.0.2'".to_owned());
    let second = ask(&store, "second", Payer::Network(network("198.51.100.7"))).unwrap();
    let other = ask(&store, "other", Payer::Network(network("198.51.100.8"))).unwrap();
    assert!(waits(&store, &newcomer) != waits(&store, &second), "one of the two went");
    assert!(waits(&store, &other) && waits(&store, &somebody));
    assert_eq!(count(&store, "authorization_request"), MAX_AUTHORIZATION_REQUESTS);
    // What clients push that prove who they are has places of its own, and each client as many as it may have.
    let pushed = ask(&store, "pushed", Payer::Client).unwrap();
    assert!(waits(&store, &pushed) && waits(&store, &somebody));
    fill_requests(&store, MAX_PROVEN_REQUESTS_OF_CLIENT - 1, "clients", "'grafana'");
    let refused = ask(&store, "pushed too often", Payer::Client);
    assert!(matches!(refused, Err(StoreError::Crowded(_))), "{refused:?}");
    assert!(waits(&store, &pushed), "one person's request does not go for another's");
}

#[test]
fn attack_044_of_what_is_over_some_go_with_each_request() {
    let scratch = Scratch::new();
    let store = scratch.create();
    fill_requests(&store, 3 * PRUNED_AT_ONCE, "strangers", "'192.0.2.1'");
    fill(&store, "UPDATE authorization_request SET ends = 1".to_owned());
    ask(&store, "one", Payer::Network(network("192.0.2.1"))).unwrap();
    assert_eq!(count(&store, "authorization_request"), 2 * PRUNED_AT_ONCE + 1);
}

fn start(store: &Store, id: &str, network: Network) -> Result<()> {
    let new = NewSignIn { id: id.to_owned(), challenge: Digest::of(b"x"), listed: None, request: None, network };
    store.write_blocking(move |unit| unit.start_sign_in(&new))
}

fn under_way(store: &Store, id: &'static str) -> bool {
    let sql = "SELECT count(*) FROM sign_in_ceremony WHERE id = ?1";
    read(store, |reader| Ok(reader.conn().query_row(sql, [id], |row| row.get::<_, i64>(0))? == 1))
}

#[test]
fn attack_044_one_networks_sign_ins_end_nobody_elses() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let rows = |from: &str, rows: usize, networks: &str| {
        fill(
            &store,
            format!(
                "{MANY} {rows}) INSERT INTO sign_in_ceremony (id, challenge, listed, started, network)
                 SELECT '{from} ' || i, zeroblob(32), NULL, 4000000000000 + i, {networks} FROM n"
            ),
        );
    };
    let (loud, quiet) = (network("192.0.2.1"), network("192.0.2.2"));
    start(&store, "quiet", quiet).unwrap();
    rows("loud", MAX_SIGN_INS_OF_NETWORK, "'192.0.2.1'");
    start(&store, "newest", loud).unwrap();
    assert!(under_way(&store, "quiet") && under_way(&store, "newest"));
    assert_eq!(count(&store, "sign_in_ceremony"), MAX_SIGN_INS_OF_NETWORK + 1);
    let rest = MAX_SIGN_INS - MAX_SIGN_INS_OF_NETWORK - 1;
    rows("other", rest, "'10.0.' || (i / 250) || '.' || (i % 250)");
    start(&store, "newcomer", network("198.51.100.7")).unwrap();
    assert!(!under_way(&store, "newest") && under_way(&store, "newcomer"), "the oldest of whoever has most makes room");
    start(&store, "again", quiet).unwrap();
    assert!(!under_way(&store, "quiet") && under_way(&store, "again"), "its own goes");
    assert_eq!(count(&store, "sign_in_ceremony"), MAX_SIGN_INS);
}

#[test]
fn one_logout_too_many_is_not_told() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let person = PersonId::from_random([0; 10]);
    let add = "INSERT INTO person (id, name, user_handle, admin, created, entry) VALUES";
    fill(&store, format!("{add} ('{person}', 'Ada', zeroblob(16), 0, 0, 0)"));
    fill(
        &store,
        format!(
            "{MANY} {}) INSERT INTO logout_notice (client, person, sid, created, due)
             SELECT 'grafana', '{person}', printf('%032x', i), 0, 0 FROM n",
            MAX_LOGOUT_NOTICES - 1
        ),
    );
    let insert = |bits: u8| {
        let sid = SessionId::from_random([bits; 16]);
        let told = LogoutNotice { client: ClientId::parse("argo").unwrap(), person: person.clone(), sid };
        store.write_blocking(move |unit| unit.insert_logout_notice(&told)).unwrap()
    };
    assert!(insert(1) && !insert(2));
    assert_eq!(count(&store, "logout_notice"), MAX_LOGOUT_NOTICES);
}

/// A device asks, for somebody who pays.
fn ask_for_device(store: &Store, name: &str, payer: Payer) -> Result<Digest> {
    let id = Digest::of(name.as_bytes());
    store.write_blocking(move |unit| {
        let (asked, scopes) = (unit.now(), Scopes::openid());
        let client = ClientId::parse("tv").unwrap();
        let from = "192.0.2.1".parse().unwrap();
        let request = DeviceRequest { id, client, scopes, resources: Vec::new(), from, asked };
        unit.insert_device(&request, (&Digest::of(id.as_bytes()), payer), asked + DEVICE_AUTHORIZATION)
    })?;
    Ok(id)
}

#[test]
fn attack_044_a_full_table_of_devices_makes_room() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let rows = |rows: usize, (first, pool): (char, &str), payers: &str| {
        fill(
            &store,
            format!(
                "{MANY} {rows}) INSERT INTO device_request
                 (device_code_sha256, user_code_sha256, client, request, created, ends, pool, payer)
                 SELECT CAST(printf('{first}%031d', i) AS BLOB), randomblob(32), 'tv', x'7b7d', i,
                     9000000000000, '{pool}', {payers} FROM n"
            ),
        );
    };
    let waits = |id: &Digest| read(&store, |reader| Ok(reader.device(id)?.is_some()));
    let somebody = ask_for_device(&store, "somebody", Payer::Network(network("192.0.2.1"))).unwrap();
    rows(MAX_DEVICES - 1, ('s', "devices"), "'10.' || (i / 62500) || '.' || (i / 250 % 250) || '.' || (i % 250)");
    let newcomer = ask_for_device(&store, "newcomer", Payer::Network(network("198.51.100.7"))).unwrap();
    assert!(waits(&somebody) && waits(&newcomer), "the oldest of those who filled it went");
    // Clients that prove who they are have places of their own.
    let proven = ask_for_device(&store, "proven", Payer::Client).unwrap();
    rows(MAX_PROVEN_DEVICES_OF_CLIENT - 1, ('c', "devices_of_clients"), "'tv'");
    let refused = ask_for_device(&store, "too often", Payer::Client);
    assert!(matches!(refused, Err(StoreError::Crowded(_))), "{refused:?}");
    assert!(waits(&proven) && waits(&somebody));
}
