//! Responses with the bytes of files: ranges (RFC 9110), names (RFC 6266), and headers that keep a page from running what a user uploaded.
//!
//! This module knows no callers: a valid link is enough.

use std::{io, sync::Arc};

use bytes::Bytes;
use chat_sdk::http::{ApiError, respond};
use futures_util::{StreamExt, TryStreamExt, stream};
use poem::{
    Body, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use crate::{
    Attachments,
    api::shapes::UnsatisfiableRange,
    files::{Piece, StoredFile},
    links::Variant,
};

/// Number of pieces that are read ahead.
const AHEAD: usize = 2;
/// Policy of every response: a page that a browser makes of it runs nothing and loads nothing.
const POLICY: &str = "sandbox; default-src 'none'";

/// Bytes that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All of them.
    Whole,
    /// From the first to the last position, both inclusive.
    Part(u64, u64),
    /// None that exist.
    Nothing,
}

/// Reads a header `Range` for `size` bytes. A header that is malformed or has several ranges counts as absent, which RFC 9110 allows.
fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = range
        .and_then(|range| range.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            let last = last.unwrap_or(u64::MAX);
            if last < first {
                Wanted::Whole
            } else if first >= size {
                Wanted::Nothing
            } else {
                Wanted::Part(first, last.min(size - 1))
            }
        }
        (Some(None), Some(Some(count))) => {
            if count == 0 || size == 0 {
                Wanted::Nothing
            } else {
                Wanted::Part(size.saturating_sub(count), size - 1)
            }
        }
        _ => Wanted::Whole,
    }
}

/// Returns the header `Content-Disposition` with the exact name, and a name of ASCII for old clients.
fn disposition(is_inline: bool, name: &str) -> String {
    use std::fmt::Write;
    let kind = if is_inline { "inline" } else { "attachment" };
    let plain = |c: char| match c {
        '"' | '\\' | '%' | '/' => '_',
        c if c == ' ' || c.is_ascii_graphic() => c,
        _ => '_',
    };
    let fallback: String = name.chars().map(plain).collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            exact.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(exact, "%{byte:02X}");
        }
    }
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{exact}")
}

