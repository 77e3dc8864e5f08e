use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn tree(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for index in 0..size {
        tree.push(leaf_hash(format!("entry {index}").as_bytes()));
    }
    tree
}

/// The definition of RFC 6962 §2.1, without any cleverness.
fn defined_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

fn digest(value: &Value) -> Digest {
    let bytes = data_encoding::BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
    Digest::from_bytes(bytes.try_into().unwrap())
}

fn proof(case: &Value) -> Vec<Digest> {
    case["proof"].as_array().map(|hashes| hashes.iter().map(digest).collect()).unwrap_or_default()
}

#[test]
fn roots_follow_the_definition() {
    let leaves: Vec<_> = (0..70_u64).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect();
    let whole = tree(70);
    for size in 0..=70 {
        let expected = defined_root(&leaves[..usize::try_from(size).unwrap()]);
        assert_eq!(root(size, &whole), Some(expected), "{size}");
        assert_eq!(tree(size).root(), expected, "{size}");
        let frontier = Frontier::load(size, &whole).unwrap();
        assert_eq!((frontier.root(), frontier.size()), (expected, size));
    }
    assert_eq!(root(71, &whole), None);
}

#[test]
fn an_entry_cannot_pass_for_a_node() {
    let (left, right) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let mut as_entry = vec![1];
    as_entry.extend(left.as_bytes());
    as_entry.extend(right.as_bytes());
    assert_ne!(leaf_hash(&as_entry), node_hash(&left, &right));
    assert_ne!(leaf_hash(&as_entry[1..]), node_hash(&left, &right));
}

#[test]
fn every_proof_of_small_trees_verifies_and_no_other_does() {
    let whole = tree(33);
    for size in 1..=33 {
        let top = root(size, &whole).unwrap();
        for index in 0..size {
            let proof = inclusion_proof(index, size, &whole).unwrap();
            let leaf = whole.hash(0, index).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &top), Ok(()), "{index} of {size}");
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &proof, &top).is_err(), "{index} as {other} of {size}");
            }
            let mut longer = proof.clone();
            longer.push(top);
            assert_eq!(verify_inclusion(&leaf, index, size, &longer, &top), Err(ProofError::Length));
            if let Some((_, shorter)) = proof.split_last() {
                assert_eq!(verify_inclusion(&leaf, index, size, shorter, &top), Err(ProofError::Length));
            }
        }
        assert_eq!(verify_inclusion(&top, size, size, &[], &top), Err(ProofError::OutOfRange));
        for old in 0..=size {
            let before = root(old, &whole).unwrap();
            let proof = consistency_proof(old, size, &whole).unwrap();
            assert_eq!(verify_consistency(old, size, &proof, &before, &top), Ok(()), "{old} to {size}");
            let mut longer = proof.clone();
            longer.push(top);
            assert_eq!(verify_consistency(old, size, &longer, &before, &top), Err(ProofError::Length));
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_consistency(old, size, shorter, &before, &top).is_err());
            }
        }
        assert_eq!(consistency_proof(size + 1, size, &whole), None);
        assert_eq!(inclusion_proof(size, size, &whole), None);
    }
}

#[test]
fn a_forked_tree_is_not_consistent() {
    let mut fork = tree(20);
    fork.push(leaf_hash(b"other"));
    fork.push(leaf_hash(b"entry 21"));
    let honest = tree(21);
    let proof = consistency_proof(21, 22, &fork).unwrap();
    assert_eq!(verify_consistency(21, 22, &proof, &honest.root(), &fork.root()), Err(ProofError::Root));
    assert_eq!(verify_consistency(20, 20, &[], &tree(20).root(), &fork.root()), Err(ProofError::Root));
    assert_eq!(verify_consistency(0, 22, &[], &tree(1).root(), &fork.root()), Err(ProofError::Root));
}

#[test]
fn the_vectors_of_another_implementation_agree() {
    let file = Path::new("../shared/vectors/tlog/go-sumdb/vectors.json");
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("no vectors here: skipped");
        return;
    };
    let vectors: Value = serde_json::from_str(&text).unwrap();
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

proptest! {
    #[test]
    fn a_flipped_bit_breaks_an_inclusion_proof(size in 2_u64..200, at: prop::sample::Index, bit: prop::sample::Index) {
        let whole = tree(size);
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let mut proof = inclusion_proof(index, size, &whole).unwrap();
        let bit = bit.index(proof.len() * 256);
        flip(&mut proof, bit);
        let leaf = whole.hash(0, index).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &whole.root()), Err(ProofError::Root));
    }

    #[test]
    fn a_flipped_bit_breaks_a_consistency_proof(size in 2_u64..200, at: prop::sample::Index, bit: prop::sample::Index) {
        let whole = tree(size);
        let old = 1 + at.index(usize::try_from(size - 1).unwrap()) as u64;
        let mut proof = consistency_proof(old, size, &whole).unwrap();
        let bit = bit.index(proof.len() * 256);
        flip(&mut proof, bit);
        let before = root(old, &whole).unwrap();
        prop_assert_eq!(verify_consistency(old, size, &proof, &before, &whole.root()), Err(ProofError::Root));
    }
}

fn flip(proof: &mut [Digest], bit: usize) {
    let mut bytes = *proof[bit / 256].as_bytes();
    bytes[bit % 256 / 8] ^= 1 << (bit % 8);
    proof[bit / 256] = Digest::from_bytes(bytes);
}
