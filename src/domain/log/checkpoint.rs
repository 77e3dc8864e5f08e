//! A checkpoint: the log's size and root, under its name.
//! In: a head of the tree, or the text of a note. Out: the text to be signed, or the head that it states.
//! Implements C2SP tlog-checkpoint v1.0.0, without extension lines.
//! Never reads two spellings of one head.

use data_encoding::BASE64;

use crate::domain::ids::Digest;

use super::merkle::empty_root;
use super::note::{self, NoteError, VerifierKey, Verify};

/// A text that is no checkpoint of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not three lines, or one of them is wrong.
    #[error("the checkpoint's {0} is malformed")]
    Malformed(&'static str),
    /// Lines after the root.
    #[error("the checkpoint has extension lines, which this log never writes")]
    Extended,
    /// The log is another one.
    #[error("the checkpoint is of the log `{0}`")]
    Origin(String),
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A head of the tree, under the log's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, `<host>/log`.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The text to be signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// Anything that `to_text` would have written differently.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed("last line"))?.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        if lines.next().is_some() {
            return Err(CheckpointError::Extended);
        }
        let origin = origin.filter(|origin| !origin.is_empty()).ok_or(CheckpointError::Malformed("origin"))?;
        let size = size.and_then(decimal).ok_or(CheckpointError::Malformed("size"))?;
        let root = root.and_then(note::base64);
        let root = root.and_then(|root| root.try_into().ok()).map(Digest::from_bytes);
        let root = root.filter(|root| (size == 0) == (*root == empty_root()));
        let root = root.ok_or(CheckpointError::Malformed("root"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The checkpoint that the log's key vouches for; a log's key has the log's origin as its name.
    ///
    /// # Errors
    /// A note that the key does not vouch for, or that is no checkpoint of this log.
    pub fn open(note: &str, key: &VerifierKey, verify: Verify<'_>) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(&note::open(note, key, verify)?)?;
        if checkpoint.origin == key.name() { Ok(checkpoint) } else { Err(CheckpointError::Origin(checkpoint.origin)) }
    }
}

/// A whole number, without sign and leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::merkle::leaf_hash;
    use crate::domain::log::note::SignedNote;

    /// Padded pieces behind one another, which a decoder may join.
    fn in_pieces(bytes: &[u8]) -> String {
        format!("{}{}", BASE64.encode(&bytes[..1]), BASE64.encode(&bytes[1..]))
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let head = Checkpoint { origin: "sign.example.com/log".to_owned(), size: 70_000, root: leaf_hash(b"x") };
        let text = head.to_text();
        assert_eq!(Checkpoint::parse(&text), Ok(head.clone()));
        for wrong in [
            text.replace("70000", "070000"),
            text.replace("70000", "+70000"),
            text.replace("70000", "70000 "),
            text.replace("70000", "0"),
            text.replace("70000", "18446744073709551616"),
            text.replace("sign.example.com/log", ""),
            text.replace("=\n", "\n"),
            text.replace(&BASE64.encode(head.root.as_bytes()), &in_pieces(head.root.as_bytes())),
            text.trim_end().to_owned(),
            text.replace('\n', "\r\n"),
            format!("\n{text}"),
            "a\n1\n".to_owned(),
            String::new(),
        ] {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Checkpoint::parse(&format!("{text}more\n")), Err(CheckpointError::Extended));
        assert_eq!(Checkpoint::parse(&format!("{text}\n")), Err(CheckpointError::Extended));
    }

    #[test]
    fn the_empty_tree_has_its_root() {
        let text = "log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        assert_eq!(Checkpoint::parse(text).map(|head| head.root), Ok(empty_root()));
        assert!(Checkpoint::parse(&text.replace("\n0\n", "\n1\n")).is_err());
    }

    #[test]
    fn the_key_of_another_log_does_not_vouch() {
        let head = Checkpoint { origin: "one/log".to_owned(), size: 1, root: leaf_hash(b"x") };
        let key = VerifierKey::new("two/log", [1; 32]).unwrap();
        let note = note::sign(&head.to_text(), "two/log", key.id(), &[0; 64]).unwrap();
        let opened = Checkpoint::open(&note, &key, &|_, _, _| true);
        assert_eq!(opened, Err(CheckpointError::Origin("one/log".to_owned())));
    }

    #[test]
    fn checkpoints_of_other_implementations_read_back() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tlog/tessera-testdata");
        for size in 0..=15 {
            let note = std::fs::read_to_string(folder.join(format!("checkpoint.{size}"))).unwrap();
            let text = SignedNote::parse(&note).unwrap().text;
            let head = Checkpoint::parse(&text).unwrap();
            assert_eq!((head.size, head.to_text()), (size, text));
        }
        let examples = std::fs::read_to_string(folder.join("../c2sp-examples.json")).unwrap();
        let examples: serde_json::Value = serde_json::from_str(&examples).unwrap();
        let note = SignedNote::parse(examples["cosigned_checkpoint"].as_str().unwrap()).unwrap();
        let head = Checkpoint::parse(&note.text).unwrap();
        assert_eq!((head.size, head.to_text()), (20_852_163, note.text));
    }
}
