//! Every error answer has the same shape and says what to do, whatever is wrong with the request.

use serde_json::json;

use super::{faults, wire};
use crate::support::Service;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(service: &Service, token: &str, path: &str, body: &[u8]) -> wire::Raw {
    let bearer = format!("Bearer {token}");
    wire::send(
        service,
        "POST",
        path,
        &[JSON, ("authorization", &bearer)],
        body,
    )
    .await
}

#[tokio::test]
async fn invalid_json_is_refused_with_its_position() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"   ",
        b"{",
        b"{\"type\":\"group\",}",
        b"{\"type\":'group'}",
        b"{\"type\":\"group\"} x",
        b"\xff\xfe{}",
        b"{\"type\":\"\xc3\x28\"}",
        b"{\"participantIds\":[NaN]}",
    ];
    for body in bodies {
        let answer = post(&service, &alice.token, "/api/conversations", body).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}");
        assert_eq!(answer.code(), "VALIDATION_ERROR", "{shown}");
        assert_eq!(answer.faults(), ["body"], "{shown}");
    }
}

#[tokio::test]
async fn a_body_of_another_type_than_json_is_415() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let body = br#"{"type":"group","participantIds":[]}"#;
    let types = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/xml"),
        Some("nonsense"),
    ];
    for content_type in types {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(content_type.map(|of| ("content-type", of)));
        let answer = wire::send(&service, "POST", "/api/conversations", &headers, body).await;
        assert_eq!(answer.status, 415, "{content_type:?}");
        assert_eq!(answer.code(), "UNSUPPORTED_MEDIA_TYPE", "{content_type:?}");
    }
    let zipped = [
        JSON,
        ("authorization", bearer.as_str()),
        ("content-encoding", "gzip"),
    ];
    let answer = wire::send(&service, "POST", "/api/conversations", &zipped, body).await;
    assert_eq!(answer.status, 415);
    for content_type in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        let headers = [
            ("content-type", content_type),
            ("authorization", bearer.as_str()),
        ];
        let answer = wire::send(&service, "POST", "/api/conversations", &headers, body).await;
        assert_eq!(answer.status, 201, "{content_type}");
    }
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_at_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;

    let body = json!({
        "type": "channel",
        "participantIds": ["me", 7, "fine", ""],
        "name": "x".repeat(201),
        "avatarUrl": 5,
        "metadata": [],
        "historyVisibility": "none",
        "ownerId": "mallory",
    });
    let answer = alice.post("/api/conversations", body).await;
    let mut found = faults(&answer);
    found.sort();
    assert_eq!(answer.status, 400);
    assert_eq!(
        found,
        [
            "avatarUrl",
            "historyVisibility",
            "metadata",
            "name",
            "ownerId",
            "participantIds[0]",
            "participantIds[1]",
            "participantIds[3]",
            "type",
        ]
    );

    let body = json!({
        "content": 5,
        "type": "video",
        "attachments": [{ "url": "" }, { "mimeType": "image/png" }, { "url": "https://a.example/b", "size": -1, "path": "/" }],
        "mentions": ["bob", "bob"],
        "replyTo": "nonsense",
        "clientMessageId": "",
        "senderId": "mallory",
        "seq": 1,
    });
    let answer = alice
        .post(&format!("/api/conversations/{conversation}/messages"), body)
        .await;
    let mut found = faults(&answer);
    found.sort();
    assert_eq!(
        found,
        [
            "attachments[0].url",
            "attachments[1].url",
            "attachments[2].path",
            "attachments[2].size",
            "clientMessageId",
            "content",
            "mentions",
            "replyTo",
            "senderId",
            "seq",
            "type",
        ]
    );
    let message = answer.json["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("11"),
        "the number of faults is told: {message}"
    );
}

#[tokio::test]
async fn missing_fields_are_named() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let answer = alice.post("/api/conversations", json!({})).await;
    let mut found = faults(&answer);
    found.sort();
    assert_eq!(found, ["participantIds", "type"]);
    let answer = alice
        .post("/api/messages", json!({ "content": "to whom?" }))
        .await;
    assert_eq!(faults(&answer), ["receiverId"]);
    let answer = service
        .internal()
        .post("/api/users/sync", json!({ "name": "Nobody" }))
        .await;
    assert_eq!(faults(&answer), ["externalUserId"]);
    for body in [json!(null), json!([]), json!("text"), json!(7)] {
        let answer = alice.post("/api/conversations", body).await;
        assert_eq!(faults(&answer), ["body"]);
    }
}

