use ring::signature::{ED25519 as RING_ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::*;

fn verify(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RING_ED25519, key).verify(message, signature).is_ok()
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(name, pair(seed).public_key().as_ref().try_into().unwrap()).unwrap()
}

fn signed(text: &str, name: &str, seed: u8) -> String {
    let signature = pair(seed).sign(text.as_bytes());
    sign(text, name, key(name, seed).id(), signature.as_ref()).unwrap()
}

#[test]
fn a_note_opens_for_its_key_alone() {
    let note = signed("a text\n\nwith an empty line\n", "sign.example.com/log", 1);
    let opened = open(&note, &key("sign.example.com/log", 1), &verify);
    assert_eq!(opened.as_deref(), Ok("a text\n\nwith an empty line\n"));
    let other = open(&note, &key("sign.example.com/log", 2), &verify);
    assert_eq!(other, Err(NoteError::NotSignedBy("sign.example.com/log".to_owned())));
    assert_eq!(SignedNote::parse(&note).unwrap().format(), note);
}

#[test]
fn a_changed_note_does_not_open() {
    let note = signed("countersign\n", "origin", 1);
    let key = key("origin", 1);
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(open(&changed, &key, &verify).is_err(), "byte {at}, bit {bit}");
        }
    }
    assert!(open(&note[..note.len() - 1], &key, &verify).is_err());
}

#[test]
fn lines_of_other_keys_are_passed_over_but_a_false_line_of_the_key_is_not() {
    let mut note = SignedNote::parse(&signed("text\n", "origin", 1)).unwrap();
    let stranger = SignedNote::parse(&signed("text\n", "witness", 2)).unwrap().signatures[0].clone();
    note.signatures.insert(0, stranger);
    let key = key("origin", 1);
    assert_eq!(open(&note.format(), &key, &verify).as_deref(), Ok("text\n"));
    let mut false_line = note.signatures[1].clone();
    false_line.signature[0] ^= 1;
    note.signatures.push(false_line);
    assert_eq!(open(&note.format(), &key, &verify), Err(NoteError::Signature("origin".to_owned())));
}

#[test]
fn malformed_notes_are_refused() {
    let line = "\u{2014} origin AAAAAAE=\n";
    assert!(SignedNote::parse(&format!("text\n\n{line}")).is_ok());
    for (note, error) in [
        (String::new(), NoteError::Unsigned),
        ("text\n".to_owned(), NoteError::Unsigned),
        (format!("text\n{line}"), NoteError::Unsigned),
        (format!("te\rxt\n\n{line}"), NoteError::Text),
        ("text\n\n".to_owned(), NoteError::Unsigned),
        (format!("text\n\n{line}junk\n"), NoteError::Line(2)),
        (format!("text\n\n{}", line.replace('\u{2014}', "-")), NoteError::Line(1)),
        (format!("text\n\n{}", line.replace("AAAAAAE=", "AAAAAA==")), NoteError::Line(1)),
        (format!("text\n\n{}", line.replace("AAAAAAE=", "AAAAAAE")), NoteError::Line(1)),
        (format!("text\n\n{}", line.replace("AAAAAAE=", "AAAAAA==AQ==")), NoteError::Line(1)),
        (format!("text\n\n{}", line.replace("origin", "ori+gin")), NoteError::Line(1)),
        (format!("text\n\n{}", line.repeat(MAX_SIGNATURES + 1)), NoteError::TooLarge),
        (format!("{}\n\n{line}", "x".repeat(MAX_NOTE)), NoteError::TooLarge),
    ] {
        let shown: String = note.chars().take(60).collect();
        assert_eq!(SignedNote::parse(&note), Err(error), "{shown:?}");
    }
    assert!(SignedNote::parse(&format!("text\n\n{}", line.repeat(MAX_SIGNATURES))).is_ok());
    assert_eq!(sign("no newline", "origin", [0; 4], b"x"), Err(NoteError::Text));
    assert!(sign("text\n", "two words", [0; 4], b"x").is_err());
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let text = key("sign.example.com/log", 1).to_string();
    let read = VerifierKey::parse(&text).unwrap();
    assert_eq!((read.name(), read.to_string()), ("sign.example.com/log", text.clone()));
    let mut parts: Vec<_> = text.splitn(3, '+').map(str::to_owned).collect();
    let bytes = BASE64.decode(parts[2].as_bytes()).unwrap();
    let pieces = format!("{}+{}+{}{}", parts[0], parts[1], BASE64.encode(&bytes[..1]), BASE64.encode(&bytes[1..]));
    parts[1] = "00000000".to_owned();
    for wrong in
        [pieces, parts.join("+"), text.replace("sign", "sing"), text[1..].to_owned(), format!("{text}A"), "a+b".into()]
    {
        assert!(VerifierKey::parse(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_notes_of_other_implementations_open() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tlog");
    let text = std::fs::read_to_string(folder.join("c2sp-examples.json")).unwrap();
    let example: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = VerifierKey::parse(example["vkey"].as_str().unwrap()).unwrap();
    let opened = open(example["note"].as_str().unwrap(), &key, &verify);
    assert_eq!(opened.as_deref(), Ok("This is an example message.\n"));
    let cosigned = SignedNote::parse(example["cosigned_checkpoint"].as_str().unwrap()).unwrap();
    assert_eq!(cosigned.signatures.len(), 2);

    let vectors = std::fs::read_to_string(folder.join("go-sumdb/vectors.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&vectors).unwrap();
    let vectors = &vectors["checkpoints"];
    let key = VerifierKey::parse(vectors["vkey"].as_str().unwrap()).unwrap();
    for case in vectors["signed"].as_array().unwrap() {
        let note = case["note"].as_str().unwrap();
        let text = open(note, &key, &verify).unwrap();
        // Ed25519 is deterministic: our own signature must give the same bytes.
        assert_eq!(sign(&text, key.name(), key.id(), pair(7).sign(text.as_bytes()).as_ref()).as_deref(), Ok(note));
    }

    let folder = folder.join("tessera-testdata");
    let key = VerifierKey::parse(std::fs::read_to_string(folder.join("vkey")).unwrap().trim()).unwrap();
    for size in 0..=15 {
        let note = std::fs::read_to_string(folder.join(format!("checkpoint.{size}"))).unwrap();
        assert!(open(&note, &key, &verify).is_ok(), "{size}");
    }
}
