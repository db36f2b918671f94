//! Client address of a request behind trusted proxies (`TRUSTED_PROXIES`).
//!
//! It depends on addresses only; the listener knows the names of the headers.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Proxies whose forwarding headers are trusted.
#[derive(Debug, Clone)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Creates the list of the configuration; an empty list trusts no proxy.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the address of the client.
    ///
    /// It is the address of the peer, unless the peer is a trusted proxy. Then it is the first address of `forwarded`, which has the nearest hop
    /// first, that is not a trusted proxy: addresses beyond it are only claims of that client. If all hops are trusted it is the farthest; without
    /// hops it is `real`. An invalid address ends the search at the hop before it.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl Iterator<Item = &'a [u8]>,
        real: Option<&[u8]>,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let mut client = None;
        for hop in forwarded {
            let Some(address) = parse(hop) else {
                return client.unwrap_or(peer);
            };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client.or_else(|| parse(real?)).unwrap_or(peer)
    }
}

/// Parses an address with or without a port.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, header: &str, real: Option<&str>) -> String {
        let networks = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
        let trusted =
            TrustedProxies::new(networks.map(|one| one.parse().expect("a network")).to_vec());
        let hops = header.split(',').rev().filter(|hop| !hop.is_empty());
        let peer = peer.parse().expect("an address");
        trusted
            .client(peer, hops.map(str::as_bytes), real.map(str::as_bytes))
            .to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client() {
        assert_eq!(client("9.9.9.9", "1.1.1.1", Some("2.2.2.2")), "9.9.9.9");
        assert_eq!(client("::ffff:9.9.9.9", "1.1.1.1", None), "9.9.9.9");
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(client("127.0.0.1", "1.1.1.1", None), "1.1.1.1");
        assert_eq!(client("::ffff:127.0.0.1", "1.1.1.1", None), "1.1.1.1");
        assert_eq!(client("fd00::1", " 2001:db8::7 ", None), "2001:db8::7");
        assert_eq!(client("10.0.0.2", "1.1.1.1:5050", None), "1.1.1.1");
        assert_eq!(client("10.0.0.2", "[2001:db8::7]:80", None), "2001:db8::7");
        assert_eq!(client("10.0.0.2", "[2001:db8::7]", None), "2001:db8::7");
    }

    #[test]
    fn addresses_beyond_the_last_untrusted_hop_are_ignored() {
        assert_eq!(
            client("127.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.7", None),
            "1.1.1.1"
        );
        assert_eq!(client("127.0.0.1", "10.0.0.1, 1.1.1.1", None), "1.1.1.1");
    }

    #[test]
    fn inside_a_trusted_network_the_farthest_is_the_client() {
        assert_eq!(client("127.0.0.1", "10.0.0.9, 10.0.0.7", None), "10.0.0.9");
    }

    #[test]
    fn without_forwarded_hops_the_real_address_is_used() {
        assert_eq!(client("127.0.0.1", "", Some("2.2.2.2")), "2.2.2.2");
        assert_eq!(client("127.0.0.1", "", Some("nobody")), "127.0.0.1");
        assert_eq!(client("127.0.0.1", "", None), "127.0.0.1");
    }

    #[test]
    fn an_invalid_address_ends_the_search() {
        assert_eq!(client("127.0.0.1", "1.1.1.1, unknown", None), "127.0.0.1");
        assert_eq!(
            client("127.0.0.1", "1.1.1.1, unknown, 10.0.0.7", None),
            "10.0.0.7"
        );
    }
}
