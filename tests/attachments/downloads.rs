//! Downloads: links, ranges, names and the headers that keep pages from running files.

use reqwest::StatusCode;

use super::{PIECE, bytes_of, download, folder, id, links, noise, service, upload};

#[tokio::test]
async fn ranges_are_answered_as_rfc_9110_says() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE + 10, 1);
    let file = upload(&service, &alice, "data.bin", &bytes).await;
    let links = links(&alice, id(&file)).await;
    let link = links["url"].as_str().expect("a link");
    let size = bytes.len();
    for (range, first, last) in [
        ("bytes=0-1", 0, 1),
        ("bytes=-5", size - 5, size - 1),
        ("bytes=2097152-", 2 * PIECE, size - 1),
        ("bytes=1048570-1048580", PIECE - 6, PIECE + 4),
        ("bytes=10-99999999", 10, size - 1),
    ] {
        let response = download(&service, link, &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let expected = format!("bytes {first}-{last}/{size}");
        assert_eq!(response.headers()["content-range"], expected.as_str());
        let length = (last - first + 1).to_string();
        assert_eq!(response.headers()["content-length"], length.as_str());
        let received = response.bytes().await.expect("bytes");
        assert!(received == bytes[first..=last], "{range}");
    }
    let past = download(&service, link, &[("range", "bytes=9999999-")]).await;
    assert_eq!(past.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        past.headers()["content-range"],
        format!("bytes */{size}").as_str()
    );
    // Several ranges and malformed ones are ignored.
    for range in ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2"] {
        let response = download(&service, link, &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{range}");
        assert_eq!(response.bytes().await.expect("bytes").len(), size);
    }
}

#[tokio::test]
async fn a_tag_decides_whether_a_range_or_the_file_is_sent() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let file = upload(&service, &alice, "a.txt", b"hello world").await;
    let links = links(&alice, id(&file)).await;
    let link = links["url"].as_str().expect("a link");
    let whole = download(&service, link, &[]).await;
    let tag = whole.headers()["etag"].to_str().expect("a tag").to_owned();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert!(
        whole.headers()["cache-control"]
            .to_str()
            .expect("text")
            .starts_with("private, max-age=")
    );
    let range = ("range", "bytes=0-4");
    let current = download(&service, link, &[range, ("if-range", &tag)]).await;
    assert_eq!(current.status(), 206);
    assert_eq!(current.text().await.expect("text"), "hello");
    let old = download(&service, link, &[range, ("if-range", "\"old\"")]).await;
    assert_eq!(old.status(), 200);
    assert_eq!(old.text().await.expect("text"), "hello world");
    let known = download(&service, link, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status(), 304);
    assert_eq!(known.headers()["etag"], tag.as_str());
}

#[tokio::test]
async fn head_tells_the_size_without_the_bytes() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let file = upload(&service, &alice, "a.txt", b"hello world").await;
    let links = links(&alice, id(&file)).await;
    let url = format!(
        "{}{}",
        service.api_url(),
        links["url"].as_str().expect("a link")
    );
    let response = crate::support::http_client()
        .head(url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], "11");
}

#[tokio::test]
async fn names_arrive_exactly_and_cannot_break_a_header() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let emoji = "🦀".repeat(63);
    for (name, kept) in [
        ("要求.txt", "要求.txt"),
        ("Müller \"x\".pdf", "Müller \"x\".pdf"),
        ("../../x", "x"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("a\u{202e}gpj.exe", "a\u{202e}gpj.exe"),
        (emoji.as_str(), emoji.as_str()),
        ("100%;a=b", "100%;a=b"),
    ] {
        let file = upload(&service, &alice, name, b"text").await;
        assert_eq!(file["name"], kept);
        let (headers, _) = bytes_of(&service, &alice, &file).await;
        let value = headers["content-disposition"].to_str().expect("ASCII");
        let (fallback, exact) = value.split_once("; filename*=UTF-8''").expect("both names");
        let decoded = percent_decode(exact);
        assert_eq!(decoded, kept, "{value}");
        let fallback = fallback
            .strip_prefix("attachment; filename=\"")
            .expect("a fallback");
        let fallback = fallback.strip_suffix('"').expect("a fallback");
        assert!(
            fallback.is_ascii() && !fallback.contains(['"', '\\', '/']),
            "{value}"
        );
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
            let digits = std::str::from_utf8(&digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("a number"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn a_link_is_for_one_file_and_ends() {
    let folder = folder();
    let service = service(&folder, "link_seconds = 10").start().await;
    let alice = service.user("alice").await;
    let one = upload(&service, &alice, "a.txt", b"one").await;
    let two = upload(&service, &alice, "b.txt", b"two").await;
    let links = links(&alice, id(&one)).await;
    let link = links["url"].as_str().expect("a link").to_owned();
    assert!(links.get("thumbnailUrl").is_none());
    for forged in [
        link.replace(id(&one), id(&two)),
        link.replace("expires=", "expires=9"),
        link.replace("/content", "/thumbnail"),
        format!("{link}x"),
    ] {
        let response = download(&service, &forged, &[]).await;
        assert_eq!(response.status(), 403, "{forged}");
    }
    let expires: chat_sdk::Timestamp =
        serde_json::from_value(links["expiresAt"].clone()).expect("a time");
    let left = expires.as_millis() - chat_sdk::Timestamp::now().as_millis();
    assert!((1..=11_000).contains(&left), "{left}");
    crate::support::eventually_within(
        std::time::Duration::from_secs(20),
        "the link ends",
        || async { (download(&service, &link, &[]).await.status() == 403).then_some(()) },
    )
    .await;
}

#[tokio::test]
async fn a_damaged_object_is_never_sent_as_a_whole_file() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE, 9);
    let file = upload(&service, &alice, "data.bin", &bytes).await;
    let links = links(&alice, id(&file)).await;
    let link = links["url"].as_str().expect("a link");
    let mut paths: Vec<_> = std::fs::read_dir(folder.path().join(id(&file)))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let mut damaged = std::fs::read(&paths[1]).expect("bytes");
    damaged[17] ^= 1;
    std::fs::write(&paths[1], damaged).expect("written");
    let response = download(&service, link, &[]).await;
    let received = response.bytes().await;
    assert!(received.is_err(), "the response breaks");
    std::fs::remove_file(&paths[0]).expect("removed");
    let response = download(&service, link, &[]).await;
    assert_eq!(response.status(), 503);
}
