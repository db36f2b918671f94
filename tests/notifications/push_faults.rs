//! Push services that refuse, fail, hang, or ask for pauses.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{browser::PushService, notify, service};
use crate::support::{User, eventually, eventually_within};

async fn devices(user: &User) -> usize {
    let page = user
        .get("/api/notifications/push/subscriptions")
        .await
        .expect(200);
    page["subscriptions"].as_array().expect("a list").len()
}

#[tokio::test]
async fn gone_devices_are_removed_at_once_and_others_are_served() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    for (name, status) in [("a", 404), ("b", 410), ("c", 201)] {
        push.subscribe(&alice, name).await;
        push.answer(name, status, json!({})).await;
    }
    notify(&service, &["alice"], json!({})).await;
    for name in ["a", "b", "c"] {
        push.wait_for(name, 1).await;
    }
    eventually("two devices are gone", || async {
        (devices(&alice).await == 1).then_some(())
    })
    .await;
    notify(&service, &["alice"], json!({})).await;
    push.wait_for("c", 2).await;
    assert_eq!(
        push.received("a").await.len() + push.received("b").await.len(),
        2
    );
}

#[tokio::test]
async fn other_refusals_do_not_remove_a_device_at_once() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    let statuses = [400, 403, 413, 429, 500];
    for status in statuses {
        let name = status.to_string();
        push.subscribe(&alice, &name).await;
        push.answer(&name, status, json!({})).await;
    }
    notify(&service, &["alice"], json!({})).await;
    for status in statuses {
        push.wait_for(&status.to_string(), 1).await;
    }
    // A failed attempt is tried again after its pause.
    push.answer("500", 201, json!({})).await;
    let received = push.wait_for("500", 2).await;
    assert_eq!(received[0]["payload"], received[1]["payload"]);
    assert_eq!(received[0]["topic"], received[1]["topic"]);
    let pause =
        received[1]["at"].as_i64().expect("a time") - received[0]["at"].as_i64().expect("a time");
    assert!(pause >= 4_500, "{pause} ms");
    assert_eq!(devices(&alice).await, statuses.len());
}

#[tokio::test]
async fn a_device_with_refusals_only_is_removed_after_ten() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    let id = push.subscribe(&alice, "laptop").await;
    push.answer("laptop", 400, json!({})).await;
    // Nine refusals before; the pauses between them would take hours.
    let stored = service.sandbox().collection("notifications_devices").await;
    let change = mongodb::bson::doc! { "$set": { "refusals": 9_i64 } };
    stored
        .update_one(mongodb::bson::doc! { "_id": &id }, change)
        .await
        .expect("stored");
    notify(&service, &["alice"], json!({})).await;
    push.wait_for("laptop", 1).await;
    eventually("the device is removed", || async {
        (devices(&alice).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_that_hangs_or_asks_for_a_pause_delays_no_other() {
    let service = service(0, "").env("PUSH_TIMEOUT_MS", "30000").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    for name in ["hanging", "failing", "working"] {
        push.subscribe(&alice, name).await;
    }
    push.answer("hanging", 201, json!({ "delayMs": 30_000 }))
        .await;
    push.answer(
        "failing",
        503,
        json!({ "headers": { "Retry-After": "60" } }),
    )
    .await;
    let began = Instant::now();
    let count = 20;
    for n in 0..count {
        notify(&service, &["alice"], json!({ "kind": format!("K{n}") })).await;
        let sent = Instant::now();
        push.wait_for("working", n + 1).await;
        assert!(
            sent.elapsed() < Duration::from_secs(5),
            "{:?} for one push",
            sent.elapsed()
        );
    }
    if began.elapsed() < Duration::from_secs(55) {
        assert_eq!(
            push.received("failing").await.len(),
            1,
            "it asked for a pause of a minute"
        );
    }
    assert!(push.received("hanging").await.len() <= 1 + began.elapsed().as_secs() as usize / 30);
}

#[tokio::test]
async fn a_text_that_is_deleted_during_a_pause_is_not_sent_after_it() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    push.subscribe(&alice, "laptop").await;
    push.answer(
        "laptop",
        429,
        json!({ "headers": { "Retry-After": "5" }, "times": 1 }),
    )
    .await;
    let message = bob.say(&conversation, "a text to forget").await;
    push.wait_for("laptop", 1).await;
    bob.delete(&format!(
        "/api/messages/{}",
        message["id"].as_str().expect("an id")
    ))
    .await
    .expect(204);
    bob.say(&conversation, "another text").await;
    let received = push.wait_for("laptop", 2).await;
    let pause =
        received[1]["at"].as_i64().expect("a time") - received[0]["at"].as_i64().expect("a time");
    assert!(pause >= 4_900, "{pause} ms");
    let payload: &Value = &received[1]["payload"];
    assert_eq!(
        (&payload["body"], &payload["messageCount"]),
        (&json!("another text"), &json!(1))
    );
}

#[tokio::test]
async fn redirects_are_not_followed_and_answers_are_shown_to_nobody() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    push.subscribe(&alice, "laptop").await;
    push.subscribe(&alice, "target").await;
    notify(&service, &["alice"], json!({})).await;
    push.wait_for("target", 1).await;
    let target = push.browser("elsewhere").await["endpoint"].clone();
    push.answer("laptop", 302, json!({ "headers": { "Location": target } }))
        .await;
    notify(&service, &["alice"], json!({})).await;
    push.wait_for("laptop", 2).await;
    push.wait_for("target", 2).await;
    assert!(push.received("elsewhere").await.is_empty());
    for path in [
        "/api/notifications/push/subscriptions",
        "/api/notifications",
    ] {
        let shown = alice.get(path).await.expect(200).to_string();
        assert!(!shown.contains("the answer of the push service"), "{shown}");
    }
}

#[tokio::test]
async fn after_an_outage_a_device_gets_one_push_per_conversation_and_old_messages_none() {
    let push = PushService::start().await;
    let settings = "max_age_seconds = 20";
    let api = service(0, settings).roles("api").start().await;
    let (alice, bob) = (api.user("alice").await, api.user("bob").await);
    let conversation = api.group(&alice, &[&bob]).await;
    let old = api.group(&alice, &[&bob]).await;
    // The durable exists from the first worker on.
    let worker = service(0, settings)
        .roles("webhooks")
        .database(&api)
        .start()
        .await;
    api.sandbox().wait_for_durable("notifications-events").await;
    push.subscribe(&alice, "laptop").await;
    bob.say(&conversation, "while it works").await;
    push.wait_for("laptop", 1).await;
    worker.stop();
    bob.say(&old, "an old message").await;
    let sent = Instant::now();
    eventually_within(Duration::from_secs(60), "it is old", || async {
        (sent.elapsed() > Duration::from_secs(21)).then_some(())
    })
    .await;
    for n in 1..=50 {
        bob.say(&conversation, &format!("message {n}")).await;
    }
    let worker = service(0, settings)
        .roles("webhooks")
        .database(&api)
        .start()
        .await;
    let received = push.wait_for("laptop", 2).await;
    assert_eq!(received[1]["payload"]["body"], "message 50");
    assert_eq!(received[1]["payload"]["unreadCount"], 51);
    bob.say(&conversation, "after it").await;
    let received = push.wait_for("laptop", 3).await;
    assert_eq!(received.len(), 3, "one push for 50 messages: {received:?}");
    assert_eq!(received[2]["payload"]["body"], "after it");
    let metrics = worker.anonymous().get("/metrics").await.text;
    assert!(
        metrics.contains("chat_notifications_dropped_total{reason=\"age\"} 1"),
        "{metrics}"
    );
}
