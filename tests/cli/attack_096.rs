//! Attack 96, key and config files: modes, links, missing, truncated, of another kind or instance.

use crate::support::{Place, URL};

/// It refuses to start, names the path and what it needs, and makes or changes nothing.
fn refuses(place: &Place, path: &str, says: &str) {
    let before = place.files();
    let refused = place.run(&["serve"]).expect(2, says);
    assert!(refused.err.contains(path), "{path}: {}", refused.err);
    assert!(refused.err.contains("cure: "), "{}", refused.err);
    assert_eq!(place.files(), before, "{path}: nothing was made");
}

#[test]
fn attack_096_files_that_others_may_use_stop_the_start() {
    for (path, wrong, right) in [
        ("countersign.toml", 0o664, "chmod 0644"),
        ("rules", 0o777, "chmod 0755"),
        ("keys/master-key", 0o644, "chmod 0600"),
        ("keys/master-key", 0o620, "chmod 0600"),
        ("keys/log-key", 0o640, "chmod 0600"),
        ("keys/high-water-mark", 0o644, "chmod 0600"),
        ("state", 0o777, "chmod 0700"),
        ("state", 0o750, "chmod 0700"),
        ("state/countersign.db", 0o644, "chmod 0600"),
        ("state/countersign.db", 0o660, "chmod 0600"),
    ] {
        let place = Place::initialised();
        place.mode(path, wrong);
        refuses(&place, path, right);
        let refused = place.run(&["people", "invite", "Ada"]).expect(2, right);
        assert!(refused.err.contains(path), "{path}: {}", refused.err);
    }
}

#[test]
fn attack_096_a_key_behind_a_link_into_a_folder_open_to_everybody_is_refused() {
    let place = Place::initialised();
    std::fs::create_dir(place.at("open")).unwrap();
    std::fs::rename(place.at("keys/master-key"), place.at("open/master-key")).unwrap();
    std::os::unix::fs::symlink("../open/master-key", place.at("keys/master-key")).unwrap();
    place.mode("open", 0o1777);
    refuses(&place, "keys/master-key", "everybody may write");
}

#[test]
fn attack_096_a_missing_key_is_never_made_anew() {
    for path in ["keys/master-key", "keys/log-key", "keys/high-water-mark"] {
        let place = Place::initialised();
        std::fs::remove_file(place.at(path)).unwrap();
        refuses(&place, path, "put");
        let arguments = ["init", "--url", URL, "--gitlab", "https://gitlab.invalid"];
        place.run(&arguments).expect(2, "nothing was made");
        assert!(!place.at(path).exists());
    }
}

#[test]
fn attack_096_truncated_keys_and_keys_of_another_kind_are_refused() {
    for path in ["keys/master-key", "keys/log-key", "keys/high-water-mark"] {
        let place = Place::initialised();
        let whole = std::fs::read(place.at(path)).unwrap();
        std::fs::write(place.at(path), &whole[..whole.len() / 2]).unwrap();
        refuses(&place, path, "");
        std::fs::write(place.at(path), []).unwrap();
        refuses(&place, path, "");
    }
    let place = Place::initialised();
    let (master, log) = (place.read("keys/master-key"), place.read("keys/log-key"));
    place.write("keys/master-key", &log);
    refuses(&place, "keys/master-key", "");
    place.write("keys/master-key", &master);
    place.write("keys/log-key", &master);
    refuses(&place, "keys/log-key", "");
}

#[test]
fn attack_096_keys_of_another_instance_are_refused() {
    let (place, other) = (Place::initialised(), Place::initialised());
    for (path, says) in [
        ("keys/master-key", "another master key"),
        ("keys/log-key", "is not the key that signed this log"),
        ("keys/high-water-mark", "do not go back to"),
    ] {
        let own = std::fs::read(place.at(path)).unwrap();
        std::fs::copy(other.at(path), place.at(path)).unwrap();
        place.run(&["serve"]).expect(2, says);
        place.run(&["doctor"]).expect(1, says);
        std::fs::write(place.at(path), own).unwrap();
    }
    assert_eq!(place.serve().stop(), 0, "with its own keys it starts");
}

#[test]
fn attack_096_the_published_example_keys_are_refused() {
    let place = Place::initialised();
    let example = |name: &str| {
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.example").join(name))
            .unwrap()
    };
    let own = place.read("keys/master-key");
    place.write("keys/master-key", &example("master-key.example"));
    refuses(&place, "keys/master-key", "");
    place.write("keys/master-key", &own);
    place.write("keys/log-key", &example("log-key.example"));
    refuses(&place, "keys/log-key", "");
}
