//! Which addresses may be connected to.
//! In: an address. Out: public, private (and why), or never.
//! Implements the special-purpose registries of RFC 6890, RFC 4193, RFC 6598, RFC 6052.
//! Never resolves a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anybody's; connected to.
    Public,
    /// Of this machine or network; only where the configuration allows private addresses.
    Private(&'static str),
    /// No single host; never connected to.
    Never(&'static str),
}

impl Reach {
    /// Why the address is not connected to, if it is not.
    #[must_use]
    pub const fn refusal(self, allow_private: bool) -> Option<&'static str> {
        match self {
            Self::Public => None,
            Self::Private(_) if allow_private => None,
            Self::Private(kind) | Self::Never(kind) => Some(kind),
        }
    }
}

/// What the address is.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Reach::Never("unspecified"),
        (224..=239, ..) => Reach::Never("multicast"),
        (240..=255, ..) => Reach::Never("reserved"),
        (127, ..) => Reach::Private("loopback"),
        (169, 254, _) => Reach::Private("link-local"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Reach::Private("private"),
        (100, 64..=127, _) => Reach::Private("shared (carrier-grade NAT)"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Reach::Private("documentation"),
        (198, 18..=19, _) => Reach::Private("benchmarking"),
        (192, 0, 0) | (192, 88, 99) => Reach::Private("protocol-assigned"),
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.to_ipv4_mapped().is_some() {
        return Reach::Private("IPv4-mapped");
    }
    let [first, second, middle @ .., high, low] = address.segments();
    match (first, second) {
        // What a translator makes of an IPv4 address is as public as that.
        (0x64, 0xff9b) if middle == [0; 4] => reach_v4(embedded(high, low)),
        (0xff00.., _) => Reach::Never("multicast"),
        _ if address.is_unspecified() => Reach::Never("unspecified"),
        _ if address.is_loopback() => Reach::Private("loopback"),
        (0xfc00..=0xfdff, _) => Reach::Private("unique local"),
        (0xfe80..=0xfebf, _) => Reach::Private("link-local"),
        (0xfec0..=0xfeff, _) => Reach::Private("site-local"),
        (0x2001, 0x0db8) | (0x3fff, 0..=0x0fff) => Reach::Private("documentation"),
        (0x2001, 0..=0x01ff) | (0x2002, _) => Reach::Private("protocol-assigned"),
        (0x2000..=0x3fff, _) => Reach::Public,
        _ => Reach::Private("unassigned"),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(of(text), Reach::Public, "{text}");
        }
    }

    #[test]
    fn attack_015_private_addresses_need_leave() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "::1",
            "::2",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "2001:db8::1",
            "3fff::1",
            "2001::1",
            "2002:7f00:1::1",
            "100::1",
            "4000::1",
        ] {
            let reach = of(text);
            assert!(matches!(reach, Reach::Private(_)), "{text}: {reach:?}");
            assert!(reach.refusal(false).is_some() && reach.refusal(true).is_none());
        }
    }

    #[test]
    fn attack_015_some_addresses_are_never_connected_to() {
        for text in
            ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "ff02::1"]
        {
            let reach = of(text);
            assert!(matches!(reach, Reach::Never(_)), "{text}: {reach:?}");
            assert!(reach.refusal(true).is_some());
        }
        assert_eq!(of("64:ff9b::0.0.0.0"), Reach::Never("unspecified"));
    }
}
