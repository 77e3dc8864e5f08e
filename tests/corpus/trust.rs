//! The keys of the vectors are public: nothing that is shipped may hold one.
//! In: every key of `tests/vectors/`, every file of the repository that is no test, a folder that `init` made.
//! Out: the file that holds one.
//! Never proves that a key is refused where somebody pins it: that is the operator's word.

use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::Value;

/// Members that hold key material, in any of the files.
const MEMBERS: &[&str] = &[
    "x",
    "y",
    "n",
    "d",
    "p",
    "q",
    "k",
    "credential_private_key",
    "private_key",
    "attestation_private_key",
    "attestation_ca_key",
    "attestation_ca_cert",
    "ed25519_seed_hex",
    "vkey",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// A key in the spellings in which one could be kept; of long ones the beginning is enough.
fn spellings(value: &str) -> Vec<String> {
    // A note's key is `name+id+base64`, and its base64 may hold a `+` too.
    let bytes = if let Some(key) = value.splitn(3, '+').nth(2) {
        BASE64.decode(key.as_bytes()).unwrap()[1..].to_vec()
    } else {
        HEXLOWER.decode(value.as_bytes()).or_else(|_| BASE64URL_NOPAD.decode(value.as_bytes())).unwrap_or_default()
    };
    if bytes.len() < 16 {
        return Vec::new();
    }
    let start = &bytes[..bytes.len().min(30)];
    let start = &start[..start.len() - start.len() % 3];
    let raw = start.iter().map(|byte| char::from(*byte)).collect();
    vec![HEXLOWER.encode(start), BASE64URL_NOPAD.encode(start), BASE64.encode(start), raw]
}

fn keys_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if MEMBERS.contains(&name.as_str()) => found.extend(spellings(text)),
                    _ => keys_of(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, found)),
        _ => {}
    }
}

#[test]
fn no_public_test_key_is_in_anything_that_is_shipped() {
    let mut keys = spellings(include_str!("../vectors/tlog/tessera-testdata/vkey").trim());
    let mut vectors = Vec::new();
    files(&root().join("tests/vectors"), &mut vectors);
    for file in vectors.iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        if let Ok(value) = serde_json::from_slice(&std::fs::read(file).unwrap()) {
            keys_of(&value, &mut keys);
        }
    }
    assert!(keys.len() > 100, "{} spellings", keys.len());

    let made = std::env::temp_dir().join(format!("countersign-trust-{}", std::process::id()));
    std::fs::create_dir(&made).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["init", "--url", "http://localhost:18080", "--gitlab", "https://gitlab.invalid", "--admin", "Ada Lind"])
        .current_dir(&made)
        .env_clear()
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut shipped = Vec::new();
    files(&made, &mut shipped);
    assert!(shipped.len() > 3, "{shipped:?}");
    for folder in ["src", "static", "templates", "keys.example", "deploy", "docs"] {
        files(&root().join(folder), &mut shipped);
    }
    for file in shipped {
        let bytes = std::fs::read(&file).unwrap();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        for key in &keys {
            assert!(!text.contains(key.as_str()), "{} holds the public test key {key}", file.display());
        }
    }
    std::fs::remove_dir_all(&made).unwrap();
}
