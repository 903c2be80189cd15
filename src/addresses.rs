//! The addresses under which this host can be reached, as the ports file lists them.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

use crate::listen::join;

/// Every address of every interface, grouped by interface as the kernel lists these. Empty if the
/// kernel does not tell.
#[must_use]
pub fn of_all_interfaces() -> Vec<IpAddr> {
    let mut interfaces: Vec<String> = Vec::new();
    let mut found: Vec<(usize, IpAddr)> = Vec::new();
    for entry in getifaddrs().into_iter().flatten() {
        let place = interfaces.iter().position(|name| *name == entry.interface_name);
        let place = place.unwrap_or_else(|| {
            interfaces.push(entry.interface_name.clone());
            interfaces.len() - 1
        });
        let Some(address) = entry.address else { continue };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        if let Some(ip) = v4.or(v6) {
            found.push((place, ip));
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, ip)| ip).collect()
}

/// URLs of a listener: its own address, or one per address of the host if it listens on all.
#[must_use]
pub fn urls(scheme: &str, listener: SocketAddr, interfaces: &[IpAddr]) -> Vec<String> {
    let url = |ip: &IpAddr| format!("{scheme}://{}", join(&ip.to_string(), listener.port()));
    if listener.ip().is_unspecified() {
        interfaces.iter().map(url).collect()
    } else {
        vec![url(&listener.ip())]
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; without a port, or with port 0 or -1, it is
/// `default_port`.
///
/// # Errors
/// Returns what is wrong with it.
pub fn advertised(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let text = text.trim();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = match port.map(str::trim) {
        None | Some("0" | "-1") => default_port,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is not a port"))?,
    };
    if host.is_empty() {
        return Err("there is no host in it".to_owned());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Vec<IpAddr> {
        ["127.0.0.1", "::1", "192.0.2.2", "fd00::2", "fe80::1"]
            .map(|ip| ip.parse().unwrap())
            .to_vec()
    }

    #[test]
    fn a_wildcard_listener_has_a_url_per_address() {
        let expected = [
            "nats://127.0.0.1:9",
            "nats://[::1]:9",
            "nats://192.0.2.2:9",
            "nats://[fd00::2]:9",
            "nats://[fe80::1]:9",
        ];
        assert_eq!(urls("nats", "[::]:9".parse().unwrap(), &interfaces()), expected);
        let one = urls("nats", "127.0.0.1:9".parse().unwrap(), &interfaces());
        assert_eq!(one, ["nats://127.0.0.1:9"]);
    }

    #[test]
    fn an_advertised_address_may_lack_the_port() {
        let cases = [
            ("a.example", Ok(("a.example", 4222))),
            ("a.example:80", Ok(("a.example", 80))),
            ("a.example:-1", Ok(("a.example", 4222))),
            ("[::1]:80", Ok(("::1", 80))),
            ("[::1]", Ok(("::1", 4222))),
            ("::1", Ok(("::1", 4222))),
            ("foo:bar", Err("\"bar\" is not a port")),
            (":80", Err("there is no host in it")),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(advertised(text, 4222), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn this_host_has_a_loopback() {
        assert!(of_all_interfaces().iter().any(IpAddr::is_loopback));
    }
}
