//! Trees made by others: Go's sumdb and Tessera.
//! In: their roots, proofs, tiles and entries. Out: ours are the same, and theirs verify here.
//! Implements C2SP tlog-tiles and tlog-proof as far as tests read them.
//! Never part of the product.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::tree;
use super::*;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::note::{SignedNote, VerifierKey};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tlog").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

fn digest(value: &Value) -> Digest {
    let bytes = data_encoding::BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
    Digest::from_bytes(bytes.try_into().unwrap())
}

fn proof(case: &Value) -> Vec<Digest> {
    case["proof"].as_array().map(|hashes| hashes.iter().map(digest).collect()).unwrap_or_default()
}

#[test]
fn the_vectors_of_another_implementation_agree() {
    let vectors: Value = serde_json::from_str(&text("go-sumdb/vectors.json")).unwrap();
    let whole = tree(70_000);
    assert_eq!(digest(&vectors["empty_root"]), empty_root());
    for case in vectors["roots"].as_array().unwrap() {
        assert_eq!(root(case["size"].as_u64().unwrap(), &whole), Some(digest(&case["root"])));
    }
    let inclusion = vectors["inclusion"].as_array().unwrap();
    for case in inclusion {
        let (index, size) = (case["index"].as_u64().unwrap(), case["size"].as_u64().unwrap());
        assert_eq!(inclusion_proof(index, size, &whole), Some(proof(case)), "{index} of {size}");
        let (leaf, top) = (whole.hash(0, index).unwrap(), root(size, &whole).unwrap());
        assert_eq!(verify_inclusion(&leaf, index, size, &proof(case), &top), Ok(()));
    }
    let consistency = vectors["consistency"].as_array().unwrap();
    for case in consistency {
        let (old, new) = (case["old"].as_u64().unwrap(), case["new"].as_u64().unwrap());
        assert_eq!(consistency_proof(old, new, &whole), Some(proof(case)), "{old} to {new}");
        let (before, after) = (root(old, &whole).unwrap(), root(new, &whole).unwrap());
        assert_eq!(verify_consistency(old, new, &proof(case), &before, &after), Ok(()));
    }
    assert_eq!((inclusion.len(), consistency.len()), (88, 171));
    for case in vectors["tiles_of_70000"].as_array().unwrap() {
        let (level, index) = (case["level"].as_u64().unwrap(), case["index"].as_u64().unwrap());
        let width = case["width"].as_u64().unwrap();
        let hashes = (0..width).map(|at| whole.hash(u32::try_from(level).unwrap() * 8, index * 256 + at).unwrap());
        let tile: Vec<u8> = hashes.flat_map(|hash| *hash.as_bytes()).collect();
        assert_eq!(Digest::of(&tile), digest(&case["sha256_of_tile_base64"]), "tile {level}/{index}.{width}");
    }
}

fn stated(note: &str) -> Checkpoint {
    Checkpoint::parse(&SignedNote::parse(note).unwrap().text).unwrap()
}

/// The entries of a bundle of C2SP tlog-tiles: each with its length in two bytes before it.
fn entries(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    assert!(bundle.is_empty());
    entries
}

#[test]
fn a_tiled_log_of_another_implementation_has_our_roots_and_tiles() {
    let mut whole = MemoryTree::default();
    assert_eq!(stated(&text("tessera-testdata/checkpoint.0")).root, whole.root());
    for size in 1..=15_u64 {
        let bundle = std::fs::read(file(&format!("tessera-testdata/tile/entries/000.p/{size}"))).unwrap();
        let entries = entries(&bundle);
        assert_eq!(entries.len() as u64, size);
        whole.push(leaf_hash(entries.last().unwrap()));
        let tile: Vec<u8> = (0..size).flat_map(|at| *whole.hash(0, at).unwrap().as_bytes()).collect();
        assert_eq!(std::fs::read(file(&format!("tessera-testdata/tile/0/000.p/{size}"))).unwrap(), tile, "{size}");
        let head = stated(&text(&format!("tessera-testdata/checkpoint.{size}")));
        assert_eq!((head.size, head.root), (size, whole.root()));
        for old in 0..=size {
            let before = stated(&text(&format!("tessera-testdata/checkpoint.{old}"))).root;
            let proof = consistency_proof(old, size, &whole).unwrap();
            assert_eq!(verify_consistency(old, size, &proof, &before, &head.root), Ok(()), "{old} to {size}");
        }
    }
    assert_eq!(stated(&text("tessera-testdata/checkpoint")).root, whole.root());
}

#[test]
fn a_proof_file_of_another_implementation_verifies() {
    let file = text("go-sumdb/index-35000-of-70000.tlog-proof");
    let (proof, note) = file.split_once("\n\n").unwrap();
    let mut lines = proof.lines();
    assert_eq!((lines.next(), lines.next()), (Some("c2sp.org/tlog-proof@v1"), Some("index 35000")));
    let proof: Vec<_> = lines.map(|line| digest(&line.into())).collect();
    let vectors: Value = serde_json::from_str(&text("go-sumdb/vectors.json")).unwrap();
    let key = VerifierKey::parse(vectors["checkpoints"]["vkey"].as_str().unwrap()).unwrap();
    let verify = |key: &[u8; 32], message: &[u8], signature: &[u8]| {
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key).verify(message, signature).is_ok()
    };
    let head = Checkpoint::open(note, &key, &verify).unwrap();
    let check = |entry: &[u8], index| verify_inclusion(&leaf_hash(entry), index, head.size, &proof, &head.root);
    assert_eq!((head.size, check(b"entry 35000", 35_000)), (70_000, Ok(())));
    assert!(check(b"entry 35001", 35_000).is_err() && check(b"entry 35000", 35_001).is_err());
}
