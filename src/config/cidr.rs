//! Ranges of addresses, as in `10.0.0.0/8`.
//! In: what the configuration says. Out: whether an address lies within.
//! Implements the CIDR notation of RFC 4632 §3.1 and RFC 4291 §2.3.
//! Never takes a range with bits set beyond its prefix: that is a slip, and which way it was meant is anybody's guess.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// A string that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not `ADDRESS/PREFIX` at all.
    #[error("`{0}` is not a range of addresses such as `10.0.0.0/8`")]
    Malformed(String),
    /// Bits beyond the prefix.
    #[error("`{0}` has bits set beyond its prefix; write `{1}`")]
    HostBits(String, Cidr),
}

impl Cidr {
    /// Whether the address lies within. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => mask_v4(own, self.prefix) == mask_v4(other, self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => mask_v6(own, self.prefix) == mask_v6(other, self.prefix),
            _ => false,
        }
    }

    /// Whether it is every address of its family.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

fn mask_v4(address: Ipv4Addr, prefix: u8) -> u32 {
    u32::from(address) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(address: Ipv6Addr, prefix: u8) -> u128 {
    u128::from(address) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| malformed())?,
            Some(_) => return Err(malformed()),
            None => widest,
        };
        if prefix > widest {
            return Err(malformed());
        }
        let start = match address {
            IpAddr::V4(own) => IpAddr::V4(mask_v4(own, prefix).into()),
            IpAddr::V6(own) => IpAddr::V6(mask_v6(own, prefix).into()),
        };
        if start != address {
            return Err(CidrError::HostBits(text.to_owned(), Self { address: start, prefix }));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        assert!(within("10.0.0.0/8", "10.255.0.1"));
        assert!(!within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(within("192.0.2.7", "192.0.2.7") && !within("192.0.2.7", "192.0.2.6"));
        assert!(within("2001:db8::/32", "2001:db8:1::1") && !within("2001:db8::/32", "2001:db9::"));
        assert!(within("0.0.0.0/0", "255.255.255.255") && !within("0.0.0.0/0", "::1"));
    }

    #[test]
    fn slips_are_refused() {
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "host/8", "10.0.0/8"] {
            assert!(matches!(wrong.parse::<Cidr>(), Err(CidrError::Malformed(_))), "{wrong}");
        }
        assert_eq!(
            "10.1.0.0/8".parse::<Cidr>().unwrap_err().to_string(),
            "`10.1.0.0/8` has bits set beyond its prefix; write `10.0.0.0/8`"
        );
    }
}
