//! RSA moduli that a faulty chip made.
//! In: a modulus. Out: whether it carries the mark of that generator.
//! Implements the fingerprint of Nemec et al., "The Return of Coppersmith's Attack" (CVE-2017-15361).
//! Never factors anything.

/// The odd primes under 168. The generator's moduli are, modulo each of them, a power of 65537.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the modulus carries the mark; another one does by chance once in 2^150 or so.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            let hit = power == rest;
            power = power * (65_537 % prime) % prime;
            hit
        })
    })
}
