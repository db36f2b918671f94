//! Slow clients and invalid HTTP requests: no connection is held for long, and each client gets a standard error with the reason.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::wire::{self, Raw};
use crate::support::{Node, Service};

/// Longer than any time limit for a client.
const LIMIT: Duration = Duration::from_secs(45);
const PAGE: &str = "https://shop.example";

fn rest(node: &Node) -> String {
    node.api_url().replace("http://", "")
}

fn sockets(node: &Node) -> String {
    node.ws_base().replace("http://", "")
}

/// Writes `first`, then one byte of `drip` a second until the answer has come. Returns it, and how long it took to the end of the connection.
async fn exchange(address: &str, first: &[u8], drip: u8) -> (Raw, Duration) {
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut from, mut to) = stream.into_split();
    to.write_all(first).await.expect("written");
    let dripping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if to.write_all(&[drip]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(LIMIT, from.read_to_end(&mut bytes)).await;
    read.expect("the connection ends").expect("without a reset");
    dripping.abort();
    (wire::parse(&bytes), began.elapsed())
}

#[track_caller]
fn assert_is_error(answer: &Raw, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["statusCode"], status, "{body}");
    assert_eq!(answer.code(), code, "{body}");
    for field in ["error", "message"] {
        let text = body[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{body}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_body_that_trickles_is_408_within_seconds() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("origin", PAGE),
    ];
    let head = |path| wire::head("POST", path, &headers).replace("connection: close\r\n", "");
    let host = [
        ("x-internal-secret", crate::support::INTERNAL_SECRET),
        ("content-type", "application/json"),
        ("origin", PAGE),
    ];
    let host = wire::head("POST", "/api/users/sync", &host);
    let length = "content-length: 1000\r\n\r\n{";
    let chunked = "transfer-encoding: chunked\r\n\r\n3e8\r\n{";
    let requests = [
        head("/api/messages") + length,
        head("/api/conversations") + chunked,
        host + length,
    ];
    let address = rest(&service);
    let exchanges = requests
        .iter()
        .map(|request| exchange(&address, request.as_bytes(), b' '));
    for (answer, took) in futures_util::future::join_all(exchanges).await {
        assert_is_error(&answer, 408, "REQUEST_TIMEOUT");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    // A body that comes in pieces is accepted if it is fast enough.
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    let body = json!({ "type": "group", "participantIds": [] }).to_string();
    let head = wire::head("POST", "/api/conversations", &headers);
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("written");
    let (half, other) = body.split_at(20);
    for part in [half, other] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stream.write_all(part.as_bytes()).await.expect("written");
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    assert_eq!(wire::parse(&bytes).status, 201);
}

#[tokio::test]
async fn an_unread_body_holds_no_connection() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let (rest, sockets) = (rest(&service), sockets(&service));
    let request = |method, path: &str| {
        let head = wire::head(method, path, &[("origin", PAGE)]);
        head.replace("connection: close\r\n", "") + "content-length: 1000\r\n\r\n{"
    };
    let token = &alice.token;
    for (address, method, path, status) in [
        (&rest, "GET", "/health", 200),
        (&rest, "GET", "/api/health", 200),
        (&rest, "POST", "/api/conversations", 401),
        (&rest, "POST", "/nothing", 404),
        (&rest, "POST", "/api/events", 405),
        (&sockets, "GET", "/health/ready", 200),
        (&sockets, "POST", "/ws", 405),
        (&sockets, "GET", "/ws", 426),
        (&sockets, "POST", &format!("/api/events?token={token}"), 405),
    ] {
        let (answer, took) = exchange(address, request(method, path).as_bytes(), b' ').await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(took < Duration::from_secs(8), "{method} {path}: {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408_and_a_quiet_connection_stays() {
    let service = Service::start().await;
    let head = format!("GET /health HTTP/1.1\r\nhost: a\r\norigin: {PAGE}\r\nx: ");
    let nothing = async {
        let stream = TcpStream::connect(rest(&service)).await;
        let mut stream = stream.expect("it listens");
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes)).await;
        read.expect("the connection ends").expect("no reset");
    };
    let kept = async {
        let stream = TcpStream::connect(rest(&service)).await;
        let mut stream = stream.expect("it listens");
        let request = "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut buffer = [0; 4096];
        for pause in [0, 15, 1] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            stream.write_all(request.as_bytes()).await.expect("written");
            let count = stream.read(&mut buffer).await.expect("an answer");
            assert!(
                buffer[..count].starts_with(b"HTTP/1.1 200"),
                "after {pause} s"
            );
        }
    };
    let (rest, sockets) = (rest(&service), sockets(&service));
    let (one, other, (), ()) = tokio::join!(
        exchange(&rest, head.as_bytes(), b'x'),
        exchange(&sockets, head.as_bytes(), b'x'),
        nothing,
        kept,
    );
    for (answer, took) in [one, other] {
        assert_is_error(&answer, 408, "REQUEST_TIMEOUT");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[tokio::test]
async fn an_invalid_http_request_gets_a_standard_error_on_every_port() {
    let service = Service::start().await;
    let worker = Service::builder()
        .roles("webhooks")
        .database(&service)
        .start()
        .await;
    let filler = format!("x-filler: {}\r\n", "x".repeat(8000)).repeat(10);
    let many: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
    let origin = format!("host: a\r\norigin: {PAGE}\r\n");
    for address in [rest(&service), sockets(&service), rest(&worker)] {
        for (what, request, statuses) in [
            ("no HTTP", "hello\r\n\r\n".to_owned(), &[400][..]),
            (
                "a bad version",
                format!("GET / HTTP/9.9\r\n{origin}\r\n"),
                &[400],
            ),
            (
                "a bad header",
                format!("GET / HTTP/1.1\r\n{origin}a b: c\r\n\r\n"),
                &[400],
            ),
            (
                "a bad length",
                format!("POST / HTTP/1.1\r\n{origin}content-length: x\r\n\r\n"),
                &[400],
            ),
            (
                "a large head",
                format!("GET / HTTP/1.1\r\n{origin}{filler}\r\n"),
                &[431],
            ),
            (
                "many headers",
                format!("GET / HTTP/1.1\r\n{origin}{many}\r\n"),
                &[431, 400],
            ),
        ] {
            let (answer, took) = exchange(&address, request.as_bytes(), b'x').await;
            assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
            assert_is_error(&answer, answer.status, "VALIDATION_ERROR");
            assert!(took < Duration::from_secs(8), "{what}: {took:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_request_that_is_still_being_sent_can_be_read() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let large = vec![b' '; 16 << 20];
    for path in ["/api/messages", "/api/nothing"] {
        for round in 0..5 {
            let answer = wire::send(&service, "POST", path, &headers, &large).await;
            let expected = if path == "/api/nothing" { 404 } else { 413 };
            assert_eq!(answer.status, expected, "{path}, {round}");
            assert_eq!(answer.json()["statusCode"], expected, "{path}, {round}");
        }
    }
}

#[tokio::test]
async fn health_is_limited_by_address_on_every_port_and_nothing_else_is_counted_with_it() {
    let service = Service::builder()
        .env("RATE_LIMIT_HEALTH", "40/600s")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    let worker = Service::builder()
        .roles("webhooks")
        .database(&service)
        .env("RATE_LIMIT_HEALTH", "40/600s")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    let paths = ["/health", "/health/live", "/health/ready", "/metrics"];
    for (number, (address, paths)) in [
        (rest(&service), [&paths[..], &["/api/health"]].concat()),
        (sockets(&service), paths.to_vec()),
        (rest(&worker), paths.to_vec()),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("203.0.113.{number}");
        let headers = [("x-forwarded-for", from.as_str()), ("origin", PAGE)];
        let ask = async |path: &str| {
            let request = wire::head("GET", path, &headers) + "\r\n";
            exchange(&address, request.as_bytes(), b'\n').await.0
        };
        for n in 0..40 {
            let path = paths[n % paths.len()];
            assert_eq!(ask(path).await.status, 200, "{address}{path}, {n}");
        }
        for path in &paths {
            let answer = ask(path).await;
            assert_is_error(&answer, 429, "RATE_LIMITED");
            let wait = answer
                .header("retry-after")
                .and_then(|wait| wait.parse().ok());
            assert!(wait.is_some_and(|wait: u64| wait >= 1), "{answer:?}");
        }
    }
    // Other addresses and users are not affected.
    service.anonymous().get("/health").await.expect(200);
    let alice = service.user("alice").await;
    alice.get("/api/users/me").await.expect(200);
}
