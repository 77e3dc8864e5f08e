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
    include_str!("migrations/0004_in_order.sql"),
    include_str!("migrations/0005_attestation.sql"),
    include_str!("migrations/0006_sessions.sql"),
    include_str!("migrations/0007_changes.sql"),
    include_str!("migrations/0008_proved_links.sql"),
    include_str!("migrations/0009_push.sql"),
    include_str!("migrations/0010_provider.sql"),
    include_str!("migrations/0011_key_rotation.sql"),
    include_str!("migrations/0012_logout.sql"),
    include_str!("migrations/0013_listed_keys.sql"),
    include_str!("migrations/0014_shares.sql"),
    include_str!("migrations/0015_device.sql"),
    include_str!("migrations/0016_listed_everywhere.sql"),
    include_str!("migrations/0017_signed_rules.sql"),
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
    use rusqlite::fallible_iterator::FallibleIterator as _;

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
    fn a_passkey_of_before_has_no_attestation() {
        use crate::domain::assurance::evidence::Vouched;
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &MIGRATIONS[..3]).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn.execute(
            "INSERT INTO passkey (person, credential_id, public_key_sha256, credential, registered, name, added, entry)
             VALUES ('p', x'00', zeroblob(32), '{}', '{}', 'Passkey', 0, 0)",
            [],
        )
        .unwrap();
        migrate(&mut conn).unwrap();
        let mut statement = conn.prepare("SELECT * FROM passkey").unwrap();
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap().unwrap();
        assert_eq!(crate::store::passkeys::vouched(row).unwrap(), Vouched::default());
        assert_eq!(row.get::<_, Option<Vec<u8>>>("aaguid").unwrap(), None);
    }

    #[test]
    fn keys_of_before_go_on_as_they_did() {
        let mut conn = Connection::open_in_memory().unwrap();
        let before = MIGRATIONS.iter().position(|sql| sql.contains("signing_key_with_state")).unwrap();
        apply(&mut conn, &MIGRATIONS[..before]).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn.execute_batch(
            "INSERT INTO signing_key (kid, alg, public, wrapped, created, entry) VALUES
                ('old', 'RS256', '{}', 'x', 1, 1), ('new', 'RS256', '{}', 'y', 7, 3), ('ec', 'ES256', '{}', 'z', 1, 2)",
        )
        .unwrap();
        apply(&mut conn, MIGRATIONS).unwrap();
        let sql =
            "SELECT group_concat(kid || ' ' || state || ' ' || wrapped || ' ' || signs || ' ' || ifnull(retired, '-'))
                   FROM (SELECT * FROM signing_key ORDER BY kid)";
        let found: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ec signing z 1 -,new signing y 7 -,old retired x 1 7");
    }

    #[test]
    fn changes_of_before_and_what_refers_to_them_stay() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "foreign_keys", true).unwrap();
        let before = MIGRATIONS.iter().position(|sql| sql.contains("change_of_before")).unwrap();
        apply(&mut conn, &MIGRATIONS[..before]).unwrap();
        conn.execute_batch(
            "INSERT INTO log_entry (idx, leaf_hash, entry) VALUES (0, zeroblob(32), x'7b7d'), (1, zeroblob(32), x'7b7d');
             INSERT INTO person (id, name, user_handle, admin, created, entry) VALUES ('p', 'P', zeroblob(16), 1, 0, 0);
             INSERT INTO change (id, kind, person, record, state, due, created, entry) VALUES
                ('one', 'join', 'p', x'7b7d', 'open', 5, 1, 0), ('two', 'suspend', 'q', x'7b7d', 'voided', NULL, 2, 1);
             INSERT INTO change_signature (change, person, choice, at, entry, proved) VALUES ('one', 'p', 'approve', 1, 1, '{}')",
        )
        .unwrap();
        apply(&mut conn, MIGRATIONS).unwrap();
        let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        let rows = "SELECT group_concat(id || kind || person || state || ifnull(due, '-') || created || entry)
                    FROM (SELECT * FROM change ORDER BY id)";
        assert_eq!(one(rows), "onejoinpopen510,twosuspendqvoided-21");
        assert_eq!(one("SELECT count(*) || change FROM change_signature"), "1one");
        // What refers to a change must refer to one, and only a change of rules concerns nobody.
        for wrong in [
            "INSERT INTO change_signature (change, person, choice, at, entry, proved) VALUES ('x', 'p', 'deny', 1, 1, '{}')",
            "INSERT INTO change (id, kind, record, state, created, entry) VALUES ('x', 'join', x'7b7d', 'open', 1, 0)",
            "INSERT INTO change (id, kind, person, record, state, created, entry)
             VALUES ('x', 'rules', 'p', x'7b7d', 'open', 1, 0)",
        ] {
            assert!(conn.execute(wrong, []).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(apply(&mut conn, &["CREATE TABLE one (a INTEGER) STRICT; nonsense"]).is_err());
        apply(&mut conn, &["CREATE TABLE one (a INTEGER) STRICT"]).unwrap();
    }

    /// What a version with three migrations has written: one job token bound and used twice, one used and forgotten.
    const OF_VERSION_3: &str = r#"
        INSERT INTO log_entry (idx, leaf_hash, entry)
            SELECT value, zeroblob(32), x'7b7d' FROM json_each('[0,1,2,3,4,5,6,7]');
        INSERT INTO log_hash (level, n, hash) VALUES (1, 0, randomblob(32)), (1, 1, randomblob(32)),
            (2, 0, randomblob(32)), (1, 2, randomblob(32));
        INSERT INTO evidence (digest, kind, salt, bytes) VALUES
            (x'aa00000000000000000000000000000000000000000000000000000000000000', 'rule', zeroblob(32), x'7b7d');
        INSERT INTO request (id, issuer, job_project_id, job_id, rule_name, rule_sha256, rule, request, display, state,
            created, use_by, entry) VALUES ('r', 'gitlab', '1', '2', 'rule', zeroblob(32), x'7b7d',
            CAST('{"job":{"token_sha256":"bb00000000000000000000000000000000000000000000000000000000000000"}}' AS BLOB),
            '{}', 'open', 1, 2, 3);
        INSERT INTO token_use (issuer, jti, token_sha256, audiences, request, exp) VALUES ('gitlab', 'bound',
            x'bb00000000000000000000000000000000000000000000000000000000000000', '["a","b"]', 'r', 7000);
        INSERT INTO issued (jti, issuer, token_jti, audience, request, claims, kid, issued_at, exp, entry) VALUES
            ('one', 'gitlab', 'forgotten', 'a', NULL, x'7b7d', 'k', 1, 2, 4),
            ('two', 'gitlab', 'bound', 'a', 'r', x'7b7d', 'k', 1, 2, 5),
            ('three', 'gitlab', 'bound', 'b', 'r', x'7b7d', 'k', 1, 2, 6);
    "#;

    #[test]
    fn what_version_3_wrote_is_found_where_version_4_looks() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &MIGRATIONS[..3]).unwrap();
        conn.execute_batch(OF_VERSION_3).unwrap();
        let hashes = "SELECT group_concat(hex(hash)) FROM (SELECT hash FROM log_hash ORDER BY level, n)";
        let before: String = conn.query_row(hashes, [], |row| row.get(0)).unwrap();
        apply(&mut conn, MIGRATIONS).unwrap();
        let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(one("SELECT group_concat(hex(hash)) FROM (SELECT hash FROM log_hash ORDER BY level, leaf)"), before);
        assert_eq!(one("SELECT group_concat(leaf || '/' || level) FROM log_hash"), "1/1,3/1,3/2,5/1");
        assert_eq!(
            one("SELECT kind FROM evidence WHERE entry IS NULL AND digest = unhex('aa' || hex(zeroblob(31)))"),
            "rule"
        );
        assert_eq!(one("SELECT CAST(token_exp AS TEXT) FROM request"), "7000");
        assert_eq!(one("SELECT group_concat(jti) FROM token_use"), "bound");
        let of_bound = "SELECT group_concat(jti) FROM issued WHERE binding = (SELECT id FROM token_use)";
        assert_eq!(one(of_bound), "two,three");
        assert_eq!(one("SELECT group_concat(entry) FROM issued"), "4,5,6");
        assert!(conn.execute("DELETE FROM log_hash", []).is_err(), "its triggers are there again");
        let next =
            "INSERT INTO token_use (issuer, jti, token_sha256, audiences, exp) VALUES ('gitlab', 'x', x'00', '[]', 1)
                    RETURNING CAST(id > (SELECT max(binding) FROM issued) AS TEXT)";
        assert_eq!(one(next), "1", "an id is never used again");
    }

    /// What lies on the disk when the process is killed at this moment.
    fn killed(live: &std::path::Path, number: usize) -> std::path::PathBuf {
        let copy = live.with_file_name(format!("killed-{number}.db"));
        for ending in ["", "-wal"] {
            let from = format!("{}{ending}", live.display());
            if std::path::Path::new(&from).exists() {
                std::fs::copy(&from, format!("{}{ending}", copy.display())).unwrap();
            }
        }
        copy
    }

    fn schema(conn: &Connection) -> (u32, Vec<String>) {
        let version = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let mut select = conn.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
        let names = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        (version, names)
    }

    #[test]
    fn attack_093_a_migration_killed_at_any_statement_is_made_again_from_its_beginning() {
        let folder = std::env::temp_dir().join(format!("countersign-migration-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let live = folder.join("live.db");
        std::fs::write(&live, []).unwrap();
        let mut conn = crate::store::connection::writer(&live, None).unwrap();
        apply(&mut conn, &MIGRATIONS[..1]).unwrap();
        conn.execute("INSERT INTO meta (key, value) VALUES ('kept', 'yes')", []).unwrap();
        let before = schema(&conn);
        // The migration, statement by statement, so that pages of it are written before it is whole.
        conn.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
        let mut statements = rusqlite::Batch::new(&conn, MIGRATIONS[1]);
        let mut copies = vec![killed(&live, 0)];
        while let Some(mut statement) = statements.next().unwrap() {
            statement.raw_execute().unwrap();
            copies.push(killed(&live, copies.len()));
        }
        conn.pragma_update(None, "user_version", 2).unwrap();
        copies.push(killed(&live, copies.len()));
        assert!(copies.len() > 10, "{}", copies.len());
        let wal = |copy: &std::path::Path| std::fs::metadata(format!("{}-wal", copy.display())).unwrap().len();
        assert!(wal(copies.last().unwrap()) > wal(&copies[0]), "half of it lies on the disk");
        conn.execute_batch("COMMIT").unwrap();
        let whole = schema(&conn);
        for copy in copies {
            let mut found = Connection::open(&copy).unwrap();
            assert_eq!(schema(&found), before, "{}", copy.display());
            apply(&mut found, &MIGRATIONS[..2]).unwrap();
            assert_eq!(schema(&found), whole);
            let kept: String = found.query_row("SELECT value FROM meta", [], |row| row.get(0)).unwrap();
            assert_eq!(kept, "yes");
        }
        drop(conn);
        std::fs::remove_dir_all(folder).unwrap();
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
