//! Settings of a command that calls a running service as its host does.
//!
//! They are fewer than those of the service, so that the command also runs where the rest is not set.

use std::net::{IpAddr, Ipv4Addr};

use super::{ConfigErrors, GROUPS, Secret, Server, Sources, finish, reader::Reader};

/// Access of the host to a running service.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Base URL of its REST API, from `HOST` and `PORT`, without a trailing slash.
    pub base_url: String,
    /// `INTERNAL_API_SECRET`.
    pub internal_secret: Secret,
}

impl Caller {
    /// Reads and checks the needed settings, and nothing else.
    ///
    /// # Errors
    /// Fails with all faults at once; the caller prints them and exits with [`super::EXIT_CODE`].
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(sources, &GROUPS);
        let server = Server::read(&mut reader);
        let internal_secret = reader.require(
            "INTERNAL_API_SECRET",
            "give the one of the service",
            Secret::strong,
        );
        let caller = server
            .zip(internal_secret)
            .map(|(server, internal_secret)| Self {
                base_url: base_url(server.host, server.port),
                internal_secret,
            });
        finish(reader, caller).map(|(caller, _)| caller)
    }
}

/// Returns the base URL. A service that listens on all addresses is called on this machine.
fn base_url(host: IpAddr, port: u16) -> String {
    match host {
        IpAddr::V6(host) if !host.is_unspecified() => format!("http://[{host}]:{port}"),
        IpAddr::V4(host) if !host.is_unspecified() => format!("http://{host}:{port}"),
        _ => format!("http://{}:{port}", Ipv4Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn load(env: &[(&str, &str)]) -> Result<Caller, ConfigErrors> {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Caller::load(&Sources {
            toml_path: None,
            dir: Path::new("/nonexistent").to_owned(),
            env,
            plugins: Vec::new(),
        })
    }

    #[test]
    fn the_internal_secret_is_enough() {
        let secret = (
            "INTERNAL_API_SECRET",
            "f3b5c7d9e1a2047685949ab0c1d2e3f4a5b6c7d8",
        );
        let caller = load(&[secret]).expect("enough");
        assert_eq!(caller.base_url, "http://127.0.0.1:4000");
        let caller = load(&[secret, ("HOST", "0.0.0.0"), ("PORT", "5000")]).expect("enough");
        assert_eq!(caller.base_url, "http://127.0.0.1:5000");
        let caller = load(&[secret, ("HOST", "::1")]).expect("enough");
        assert_eq!(caller.base_url, "http://[::1]:4000");
        let faults = load(&[]).expect_err("the secret is missing").to_string();
        assert!(
            faults.starts_with("INTERNAL_API_SECRET: is required"),
            "{faults}"
        );
    }
}
