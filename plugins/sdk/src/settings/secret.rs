//! Values that must not reach a log: secrets, and URIs that may contain one.

use std::fmt;

use super::Show;

/// Minimum length of a secret in bytes: what HMAC-SHA-256 needs to be as strong as its digest.
pub const MIN_SECRET_BYTES: usize = 32;

const MASK: &str = "***";

/// Words that occur in examples and are left in by mistake.
const PLACEHOLDERS: [&str; 9] = [
    "changeme",
    "change-me",
    "change_me",
    "replaceme",
    "replace-me",
    "replace_me",
    "your-secret",
    "your_secret",
    "placeholder",
];

/// Secret: `Debug` and `Display` print three stars, [`Secret::expose`] returns the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text as it is, unchecked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the bytes of the secret, for the one place that computes with them.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns the secret as it was written.
    pub fn expose_text(&self) -> &str {
        &self.0
    }

    /// Accepts a text that is long enough and not an obvious placeholder.
    ///
    /// # Errors
    /// The fault, as a sentence that can follow the variable's name and does not quote the text.
    pub fn strong(text: &str) -> Result<Self, String> {
        let remedy = "openssl rand -hex 32";
        if text.len() < MIN_SECRET_BYTES {
            let (length, unit) = match text.chars().count() {
                1 => (1, "character"),
                n => (n, "characters"),
            };
            return Err(format!(
                "is {length} {unit} long; at least {MIN_SECRET_BYTES} are needed ({remedy})"
            ));
        }
        let lower = text.to_ascii_lowercase();
        if let Some(word) = PLACEHOLDERS.iter().find(|word| lower.contains(**word)) {
            return Err(format!(
                "still holds the example text \"{word}\"; make a real one ({remedy})"
            ));
        }
        if repeats_short_piece(&lower) {
            return Err(format!(
                "is one short piece repeated; make a random one ({remedy})"
            ));
        }
        let mut seen: Vec<char> = lower.chars().collect();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < 6 {
            return Err(format!(
                "uses only {} different characters; make a random one ({remedy})",
                seen.len()
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// True if the text is a sequence of at most 16 bytes, repeated.
fn repeats_short_piece(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=16.min(bytes.len() / 2))
        .any(|period| bytes[period..].iter().eq(&bytes[..bytes.len() - period]))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// URI that may contain a password or a token.
///
/// `Debug` and `Display` mask it, [`Uri::expose`] returns all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    /// Wraps a URI as it is, unchecked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the whole URI, for the driver that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_uri(&self.0))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_uri(&self.0))
    }
}

/// Returns the text of a value as it may be printed.
pub fn shown(text: &str, show: Show) -> String {
    match show {
        Show::Plain => text.to_owned(),
        Show::Secret => MASK.to_owned(),
        Show::Pem if text.contains("-----BEGIN") => "(PEM text)".to_owned(),
        Show::Pem => text.to_owned(),
        Show::Uri => mask_uris(text),
    }
}

/// Masks each URI of a comma-separated list; MongoDB's one URI with several hosts counts as one.
fn mask_uris(text: &str) -> String {
    if text.starts_with("mongodb") {
        return mask_uri(text);
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    // A comma inside a password would split the URI, and the halves would not be recognized as one.
    if parts
        .iter()
        .any(|part| part.contains('@') && !part.contains("://"))
    {
        return MASK.to_owned();
    }
    parts
        .iter()
        .map(|part| mask_uri(part))
        .collect::<Vec<_>>()
        .join(",")
}

/// Masks the password and the values of the query that may be secret.
///
/// It also masks a lone user name, which is a token for NATS.
///
/// Everything up to the last `@` counts as user information: it is better to mask too much than too little.
fn mask_uri(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return if text.contains('@') {
            MASK.to_owned()
        } else {
            text.to_owned()
        };
    };
    let (user, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((info, rest)) => match info.split_once(':') {
            Some((user, _)) => (format!("{user}:{MASK}@"), rest),
            None => (format!("{MASK}@"), rest),
        },
    };
    let Some((path, query)) = rest.split_once('?') else {
        return format!("{scheme}://{user}{rest}");
    };
    let query: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if !scheme.starts_with("mongodb") || secret_option(key) => {
                format!("{key}={MASK}")
            }
            _ => pair.to_owned(),
        })
        .collect();
    format!("{scheme}://{user}{path}?{}", query.join("&"))
}

/// True if an option of a MongoDB URI may hold a secret.
fn secret_option(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("password") || key == "authmechanismproperties"
}
