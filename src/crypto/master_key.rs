//! The master key: wraps what the store keeps secret.
//! In: a file of mode 0600, or a command that prints the key. Out: JWE, and the plain bytes back.
//! Implements RFC 7516 compact serialisation, `dir` with `A256GCM` (RFC 7518 §4.5, §5.3).
//! Never makes a key where one was only to be read, and never opens what was wrapped for another purpose.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use josekit::jwe::JweContentEncryption as _;
use josekit::jwe::enc::aesgcm::AesgcmJweEncryption::A256gcm;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{CryptoError, files, random};
use crate::domain::canonical;
use crate::domain::ids::Digest;

/// Longest output of a command that prints the key, in bytes.
pub const MAX_COMMAND_OUTPUT: u64 = 4096;

/// How long a command that prints the key may take.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(30);

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file of mode 0600.
    File(PathBuf),
    /// A command for `sh -c` that prints the key on one line, as a KMS client does.
    Command(String),
}

/// 32 random bytes that wrap the keys in the store.
pub struct MasterKey {
    key: Zeroizing<[u8; 32]>,
    /// Tells one master key from another without giving anything away: a digest of 256 random bits.
    id: String,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({}, redacted)", self.id)
    }
}

impl MasterKey {
    /// Reads the key.
    ///
    /// # Errors
    /// `File` with path and needed mode, or `MasterKey` where what was read is not a key.
    pub fn load(source: &MasterKeySource) -> Result<Self, CryptoError> {
        match source {
            MasterKeySource::File(path) => {
                let line = files::read_secret_line(path)?;
                Self::parse(&line).map_err(|why| CryptoError::file(path, why, PUT_BACK))
            }
            MasterKeySource::Command(command) => {
                let output = run(command, COMMAND_WITHIN)?;
                let text = std::str::from_utf8(&output).unwrap_or_default();
                Self::parse(text.strip_suffix('\n').unwrap_or(text))
                    .map_err(|why| CryptoError::MasterKey(format!("what `master_key_command` prints {why}")))
            }
        }
    }

    /// Makes a new key in a new file of mode 0600.
    ///
    /// # Errors
    /// `File` where the file exists already or cannot be written.
    pub fn create_file(path: &Path) -> Result<Self, CryptoError> {
        let key = Zeroizing::new(random::bytes::<32>()?);
        let mut line = Zeroizing::new(BASE64URL_NOPAD.encode(&*key));
        line.push('\n');
        files::create_secret(path, line.as_bytes())?;
        Ok(Self::from_bytes(key))
    }

    /// Wraps bytes for one purpose, named by `context`.
    ///
    /// # Errors
    /// `Random` or `MasterKey`.
    pub fn wrap(&self, plaintext: &[u8], context: &str) -> Result<String, CryptoError> {
        let header = BASE64URL_NOPAD.encode(&self.header(context)?);
        let iv = random::bytes::<12>()?;
        let (ciphertext, tag) = A256gcm
            .encrypt(&*self.key, Some(&iv), plaintext, header.as_bytes())
            .map_err(|e| CryptoError::MasterKey(e.to_string()))?;
        let tag = tag.ok_or_else(|| CryptoError::MasterKey("the cipher gave no tag".to_owned()))?;
        let [iv, ciphertext, tag] = [&iv[..], &ciphertext, &tag].map(|part| BASE64URL_NOPAD.encode(part));
        Ok(format!("{header}..{iv}.{ciphertext}.{tag}"))
    }

