//! Random bytes of the operating system.
//! In: a buffer or a length. Out: random bytes, or an error; never fewer bytes and never weaker ones.
//! Implements RFC 4086's advice by leaving the matter to the kernel.
//! Never keeps state of its own.

use super::CryptoError;

/// Fills the buffer.
///
/// # Errors
/// `Random` where the system has none to give.
#[expect(clippy::disallowed_methods, reason = "the one caller of the system's randomness")]
pub fn fill(buffer: &mut [u8]) -> Result<(), CryptoError> {
    getrandom::fill(buffer).map_err(|e| CryptoError::Random(e.to_string()))
}

/// `N` random bytes.
///
/// # Errors
/// As `fill`.
pub fn bytes<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut buffer = [0; N];
    fill(&mut buffer)?;
    Ok(buffer)
}

/// `N` random bytes as base64url, for ids and secrets that stand in addresses.
///
/// # Errors
/// As `fill`.
pub fn text<const N: usize>() -> Result<String, CryptoError> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes::<N>()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_draws_are_alike() {
        let draws: std::collections::HashSet<[u8; 16]> = (0..1000).map(|_| super::bytes().unwrap()).collect();
        assert_eq!(draws.len(), 1000);
    }
}
