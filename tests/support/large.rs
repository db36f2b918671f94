//! Messages whose parts are all within their limits: one whose event is too large, and one whose event has exactly the maximum size.

use serde_json::{Value, json};

use super::{Answer, User};

/// The most bytes of an event.
pub const EVENT: usize = 128 * 1024;

fn metadata() -> Value {
    json!({ "order": "m".repeat(16 * 1024 - 20) })
}

/// A message whose event would have about 185 KB.
pub fn hostile() -> Value {
    let link = format!("https://files.example/{}", "a".repeat(700));
    let mentions: Vec<String> = (0..100)
        .map(|n| format!("{n:03}{}", "😀".repeat(125)))
        .collect();
    json!({
        // JSON makes six bytes of one.
        "content": "\u{1}".repeat(16_384),
        "attachments": vec![json!({ "url": link }); 20],
        "mentions": mentions,
        "metadata": metadata(),
    })
}

/// A message that takes nearly as many bytes in the log as its event has, less than the limit by a little.
pub fn near_limit(content: &str) -> Value {
    let text = format!("{content} {}", "x".repeat(16_000));
    let link = format!("https://files.example/{}", "a".repeat(2_000));
    json!({
        "content": text,
        "attachments": vec![json!({ "url": link, "thumbnailUrl": link }); 20],
        "mentions": (0..100).map(|n| format!("{n:03}{}", "u".repeat(90))).collect::<Vec<_>>(),
        "metadata": metadata(),
    })
}

/// The size of the event that the refusal names.
pub fn refused_size(answer: Answer) -> usize {
    let error = answer.expect_error(413, "PAYLOAD_TOO_LARGE");
    size_in(&error["message"])
}

/// The size that a refusal's sentence names, beside the limit.
pub fn size_in(message: &Value) -> usize {
    let message = message.as_str().expect("a sentence");
    let numbers: Vec<usize> = message
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    assert_eq!(numbers.len(), 2, "{message}");
    assert_eq!(numbers[1], EVENT, "{message}");
    assert!(numbers[0] > EVENT, "{message}");
    numbers[0]
}

/// The largest message of `user` that `path` takes, and the smallest that it refuses.
pub async fn at_the_limit(user: &User, path: &str) -> (Value, Value) {
    let mut body = hostile();
    body.as_object_mut().expect("an object").remove("mentions");
    let links = body["attachments"].as_array_mut().expect("a list");
    for link in links.iter_mut() {
        link["name"] = json!("n".repeat(200));
        link["thumbnailUrl"] = json!(format!("https://files.example/{}", "t".repeat(200)));
    }
    let over = refused_size(user.post(path, body.clone()).await) - EVENT;
    // Taken away byte by byte where no byte is escaped.
    let mut left = over;
    for link in body["attachments"].as_array_mut().expect("a list") {
        let url = link["url"].as_str().expect("a link").to_owned();
        let cut = left.min(600);
        link["url"] = json!(url[..url.len() - cut]);
        left -= cut;
    }
    assert_eq!(left, 0, "{over} bytes too many");
    let mut larger = body.clone();
    let name = larger["attachments"][0]["name"].as_str().expect("a name");
    larger["attachments"][0]["name"] = json!(format!("{name}n"));
    (body, larger)
}
