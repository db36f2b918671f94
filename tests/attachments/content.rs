//! Files that lie about what they are.

use super::{bytes_of, folder, service, try_upload, upload};

#[tokio::test]
async fn only_pictures_sound_and_film_are_shown_in_place() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>"#;
    let files: [(&str, &[u8], &str, &str); 7] = [
        ("a.svg", svg, "image/svg+xml", "application/octet-stream"),
        ("a.webp", svg, "image/svg+xml", "application/octet-stream"),
        (
            "a.png",
            b"<!doctype html><script>alert(1)</script>",
            "text/html",
            "application/octet-stream",
        ),
        (
            "a.pdf",
            b"%PDF-1.7\n1 0 obj << /JS (app.alert(1)) >>",
            "application/pdf",
            "application/pdf",
        ),
        (
            "a.txt",
            b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
            "text/plain",
            "text/plain; charset=utf-8",
        ),
        (
            "a.exe",
            b"MZ\x90\0\x03\0\0\0",
            "application/vnd.microsoft.portable-executable",
            "application/octet-stream",
        ),
        (
            "a.html",
            b"\0\0\0 plain",
            "application/octet-stream",
            "application/octet-stream",
        ),
    ];
    for (name, bytes, kind, served) in files {
        let file = upload(&service, &alice, name, bytes).await;
        assert_eq!(file["mimeType"], kind, "{name}");
        let (headers, received) = bytes_of(&service, &alice, &file).await;
        assert_eq!(received, bytes);
        assert_eq!(headers["content-type"], served, "{name}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            headers["content-security-policy"],
            "sandbox; default-src 'none'"
        );
        let disposition = headers["content-disposition"].to_str().expect("text");
        assert!(
            disposition.starts_with("attachment; "),
            "{name}: {disposition}"
        );
    }
    // Sound is shown in place.
    let file = upload(&service, &alice, "a.mp3", b"ID3\x04\0\0\0\0\0\0").await;
    assert_eq!(file["mimeType"], "audio/mpeg");
    let (headers, _) = bytes_of(&service, &alice, &file).await;
    assert!(
        headers["content-disposition"]
            .to_str()
            .expect("text")
            .starts_with("inline; ")
    );
    assert_eq!(
        headers["content-security-policy"],
        "sandbox; default-src 'none'"
    );
}

#[tokio::test]
async fn types_whose_metadata_cannot_be_removed_are_refused_by_default() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let tiff = b"II*\0\x08\0\0\0\0\0\0\0\0\0";
    for bytes in [&heic[..], tiff, b"BM\x46\0\0\0\0\0\0\0"] {
        let (status, error) = try_upload(&service, &alice, "a.jpg", bytes).await;
        assert_eq!(status, 400, "{error}");
        assert!(
            error["message"]
                .as_str()
                .expect("text")
                .contains("not accepted"),
            "{error}"
        );
    }
}
