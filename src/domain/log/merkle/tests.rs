use proptest::prelude::*;

use super::*;

pub(super) fn tree(size: u64) -> MemoryTree {
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
