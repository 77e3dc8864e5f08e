//! What the tests of this folder share: keys made once, a directory of their own, data made by others.
//! In: nothing. Out: keys, directories, vectors where they exist.
//! Implements nothing.
//! Never part of the product.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::jwk::KeySet;
use super::random;
use super::signing::SigningKey;
use crate::domain::rules::TokenAlg;

pub static RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(TokenAlg::Rs256, 2048).unwrap());
pub static OTHER_RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(TokenAlg::Rs256, 2048).unwrap());
pub static EC: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(TokenAlg::Es256, 0).unwrap());

/// The set that publishes these keys.
pub fn set_of(keys: &[&SigningKey]) -> KeySet {
    let document = json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() });
    let (set, warnings) = KeySet::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    set
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token with any header, signed by the key whatever the header says.
pub fn token_with(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let signature = key.sign_raw(input.as_bytes()).unwrap();
    format!("{input}.{}", b64(signature))
}

/// Data made by others: the small sets are in the repository, the large ones beside it where they are at hand.
pub fn vectors(file: &str) -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut path = root.join("tests/vectors").join(file);
    if !path.exists() {
        path = root.join("../shared/vectors").join(file);
    }
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no vectors at {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// A directory of mode 0700, removed at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let name = format!("countersign-test-{}", HEXLOWER.encode(&random::bytes::<8>().unwrap()));
        let dir = Self(std::env::temp_dir().join(name));
        super::files::create_dir_private(&dir.0).unwrap();
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
