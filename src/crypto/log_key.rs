//! The key that signs the log's checkpoints.
//! In: a file of mode 0600, the text of a note. Out: the verifier's line, signed notes, yes or no to a signature.
//! Implements Ed25519 (RFC 8032) and the signing half of C2SP signed-note, signature type 0x01.
//! Never reads a note: `domain/log/note.rs` does.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{CryptoError, files, random};
use crate::domain::ids::Digest;

/// The signature type of Ed25519 in C2SP signed-note.
const ED25519_TYPE: u8 = 0x01;
const FILE_PREFIX: &str = "PRIVATE+KEY+";

/// The log's Ed25519 key and its name, which is the log's origin.
pub struct LogKey {
    name: String,
    id: [u8; 4],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogKey({}, redacted)", self.vkey())
    }
}

impl LogKey {
    /// Makes a new key in a new file of mode 0600.
    ///
    /// # Errors
    /// `Key` for a name that notes cannot carry, `File` where the file exists already or cannot be written.
    pub fn create_file(path: &Path, name: &str) -> Result<Self, CryptoError> {
        let seed = Zeroizing::new(random::bytes::<32>()?);
        let key = Self::from_seed(name, &*seed)?;
        let mut typed = Zeroizing::new(vec![ED25519_TYPE]);
        typed.extend_from_slice(&*seed);
        let mut line = Zeroizing::new(String::with_capacity(FILE_PREFIX.len() + name.len() + 64));
        let secret = Zeroizing::new(BASE64.encode(&typed));
        for piece in [FILE_PREFIX, name, "+", &HEXLOWER.encode(&key.id), "+", &secret, "\n"] {
            line.push_str(piece);
        }
        files::create_secret(path, line.as_bytes())?;
        Ok(key)
    }

    /// Reads the file that `create_file` made; Go's note tools write the same form.
    ///
    /// # Errors
    /// `File`, with the path and the mode that it needs.
    pub fn load_file(path: &Path) -> Result<Self, CryptoError> {
        let line = files::read_secret_line(path)?;
        Self::parse(&line).ok_or_else(|| {
            let cure = "put back the file that belongs to this log; it needs mode 0600";
            CryptoError::file(path, "is not the log's key", cure)
        })
    }

    /// The key's name, the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The verifier's key line: what people pin.
    #[must_use]
    pub fn vkey(&self) -> String {
        let mut typed = vec![ED25519_TYPE];
        typed.extend_from_slice(self.pair.public_key().as_ref());
        format!("{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&typed))
    }

    /// Signs the text of a note (it ends with a newline): the whole note.
    ///
    /// # Errors
    /// `Note` for a text that no verifier would read.
    pub fn sign_note(&self, body: &str) -> Result<String, CryptoError> {
        if !body.ends_with('\n') {
            return Err(CryptoError::Note("its text does not end with a newline"));
        }
        if body.chars().any(|c| c < ' ' && c != '\n') {
            return Err(CryptoError::Note("its text has control characters"));
        }
        let mut signed = self.id.to_vec();
        signed.extend_from_slice(self.pair.sign(body.as_bytes()).as_ref());
        Ok(format!("{body}\n\u{2014} {} {}\n", self.name, BASE64.encode(&signed)))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix(FILE_PREFIX)?.splitn(3, '+');
        let (name, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let typed = Zeroizing::new(BASE64.decode(secret.as_bytes()).ok()?);
        let (&kind, seed) = typed.split_first()?;
        let key = Self::from_seed(name, seed).ok()?;
        (kind == ED25519_TYPE && HEXLOWER.encode(&key.id) == id).then_some(key)
    }

    fn from_seed(name: &str, seed: &[u8]) -> Result<Self, CryptoError> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(CryptoError::Key("the log's name is empty or has spaces or `+`".to_owned()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(CryptoError::key)?;
        let mut named = format!("{name}\n").into_bytes();
        named.push(ED25519_TYPE);
        named.extend_from_slice(pair.public_key().as_ref());
        let [a, b, c, d, ..] = *Digest::of(&named).as_bytes();
        Ok(Self { name: name.to_owned(), id: [a, b, c, d], pair })
    }
}

/// Whether the signature over the message is the key's.
#[must_use]
pub fn verify_ed25519(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures::{TempDir, vectors};

    #[test]
    fn notes_are_those_that_the_reference_writes() {
        let all = vectors("tlog/go-sumdb/vectors.json").unwrap();
        let known = &all["checkpoints"];
        let seed = HEXLOWER.decode(known["ed25519_seed_hex"].as_str().unwrap().as_bytes()).unwrap();
        let key = LogKey::from_seed("countersign.example/log", &seed).unwrap();
        assert_eq!(key.vkey(), known["vkey"].as_str().unwrap());
        for signed in known["signed"].as_array().unwrap() {
            let note = signed["note"].as_str().unwrap();
            let (text, _) = note.rsplit_once("\n\n").unwrap();
            assert_eq!(key.sign_note(&format!("{text}\n")).unwrap(), note);
        }
    }

    #[test]
    fn ed25519_answers_as_the_published_vectors_say() {
        let Some(all) = vectors("wycheproof/ed25519_test.json") else { return };
        let hex = |value: &serde_json::Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
        let mut counted = 0;
        for group in all["testGroups"].as_array().unwrap() {
            let public: [u8; 32] = hex(&group["publicKey"]["pk"]).try_into().unwrap();
            for test in group["tests"].as_array().unwrap() {
                let valid = verify_ed25519(&public, &hex(&test["msg"]), &hex(&test["sig"]));
                assert_eq!(valid, test["result"] == "valid", "{}", test["tcId"]);
                counted += 1;
            }
        }
        assert!(counted > 100);
    }

    #[test]
    fn attack_096_the_file_is_made_once_and_read_strictly() {
        let dir = TempDir::new();
        let path = dir.path("log.key");
        assert!(LogKey::load_file(&path).is_err() && !path.exists(), "loading makes no key");
        let made = LogKey::create_file(&path, "sign.example.com/log").unwrap();
        assert!(LogKey::create_file(&path, "sign.example.com/log").is_err());
        let loaded = LogKey::load_file(&path).unwrap();
        assert_eq!((loaded.vkey(), loaded.name()), (made.vkey(), "sign.example.com/log"));
        let text = std::fs::read_to_string(&path).unwrap();
        let renamed = text.replace("sign.example", "sigh.example");
        for (at, wrong) in [&text[..60], "", &renamed, &text.replace("PRIVATE", "PUBLIC")].iter().enumerate() {
            let path = dir.path(&format!("wrong-{at}"));
            files::create_secret(&path, wrong.as_bytes()).unwrap();
            let error = LogKey::load_file(&path).unwrap_err().to_string();
            assert!(error.contains("wrong-") && error.contains("0600"), "{error}");
        }
    }

    #[test]
    fn texts_and_names_that_no_verifier_reads_are_refused() {
        let key = LogKey::from_seed("a.example/log", &[7; 32]).unwrap();
        assert!(key.sign_note("no newline").is_err());
        assert!(key.sign_note("tab\t\n").is_err());
        for name in ["", "a b", "a+b", "a\nb"] {
            assert!(LogKey::from_seed(name, &[7; 32]).is_err());
        }
    }

    #[test]
    fn attack_095_nothing_secret_is_in_the_debug_form() {
        let key = LogKey::from_seed("a.example/log", &[7; 32]).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("redacted") && !shown.contains("BwcHBwcH"), "{shown}");
    }
}
