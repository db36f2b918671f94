//! Tokens and secrets are in no log of nginx, whatever the outcome of the request.

use super::start;
use crate::{
    api::wire,
    support::{Connect, Front, INTERNAL_SECRET, Sandbox, TokenBy, eventually},
};

/// Fails if a log of `front` contains a usable part of `secret`.
#[track_caller]
fn assert_keeps(front: &Front, secret: &str) {
    let logs = front.access_log_text() + &front.error_log_text();
    // A token has three parts; only the last one, the signature, makes it valid.
    for part in secret.split('.') {
        assert!(!logs.contains(part), "{part} is in a log:\n{logs}");
    }
}

async fn wait_for_lines(front: &Front, path: &str, count: usize) {
    eventually("the access log has every request", || async {
        let lines = front.access_log();
        let of_path = lines.iter().filter(|line| line["path"] == path).count();
        (of_path >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_tokens_of_sockets_are_in_no_log() {
    let (_service, front) = start().await;
    let alice = front.user("alice").await;
    let ways = [TokenBy::Header, TokenBy::Protocol, TokenBy::Query];
    for token_by in ways {
        let how = Connect {
            token_by,
            ..Connect::default()
        };
        drop(alice.connect_with(how).await);
    }
    // Nor are those that are refused, nor cursors.
    for token_by in ways {
        let how = Connect {
            token_by,
            token: Some(format!("{}x", alice.token)),
            resume: Some("a-cursor-of-this-test".to_owned()),
            ..Connect::default()
        };
        assert!(alice.try_connect(how).await.is_err(), "{token_by:?}");
    }
    wait_for_lines(&front, "/ws", 6).await;
    assert_keeps(&front, &alice.token);
    assert_keeps(&front, "a-cursor-of-this-test");
}

#[tokio::test]
async fn tokens_and_secrets_of_requests_are_in_no_log() {
    let (_service, front) = start().await;
    let alice = front.user("alice").await;
    let token = alice.token.as_str();
    let bearer = format!("Bearer {token}");
    alice.get("/api/users/me").await.expect(200);
    let headers = [("authorization", bearer.as_str())];
    let long = "x".repeat(9 * 1024);
    let bad = [
        // Passed on, denied here, unreadable in three ways.
        format!("/api/nothing?token={token}"),
        format!("/metrics?token={token}"),
        format!("/health?token={token}&q={long}"),
        format!("/health?token={token}%00"),
        format!("/%?token={token}"),
    ];
    for path in &bad {
        let answer = wire::send(&front, "GET", path, &headers, b"").await;
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
    let head = format!("GET /ws?token={token} HTTP/3.0\r\nhost: a\r\n\r\n");
    wire::exchange(&front, &[head.as_bytes()]).await;
    wait_for_lines(&front, "/api/nothing", 1).await;
    wait_for_lines(&front, "/metrics", 1).await;
    assert_keeps(&front, token);
    assert_keeps(&front, INTERNAL_SECRET);
}

#[tokio::test]
async fn requests_without_a_node_leave_no_token_in_logs() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let gone = listener.local_addr().expect("an address");
    drop(listener);
    let front = Front::start_unready(Sandbox::new(), &[gone], &[gone]).await;
    let token = front.token("alice").sign();
    for path in ["/ws", "/api/users/me"] {
        let with_token = format!("{path}?token={token}");
        let answer = wire::exchange(
            &front,
            &[(wire::head("GET", &with_token, &[]) + "\r\n").as_bytes()],
        )
        .await;
        assert_eq!(answer.status, 502);
        wait_for_lines(&front, path, 1).await;
    }
    assert_keeps(&front, &token);
}
