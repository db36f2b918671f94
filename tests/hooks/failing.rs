//! Hooks that fail: the declared policy decides, within the time limit.

use std::time::{Duration, Instant};

use serde_json::json;

use super::sample::{asked, service};

const FAILURES: [&str; 4] = ["fail", "panic", "stuck", "break"];

#[tokio::test]
async fn a_hook_that_fails_open_lets_messages_pass() {
    let service = service(r#"{ name = "words", timeout_ms = 200 }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    for text in FAILURES {
        let began = Instant::now();
        let sent = alice.say(&conversation, text).await;
        assert_eq!(sent["content"], text, "unchanged");
        assert!(began.elapsed() < Duration::from_secs(3), "{text}");
    }
    let metrics = service.anonymous().get("/metrics").await.text;
    let line = "chat_hook_calls_total{plugin=\"hooked\",hook=\"words\",point=\"message.before_send\",outcome=\"fault\",shadow=\"false\"} 4";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_hook_that_fails_closed_stops_messages_with_503_and_a_repetition_asks_again() {
    let service = service(r#"{ name = "words", timeout_ms = 200, closed = true }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    for text in FAILURES {
        let body = json!({ "content": text, "clientMessageId": text });
        let answer = alice.post(&path, body).await;
        assert!(!answer.header("Retry-After").is_empty(), "{answer}");
        answer.expect_error(503, "UNAVAILABLE");
    }
    assert_eq!(
        alice.history(&conversation).await,
        Vec::<serde_json::Value>::new()
    );
    let before = asked(&service).await.len();
    let body = json!({ "content": "fail", "clientMessageId": "fail" });
    alice
        .post(&path, body)
        .await
        .expect_error(503, "UNAVAILABLE");
    assert_eq!(
        asked(&service).await.len(),
        before + 1,
        "a failure is no verdict"
    );
}

#[tokio::test]
async fn a_dead_hook_does_not_cost_its_time_limit_for_every_message() {
    let service = service(r#"{ name = "words", timeout_ms = 1000 }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    for _ in 0..5 {
        alice.say(&conversation, "stuck").await;
    }
    let began = Instant::now();
    for n in 0..20 {
        alice.say(&conversation, &format!("stuck {n}")).await;
    }
    // At most one trial of a second falls into this time.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert!(asked(&service).await.len() < 15);
    crate::support::eventually("the hook is asked again", || async {
        let answer = alice
            .post(
                &format!("/api/conversations/{conversation}/messages"),
                json!({ "content": "refuse" }),
            )
            .await;
        (answer.status == 403).then_some(())
    })
    .await;
}
