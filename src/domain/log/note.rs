//! Signed notes: a text and the lines by which keys vouch for it.
//! In: a note or its parts, and a function that verifies Ed25519. Out: the text that a pinned key vouches for.
//! Implements C2SP signed-note v1.0.0, Ed25519 (type 0x01).
//! Never gives out a text that no wanted key signed, and never trusts a key that the note itself names.

use std::fmt::{self, Write as _};

use data_encoding::{BASE64, HEXLOWER};

use crate::domain::ids::Digest;

/// Largest note, in bytes.
pub const MAX_NOTE: usize = 1_000_000;
/// Most signature lines of a note.
pub const MAX_SIGNATURES: usize = 100;
/// The signature type Ed25519.
const ED25519: u8 = 0x01;
/// What a signature line begins with: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// A note or a key that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Beyond `MAX_NOTE` or `MAX_SIGNATURES`.
    #[error("the note is larger than {MAX_NOTE} bytes or has more than {MAX_SIGNATURES} signatures")]
    TooLarge,
    /// The text is not a note's text.
    #[error("the note's text must end in a newline and hold no control characters")]
    Text,
    /// No signature line after the last empty line.
    #[error("the note has no signature lines")]
    Unsigned,
    /// A signature line that is none.
    #[error("the note's signature line {0} is malformed")]
    Line(usize),
    /// Not a verifier key of Ed25519.
    #[error("`{0}` is not a verifier key (`name+hex id+base64` of an Ed25519 key)")]
    Key(String),
    /// Not a key's name.
    #[error("`{0}` is not a key name (no spaces, no `+`)")]
    Name(String),
    /// The wanted key has no line here.
    #[error("the note is not signed by `{0}`")]
    NotSignedBy(String),
    /// The wanted key has a line that does not verify.
    #[error("the signature of `{0}` does not verify")]
    Signature(String),
}

/// Verifies Ed25519: the public key, the signed bytes, the signature.
pub type Verify<'a> = &'a dyn Fn(&[u8; 32], &[u8], &[u8]) -> bool;

/// A key that vouches for notes, as a verifier pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The Ed25519 key of that name.
    ///
    /// # Errors
    /// `Name`.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), public_key })
    }

    /// Reads `name+hex id+base64(type || key)`.
    ///
    /// # Errors
    /// `Key` where the form, the type or the id is wrong.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = || NoteError::Key(text.chars().take(200).collect());
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let key = base64(key).ok_or_else(wrong)?;
        let Some((&ED25519, public_key)) = key.split_first() else { return Err(wrong()) };
        let read = Self::new(name, public_key.try_into().map_err(|_| wrong())?).map_err(|_| wrong())?;
        if HEXLOWER.encode(&read.id()) == id { Ok(read) } else { Err(wrong()) }
    }

    /// Its name; a log's key has the log's origin as its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The id by which a signature line names it.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut named = self.name.clone().into_bytes();
        named.extend([b'\n', ED25519]);
        named.extend(self.public_key);
        let [a, b, c, d, ..] = *Digest::of(&named).as_bytes();
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.public_key);
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: [u8; 4],
    /// What follows the id; its form depends on the key's type.
    pub signature: Vec<u8>,
}

/// A note taken apart; nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// What is signed; ends in a newline.
    pub text: String,
    /// By whom, in the note's order.
    pub signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Takes a note apart.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        // The text ends at the last empty line, so that it may hold empty lines itself.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut signatures = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::TooLarge);
            }
            signatures.push(signature_line(line).ok_or(NoteError::Line(at + 1))?);
        }
        Ok(Self { text, signatures })
    }

    /// Puts the note together.
    #[must_use]
    pub fn format(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for line in &self.signatures {
            let mut bytes = line.key_id.to_vec();
            bytes.extend(&line.signature);
            // Writing to a string cannot fail.
            let _ = writeln!(note, "{MARK}{} {}", line.name, BASE64.encode(&bytes));
        }
        note
    }
}

/// The text that the key vouches for.
///
/// Lines of other keys are passed over; every line of this key must verify.
///
/// # Errors
/// A malformed note, or one that this key does not vouch for.
pub fn open(note: &str, key: &VerifierKey, verify: Verify<'_>) -> Result<String, NoteError> {
    let SignedNote { text, signatures } = SignedNote::parse(note)?;
    let id = key.id();
    let mut lines = signatures.iter().filter(|line| line.name == key.name && line.key_id == id).peekable();
    if lines.peek().is_none() {
        return Err(NoteError::NotSignedBy(key.name.clone()));
    }
    if lines.all(|line| verify(&key.public_key, text.as_bytes(), &line.signature)) {
        Ok(text)
    } else {
        Err(NoteError::Signature(key.name.clone()))
    }
}

/// The note of a text and its one signature; what was signed is the text's bytes, newline included.
///
/// # Errors
/// A text or a name that no note can carry.
pub fn sign(text: &str, name: &str, key_id: [u8; 4], signature: &[u8]) -> Result<String, NoteError> {
    check_text(text)?;
    check_name(name)?;
    let line = NoteSignature { name: name.to_owned(), key_id, signature: signature.to_vec() };
    let note = SignedNote { text: text.to_owned(), signatures: vec![line] }.format();
    if note.len() > MAX_NOTE { Err(NoteError::TooLarge) } else { Ok(note) }
}

fn signature_line(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_prefix(MARK)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = base64(signature)?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    if signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
}

/// One spelling for each value: the decoder alone also takes padded pieces behind one another.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let clean = text.bytes().all(|byte| byte >= 0x20 || byte == b'\n');
    if clean && text.ends_with('\n') { Ok(()) } else { Err(NoteError::Text) }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let clean = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
    if clean { Ok(()) } else { Err(NoteError::Name(name.chars().take(200).collect())) }
}

#[cfg(test)]
mod tests;
