//! Rules that several concerns share: numbers, switches, lists, and hints for typing errors.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Parses a whole number within `range`; `unit` is its name in the fault.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn number(text: &str, range: RangeInclusive<u64>, unit: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "is \"{}\"; it must be a whole number of {unit} from {} to {}",
                short(text),
                range.start(),
                range.end()
            )
        })
}

/// Parses a [`number`] for settings that are kept as `u32`.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn small(text: &str, range: RangeInclusive<u32>, unit: &str) -> Result<u32, String> {
    let wide = u64::from(*range.start())..=u64::from(*range.end());
    number(text, wide, unit).map(|number| u32::try_from(number).unwrap_or(*range.end()))
}

/// Parses a [`number`] for sizes and counts.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn size(text: &str, range: RangeInclusive<u32>, unit: &str) -> Result<usize, String> {
    let end = *range.end();
    small(text, range, unit).map(|number| usize::try_from(number.min(end)).unwrap_or(usize::MAX))
}

/// Parses a whole number of seconds within `range`.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, range, "seconds").map(Duration::from_secs)
}

/// Parses true/false, 1/0 or yes/no, in any case.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("is \"{}\"; it must be true or false", short(text))),
    }
}

/// Parses one of a few words, in any case.
///
/// # Errors
/// The fault, as a sentence that can follow the name.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let hint = did_you_mean(text, names.iter().map(|name| (*name).to_owned()));
            format!(
                "is \"{}\"; it must be one of {}{hint}",
                short(text),
                names.join(", ")
            )
        })
}

/// Returns the items between the commas; `none` is the empty list, empty items are dropped.
pub fn list(text: &str) -> Vec<&str> {
    if text.eq_ignore_ascii_case("none") {
        return Vec::new();
    }
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

/// Shortens a value to fit a line, without line breaks. Never for secrets.
pub fn short(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(60)
        .collect();
    if text.chars().count() > 60 {
        line.push('…');
    }
    line
}

/// Returns `; did you mean "x"?` for the nearest name, if one is near.
pub fn did_you_mean(given: &str, names: impl Iterator<Item = String>) -> String {
    let lower = given.to_ascii_lowercase();
    names
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= 1 + name.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}

/// True if `text` is `host`, `host:port`, `[v6]` or `[v6]:port`.
pub fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}
