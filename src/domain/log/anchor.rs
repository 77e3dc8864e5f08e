//! Anchors: checkpoints that somebody kept outside, held against the log that is there now, or against each other.
//! In: heads of one log, and the root that the log gives at an anchor's size. Out: how they contradict, where they do.
//! Implements DESIGN §7 (a whole machine put back is caught from outside).
//! Never says that a log is whole: an anchor vouches for the entries that it covers, and for no later one.

use crate::domain::ids::Digest;

use super::checkpoint::Checkpoint;

/// How a log contradicts a checkpoint that its own key signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// It has fewer entries.
    #[error("the anchor covers {anchor} entries, the log has {log}: it was cut off, or an older copy was put back")]
    Short {
        /// How many the anchor covers.
        anchor: u64,
        /// How many there are.
        log: u64,
    },
    /// It has other entries.
    #[error("the log's first {0} entries are not those that the anchor covers: the log's key signed two histories")]
    Forked(u64),
}

/// Holds a log of `size` entries against an anchor; `root` gives the root over so many of its first entries.
///
/// # Errors
/// What `root` says.
pub fn contradiction<E>(
    anchor: &Checkpoint,
    size: u64,
    root: impl FnOnce(u64) -> Result<Digest, E>,
) -> Result<Option<Contradiction>, E> {
    if size < anchor.size {
        return Ok(Some(Contradiction::Short { anchor: anchor.size, log: size }));
    }
    Ok((root(anchor.size)? != anchor.root).then_some(Contradiction::Forked(anchor.size)))
}

/// What two checkpoints of one key say of each other, without the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// The same tree.
    Same,
    /// Two trees of one size: each is proof against the key that signed the other.
    TwoHistories,
    /// Trees of two sizes: only the log's hashes can tell whether one goes on from the other.
    Undecided,
}

/// Compares two checkpoints that one key vouches for.
#[must_use]
pub fn together(one: &Checkpoint, other: &Checkpoint) -> Together {
    if one == other {
        Together::Same
    } else if one.size == other.size {
        Together::TwoHistories
    } else {
        Together::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::merkle::{MemoryTree, leaf_hash, root};

    fn head(size: u64, root: Digest) -> Checkpoint {
        Checkpoint { origin: "sign.example.com/log".to_owned(), size, root }
    }

    fn tree(entries: &[&str]) -> MemoryTree {
        let mut tree = MemoryTree::default();
        for entry in entries {
            tree.push(leaf_hash(entry.as_bytes()));
        }
        tree
    }

    fn judged(anchor: &Checkpoint, log: &[&str]) -> Option<Contradiction> {
        let tree = tree(log);
        contradiction(anchor, log.len() as u64, |size| root(size, &tree).ok_or(())).unwrap()
    }

    #[test]
    fn attack_081_a_log_that_was_cut_off_contradicts_its_anchor() {
        let log = ["a", "b", "c", "d", "e"];
        for size in 1..=log.len() {
            let anchor = head(size as u64, tree(&log[..size]).root());
            assert_eq!(judged(&anchor, &log), None, "{size}");
            for cut in 0..size {
                let short = Contradiction::Short { anchor: size as u64, log: cut as u64 };
                assert_eq!(judged(&anchor, &log[..cut]), Some(short));
            }
        }
    }

    #[test]
    fn attack_082_another_history_contradicts_its_anchor_however_long_it_grew() {
        let anchor = head(3, tree(&["a", "b", "c"]).root());
        for log in [&["a", "b", "x"][..], &["x", "b", "c", "d"], &["a", "c", "b", "d", "e"]] {
            assert_eq!(judged(&anchor, log), Some(Contradiction::Forked(3)), "{log:?}");
        }
    }

    #[test]
    fn attack_082_two_trees_of_one_size_are_two_histories() {
        let one = head(2, tree(&["a", "b"]).root());
        assert_eq!(together(&one, &one.clone()), Together::Same);
        assert_eq!(together(&one, &head(2, tree(&["a", "c"]).root())), Together::TwoHistories);
        assert_eq!(together(&one, &head(3, tree(&["a", "b", "c"]).root())), Together::Undecided);
    }
}
