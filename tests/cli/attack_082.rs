//! Attack 82, two histories under one key: machines and databases that are put back, and what tells of it.

use crate::support::Place;

/// How many entries a kept checkpoint is of.
fn size(place: &Place, checkpoint: &str) -> String {
    place.read(checkpoint).lines().nth(1).unwrap().to_owned()
}

#[test]
fn attack_082_a_machine_put_back_leaves_two_checkpoints_that_prove_it() {
    let place = Place::initialised();
    let [database, mark] = place.snapshot();
    place.run(&["people", "invite", "Ada"]).expect(0, "works once");
    place.keep_checkpoint("monday");
    place.put_back(&database, Some(&mark));
    place.run(&["people", "invite", "Ben"]).expect(0, "works once");
    place.keep_checkpoint("tuesday");
    assert_eq!(size(&place, "monday"), size(&place, "tuesday"));

    // Nothing inside can tell.
    place.run(&["log", "check"]).expect(0, "entries");
    assert_eq!(place.serve().stop(), 0);
    // From outside: both notes, as they are.
    let (monday, tuesday) = (place.read("monday"), place.read("tuesday"));
    let caught = place.run(&["log", "check", "--anchor", "monday"]).expect(1, "the log's key signed two histories");
    assert!(caught.out.contains(&monday) && caught.out.contains(&tuesday), "{}", caught.out);
    place.run(&["log", "check", "--anchor", "tuesday"]).expect(0, "goes back to tuesday");

    // And without the log: the two are proof to anybody who pinned the key.
    let says = format!("signed two histories of {} entries; these two checkpoints prove it", size(&place, "monday"));
    let verify = |files: [&str; 2]| place.run(&["verify", "--log-key", "keys/log-key.pub", files[0], files[1]]);
    let proof = verify(["monday", "tuesday"]).expect(1, &says);
    assert!(proof.out.contains(&monday) && proof.out.contains(&tuesday), "{}", proof.out);
    verify(["tuesday", "monday"]).expect(1, &says);
    verify(["monday", "monday"]).expect(0, "yes: both are of the same");
    let json = place.run(&["--json", "verify", "--log-key", "keys/log-key.pub", "monday", "tuesday"]).expect(1, "");
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["checkpoints"], serde_json::json!([monday, tuesday]));
    // Somebody who forges one of the two accuses nobody.
    let other = Place::initialised();
    other.run(&["people", "invite", "Cem"]).expect(0, "works once");
    other.keep_checkpoint("forged");
    let forged = other.at("forged").display().to_string();
    verify(["monday", &forged]).expect(1, "is not signed by");
    verify(["monday", "absent"]).expect(2, "absent");

    // The fork stays visible however long the log grows.
    place.run(&["people", "invite", "Dee"]).expect(0, "works once");
    place.keep_checkpoint("wednesday");
    verify(["tuesday", "wednesday"]).expect(0, "yes, as far as two checkpoints can tell");
    let later = place.run(&["log", "check", "--anchor", "monday", "--anchor", "tuesday"]).expect(1, "two histories");
    assert!(later.out.contains(&monday) && !later.out.contains("tuesday: "), "{}", later.out);
}

#[test]
fn attack_082_a_database_put_back_goes_on_only_when_told_and_says_so_for_ever() {
    let place = Place::initialised();
    place.keep_checkpoint("before");
    let [database, _] = place.snapshot();
    place.run(&["people", "invite", "Ada"]).expect(0, "works once");
    place.keep_checkpoint("lost");
    place.run(&["log", "resume", "--after-restore"]).expect(2, "nothing was put back");

    place.put_back(&database, None);
    for command in [&["serve"][..], &["people", "invite", "Ben"]] {
        place.run(command).expect(2, "another copy was put");
    }
    place.run(&["log", "resume", "--after-restore"]).expect(0, "records the restore");
    let entry = place.run(&["log", "show", "--last", "1"]).expect(0, "\"kind\":\"restored\"");
    assert!(entry.out.contains(&format!("\"lost_size\":{}", size(&place, "lost"))), "{}", entry.out);
    place.run(&["log", "resume", "--after-restore"]).expect(2, "nothing was put back");
    assert_eq!(place.serve().stop(), 0);
    place.run(&["log", "check", "--anchor", "before"]).expect(0, "goes back to before");
    // A checkpoint of the lost part stays a contradiction, and the entry says why.
    place.run(&["people", "invite", "Ben"]).expect(0, "works once");
    let lost = place.run(&["log", "check", "--anchor", "lost"]).expect(1, "two histories");
    assert!(lost.err.contains("if an entry `restored` covers it"), "{}", lost.err);
}
