//! Errors that nginx makes itself have the form of the service's own errors.

use serde_json::json;

use super::start;
use crate::{
    api::wire::{self, Raw},
    support::{Front, Node, Sandbox, eventually},
};

const MEBIBYTE: usize = 1024 * 1024;

/// Fails unless `answer` is an error as the contract describes them.
#[track_caller]
fn assert_is_error(answer: &Raw, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["statusCode"], status, "{body}");
    assert_eq!(body["code"], code, "{body}");
    for field in ["error", "message"] {
        assert!(
            body[field].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    for header in ["x-request-id", "x-content-type-options", "x-frame-options"] {
        assert!(answer.header(header).is_some(), "{header} is missing");
    }
}

/// For each of `count` requests to `path`: true if it reached a node. nginx writes the log after the answer, so this waits for the lines.
async fn reached_a_node(front: &Front, path: &str, count: usize) -> Vec<bool> {
    eventually("every request is in the log", || async {
        let lines = front.access_log();
        let of_path = lines.iter().filter(|line| line["path"] == path);
        let reached: Vec<bool> = of_path.map(|line| line["upstream"] != "").collect();
        (reached.len() >= count).then_some(reached)
    })
    .await
}

async fn raw(front: &Node, head: &str, body: &[u8]) -> Raw {
    wire::exchange(front, &[head.as_bytes(), body]).await
}

#[tokio::test]
async fn a_body_of_more_than_1_mib_is_413_and_reaches_no_node() {
    let (_service, front) = start().await;
    let alice = front.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let large = vec![b' '; MEBIBYTE + 1];
    let answer = wire::send(&front, "POST", "/api/conversations", &headers, &large).await;
    assert_is_error(&answer, 413, "PAYLOAD_TOO_LARGE");

    let head = wire::head("POST", "/api/conversations", &headers);
    let chunk = format!("{:x}\r\n{}\r\n", MEBIBYTE + 1, " ".repeat(MEBIBYTE + 1));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    let answer = raw(&front, &chunked, b"").await;
    assert_is_error(&answer, 413, "PAYLOAD_TOO_LARGE");
    let reached = reached_a_node(&front, "/api/conversations", 2).await;
    assert_eq!(reached, [false, false]);
}

#[tokio::test]
async fn a_body_of_1_mib_is_the_services_to_judge() {
    let (_service, front) = start().await;
    let alice = front.user("alice").await;
    let mut body = json!({ "type": "group", "participantIds": [], "metadata": { "text": "" } });
    let rest = MEBIBYTE - body.to_string().len();
    body["metadata"]["text"] = json!("x".repeat(rest));
    let answer = alice.post("/api/conversations", body).await;
    assert_eq!(answer.json["details"][0]["field"], "metadata", "{answer}");
    answer.expect_error(400, "VALIDATION_ERROR");
    let reached = reached_a_node(&front, "/api/conversations", 1).await;
    assert_eq!(reached, [true]);
}

#[tokio::test]
async fn heads_that_are_too_large_are_431_and_414() {
    let (_service, front) = start().await;
    let long = "x".repeat(9 * 1024);
    let headers = [("x-long", long.as_str())];
    let answer = wire::send(&front, "GET", "/health", &headers, b"").await;
    assert_is_error(&answer, 431, "VALIDATION_ERROR");
    let path = format!("/health?q={long}");
    let answer = wire::send(&front, "GET", &path, &[], b"").await;
    assert_is_error(&answer, 414, "VALIDATION_ERROR");
    // A token of a usual size, or several headers, are far from the limit.
    let usual = "x".repeat(6 * 1024);
    let headers = [("x-a", usual.as_str()), ("x-b", usual.as_str())];
    let answer = wire::send(&front, "GET", "/health", &headers, b"").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn invalid_http_is_refused_in_the_same_form() {
    let (_service, front) = start().await;
    for (request, status) in [
        ("GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (
            "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            400,
        ),
        ("GET /health HTTP/3.0\r\nhost: a\r\n\r\n", 505),
        (
            "POST /api/conversations HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\nconnection: close\r\n\r\n",
            400,
        ),
    ] {
        let answer = raw(&front, request, b"").await;
        let code = match status {
            400 => "VALIDATION_ERROR",
            _ => "INTERNAL_ERROR",
        };
        assert_is_error(&answer, status, code);
    }
}

#[tokio::test]
async fn without_a_node_requests_and_sockets_get_502_with_retry_after() {
    let place = Sandbox::new();
    let gone = closed_address().await;
    let front = Front::start_unready(place, &[gone], &[gone]).await;
    for path in ["/api/health", "/health/ready", "/ws"] {
        // As bytes: 502 is nginx's own, and in no operation of the document.
        let head = wire::head("GET", path, &[]) + "\r\n";
        let answer = raw(&front, &head, b"").await;
        assert_is_error(&answer, 502, "UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
    }
}

/// An address without a listener.
async fn closed_address() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    listener.local_addr().expect("an address")
}