    /// Opens what `wrap` gave for the same purpose under the same key.
    ///
    /// # Errors
    /// `Unwrap` for anything else.
    pub fn unwrap(&self, jwe: &str, context: &str) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let no = |problem| CryptoError::Unwrap { context: context.to_owned(), problem };
        let parts: Vec<&str> = jwe.split('.').collect();
        let [header, "", iv, ciphertext, tag] = parts.as_slice() else {
            return Err(no("it is not a compact JWE of five parts"));
        };
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| no("it is not base64url"));
        let stated = decode(header)?;
        if stated != self.header(context)? {
            return Err(no(self.why_not(&stated)));
        }
        let (iv, ciphertext, tag) = (decode(iv)?, decode(ciphertext)?, decode(tag)?);
        if iv.len() != 12 || tag.len() != 16 {
            return Err(no("its nonce or tag has another length"));
        }
        A256gcm
            .decrypt(&*self.key, Some(&iv), &ciphertext, header.as_bytes(), Some(&tag))
            .map(Zeroizing::new)
            .map_err(|_| no("it was changed"))
    }

    /// The protected header: the purpose is authenticated with the content.
    fn header(&self, context: &str) -> Result<Vec<u8>, CryptoError> {
        let header = serde_json::json!({"alg": "dir", "enc": "A256GCM", "kid": self.id, "purpose": context});
        canonical::to_bytes(&header).map_err(|e| CryptoError::MasterKey(e.to_string()))
    }

    fn why_not(&self, header: &[u8]) -> &'static str {
        let header = canonical::strict_value(header).unwrap_or_default();
        match header.get("kid").and_then(Value::as_str) {
            Some(kid) if kid == self.id => "it was wrapped for another purpose",
            Some(_) => "it was wrapped with another master key; put back the one that belongs to this state",
            None => "its header is not one that is written here",
        }
    }

    fn from_bytes(key: Zeroizing<[u8; 32]>) -> Self {
        let mut tagged = Zeroizing::new(b"countersign/master-key-id/v1\0".to_vec());
        tagged.extend_from_slice(&*key);
        let digest = Digest::of(&tagged);
        let id = HEXLOWER.encode(digest.as_bytes().get(..8).unwrap_or_default());
        Self { key, id }
    }

    fn parse(line: &str) -> Result<Self, &'static str> {
        let bytes = BASE64URL_NOPAD.decode(line.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| "is not a master key (43 characters of base64url on one line)")?;
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        key.map(|key| Self::from_bytes(Zeroizing::new(key))).map_err(|_| "is not a master key of 32 bytes")
    }
}

const PUT_BACK: &str = "put back the file that `countersign init` made; it needs mode 0600";

/// Runs the command; its standard error is ours, so that the operator reads what a key service says.
fn run(command: &str, within: Duration) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let failed = |why: String| CryptoError::MasterKeyCommand(why);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(format!("did not start ({e})")))?;
    let stdout = child.stdout.take().ok_or_else(|| failed("has no output".to_owned()))?;
    let (tell, told) = mpsc::channel();
    // A thread of its own: reading from a pipe has no deadline.
    std::thread::spawn(move || {
        let mut output = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_COMMAND_OUTPUT).unwrap_or(0)));
        let read = stdout.take(MAX_COMMAND_OUTPUT).read_to_end(&mut output);
        // Nobody listens once the deadline has passed.
        let _ = tell.send(read.map(|_| output));
    });
    let Ok(read) = told.recv_timeout(within) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("printed no key within {} s", within.as_secs())));
    };
    let output = read.map_err(|e| failed(format!("broke off ({e})")))?;
    let status = ended(&mut child, within).map_err(|e| failed(format!("broke off ({e})")))?;
    let status = status.ok_or_else(|| failed(format!("did not end within {} s", within.as_secs())))?;
    if status.success() { Ok(output) } else { Err(failed(format!("failed ({status})"))) }
}