/// Returns true if the list of tags in a header names `tag`.
fn names_tag(value: &str, tag: &str) -> bool {
    let mut tags = value.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// Target of a link: the file or its thumbnail.
struct Served {
    pieces: Vec<Piece>,
    kind: String,
    tag: String,
    name: String,
    is_inline: bool,
}

fn served(file: &StoredFile, variant: Variant) -> Option<Served> {
    let content = file.content.as_ref()?;
    Some(match variant {
        Variant::File => Served {
            pieces: file.pieces.clone(),
            // A type that a browser could run is not even named.
            kind: match content.mime_type.as_str() {
                kind if content.is_inline => kind.to_owned(),
                "text/plain" => "text/plain; charset=utf-8".to_owned(),
                "application/pdf" => "application/pdf".to_owned(),
                _ => "application/octet-stream".to_owned(),
            },
            tag: format!("\"{}\"", content.sha256),
            name: file.name.clone(),
            is_inline: content.is_inline,
        },
        Variant::Thumbnail => {
            let thumbnail = content.thumbnail.clone()?;
            let kind = content.thumbnail_type.clone()?;
            let extension = if kind == "image/png" { "png" } else { "jpg" };
            Served {
                tag: format!("\"{}\"", thumbnail.sha256),
                pieces: vec![thumbnail],
                kind,
                name: format!("thumbnail.{extension}"),
                is_inline: true,
            }
        }
    })
}

/// Returns the parts of `pieces` between two positions, both inclusive: each piece with the range of its bytes.
fn parts(pieces: &[Piece], first: u64, last: u64) -> Vec<(Piece, usize, usize)> {
    let mut start = 0;
    let mut parts = Vec::new();
    for piece in pieces {
        let length = piece.length.unsigned_abs();
        let end = start + length;
        if end > first && start <= last {
            let from = first.saturating_sub(start);
            let to = length.min(last + 1 - start);
            let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
            parts.push((piece.clone(), index(from), index(to)));
        }
        start = end;
    }
    parts
}

/// Answers a request with a valid link; `seconds` is the time for which the link is still valid.
///
/// # Errors
/// 404 if there is nothing of this variant, 503 if the store does not answer.
pub async fn answer(
    plugin: &Arc<Attachments>,
    file: &StoredFile,
    variant: Variant,
    seconds: i64,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let served = served(file, variant).ok_or_else(missing)?;
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let size: u64 = served
        .pieces
        .iter()
        .map(|piece| piece.length.unsigned_abs())
        .sum();
    let builder = Response::builder()
        .header(header::ETAG, &served.tag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header("cross-origin-resource-policy", "cross-origin")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(
            header::CACHE_CONTROL,
            format!("private, max-age={seconds}, immutable"),
        );
    if text(header::IF_NONE_MATCH).is_some_and(|value| names_tag(value, &served.tag)) {
        return Ok(builder.status(StatusCode::NOT_MODIFIED).finish());
    }
    let is_current = text(header::IF_RANGE).is_none_or(|tag| tag == served.tag);
    let range = text(header::RANGE).filter(|_| is_current);
    let (status, first, last) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size.saturating_sub(1)),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
        Wanted::Nothing => {
            // An error without a body would be taken for one of the HTTP library.
            let mut response = respond(
                StatusCode::RANGE_NOT_SATISFIABLE,
                &UnsatisfiableRange::new(),
            );
            let size = HeaderValue::try_from(format!("bytes */{size}"));
            let size = size.map_err(|_| ApiError::internal("a size is no header"))?;
            response.headers_mut().insert(header::CONTENT_RANGE, size);
            return Ok(response);
        }
    };
    let mut builder = builder
        .status(status)
        .content_type(&served.kind)
        .header(
            header::CONTENT_DISPOSITION,
            disposition(served.is_inline, &served.name),
        )
        .header(header::CONTENT_LENGTH, last + 1 - first);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{last}/{size}");
        builder = builder.header(header::CONTENT_RANGE, range);
    }
    let mut parts = parts(&served.pieces, first, last).into_iter();
    let Some(begin) = parts.next() else {
        return Err(missing());
    };
    // A fault of the first piece is an error response; a later one breaks the response, which then has too few bytes.
    let begin = load(plugin, begin).await?;
    let plugin = Arc::clone(plugin);
    let rest = stream::iter(parts)
        .map(move |part| {
            let plugin = Arc::clone(&plugin);
            async move { load(&plugin, part).await }
        })
        .buffered(AHEAD)
        .map_err(io::Error::other);
    let bytes = stream::once(async move { Ok::<Bytes, io::Error>(begin) }).chain(rest);
    Ok(builder.body(Body::from_bytes_stream(bytes)))
}

async fn load(
    plugin: &Attachments,
    (piece, from, to): (Piece, usize, usize),
) -> Result<Bytes, ApiError> {
    let bytes = plugin.load(&piece).await?;
    if to > bytes.len() || from > to {
        return Err(ApiError::internal("a piece is shorter than its length"));
    }
    Ok(bytes.slice(from..to))
}

/// Returns the error of a file that does not exist.
pub fn missing() -> ApiError {
    ApiError::NotFound("There is no such file.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-1", Wanted::Part(0, 1)),
            ("bytes=5-", Wanted::Part(5, 9)),
            ("bytes=-3", Wanted::Part(7, 9)),
            ("bytes=-30", Wanted::Part(0, 9)),
            ("bytes=8-99", Wanted::Part(8, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(range), 10), expected, "{range}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    #[test]
    fn names_are_exact_with_a_fallback_of_ascii() {
        assert_eq!(
            disposition(false, "M\u{fc}ller \"x\".pdf"),
            "attachment; filename=\"M_ller _x_.pdf\"; filename*=UTF-8''M%C3%BCller%20%22x%22.pdf"
        );
        assert_eq!(
            disposition(true, "a.png"),
            "inline; filename=\"a.png\"; filename*=UTF-8''a.png"
        );
    }

    #[test]
    fn a_range_takes_parts_of_its_pieces() {
        let piece = |length| Piece {
            key: String::new(),
            length,
            sha256: String::new(),
        };
        let pieces = [piece(4), piece(4), piece(2)];
        let found = |first, last| -> Vec<(i64, usize, usize)> {
            let parts = parts(&pieces, first, last).into_iter();
            parts
                .map(|(piece, from, to)| (piece.length, from, to))
                .collect()
        };
        assert_eq!(found(0, 9), [(4, 0, 4), (4, 0, 4), (2, 0, 2)]);
        assert_eq!(found(3, 4), [(4, 3, 4), (4, 0, 1)]);
        assert_eq!(found(8, 8), [(2, 0, 1)]);
    }
}
