//! Whose network an address is of, as far as an address tells.
//! In: IP addresses. Out: one value for a household; whether two are of one.
//! Implements RFC 4291 §2.5.4 (an IPv6 interface changes its own half as it likes).
//! Never more than a hint: whoever shares an address shares it.

use std::net::{IpAddr, Ipv6Addr};

/// One household: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        IpAddr::V4(v4) => IpAddr::V4(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_changes_and_a_household_stays() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
