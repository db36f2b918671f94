//! Limits of the fields that several resources have: links and metadata.

use chat_sdk::Metadata;

use super::error::Faults;

/// Maximum length of a link in characters.
pub const MAX_URL: usize = 2048;

/// Adds an error if a link is empty, too long, or a script that a browser would run.
pub(crate) fn check_url(
    field: impl Into<String> + Clone,
    url: Option<&String>,
    faults: &mut Faults,
) {
    faults.when(
        url.is_some_and(|url| !(1..=MAX_URL).contains(&url.chars().count())),
        field.clone(),
        "must have 1 to 2,048 characters",
    );
    faults.when(
        url.is_some_and(|url| url.contains('\0')),
        field.clone(),
        "must not contain the character U+0000",
    );
    faults.when(
        url.is_some_and(|url| is_program(url)),
        field,
        "must not be a javascript: or vbscript: link",
    );
}

/// Returns true if a browser would run `url`.
///
/// Browsers skip white space and control characters, so this does too.
pub(super) fn is_program(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    let scheme: String = scheme
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    url.contains(':') && ["javascript", "vbscript"].contains(&scheme.as_str())
}

/// Adds an error if metadata is too large.
pub(crate) fn check_metadata(metadata: Option<&Metadata>, faults: &mut Faults) {
    faults.when(
        metadata.is_some_and(|metadata| metadata.json_len() > Metadata::MAX_BYTES),
        "metadata",
        "must have at most 16 KiB as JSON",
    );
}
