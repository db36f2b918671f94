//! Links in texts, and lists of domains. This module knows no rules and resolves no address.

use std::sync::LazyLock;

use regex::Regex;

use crate::fold::{self, Folded};

/// Endings that make a bare domain a link, although no scheme, `www.` or path shows that it is one.
const COMMON_ENDINGS: [&str; 24] = [
    "com", "net", "org", "info", "biz", "io", "co", "me", "tv", "gg", "ly", "to", "app", "dev",
    "xyz", "site", "online", "shop", "link", "top", "club", "ru", "de", "uk",
];

/// An authority after `//`, or a bare domain with what follows it.
static CANDIDATES: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"//+([^\s/?#<>"'()\[\]{}]+)|((?:[\p{L}\p{N}][\p{L}\p{N}-]*\.)+[\p{L}\p{N}-]*\p{L})(:\d+)?(/)?"#;
    Regex::new(pattern).expect("the pattern is a constant, which the tests compile")
});

/// A domain of a list.
#[derive(Debug, Clone)]
pub struct Domain {
    /// The domain in ASCII.
    ascii: String,
    /// Its spellings, by which look-alikes are found.
    looks: Vec<String>,
}

impl Domain {
    /// Reads an entry of a list.
    ///
    /// # Errors
    /// The fault of the entry, as a text that can follow its name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be a domain such as shop.example, without scheme, port and path";
        let ascii = ascii(text).ok_or(FORM)?;
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_domain = ascii.contains('.') && ascii.len() <= 253 && ascii.split('.').all(is_label);
        if !is_domain {
            return Err(FORM);
        }
        Ok(Self {
            ascii,
            looks: fold::spellings(text),
        })
    }

    fn covers(&self, host: &str) -> bool {
        is_within(host, &self.ascii)
    }

    fn looks_like(&self, host: &str) -> bool {
        self.looks.iter().any(|look| is_within(host, look))
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn ascii(host: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(host.trim_end_matches('.')).ok()?;
    (!ascii.is_empty()).then_some(ascii)
}

/// A host that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    host: String,
    /// True if a reader sees a link: a scheme, `www.`, a path or a common ending.
    is_link: bool,
}

/// Returns the hosts that `text` names, in their order.
fn hosts(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for part in CANDIDATES.captures_iter(text) {
        if let Some(authority) = part.get(1) {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            let end = host.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_')));
            let host = &host[..end.unwrap_or(host.len())];
            found.push(Named {
                host: host.trim_matches(['.', '-', '_']).to_owned(),
                is_link: true,
            });
        } else if let Some(domain) = part.get(2) {
            let host = domain.as_str();
            let ending = host.rsplit('.').next().unwrap_or_default();
            let is_link = host.starts_with("www.")
                || part.get(4).is_some()
                || COMMON_ENDINGS.contains(&ending);
            found.push(Named {
                host: host.to_owned(),
                is_link,
            });
        }
    }
    found
}

/// Returns the index of the first of `domains` to which the text has a link; subdomains count, and so do look-alikes.
pub fn denied(text: &Folded, domains: &[(usize, Domain)]) -> Option<usize> {
    let find = |form: &String, is_of: &dyn Fn(&Domain, &str) -> bool| {
        hosts(form).into_iter().find_map(|named| {
            let found = domains
                .iter()
                .find(|(_, domain)| is_of(domain, &named.host));
            found.map(|(index, _)| *index)
        })
    };
    let exact = |domain: &Domain, host: &str| ascii(host).is_some_and(|host| domain.covers(&host));
    let alike = |domain: &Domain, host: &str| domain.looks_like(host);
    let mut addresses = text.addresses.iter();
    addresses
        .find_map(|form| find(form, &exact))
        .or_else(|| text.forms.iter().find_map(|form| find(form, &alike)))
}

/// Returns true if the text has a link to a domain that is none of `domains` and no subdomain of one.
pub fn is_outside(text: &Folded, domains: &[(usize, Domain)]) -> bool {
    let is_allowed = |host: &str| {
        ascii(host).is_some_and(|host| domains.iter().any(|(_, domain)| domain.covers(&host)))
    };
    let links = |form: &String| hosts(form).into_iter().filter(|named| named.is_link);
    text.addresses
        .iter()
        .any(|form| links(form).any(|named| !is_allowed(&named.host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(list: &[&str]) -> Vec<(usize, Domain)> {
        let parsed = list.iter().map(|text| Domain::parse(text).expect("valid"));
        parsed.enumerate().collect()
    }

    #[test]
    fn links_to_a_denied_domain_are_found_in_every_spelling() {
        let list = domains(&["bad.example", "bücher.example"]);
        for text in [
            "see https://bad.example/x",
            "see http://user:pass@bad.example:8080/x",
            "bad.example",
            "WWW.BAD.EXAMPLE",
            "sub.bad.example/path",
            "https://good.example@bad.example/",
            "https:\\\\bad.example\\x",
            "bad\u{3002}example",
            "bad\u{200b}.exam\u{ad}ple",
            "b\u{430}d.example",
            "ba**d**.example",
            "//bad.example",
            "https://xn--bcher-kva.example",
            "https://BÜCHER.example",
        ] {
            assert!(denied(&Folded::of(text), &list).is_some(), "{text}");
        }
        for text in [
            "notbad.example",
            "bad.example.org",
            "https://good.example/bad",
            "bad. example",
        ] {
            assert_eq!(denied(&Folded::of(text), &list), None, "{text}");
        }
    }

    #[test]
    fn links_outside_an_allowed_list_are_found() {
        let list = domains(&["shop.example"]);
        for text in [
            "https://evil.example",
            "www.evil.example",
            "evil.com",
            "evil.example/login",
            "https://shop.example.evil.example",
            "https://shop.example@evil.example",
            "https://sh\u{43e}p.example",
            "https://10.0.0.1/x",
        ] {
            assert!(is_outside(&Folded::of(text), &list), "{text}");
        }
        for text in [
            "https://shop.example/a",
            "**https://shop.example**",
            "cdn.shop.example/x.png",
            "The end.Next sentence",
            "1.5 or 2.0",
            "no link",
            "https://SHOP.example.",
        ] {
            assert!(!is_outside(&Folded::of(text), &list), "{text}");
        }
    }

    #[test]
    fn entries_are_domains() {
        for text in [
            "",
            "localhost",
            "https://a.example",
            "a.example/x",
            "a b.example",
            "a..b",
        ] {
            assert!(Domain::parse(text).is_err(), "{text}");
        }
    }
}
