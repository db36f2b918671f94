//! Addresses that requests to foreign URLs may reach. They are checked twice: when a URL is stored, so that a mistake is reported at once, and when a
//! connection is opened, on the very address that is dialled, because a name may resolve to another address than before.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Maximum length of a URL, in bytes.
const MAX_URL: usize = 2048;
/// Ports of other protocols, whose servers an HTTP request could harm.
const REFUSED_PORTS: [u16; 24] = [
    1, 7, 19, 21, 22, 23, 25, 53, 110, 111, 143, 389, 445, 465, 587, 2049, 3306, 4222, 5432, 6222,
    6379, 9200, 11211, 27017,
];

/// Addresses that may be reached in addition to public ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Name of the setting that allows private addresses, for the error.
    pub setting: &'static str,
    /// True if all addresses are allowed.
    pub is_private_allowed: bool,
    /// True if the loopback addresses of this machine are allowed.
    pub is_loopback_allowed: bool,
}

impl AddressPolicy {
    /// Returns true if `address` may be dialled.
    pub fn allows(self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        self.is_private_allowed
            || (self.is_loopback_allowed && address.is_loopback())
            || match address {
                IpAddr::V4(v4) => is_public_v4(v4),
                IpAddr::V6(v6) => is_public_v6(v6),
            }
    }

    /// Checks a URL without resolving its host name.
    ///
    /// # Errors
    /// The fault of the URL, as a sentence that can follow the field's name.
    pub fn check_url(self, text: &str) -> Result<Url, String> {
        if text.len() > MAX_URL {
            return Err(format!("must have at most {MAX_URL} characters"));
        }
        // The parser drops blanks, so the URL that is called would differ from the URL that is stored.
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("must not contain blanks or control characters".to_owned());
        }
        let url =
            Url::parse(text).map_err(|_| "must be a URL such as https://host/path".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must start with https:// or http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must not hold a user name or a password; requests are proven by their signature"
                    .to_owned(),
            );
        }
        if url.fragment().is_some() {
            return Err("must not have a part after #".to_owned());
        }
        let is_allowed = match url.host() {
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let is_local = name.eq_ignore_ascii_case("localhost")
                    || name.to_ascii_lowercase().ends_with(".localhost");
                !is_local || self.is_loopback_allowed
            }
            None => return Err("must name a host".to_owned()),
        };
        if !is_allowed {
            return Err(format!(
                "must not lead to a private, loopback or link-local address ({} allows them)",
                self.setting
            ));
        }
        if url.port() == Some(0) {
            return Err("must not have the port 0, to which nothing can connect".to_owned());
        }
        if !self.is_private_allowed && url.port().is_some_and(|port| REFUSED_PORTS.contains(&port))
        {
            return Err("must not lead to a port of another protocol".to_owned());
        }
        Ok(url)
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 168, _)
            | (192, 175, 48)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// Returns true for globally routed addresses, except those that embed an IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_special = match segments[0] {
        // Teredo, benchmarking, ORCHID and others; documentation.
        0x2001 => segments[1] < 0x0200 || segments[1] == 0x0db8,
        // 6to4 embeds an IPv4 address.
        0x2002 => true,
        0x3fff => segments[1] < 0x1000,
        _ => false,
    };
    is_global && !is_special
}

/// Resolver of host names.
pub trait Lookup: Send + Sync + 'static {
    /// Resolves `host` to its addresses.
    fn lookup(
        &self,
        host: String,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;
}

/// Resolver of the operating system.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(
        &self,
        host: String,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// Resolver that returns only addresses that may be dialled. The client dials these addresses without a second lookup, whose result could differ.
pub struct GuardedResolver {
    reach: AddressPolicy,
    lookup: Arc<dyn Lookup>,
}

/// Error if none of a name's addresses may be dialled.
#[derive(Debug)]
pub struct RefusedAddress;

impl std::fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the address is private, loopback or link-local, and not allowed")
    }
}

impl std::error::Error for RefusedAddress {}

