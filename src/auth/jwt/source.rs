//! From where a user may connect.

use std::net::{IpAddr, Ipv6Addr};

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    /// Bits that count.
    prefix: u32,
}

impl Network {
    /// Reads an address, a slash and a number of bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        let prefix: u32 = prefix.parse().ok()?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return None;
        }
        Some(match (mapped(address), address) {
            // Addresses of version 4 inside of version 6 are addresses of version 4.
            (inner @ IpAddr::V4(_), IpAddr::V6(_)) if prefix >= 96 => {
                Self { address: inner, prefix: prefix - 96 }
            }
            _ => Self { address, prefix },
        })
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, mapped(address)) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same(own.to_bits(), other.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

fn same(one: u128, other: u128, bits: u32, prefix: u32) -> bool {
    (one ^ other).checked_shr(bits - prefix).unwrap_or_default() == 0
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(inner) => Ipv6Addr::to_ipv4_mapped(&inner).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether somebody at `address` is in one of these; everybody is if there are none. One that
/// cannot be read lets nobody in from those behind it.
#[must_use]
pub fn admits(networks: &[String], address: IpAddr) -> bool {
    for text in networks {
        match Network::parse(text) {
            Some(network) if network.contains(address) => return true,
            Some(_) => {}
            None => return false,
        }
    }
    networks.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_inside_or_outside() {
        for (network, address, inside) in [
            ("192.168.0.0/16", "192.168.3.4", true),
            ("192.168.0.0/16", "192.169.0.1", false),
            ("192.168.3.4/16", "192.168.1.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::/0", "10.1.2.3", false),
            ("::/0", "fe80::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::/32", "10.1.2.3", false),
        ] {
            let (parsed, address) = (Network::parse(network).unwrap(), address.parse().unwrap());
            assert_eq!(parsed.contains(address), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+1", "::/129", "1.2.3/8"] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_unreadable_network_lets_nobody_in() {
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let here = "1.2.3.4".parse().unwrap();
        assert!(admits(&[], here));
        assert!(admits(&list(&["9.9.9.9/32", "1.2.3.0/24"]), here));
        assert!(!admits(&list(&["9.9.9.9/32", "nonsense", "1.2.3.0/24"]), here));
        assert!(!admits(&list(&["9.9.9.9/32"]), here));
    }
}
