//! The media type of a file by its first bytes. Neither its name nor a declared type counts.

/// Number of first bytes that are read.
pub const HEAD: usize = 8192;
/// Type of bytes that nothing is known about.
const UNKNOWN: &str = "application/octet-stream";

/// Returns the media type of a file that begins with `head`.
pub fn media_type(head: &[u8]) -> &'static str {
    let head = &head[..head.len().min(HEAD)];
    match infer::get(head).map(|kind| kind.mime_type()) {
        Some("text/xml" | "text/html") | None => text_type(head).unwrap_or(UNKNOWN),
        Some(kind) => kind,
    }
}

/// Returns the type of a text; `None` if the bytes are no UTF-8 text.
fn text_type(head: &[u8]) -> Option<&'static str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.valid_up_to() + 4 > head.len() && head.len() == HEAD => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_binary = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    if text.chars().any(is_binary) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    Some(if has("<svg") {
        "image/svg+xml"
    } else if ["<html", "<!doctype html", "<script", "<body", "<iframe"]
        .into_iter()
        .any(has)
    {
        "text/html"
    } else if lower.trim_start().starts_with("<?xml") {
        "text/xml"
    } else {
        "text/plain"
    })
}

/// Returns true if a browser may show files of this type in place: only pixels, sound and film.
pub fn is_inline(kind: &str) -> bool {
    is_picture(kind) || kind.starts_with("audio/") || kind.starts_with("video/")
}

/// Returns true for the pictures that the plugin can read.
pub fn is_picture(kind: &str) -> bool {
    matches!(
        kind,
        "image/jpeg" | "image/png" | "image/gif" | "image/webp"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_the_type() {
        for (bytes, kind) in [
            (&b"GIF89a/*<script>alert(1)</script>*/"[..], "image/gif"),
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\xff\xd8\xff\xe0....", "image/jpeg"),
            (
                b"<?xml version=\"1.0\"?><svg onload=\"x()\"/>",
                "image/svg+xml",
            ),
            (b"  <SVG onload=\"x()\"/>", "image/svg+xml"),
            (b"<!DOCTYPE html><p>", "text/html"),
            (b"hello <script>x()</script>", "text/html"),
            (b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-", "text/plain"),
            (b"%PDF-1.7 /JS (x)", "application/pdf"),
            ("Gr\u{fc}\u{df}e".as_bytes(), "text/plain"),
            (b"\0\x01\x02", UNKNOWN),
            (b"\xff\xfe\xfd", UNKNOWN),
        ] {
            assert_eq!(media_type(bytes), kind, "{bytes:?}");
        }
    }
}
