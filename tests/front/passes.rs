//! Paths for clients pass unchanged; internal paths do not pass.

use serde_json::json;

use super::start;
use crate::{
    api::wire,
    support::{Connect, INTERNAL_SECRET, TokenBy},
};

#[tokio::test]
async fn rest_documents_and_health_pass_unchanged() {
    let (service, front) = start().await;
    for path in [
        "/api/docs",
        "/api/docs-json",
        "/api/docs-yaml",
        "/health",
        "/health/live",
        "/health/ready",
    ] {
        let direct = wire::send(&service, "GET", path, &[], b"").await;
        let passed = wire::send(&front, "GET", path, &[], b"").await;
        assert_eq!(passed.status, 200, "{path}");
        assert_eq!(passed.body, direct.body, "{path}");
        assert_eq!(
            passed.header("content-type"),
            direct.header("content-type"),
            "{path}"
        );
    }
    let alice = front.user("alice").await;
    let bob = front.user("bob").await;
    let conversation = front.group(&alice, &[&bob]).await;
    let said = alice.say(&conversation, "through the front").await;
    assert_eq!(bob.history(&conversation).await, [said]);
    alice
        .get("/api/nothing")
        .await
        .expect_error(404, "NOT_FOUND");
    front
        .anonymous()
        .get("/api/users/me")
        .await
        .expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_page_of_documents_may_call_only_its_own_service() {
    let (_service, front) = start().await;
    for path in ["/api/docs", "/api/docs?x=1"] {
        let page = wire::send(&front, "GET", path, &[], b"").await;
        let policy = page.header("content-security-policy").expect("a policy");
        for part in [
            "default-src 'none'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        let text = String::from_utf8_lossy(&page.body);
        assert!(!text.contains("http://localhost:8080"), "{path}");
        // The page embeds its own scripts and stylesheets.
        assert!(!text.contains("<script src") && !text.contains("<link rel=\"stylesheet\" href"));
    }
}

#[tokio::test]
async fn sockets_pass_however_they_show_their_token() {
    let (_service, front) = start().await;
    let alice = front.user("alice").await;
    let conversation = front.group(&alice, &[]).await;
    for token_by in [
        TokenBy::Header,
        TokenBy::Protocol,
        TokenBy::Query,
        TokenBy::FirstFrame,
    ] {
        let how = Connect {
            token_by,
            ..Connect::default()
        };
        let mut socket = alice.connect_with(how).await;
        assert_eq!(socket.subprotocol.as_deref(), Some("chat.v1"));
        let content = format!("{token_by:?}");
        let body = json!({ "conversationId": conversation, "content": content });
        let sent = socket.ok("message:send", body).await;
        let pushed = socket.next("message:new").await;
        assert_eq!(pushed["data"], sent["message"]);
        let cursor = socket.cursor();
        socket.vanish();
        alice.say(&conversation, "missed").await;
        let mut back = alice.resume(&cursor).await;
        assert_eq!(back.connected["resumed"], true, "{token_by:?}");
        let missed = back.next("message:new").await;
        assert_eq!(missed["data"]["content"], "missed", "{token_by:?}");
    }
}

#[tokio::test]
async fn metrics_are_denied_however_the_path_is_written() {
    let (service, front) = start().await;
    let direct = wire::send(&service, "GET", "/metrics", &[], b"").await;
    assert_eq!(direct.status, 200, "on the node's own port they are");
    for path in [
        "/metrics",
        "/metrics?all",
        "/metrics/",
        "/metrics/x",
        "//metrics",
        "/./metrics",
        "/api/../metrics",
        "/%6detrics",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = wire::send(&front, method, path, &[], b"").await;
            assert_eq!(answer.status, 404, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.code(), "NOT_FOUND", "{method} {path}");
            }
        }
    }
    let secret = [("x-internal-secret", INTERNAL_SECRET)];
    let of_host = wire::send(&front, "GET", "/api/metrics", &secret, b"").await;
    assert_eq!(of_host.status, 200, "the host's own way to them passes");
    let of_nobody = wire::send(&front, "GET", "/api/metrics", &[], b"").await;
    assert_eq!(of_nobody.status, 401);
}
