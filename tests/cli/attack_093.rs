//! Attack 93, a database that is not this binary's or not this instance's.

use crate::support::{DATABASE, Place};

/// Nothing starts, nothing is appended, and the file is as it was.
fn refuses(place: &Place, says: &str) {
    let [before, _] = place.snapshot();
    for command in
        [&["serve"][..], &["people", "invite", "Eve"], &["log", "resume", "--after-restore"], &["init", "--new-link"]]
    {
        let refused = place.run(command).expect(2, says);
        assert!(refused.err.contains("cure: "), "{command:?}: {}", refused.err);
    }
    let [after, _] = place.snapshot();
    assert!(before == after, "the database was changed");
}

#[test]
fn attack_093_an_older_binary_refuses_a_newer_schema() {
    let place = Place::initialised();
    let database = rusqlite::Connection::open(place.at(DATABASE)).unwrap();
    let known: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    database.pragma_update(None, "user_version", known + 1).unwrap();
    drop(database);
    refuses(&place, &format!("schema {}", known + 1));
    place.run(&["log", "check"]).expect(2, &format!("schema {}", known + 1));
    rusqlite::Connection::open(place.at(DATABASE)).unwrap().pragma_update(None, "user_version", known).unwrap();
    assert_eq!(place.serve().stop(), 0);
}

#[test]
fn attack_093_the_database_of_another_instance_is_not_appended_to() {
    let (place, other) = (Place::initialised(), Place::initialised());
    let ([own, _], [foreign, foreign_mark]) = (place.snapshot(), other.snapshot());
    // The database alone: the mark knows another history.
    place.put_back(&foreign, None);
    let [before, _] = place.snapshot();
    for command in [&["serve"][..], &["people", "invite", "Eve"]] {
        place.run(command).expect(2, "do not go back to");
    }
    // It is no restore of ours either: its checkpoints are signed by another key.
    place.run(&["log", "resume", "--after-restore"]).expect(2, "is not the key that signed this log");
    assert!(place.snapshot()[0] == before, "the database was changed");
    // Database and mark: its checkpoints are signed by another key.
    place.put_back(&foreign, Some(&foreign_mark));
    for command in [&["serve"][..], &["people", "invite", "Eve"]] {
        place.run(command).expect(2, "is not the key that signed this log");
    }
    place.put_back(&own, None);
}

#[test]
fn attack_093_another_origin_is_refused_by_name() {
    let place = Place::initialised();
    let [whole, _] = place.snapshot();
    let text = place.read("countersign.toml");
    place.write("countersign.toml", &format!("{text}\n[log]\norigin = \"other.example.com/log\"\n"));
    refuses(&place, "other.example.com/log");
    place.write("countersign.toml", &text);
    place.put_back(&whole, None);
    place.run(&["people", "invite", "Ada"]).expect(0, "works once");
}
