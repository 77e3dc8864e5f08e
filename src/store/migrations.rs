//! The schema's history: numbered SQL, forward only.
//! In: a database of any earlier version. Out: one of this version.
//! Implements DESIGN §8.
//! Never goes back, and never touches a schema newer than this program knows.

use std::cmp::Ordering;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Every migration, in order; the schema's version is how many of them were made. Add at the end, never change one.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_foundation.sql"),
    include_str!("migrations/0002_people_requests_tokens.sql"),
    include_str!("migrations/0003_indexes.sql"),
];

/// Brings the schema up to this program's version.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    apply(conn, MIGRATIONS)
}

/// Refuses a schema that is not this program's, for those who only read.
pub(super) fn check(conn: &Connection) -> Result<(), StoreError> {
    let found: usize = conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    match found.cmp(&MIGRATIONS.len()) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::NewerSchema { found, known: MIGRATIONS.len() }),
        Ordering::Less => Err(StoreError::Invalid(format!(
            "the database has schema {found}, this program reads {}; start `countersign serve` once, which brings it up",
            MIGRATIONS.len()
        ))),
    }
}

fn apply(conn: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found: usize = conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    if found > migrations.len() {
        return Err(StoreError::NewerSchema { found, known: migrations.len() });
    }
    for (at, sql) in migrations.iter().enumerate().skip(found) {
        let version = u32::try_from(at + 1).map_err(|e| StoreError::Invalid(e.to_string()))?;
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_is_made_once_and_in_order() {
        let mut conn = Connection::open_in_memory().unwrap();
        let one = "CREATE TABLE one (a INTEGER) STRICT";
        let two = "ALTER TABLE one ADD COLUMN b TEXT";
        apply(&mut conn, &[one]).unwrap();
        apply(&mut conn, &[one, two]).unwrap();
        apply(&mut conn, &[one, two]).unwrap();
        conn.execute("INSERT INTO one (a, b) VALUES (1, 'x')", []).unwrap();
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(apply(&mut conn, &["CREATE TABLE one (a INTEGER) STRICT; nonsense"]).is_err());
        apply(&mut conn, &["CREATE TABLE one (a INTEGER) STRICT"]).unwrap();
    }

    #[test]
    fn readers_take_this_schema_alone() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(matches!(check(&conn), Err(StoreError::Invalid(_))));
        migrate(&mut conn).unwrap();
        check(&conn).unwrap();
        conn.pragma_update(None, "user_version", 1_000).unwrap();
        assert!(matches!(check(&conn), Err(StoreError::NewerSchema { .. })));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn.pragma_update(None, "user_version", 1_000).unwrap();
        assert!(matches!(migrate(&mut conn), Err(StoreError::NewerSchema { found: 1_000, .. })));
    }
}
