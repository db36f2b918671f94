//! Slow mode: what it stops, whom, and for how long.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{builder, code, expect_refused, id, path, refuse_words, restrict, try_say};
use crate::support::eventually;

/// The remaining seconds in the reason of a refusal.
fn seconds(error: &Value) -> u64 {
    let reason = error["message"].as_str().expect("a reason");
    let number = reason
        .split(' ')
        .rev()
        .nth(1)
        .and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no seconds: {error}"))
}

#[tokio::test]
async fn slow_mode_stops_the_second_message_only() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let slow =
        json!({ "kind": "slowMode", "conversationId": conversation, "intervalSeconds": 600 });
    restrict(&service, slow).await;
    refuse_words(&service, &["banned"]).await;
    // A refused message does not count.
    expect_refused(&bob, &conversation, "banned", "RULE").await;
    let message = id(&bob.say(&conversation, "one").await);
    let error = expect_refused(&bob, &conversation, "two", "RATE_LIMITED").await;
    assert!((500..=600).contains(&seconds(&error)), "{error}");
    let mut socket = bob.connect().await;
    let data = json!({ "conversationId": conversation, "content": "two" });
    let error = socket.refused("message:send", data).await;
    assert_eq!(code(&error), "RATE_LIMITED");

    let own = format!("/api/messages/{message}");
    bob.patch(&own, json!({ "content": "edited" }))
        .await
        .expect(200);
    bob.post(&format!("{own}/reactions"), json!({ "emoji": "👍" }))
        .await
        .expect(200);
    let first = id(&alice.say(&conversation, "by the owner").await);
    alice.say(&conversation, "again").await;
    let read = format!("/api/messages/{first}/read");
    bob.request(Method::PUT, &read, None).await.expect(200);
    socket
        .ok("typing:start", json!({ "conversationId": conversation }))
        .await;
    bob.delete(&own).await.expect(204);
    expect_refused(&bob, &conversation, "three", "RATE_LIMITED").await;
    // Admins are exempt.
    let role = format!("/api/conversations/{conversation}/participants/bob");
    alice
        .patch(&role, json!({ "role": "admin" }))
        .await
        .expect(200);
    bob.say(&conversation, "as an admin").await;
    bob.say(&conversation, "again").await;
}

#[tokio::test]
async fn a_refused_message_does_not_restart_the_wait() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let slow = json!({ "kind": "slowMode", "conversationId": conversation, "intervalSeconds": 3 });
    restrict(&service, slow).await;
    bob.say(&conversation, "one").await;
    let refused = AtomicU32::new(0);
    // It is tried all the time, so a wait that begins again would never end.
    eventually("the next message passes", || async {
        let is_sent = try_say(&bob, &conversation, "two").await.status == 201;
        refused.fetch_add(u32::from(!is_sent), Ordering::Relaxed);
        is_sent.then_some(())
    })
    .await;
    let refused = refused.into_inner();
    assert!(refused > 1, "{refused}");
}

#[tokio::test]
async fn exactly_one_of_two_messages_at_once_on_two_nodes_passes() {
    let one = builder().start().await;
    let other = builder().database(&one).start().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    for round in 0..5 {
        let conversation = one.group(&alice, &[&bob]).await;
        let slow =
            json!({ "kind": "slowMode", "conversationId": conversation, "intervalSeconds": 600 });
        restrict(&one, slow).await;
        let mut sockets = [bob.connect().await, bob.at(&other).connect().await];
        let answers = join_all(sockets.iter_mut().map(|socket| {
            let data = json!({ "conversationId": conversation, "content": "now" });
            socket.send("message:send", data)
        }))
        .await;
        let passed = answers.iter().filter(|ack| ack["success"] == true).count();
        assert_eq!(passed, 1, "{round}: {answers:?}");
        assert_eq!(alice.history(&conversation).await.len(), 1);
    }
}

#[tokio::test]
async fn a_repetition_of_a_counted_message_passes_and_the_end_of_slow_mode_frees_all() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let slow =
        json!({ "kind": "slowMode", "conversationId": conversation, "intervalSeconds": 600 });
    let restriction = restrict(&service, slow).await;
    let messages = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "one", "clientMessageId": "c-1" });
    let sent = bob.post(&messages, body.clone()).await.expect(201);
    let again = bob.post(&messages, body).await.expect(200);
    assert_eq!(again["id"], sent["id"]);
    expect_refused(&bob, &conversation, "two", "RATE_LIMITED").await;
    let path = path(&format!("restrictions/{}", id(&restriction)));
    service.internal().delete(&path).await.expect(204);
    service
        .internal()
        .delete(&path)
        .await
        .expect_error(404, "NOT_FOUND");
    bob.say(&conversation, "two").await;
    bob.say(&conversation, "three").await;
}
