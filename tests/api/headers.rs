//! Headers of every answer: request id, CORS, caching.

use super::wire;
use crate::support::Service;

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let service = Service::start().await;
    let mut seen = std::collections::HashSet::new();
    for path in ["/api/health", "/api/nothing", "/api/users/me", "/health"] {
        let answer = wire::send(&service, "GET", path, &[], b"").await;
        let id = answer
            .header("x-request-id")
            .unwrap_or_else(|| panic!("{path} has none"))
            .to_owned();
        assert!(!id.is_empty());
        assert!(seen.insert(id), "an id is given twice");
    }
}

#[tokio::test]
async fn a_callers_request_id_comes_back_unless_it_would_spoil_a_log() {
    let service = Service::start().await;
    let answer = wire::send(
        &service,
        "GET",
        "/api/nothing",
        &[("x-request-id", "order-4711.a")],
        b"",
    )
    .await;
    assert_eq!(answer.header("x-request-id"), Some("order-4711.a"));
    let long = "x".repeat(65);
    for unfit in ["a b", "a\"b", "{}", "<script>", long.as_str()] {
        let answer = wire::send(
            &service,
            "GET",
            "/api/nothing",
            &[("x-request-id", unfit)],
            b"",
        )
        .await;
        let given = answer.header("x-request-id");
        assert!(
            given.is_some_and(|given| given != unfit),
            "{unfit}: {given:?}"
        );
    }
}

#[tokio::test]
async fn answers_forbid_caching_and_content_sniffing() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    for path in ["/api/users/me", "/api/nothing"] {
        let answer = wire::send(&service, "GET", path, &[("authorization", &bearer)], b"").await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("server"), None, "{path}");
    }
}

async fn preflight(service: &Service, origin: &str) -> wire::Raw {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PATCH"),
        (
            "access-control-request-headers",
            "authorization, content-type",
        ),
    ];
    wire::send(service, "OPTIONS", "/api/users/me", &headers, b"").await
}

#[tokio::test]
async fn by_default_cors_allows_any_origin_without_credentials() {
    let service = Service::start().await;
    let answer = preflight(&service, "https://shop.example").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let methods = answer
        .header("access-control-allow-methods")
        .unwrap_or_default();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    let allowed = answer
        .header("access-control-allow-headers")
        .unwrap_or_default()
        .to_lowercase();
    assert!(
        allowed.contains("authorization") && allowed.contains("content-type"),
        "{allowed}"
    );
    assert!(
        !allowed.contains("internal"),
        "the internal secret belongs into no browser: {allowed}"
    );
}

#[tokio::test]
async fn cors_allows_only_listed_origins_if_configured() {
    let service = Service::builder()
        .env("ALLOWED_ORIGINS", "https://shop.example")
        .start()
        .await;
    let answer = preflight(&service, "https://shop.example").await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    for origin in [
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "null",
    ] {
        let answer = preflight(&service, origin).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
        let answer = wire::send(&service, "GET", "/api/health", &[("origin", origin)], b"").await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
        assert!(
            answer
                .header("vary")
                .is_some_and(|vary| vary.to_lowercase().contains("origin"))
        );
    }
    // A web page must be able to read errors too, or it could not tell them from a network failure.
    let answer = wire::send(
        &service,
        "GET",
        "/api/users/me",
        &[("origin", "https://shop.example")],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("https://shop.example"))
    );
}
