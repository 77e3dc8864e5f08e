//! The Merkle tree over the log's entries: hashes, roots, and proofs that a leaf or an older tree is in a newer one.
//! In: leaf hashes, and the hashes of complete subtrees. Out: new subtrees, roots, proofs, and verdicts over proofs.
//! Implements RFC 6962 §2.1 (hashing), RFC 9162 §2.1.3 and §2.1.4 (proofs and how they are verified).
//! Never hashes an entry but through `leaf_hash`: the prefix keeps an entry from being read as a node.

use sha2::Digest as _;

use crate::domain::ids::Digest;

/// The largest number of hashes in a proof about a tree of up to 2^63 leaves.
pub const MAX_PROOF: usize = 64;

/// A proof that does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the older size lies outside the tree.
    #[error("the index or the older size is outside the tree")]
    OutOfRange,
    /// More or fewer hashes than a proof of this shape has.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::new_with_prefix([0]).chain_update(entry).finalize().into())
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hash = sha2::Sha256::new_with_prefix([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The root of the tree without leaves.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// A complete subtree: `hash` covers the leaves from `n << level` up to, not including, `(n + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    /// Its height; 0 is a leaf.
    pub level: u32,
    /// Its place among the subtrees of this height.
    pub n: u64,
    /// Its root.
    pub hash: Digest,
}

/// Where the hashes of complete subtrees come from.
pub trait Hashes {
    /// The hash of a complete subtree, `None` where it is not there.
    fn hash(&self, level: u32, n: u64) -> Option<Digest>;
}

/// The right edge of a tree: the roots of its complete subtrees, largest first. Enough to append and to give the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The right edge of the tree of that size, `None` where a hash is missing.
    pub fn load(size: u64, hashes: &impl Hashes) -> Option<Self> {
        let levels = (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1);
        let peaks = levels.map(|level| hashes.hash(level, (size >> level) - 1)).collect::<Option<_>>()?;
        Some(Self { size, peaks })
    }

    /// How many leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash; gives the subtrees that are complete with it, the leaf itself first.
    pub fn append(&mut self, leaf: Digest) -> Vec<Subtree> {
        let mut top = Subtree { level: 0, n: self.size, hash: leaf };
        let mut complete = vec![top];
        while top.n & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            top = Subtree { level: top.level + 1, n: top.n >> 1, hash: node_hash(&left, &top.hash) };
            complete.push(top);
        }
        self.peaks.push(top.hash);
        self.size += 1;
        complete
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }
}

/// The root of the tree's first `size` leaves, `None` where a hash is missing.
pub fn root(size: u64, hashes: &impl Hashes) -> Option<Digest> {
    if size == 0 { Some(empty_root()) } else { range(0, size, hashes) }
}

/// The proof that the leaf `index` is in the tree of that size, its sibling first; `None` where it is not,
/// or where a hash is missing.
pub fn inclusion_proof(index: u64, size: u64, hashes: &impl Hashes) -> Option<Vec<Digest>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high, mut proof) = (0, size, Vec::new());
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range(middle, high, hashes)?);
            high = middle;
        } else {
            proof.push(range(low, middle, hashes)?);
            low = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the tree of size `new` begins with the tree of size `old`; empty where they are equal or `old` is 0.
/// `None` where `old` is larger, or where a hash is missing.
pub fn consistency_proof(old: u64, new: u64, hashes: &impl Hashes) -> Option<Vec<Digest>> {
    if old > new {
        return None;
    }
    let (mut low, mut high, mut proof) = (0, new, Vec::new());
    if old == 0 || old == new {
        return Some(proof);
    }
    // Down to the smallest subtree that ends where the old tree ends.
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(range(middle, high, hashes)?);
            high = middle;
        } else {
            proof.push(range(low, middle, hashes)?);
            low = middle;
        }
    }
    // Where that subtree is the old tree itself, the verifier has its root.
    if low > 0 {
        proof.push(range(low, high, hashes)?);
    }
    proof.reverse();
    Some(proof)
}

/// Whether the leaf with this hash is the one at `index` in the tree of that size and root.
///
/// # Errors
/// What is wrong with the proof.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            climb(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    conclude(last, hash == *root)
}

/// Whether the tree of size `new` begins with the tree of size `old`, by their sizes and roots.
///
/// # Errors
/// What is wrong with the proof.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        // Every tree begins with the empty one; and a tree begins with itself.
        let agree = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return conclude(proof.len() as u64, agree);
    }
    // A perfect old tree is the first hash itself; the proof leaves it out.
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length)?;
        (*first, rest)
    };
    let (mut at, mut last) = (old - 1, new - 1);
    let perfect = at.trailing_ones();
    at >>= perfect;
    last >>= perfect;
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            climb(&mut at, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    conclude(last, old_hash == *old_root && new_hash == *new_root)
}

/// A whole tree in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    levels: Vec<Vec<Digest>>,
}

impl MemoryTree {
    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Digest) {
        for subtree in self.frontier.append(leaf) {
            let level = subtree.level as usize;
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            if let Some(hashes) = self.levels.get_mut(level) {
                hashes.push(subtree.hash);
            }
        }
    }

    /// How many leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }
}

impl Hashes for MemoryTree {
    fn hash(&self, level: u32, n: u64) -> Option<Digest> {
        self.levels.get(level as usize)?.get(usize::try_from(n).ok()?).copied()
    }
}

/// The largest power of two below the width, which is at least 2.
const fn split(width: u64) -> u64 {
    1 << (u64::BITS - 1 - (width - 1).leading_zeros())
}

/// The hash of the leaves from `low` up to, not including, `high`; `low` is where a subtree of that width may begin.
fn range(low: u64, high: u64, hashes: &impl Hashes) -> Option<Digest> {
    let width = high - low;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return hashes.hash(level, low >> level);
    }
    let middle = low + split(width);
    Some(node_hash(&range(low, middle, hashes)?, &range(middle, high, hashes)?))
}

/// On the right edge, up to the level at which the node is a right child: the levels between have no sibling.
const fn climb(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

const fn conclude(left_over: u64, roots_agree: bool) -> Result<(), ProofError> {
    match (left_over, roots_agree) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
