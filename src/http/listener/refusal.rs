//! Error responses of the listener, for input that never becomes a request.
//!
//! hyper answers invalid requests with a bare status. This module replaces that response
//! by one with the standard error body and CORS headers, so that a page can read it.

use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};

use crate::{
    config::Origins,
    http::{
        error::{ApiError, Code},
        finish, request_id,
    },
};

/// Returns the response to a request whose head did not arrive in time.
pub fn head_timeout(origins: &Origins, origin: &[u8]) -> Vec<u8> {
    let error = ApiError::new(Code::RequestTimeout, "The request took too long to arrive.");
    answer(&error, origins, origin)
}

/// Returns the response that replaces `written` if that is one of hyper itself: an error status without a body, and nothing after it.
pub fn in_place_of(written: &[u8], origins: &Origins, origin: &[u8]) -> Option<Vec<u8>> {
    let is_error = written.starts_with(b"HTTP/1.1 4") || written.starts_with(b"HTTP/1.0 4");
    // All error responses of the service have a body.
    let is_bare =
        is_error && written.ends_with(b"\r\n\r\n") && contains(written, b"content-length: 0\r\n");
    if !is_bare {
        return None;
    }
    let status = StatusCode::from_bytes(written.get(9..12)?).ok()?;
    let message = match status {
        StatusCode::URI_TOO_LONG => "The request line is too long.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "The request's head is too large: at most 32 KiB and 64 headers."
        }
        _ => "The request is not valid HTTP.",
    };
    let error = ApiError::new(Code::ValidationError, message).with_status(status);
    Some(answer(&error, origins, origin))
}

/// Returns a complete response as bytes, after which the connection closes.
fn answer(error: &ApiError, origins: &Origins, origin: &[u8]) -> Vec<u8> {
    let (mut headers, body) = error.parts();
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    // Without an origin the response has the headers that are valid for all.
    let origin = HeaderValue::from_bytes(origin).ok();
    let id = request_id::of(&HeaderMap::new());
    finish(&mut headers, origins, origin.as_ref(), id);
    let mut bytes = format!("HTTP/1.1 {}\r\n", error.status()).into_bytes();
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

/// Returns the value of the header `Origin` in part of a head, if it is complete.
pub fn origin_in(head: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"origin:";
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    let is_it = |line: &&[u8]| {
        let name = line.get(..NAME.len());
        name.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    };
    let line = lines.find(is_it)?.strip_suffix(b"\r")?;
    Some(line[NAME.len()..].trim_ascii())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_without_a_body_is_replaced() {
        let origins = Origins::Listed(vec!["https://shop.example".to_owned()]);
        let replaced = |written: &str, origin: &[u8]| {
            let bytes = in_place_of(written.as_bytes(), &origins, origin)?;
            Some(String::from_utf8(bytes).expect("a text"))
        };
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = replaced(bare, b"https://shop.example").expect("is replaced");
        assert!(
            answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("access-control-allow-origin: https://shop.example\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\"statusCode\":431"), "{answer}");
        let foreign = replaced(bare, b"https://evil.example").expect("is replaced");
        assert!(!foreign.contains("allow-origin"), "{foreign}");
        for own in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n{}",
        ] {
            assert_eq!(replaced(own, b""), None, "{own}");
        }
    }

    #[test]
    fn the_origin_is_found_in_a_head() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin:  https://shop.example \r\nx: y\r\n";
        assert_eq!(origin_in(head), Some(&b"https://shop.example"[..]));
        assert_eq!(origin_in(b"GET /origin: HTTP/1.1\r\nx-origin: a\r\n"), None);
        assert_eq!(origin_in(b"GET / HTTP/1.1\r\norigin: https://cut"), None);
    }
}
