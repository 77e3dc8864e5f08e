use std::os::unix::fs::symlink;

use super::*;
use crate::crypto::fixtures::TempDir;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn attack_096_a_key_that_others_may_use_is_refused_by_path_and_mode() {
    let dir = TempDir::new();
    let key = dir.path("master.key");
    create_secret(&key, b"secret").unwrap();
    assert_eq!(mode_of(&key), 0o600);
    assert_eq!(read_secret(&key).unwrap(), b"secret");
    chmod(&key, 0o400);
    assert!(read_secret(&key).is_ok(), "stricter is fine");
    for mode in [0o644, 0o640, 0o660, 0o604, 0o620, 0o601] {
        chmod(&key, mode);
        let text = read_secret(&key).unwrap_err().to_string();
        assert!(text.contains("master.key") && text.contains("0600"), "{mode:o}: {text}");
    }
}

#[test]
fn attack_096_a_link_into_a_directory_where_everybody_may_write_is_refused() {
    let dir = TempDir::new();
    let open = dir.path("open");
    fs::create_dir(&open).unwrap();
    let target = open.join("key");
    create_secret(&target, b"secret").unwrap();
    let link = dir.path("key");
    symlink(&target, &link).unwrap();
    assert!(read_secret(&link).is_ok(), "a link is fine where the directory is");
    for mode in [0o777, 0o1777] {
        chmod(&open, mode);
        let text = read_secret(&link).unwrap_err().to_string();
        assert!(text.contains("everybody may write") && text.contains("0700"), "{text}");
    }
}

#[test]
fn attack_096_a_key_of_somebody_else_is_refused() {
    let dir = TempDir::new();
    let key = dir.path("key");
    create_secret(&key, b"secret").unwrap();
    if std::os::unix::fs::chown(&key, Some(12345), None).is_err() {
        println!("skipped: only root can give a file away");
        return;
    }
    let text = read_secret(&key).unwrap_err().to_string();
    assert!(text.contains("belongs to user 12345") && text.contains("0600"), "{text}");
}

#[test]
fn attack_096_a_missing_or_strange_file_is_named() {
    let dir = TempDir::new();
    assert!(read_secret(&dir.path("none")).unwrap_err().to_string().contains("none"));
    assert!(read_secret(&dir.0).unwrap_err().to_string().contains("not a file"));
    let large = dir.path("large");
    create_secret(&large, &vec![b'a'; 70_000]).unwrap();
    assert!(read_secret(&large).unwrap_err().to_string().contains("too large"));
    assert!(!dir.path("none").exists(), "reading makes nothing");
}

#[test]
fn attack_096_a_directory_that_others_may_enter_is_refused() {
    let dir = TempDir::new();
    let state = dir.path("a/b");
    create_dir_private(&state).unwrap();
    assert_eq!(mode_of(&state), 0o700);
    assert_eq!(mode_of(&dir.path("a")), 0o700);
    for mode in [0o777, 0o755, 0o750, 0o1777] {
        chmod(&state, mode);
        let text = check_dir(&state).unwrap_err().to_string();
        assert!(text.contains("a/b") && text.contains("0700"), "{text}");
        assert!(create_dir_private(&state).is_err(), "an existing one is not mended silently");
    }
}

#[test]
fn an_existing_secret_is_never_replaced() {
    let dir = TempDir::new();
    let key = dir.path("key");
    create_secret(&key, b"first").unwrap();
    let text = create_secret(&key, b"second").unwrap_err().to_string();
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(read_secret(&key).unwrap(), b"first");
}

#[test]
fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_else() {
    let dir = TempDir::new();
    let file = dir.path("checkpoint");
    write_atomically(&file, b"one, and longer", 0o644).unwrap();
    write_atomically(&file, b"two", 0o644).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert_eq!(mode_of(&file), 0o644);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
    assert!(write_atomically(&dir.path("missing/file"), b"x", 0o600).is_err());
}