/// Waits for the end of a command that has said all; one that goes on is killed.
fn ended(child: &mut Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    const TICK: Duration = Duration::from_millis(10);
    for _ in 0..=within.as_millis() / TICK.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::park_timeout(TICK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use josekit::jwe::{self, Dir};

    use super::*;
    use crate::crypto::fixtures::TempDir;

    fn key() -> MasterKey {
        MasterKey::from_bytes(Zeroizing::new([7; 32]))
    }

    #[test]
    fn what_is_wrapped_opens_here_and_with_the_jose_library_alone() {
        let wrapped = key().wrap(b"secret", "signing-key x").unwrap();
        assert_eq!(&**key().unwrap(&wrapped, "signing-key x").unwrap(), b"secret");
        let decrypter = Dir.decrypter_from_bytes([7; 32]).unwrap();
        let (plain, header) = jwe::deserialize_compact(&wrapped, &decrypter).unwrap();
        assert_eq!((plain.as_slice(), header.content_encryption()), (&b"secret"[..], Some("A256GCM")));
        assert_ne!(wrapped, key().wrap(b"secret", "signing-key x").unwrap(), "the nonce is fresh");
    }

    #[test]
    fn nothing_opens_for_another_purpose_or_with_another_key() {
        let wrapped = key().wrap(b"secret", "a").unwrap();
        let purpose = key().unwrap(&wrapped, "b").unwrap_err().to_string();
        assert!(purpose.contains("another purpose"), "{purpose}");
        let other = MasterKey::from_bytes(Zeroizing::new([8; 32]));
        let wrong = other.unwrap(&wrapped, "a").unwrap_err().to_string();
        assert!(wrong.contains("another master key"), "{wrong}");
    }

    #[test]
    fn one_changed_character_is_noticed_wherever_it_is() {
        let wrapped = key().wrap(b"secret", "a").unwrap();
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key().unwrap(&changed, "a").is_err(), "{at}");
        }
        for text in ["", "....", "a.b.c", "a.b.c.d.e"] {
            assert!(key().unwrap(text, "a").is_err());
        }
    }

    #[test]
    fn attack_096_the_file_is_made_once_and_read_strictly() {
        let dir = TempDir::new();
        let path = dir.path("master.key");
        let missing = MasterKey::load(&MasterKeySource::File(path.clone()));
        assert!(missing.is_err() && !path.exists(), "loading makes no key");
        let made = MasterKey::create_file(&path).unwrap();
        assert!(MasterKey::create_file(&path).is_err());
        let wrapped = made.wrap(b"x", "a").unwrap();
        let loaded = MasterKey::load(&MasterKeySource::File(path.clone())).unwrap();
        assert!(loaded.unwrap(&wrapped, "a").is_ok());
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, wrong) in [&text[..20], "", "not base64url!", "PRIVATE+KEY+a+00000000+AAAA"].iter().enumerate() {
            let path = dir.path(&format!("wrong-{at}"));
            files::create_secret(&path, wrong.as_bytes()).unwrap();
            let error = MasterKey::load(&MasterKeySource::File(path)).unwrap_err().to_string();
            assert!(error.contains("wrong-") && error.contains("0600"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "the content is not shown");
        }
    }

    #[test]
    fn a_command_may_print_the_key() {
        let line = BASE64URL_NOPAD.encode(&[7; 32]);
        let load = |command: String| MasterKey::load(&MasterKeySource::Command(command));
        let wrapped = key().wrap(b"x", "a").unwrap();
        assert!(load(format!("echo {line}")).unwrap().unwrap(&wrapped, "a").is_ok());
        assert!(load(format!("printf %s {line}")).is_ok());
        for wrong in ["false", "echo no", "true", "yes", "exit 3"] {
            assert!(load(wrong.to_owned()).is_err(), "{wrong}");
        }
        let failed = load(format!("echo {line}; exit 3")).unwrap_err().to_string();
        assert!(failed.contains("failed") && !failed.contains(&line), "{failed}");
    }

    #[test]
    fn a_command_that_hangs_is_given_up() {
        let failed = run("exec tail -f /dev/null", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(&failed, CryptoError::MasterKeyCommand(why) if why.contains("within")), "{failed}");
        let failed = run("echo x; exec >&-; exec sleep 600", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(&failed, CryptoError::MasterKeyCommand(why) if why.contains("end")), "{failed}");
    }

    #[test]
    fn attack_095_nothing_secret_is_in_the_debug_form() {
        let shown = format!("{:?} {:?}", key(), Some(key()));
        assert!(shown.contains("redacted"));
        assert!(!shown.contains("7, 7") && !shown.contains(&BASE64URL_NOPAD.encode(&[7; 32])));
    }
}
