//! CORS headers of answers that nginx makes itself. The headers of the service's own answers must not be doubled.

use crate::{
    api::wire::{self, Raw},
    support::{Front, Sandbox, Service},
};

const SHOP: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";
const MEBIBYTE: usize = 1024 * 1024;

/// The values of the header of that name.
fn all<'a>(answer: &'a Raw, name: &str) -> Vec<&'a str> {
    let named = answer.headers.iter().filter(|(known, _)| known == name);
    named.map(|(_, value)| value.as_str()).collect()
}

/// Answers to a page at `origin`: some of nginx's own, some of the service's.
async fn answers(front: &Front, origin: &str) -> Vec<(&'static str, u16, Raw)> {
    let headers = [("origin", origin), ("content-type", "application/json")];
    let long = "x".repeat(9 * 1024);
    let path = format!("/health?q={long}");
    let long = [("origin", origin), ("x-long", long.as_str())];
    let large = vec![b' '; MEBIBYTE + 1];
    let send = async |method, path, headers: &[(&str, &str)], body: &[u8]| {
        wire::send(front, method, path, headers, body).await
    };
    vec![
        (
            "nginx",
            413,
            send("POST", "/api/conversations", &headers, &large).await,
        ),
        ("nginx", 431, send("GET", "/health", &long, b"").await),
        ("nginx", 404, send("GET", "/metrics", &headers, b"").await),
        (
            "nginx, unread",
            414,
            send("GET", &path, &headers, b"").await,
        ),
        (
            "service",
            401,
            send("POST", "/api/conversations", &headers, b"{}").await,
        ),
        (
            "service",
            404,
            send("GET", "/api/nothing", &headers, b"").await,
        ),
        ("service", 200, send("GET", "/health", &headers, b"").await),
        (
            "service",
            401,
            send("GET", "/api/events", &headers, b"").await,
        ),
        ("service", 426, send("GET", "/ws", &headers, b"").await),
    ]
}

#[tokio::test]
async fn every_page_can_read_every_error_where_all_are_allowed() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    for (whose, status, answer) in answers(&front, SHOP).await {
        let what = format!("{status} of {whose}: {answer:?}");
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(all(&answer, "access-control-allow-origin"), ["*"], "{what}");
        assert_eq!(all(&answer, "access-control-allow-credentials"), [""; 0]);
        assert_eq!(all(&answer, "access-control-expose-headers").len(), 1);
        if status != 200 {
            assert_eq!(answer.json()["statusCode"], status, "{what}");
        }
    }
}

#[tokio::test]
async fn a_listed_page_can_read_every_error_and_another_one_none() {
    let service = Service::builder()
        .env(
            "ALLOWED_ORIGINS",
            "https://other.example, https://shop.example",
        )
        .start()
        .await;
    let origins = "https://other.example, https://shop.example";
    let front = Front::before_allowing(origins, &service).await;
    for (origin, allowed) in [(SHOP, &[SHOP][..]), (EVIL, &[][..])] {
        for (whose, status, answer) in answers(&front, origin).await {
            let what = format!("{status} of {whose} to {origin}: {answer:?}");
            // Before a request is read, its origin is unknown.
            let allowed = if whose == "nginx, unread" {
                &[][..]
            } else {
                allowed
            };
            // A foreign page is refused by the event stream itself.
            let is_refused = status == 401 && answer.status == 403;
            assert!(answer.status == status || is_refused, "{what}");
            assert_eq!(
                all(&answer, "access-control-allow-origin"),
                allowed,
                "{what}"
            );
            let credentials = all(&answer, "access-control-allow-credentials");
            assert_eq!(credentials.len(), allowed.len(), "{what}");
            assert_eq!(all(&answer, "vary"), ["Origin"], "{what}");
        }
    }
}

#[tokio::test]
async fn a_page_learns_that_no_node_answers() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let gone = [listener.expect("a port").local_addr().expect("an address")];
    let front = Front::start_unready(Sandbox::new(), &gone, &gone).await;
    for path in ["/api/health", "/api/events", "/ws"] {
        let head = wire::head("GET", path, &[("origin", SHOP)]) + "\r\n";
        let answer = wire::exchange(&front, &[head.as_bytes()]).await;
        assert_eq!(
            (answer.status, answer.code()),
            (502, "UNAVAILABLE".to_owned())
        );
        assert_eq!(all(&answer, "access-control-allow-origin"), ["*"], "{path}");
        assert_eq!(all(&answer, "retry-after"), ["1"], "{path}");
    }
}
