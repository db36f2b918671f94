//! One id per request, in every response and every log line, so that the report of a caller leads to the log lines that explain it.

use hyper::{HeaderMap, header::HeaderName};

/// Header of the request id, in requests and responses.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id that is accepted from a caller, in bytes.
const MAX_LENGTH: usize = 64;

/// Returns the caller's id of the request if it is suitable for logs, else a new one.
pub fn of(headers: &HeaderMap) -> String {
    headers
        .get(HEADER)
        .and_then(|id| id.to_str().ok())
        .filter(|id| is_fit(id))
        .map_or_else(generate, str::to_owned)
}

fn generate() -> String {
    ulid::Ulid::generate().to_string().to_ascii_lowercase()
}

fn is_fit(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_header(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, id.parse().expect("a header"));
        of(&headers)
    }

    #[test]
    fn a_valid_id_of_the_caller_is_used() {
        assert_eq!(of_header("abc-1_2.Z"), "abc-1_2.Z");
        assert_eq!(of(&HeaderMap::new()).len(), 26);
    }

    #[test]
    fn an_invalid_id_is_replaced() {
        for id in ["", "a b", "a\"b", "<x>", &"x".repeat(65)] {
            assert_ne!(of_header(id), id);
        }
    }
}
