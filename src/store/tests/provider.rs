//! How much of what strangers and sign-outs leave behind is kept.

use super::*;
use crate::domain::ids::{ClientId, SessionId};
use crate::domain::oauth::logout::Told;
use crate::store::authorizations::{AuthorizationRow, MAX_AUTHORIZATION_REQUESTS};
use crate::store::logouts::MAX_LOGOUT_NOTICES;

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

#[test]
fn one_authorization_request_too_many_ends_the_oldest() {
    let scratch = Scratch::new();
    let store = scratch.create();
    fill(
        &store,
        format!(
            "{MANY} {MAX_AUTHORIZATION_REQUESTS}) INSERT INTO authorization_request
             (id_sha256, client, request, pushed, created, ends)
             SELECT CAST(printf('%032d', i) AS BLOB), 'grafana', x'7b7d', 0, i, 9000000000000 FROM n"
        ),
    );
    assert_eq!(count(&store, "authorization_request"), MAX_AUTHORIZATION_REQUESTS);
    let id = Digest::of(b"newest");
    store
        .write_blocking(move |unit| {
            let now = unit.now();
            unit.insert_authorization_request(&AuthorizationRow {
                id_sha256: id,
                client: ClientId::parse("grafana").unwrap(),
                request: b"{}".to_vec(),
                pushed: false,
                created: now,
                ends: now + std::time::Duration::from_mins(1),
                taken: None,
            })
        })
        .unwrap();
    assert_eq!(count(&store, "authorization_request"), MAX_AUTHORIZATION_REQUESTS);
    let oldest = Digest::from_bytes(*b"00000000000000000000000000000001");
    read(&store, |reader| {
        assert!(reader.authorization_request(&oldest)?.is_none() && reader.authorization_request(&id)?.is_some());
        Ok(())
    });
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
        let told = Told { client: ClientId::parse("argo").unwrap(), person: person.clone(), sid };
        store.write_blocking(move |unit| unit.insert_logout_notice(&told)).unwrap()
    };
    assert!(insert(1) && !insert(2));
    assert_eq!(count(&store, "logout_notice"), MAX_LOGOUT_NOTICES);
}