impl GuardedResolver {
    /// Creates a resolver that returns the addresses which `reach` allows.
    pub fn new(reach: AddressPolicy, lookup: Arc<dyn Lookup>) -> Self {
        Self { reach, lookup }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.lookup.lookup(name.as_str().to_owned());
        let reach = self.reach;
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = found
                .await?
                .into_iter()
                .filter(|address| reach.allows(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(RefusedAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PUBLIC_ONLY: AddressPolicy = AddressPolicy {
        setting: "WEBHOOK_ALLOW_PRIVATE",
        is_private_allowed: false,
        is_loopback_allowed: false,
    };

    #[test]
    fn private_addresses_are_rejected_in_every_notation() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001:0:7f00:1::]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://100.127.255.255/",
            "http://198.18.0.1/",
            "http://[fc00::1]/",
            "http://[fd12:3456::1]/",
            "http://[fe80::1]/",
            "http://[fe80::1%25eth0]/",
            "http://[fe80::%eth0]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
            "http://0.0.0.0/",
            "http://0/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
            "http://user@93.184.216.34/",
            "http://user:password@93.184.216.34/",
            "http://93.184.216.34@127.0.0.1/",
            "http://127。0。0。1/",
            "http://127\u{ff0e}0\u{ff0e}0\u{ff0e}1/",
            "http://①②⑦.0.0.1/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://api.localhost/",
            "http://93.184.216.34:27017/",
            "http://93.184.216.34:4222/",
            "file:///etc/passwd",
            "gopher://93.184.216.34/",
            "ftp://93.184.216.34/",
            "https://shop.example:0/",
            " https://shop.example/",
            "https://shop.example/\n",
            "https://shop.\texample/",
            "https://shop.example/a b",
            "http://",
            "http:///",
            "//host",
            "host",
            "http://a b/",
            "https://shop.example/#part",
        ] {
            assert!(PUBLIC_ONLY.check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for url in [
            "https://shop.example/hooks?token=1",
            "https://93.184.216.34/",
            "http://shop.example:8080/",
            "https://[2606:2800:220:1:248:1893:25c8:1946]/",
            "https://100.63.0.1/",
            "https://100.128.0.1/",
            "https://172.32.0.1/",
        ] {
            assert!(PUBLIC_ONLY.check_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn allowed_private_addresses_pass() {
        let loopback = AddressPolicy {
            setting: "WEBHOOK_ALLOW_PRIVATE",
            is_private_allowed: false,
            is_loopback_allowed: true,
        };
        let all = AddressPolicy {
            setting: "WEBHOOK_ALLOW_PRIVATE",
            is_private_allowed: true,
            is_loopback_allowed: true,
        };
        assert!(loopback.check_url("http://localhost:3000/").is_ok());
        assert!(loopback.check_url("http://[::1]:3000/").is_ok());
        assert!(loopback.check_url("http://10.0.0.1/").is_err());
        assert!(loopback.check_url("http://169.254.169.254/").is_err());
        assert!(all.check_url("http://10.0.0.1:27017/").is_ok());
        assert!(all.check_url("http://user@10.0.0.1/").is_err());
    }

    /// Lookup that returns other addresses at every call.
    struct Rebinding(AtomicUsize, Vec<Vec<&'static str>>);

    impl Lookup for Rebinding {
        fn lookup(
            &self,
            _host: String,
        ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>> {
            let turn = self.0.fetch_add(1, Ordering::SeqCst);
            let addresses = self.1[turn]
                .iter()
                .map(|text| SocketAddr::new(text.parse().expect("an address"), 0))
                .collect();
            Box::pin(async move { Ok(addresses) })
        }
    }

    #[tokio::test]
    async fn addresses_are_checked_at_every_lookup() {
        let lookup = Rebinding(
            AtomicUsize::new(0),
            vec![
                vec!["93.184.216.34"],
                vec!["127.0.0.1"],
                vec!["10.0.0.1", "93.184.216.34", "::1"],
                vec!["fe80::1", "::ffff:10.0.0.1"],
            ],
        );
        let resolver = GuardedResolver::new(PUBLIC_ONLY, Arc::new(lookup));
        let mut answers = Vec::new();
        for _ in 0..4 {
            let name = "shop.example".parse().expect("a name");
            let found = resolver.resolve(name).await;
            answers.push(found.ok().map(|addresses| {
                addresses
                    .map(|address| address.ip().to_string())
                    .collect::<Vec<_>>()
            }));
        }
        let public = Some(vec!["93.184.216.34".to_owned()]);
        assert_eq!(answers, [public.clone(), None, public, None]);
    }
}
