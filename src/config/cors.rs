//! Web pages that may call the service from a browser.

use url::Url;

use super::Variable;
use super::parse;
use super::reader::Reader;
use super::server::AppEnv;

pub(super) const VARIABLES: &[Variable] = &[Variable::list("ALLOWED_ORIGINS", Some("*"))];

/// Settings of cross-origin requests.
#[derive(Debug, Clone)]
pub struct Cors {
    /// `ALLOWED_ORIGINS`: `*`, or origins (`scheme://host[:port]`) separated by commas; default `*`.
    ///
    /// `none` allows no page.
    pub allowed_origins: Origins,
}

/// Rule for the `Origin` header of HTTP requests and of the WebSocket handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Any,
    /// These only, as browsers write them: lower case, without the scheme's default port.
    Listed(Vec<String>),
}

impl Origins {
    /// True if a request with this `Origin` header is allowed.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins
                .iter()
                .any(|listed| listed.eq_ignore_ascii_case(origin)),
        }
    }
}

impl Cors {
    pub(super) fn read(reader: &mut Reader, env: Option<AppEnv>) -> Option<Self> {
        let allowed_origins = reader.read("ALLOWED_ORIGINS", origins);
        if env == Some(AppEnv::Production) && allowed_origins == Some(Origins::Any) {
            reader.warn(
                "ALLOWED_ORIGINS",
                "is * in production: any web page may call; list your own origins",
            );
        }
        Some(Self {
            allowed_origins: allowed_origins?,
        })
    }
}

fn origins(text: &str) -> Result<Origins, String> {
    let items = parse::list(text);
    if items == ["*"] {
        return Ok(Origins::Any);
    }
    items
        .into_iter()
        .map(origin)
        .collect::<Result<_, _>>()
        .map(Origins::Listed)
}

/// Checks one origin.
///
/// Apps in a shell have their own schemes (`capacitor://localhost`), so any scheme is accepted.
fn origin(text: &str) -> Result<String, String> {
    let fault = |remedy: &str| Err(format!("holds \"{}\"; {remedy}", parse::short(text)));
    if text == "*" {
        return fault("* stands alone or not at all");
    }
    if text.contains('*') {
        return fault("patterns are not known; write each origin whole");
    }
    let Some((scheme, host)) = text.split_once("://") else {
        return fault("an origin is scheme://host or scheme://host:port");
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'));
    if host.ends_with('/') && parse::is_host_and_port(host.trim_end_matches('/')) {
        return fault("leave out the slash at the end, browsers send none");
    }
    if !scheme_ok || !parse::is_host_and_port(host) {
        return fault("an origin is scheme://host or scheme://host:port, without a path");
    }
    // Normalizes host names to the form that browsers send: lower case, punycode, no default port.
    match Url::parse(text) {
        Ok(url) if url.origin().is_tuple() => Ok(url.origin().ascii_serialization()),
        _ => Ok(text.to_ascii_lowercase()),
    }
}
