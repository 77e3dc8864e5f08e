//! Digests of secrets, and their comparison.
//! In: secrets that callers bring. Out: SHA-256 of them; yes or no in constant time.
//! Implements FIPS 180-4 through `Digest`.
//! Never keeps the secret, never tells how much of it was right.

use subtle::ConstantTimeEq as _;

use crate::domain::ids::Digest;

/// The digest under which a collector (`Idempotency-Key`) is kept. The prefix keeps it apart from every other
/// SHA-256 in the store.
#[must_use]
pub fn of_collector(collector: &str) -> Digest {
    of_parts(b"countersign/collector/v1\0", collector.as_bytes())
}

/// The digest under which a link's or a cookie's secret is kept.
#[must_use]
pub fn of_secret(secret: &[u8]) -> Digest {
    Digest::of(secret)
}

/// Whether the two are equal, in a time that does not depend on where they differ.
#[must_use]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn of_parts(tag: &[u8], value: &[u8]) -> Digest {
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(tag.len() + value.len()));
    bytes.extend_from_slice(tag);
    bytes.extend_from_slice(value);
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_of_whole_values() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
        assert!(equal(b"", b""));
    }

    #[test]
    fn a_collector_has_a_digest_of_its_own() {
        assert_ne!(of_collector("x"), of_secret(b"x"));
        assert_eq!(of_collector("x"), of_collector("x"));
        assert_ne!(of_collector("x"), of_collector("y"));
    }
}