#[tokio::test]
async fn an_error_never_repeats_what_was_sent() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let secret = "hunter2";
    for body in [
        json!({ "type": secret, "participantIds": secret, "name": { "x": secret } }),
        json!({ "type": "group", "participantIds": [format!("{secret}\n")] }),
    ] {
        let answer = alice.post("/api/conversations", body).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.json.to_string().contains(secret), "{}", answer.json);
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_in_the_same_shape() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let paths = [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/conversations/",
        "/api/users",
        "/api/v2/users/me",
        "/api/conversations/cnv_1/messages/x/y",
        "/API/health",
        "//api/health",
        "/api/../metrics",
        "/api/%2e%2e/metrics",
    ];
    let bearer = format!("Bearer {}", alice.token);
    for path in paths {
        let answer = wire::send(&service, "GET", path, &[("authorization", &bearer)], b"").await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.code(), "NOT_FOUND", "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_right_ones() {
    let service = Service::start().await;
    for (method, path, allowed) in [
        ("DELETE", "/api/conversations", vec!["GET", "POST"]),
        ("PUT", "/api/users/me", vec!["GET", "PATCH"]),
        ("POST", "/health/live", vec!["GET"]),
        ("PATCH", "/api/docs", vec!["GET"]),
        ("TRACE", "/api/health", vec!["GET"]),
        ("BREW", "/api/health", vec!["GET"]),
        (
            "POST",
            "/api/messages/msg_00000000000000000000000000",
            vec!["GET", "PATCH", "DELETE"],
        ),
    ] {
        let answer = wire::send(&service, method, path, &[], b"").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.code(), "METHOD_NOT_ALLOWED", "{method} {path}");
        let header = answer.header("allow").unwrap_or_default().to_owned();
        let named: Vec<&str> = header.split(',').map(str::trim).collect();
        for allowed in allowed {
            assert!(named.contains(&allowed), "{method} {path} allows {named:?}");
        }
        assert!(!named.contains(&method), "{method} {path} allows {named:?}");
    }
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_413() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [JSON, ("authorization", bearer.as_str())];
    let large = format!("\"{}\"", "x".repeat(1 << 20));

    let announced = wire::send(
        &service,
        "POST",
        "/api/messages",
        &headers,
        large.as_bytes(),
    )
    .await;
    assert_eq!(announced.status, 413);
    assert_eq!(announced.code(), "PAYLOAD_TOO_LARGE");

    // The header announces a large body: the request is refused before any of the body arrives.
    let lie = format!(
        "{}content-length: 99999999999\r\n\r\n",
        wire::head("POST", "/api/messages", &headers)
    );
    assert_eq!(
        wire::exchange(&service, &[lie.as_bytes()]).await.status,
        413
    );

    let head = format!(
        "{}transfer-encoding: chunked\r\n\r\n",
        wire::head("POST", "/api/messages", &headers)
    );
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut pieces = vec![head.as_bytes()];
    pieces.extend(std::iter::repeat_n(chunk.as_bytes(), 17));
    pieces.push(b"0\r\n\r\n");
    let chunked = wire::exchange(&service, &pieces).await;
    assert_eq!(chunked.status, 413);
    assert_eq!(chunked.code(), "PAYLOAD_TOO_LARGE");

    let nearly = format!("{{\"x\":\"{}\"}}", "x".repeat((1 << 20) - 8));
    assert_eq!(
        wire::send(
            &service,
            "POST",
            "/api/messages",
            &headers,
            nearly.as_bytes()
        )
        .await
        .status,
        400
    );
}

#[tokio::test]
async fn a_small_chunked_body_is_accepted() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let head = wire::head(
        "POST",
        "/api/conversations",
        &[JSON, ("authorization", &bearer)],
    );
    let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let pieces: [&[u8]; 4] = [
        head.as_bytes(),
        b"10\r\n{\"type\":\"group\",\r\n",
        b"13\r\n\"participantIds\":[]\r\n",
        b"1\r\n}\r\n0\r\n\r\n",
    ];
    assert_eq!(wire::exchange(&service, &pieces).await.status, 201);
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let service = Service::start().await;
    let head = wire::head("GET", "/api/health", &[]);
    let filler = format!("x-filler: {}\r\n", "x".repeat(8000));
    let mut pieces = vec![head.as_bytes()];
    pieces.extend(std::iter::repeat_n(filler.as_bytes(), 200));
    let answer = wire::exchange(&service, &pieces).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    service.anonymous().get("/api/health").await.expect(200);
}
