//! `init`, and what follows it as its last lines say.

use crate::support::{Place, URL};

#[test]
fn what_init_makes_is_closed_to_others_and_works_as_it_is() {
    let place = Place::empty();
    let made = place.run(&["init", "--url", URL, "--gitlab", "https://gitlab.invalid", "--admin", "Ada Lind"]);
    let made = made.expect(0, "countersign serve");
    assert!(made.out.starts_with(&format!("{URL}/enrol/")) && made.out.lines().count() == 1, "{}", made.out);
    assert!(made.err.contains("bound to `localhost` for ever"), "{}", made.err);
    let expected = [
        ("countersign.toml", 0o644),
        ("keys", 0o700),
        ("keys/high-water-mark", 0o600),
        ("keys/log-key", 0o600),
        ("keys/log-key.pub", 0o644),
        ("keys/master-key", 0o600),
        ("rules", 0o755),
        ("rules/example.toml", 0o644),
        ("state", 0o700),
        ("state/countersign.db", 0o600),
        ("state/countersign.lock", 0o600),
    ];
    assert_eq!(place.files(), expected.map(|(name, mode)| (name.to_owned(), mode)));
    place.run(&["rule", "check"]).expect(0, "1 rule");
    place.run(&["people", "list"]).expect(0, "Ada Lind");
    let doctor = place.run(&["--json", "doctor"]);
    let found: serde_json::Value = serde_json::from_str(&doctor.out).unwrap();
    for finding in found["findings"].as_array().unwrap() {
        let unreachable = finding["subject"] == "gitlab";
        assert_eq!(finding["severity"] == "fail", unreachable, "only the invented GitLab fails: {finding}");
    }
    assert_eq!(doctor.code, 1, "any FAIL is a no");
}

#[test]
fn without_a_terminal_it_names_what_is_missing_and_makes_nothing() {
    let place = Place::empty();
    place.run(&["init"]).expect(2, "`--url` and `--gitlab` are missing");
    place.run(&["init", "--url", URL]).expect(2, "`--gitlab` is missing");
    place.run(&["init", "--url", URL, "--gitlab", "https://gitlab.com"]).expect(2, "--namespace ID");
    place
        .run(&["init", "--url", "http://sign.example.com", "--gitlab", "https://g.example"])
        .expect(2, "must be https");
    place.run(&["init", "--url", URL, "--gitlab", "http://localhost:9"]).expect(2, "never fetched over plain http");
    place.run(&["init", "--url", URL, "--gitlab", "https://g.example", "--gitlab-name", "A B"]).expect(2, "A B");
    assert_eq!(place.files(), []);
}

#[test]
fn nothing_is_ever_overwritten() {
    let place = Place::initialised();
    let arguments = ["init", "--url", URL, "--gitlab", "https://gitlab.invalid"];
    let before: Vec<_> = ["countersign.toml", "keys/master-key", "keys/log-key"].map(|name| place.read(name)).into();
    place.run(&arguments).expect(2, "`keys/master-key` is there");
    let after: Vec<_> = ["countersign.toml", "keys/master-key", "keys/log-key"].map(|name| place.read(name)).into();
    assert_eq!(before, after);
    for one in
        ["countersign.toml", "rules/example.toml", "keys/log-key", "keys/high-water-mark", "state/countersign.db"]
    {
        let place = Place::empty();
        let path = place.at(one);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        place.write(one, "mine");
        let files = place.files();
        place.run(&arguments).expect(2, "nothing was made");
        assert_eq!(place.files(), files, "{one}");
        assert_eq!(place.read(one), "mine");
    }
}

#[test]
fn what_fails_midway_leaves_nothing_of_its_own() {
    let place = Place::empty();
    std::fs::create_dir(place.at("rules")).unwrap();
    place.write("rules/mine.toml", "# mine");
    let files = place.files();
    let arguments = ["init", "--url", URL, "--gitlab", "https://gitlab.invalid", "--admin", " "];
    place.run(&arguments).expect(2, "nothing was kept");
    assert_eq!(place.files(), files, "the name is judged after the keys are made");
    // Rules that do not load are the operator's to see, and keep nothing from being made.
    place.run(&["init", "--url", URL, "--gitlab", "https://gitlab.invalid"]).expect(0, "made");
}

#[test]
fn another_folder_is_named_in_the_next_commands() {
    let place = Place::empty();
    let arguments = ["init", "--url", URL, "--gitlab", "https://gitlab.invalid", "--directory", "deep/er"];
    let made = place.run(&arguments).expect(0, "countersign doctor --config deep/er/countersign.toml");
    assert!(made.err.contains("countersign serve --config deep/er/countersign.toml"), "{}", made.err);
    place.run(&["people", "list", "--config", "deep/er/countersign.toml"]).expect(0, "First admin");
    place.run(&["people", "list"]).expect(2, "no configuration here");
}

#[test]
fn a_new_link_is_given_while_there_is_no_admin() {
    let place = Place::initialised();
    let first = place.run(&["init", "--new-link"]).expect(0, "works once");
    assert!(first.out.starts_with(&format!("{URL}/enrol/")), "{}", first.out);
    let second = place.run(&["init", "--new-link"]).expect(0, "works once");
    assert_ne!(first.out, second.out);
}
