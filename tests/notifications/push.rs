//! Web Push to a push service that checks and decrypts everything.

use reqwest::Method;
use serde_json::{Value, json};

use super::{browser::PushService, notify, service};
use crate::support::{Node, User, eventually};

/// Sends `body` as a registration.
async fn register(user: &User, body: Value) -> crate::support::Answer {
    let path = "/api/notifications/push/subscriptions";
    user.request(Method::PUT, path, Some(body)).await
}

/// Two users of a conversation.
async fn pair(node: &Node) -> (User, User, String) {
    let (alice, bob) = (node.user("alice").await, node.user("bob").await);
    let conversation = node.group(&alice, &[&bob]).await;
    (alice, bob, conversation)
}

#[tokio::test]
async fn a_notification_for_an_offline_user_arrives_in_the_browser_once() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    push.subscribe(&alice, "laptop").await;
    notify(
        &service,
        &["alice"],
        json!({ "body": "Carol likes it.", "data": { "photoId": 17 } }),
    )
    .await;
    let received = push.wait_for("laptop", 1).await;
    let payload = &received[0]["payload"];
    assert_eq!(payload["type"], "notification");
    assert_eq!(
        (&payload["title"], &payload["body"]),
        (&json!("New like"), &json!("Carol likes it."))
    );
    assert_eq!(payload["data"], json!({ "photoId": 17 }));
    assert_eq!(
        (&received[0]["ttl"], &received[0]["urgency"]),
        (&json!("86400"), &json!("high"))
    );
    let key = alice.get("/api/notifications/push/key").await.expect(200);
    assert_eq!(received[0]["key"], key["applicationServerKey"]);
    // The next one is the second, so the first was sent once.
    notify(&service, &["alice"], json!({ "kind": "LAST" })).await;
    let received = push.wait_for("laptop", 2).await;
    assert_eq!(
        (received.len(), &received[1]["payload"]["kind"]),
        (2, &json!("LAST"))
    );
}

#[tokio::test]
async fn several_messages_of_a_conversation_are_one_push_with_one_topic() {
    let service = service(2, "").start().await;
    let push = PushService::start().await;
    let (alice, bob, conversation) = pair(&service).await;
    push.subscribe(&alice, "laptop").await;
    for n in 1..=5 {
        bob.say(&conversation, &format!("message {n}")).await;
    }
    let received = push.wait_for("laptop", 1).await;
    let payload = received[0]["payload"].clone();
    let count = payload["messageCount"].as_u64().expect("a number");
    assert_eq!(payload["conversationId"], conversation.as_str());
    assert_eq!(
        (&payload["senderId"], &payload["unreadCount"]),
        (&json!("bob"), &json!(count))
    );
    assert_eq!(payload["body"], format!("message {count}"));
    assert!(count >= 2, "the window is longer than a send: {payload}");
    bob.say(&conversation, "later").await;
    let total: u64 = eventually("all messages were pushed", || async {
        let received = push.received("laptop").await;
        let last = received.last()?;
        (last["payload"]["body"] == "later").then(|| {
            let counts = received
                .iter()
                .map(|one| one["payload"]["messageCount"].as_u64().unwrap_or(0));
            counts.sum()
        })
    })
    .await;
    assert_eq!(total, 6, "every message is in one digest");
    let received = push.received("laptop").await;
    assert!(received.len() <= 3, "{received:?}");
    assert!(
        received
            .iter()
            .all(|one| one["topic"] == received[0]["topic"])
    );
}

#[tokio::test]
async fn text_that_was_deleted_read_or_muted_before_the_digest_is_in_no_push() {
    let service = service(3, "").start().await;
    let push = PushService::start().await;
    let (alice, bob, _) = pair(&service).await;
    push.subscribe(&alice, "laptop").await;
    let group = |name: &'static str| {
        let (service, alice, bob) = (&service, &alice, &bob);
        async move {
            service
                .group_with(bob, &[alice], json!({ "name": name }))
                .await
        }
    };
    let deleted = group("deleted").await;
    let read = group("read").await;
    let muted = group("muted").await;
    let left = group("left").await;
    let edited = group("edited").await;
    let expired = group("expired").await;
    let message = bob.say(&deleted, "a text that is deleted").await;
    bob.delete(&format!(
        "/api/messages/{}",
        message["id"].as_str().expect("an id")
    ))
    .await
    .expect(204);
    bob.say(&read, "a text that is read elsewhere").await;
    alice
        .request(
            Method::PUT,
            &format!("/api/conversations/{read}/read"),
            Some(json!({})),
        )
        .await
        .expect(200);
    bob.say(&muted, "a text of a muted conversation").await;
    alice
        .patch(
            &format!("/api/conversations/{muted}/me"),
            json!({ "muted": true }),
        )
        .await
        .expect(200);
    bob.say(&left, "a text of a conversation that was left")
        .await;
    alice
        .post(&format!("/api/conversations/{left}/leave"), json!({}))
        .await
        .expect(204);
    let body = json!({ "content": "a text that expires", "ttlSeconds": 1 });
    bob.post(&format!("/api/conversations/{expired}/messages"), body)
        .await
        .expect(201);
    let message = bob.say(&edited, "an old text").await;
    let path = format!("/api/messages/{}", message["id"].as_str().expect("an id"));
    bob.patch(&path, json!({ "content": "a new text" }))
        .await
        .expect(200);
    let received = push.wait_for("laptop", 1).await;
    assert_eq!(received[0]["payload"]["body"], "a new text");
    assert_eq!(received[0]["payload"]["conversationName"], "edited");
    // A later message comes alone: the others were dropped, not delayed.
    bob.say(&edited, "the last text").await;
    let received = push.wait_for("laptop", 2).await;
    assert_eq!(received.len(), 2, "{received:?}");
    assert_eq!(received[1]["payload"]["body"], "the last text");
}

#[tokio::test]
async fn the_largest_message_fits_into_a_push_and_reading_many_sends_none() {
    let service = service(1, "").start().await;
    let push = PushService::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let name = "📣".repeat(128);
    let conversation = service
        .group_with(&bob, &[&alice], json!({ "name": name }))
        .await;
    push.subscribe(&alice, "laptop").await;
    let family = "👨‍👩‍👧‍👦";
    let content = family.repeat(16_384 / family.len());
    bob.say(&conversation, &content).await;
    let received = push.wait_for("laptop", 1).await;
    let body = received[0]["payload"]["body"].as_str().expect("a text");
    let kept = body.trim_end_matches('…');
    assert!(!kept.is_empty() && content.starts_with(kept) && kept.len() % family.len() == 0);
    assert!(received[0]["bytes"].as_u64().expect("a number") <= 4096);
    let read = format!("/api/conversations/{conversation}/read");
    alice
        .request(Method::PUT, &read, Some(json!({})))
        .await
        .expect(200);
    bob.say(&conversation, "next").await;
    let received = push.wait_for("laptop", 2).await;
    assert_eq!(received.len(), 2, "reading sends no push");
    assert_eq!(received[1]["payload"]["unreadCount"], 1);
}

#[tokio::test]
async fn the_key_stays_after_a_restart_and_a_subscription_keeps_its_own_key() {
    let push = PushService::start().await;
    let first = service(0, "").start().await;
    let alice = first.user("alice").await;
    let key = alice.get("/api/notifications/push/key").await.expect(200);
    push.subscribe(&alice, "old").await;
    let second = service(0, "").database(&first).start().await;
    let there = alice
        .at(&second)
        .get("/api/notifications/push/key")
        .await
        .expect(200);
    assert_eq!(there, key, "a second node has the same key");
    second.stop();
    let place = std::sync::Arc::clone(first.sandbox());
    first.stop();
    // The operator configures another key.
    let other = "RS0WdYWWo1HajXg3NZR1olzCf31i-ZBGDkFyCs7j1jw";
    let changed = service(0, "")
        .place_of(&place)
        .env("PUSH_VAPID_PRIVATE_KEY", other)
        .start()
        .await;
    let alice = changed.user("alice").await;
    let new_key = alice.get("/api/notifications/push/key").await.expect(200);
    assert_ne!(new_key, key);
    push.subscribe(&alice, "new").await;
    notify(&changed, &["alice"], json!({})).await;
    let old = push.wait_for("old", 1).await;
    assert_eq!(old[0]["key"], key["applicationServerKey"]);
    let new = push.wait_for("new", 1).await;
    assert_eq!(new[0]["key"], new_key["applicationServerKey"]);
    // A client that subscribed with a foreign key learns that it must subscribe again.
    let mut foreign = push.browser("foreign").await;
    foreign["applicationServerKey"] = foreign["keys"]["p256dh"].clone();
    let error = register(&alice, foreign)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "applicationServerKey");
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_devices_of_their_own() {
    let service = service(0, "").start().await;
    let push = PushService::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let path = "/api/notifications/push/subscriptions";
    let first = push.subscribe(&alice, "device-0").await;
    for n in 1..=20 {
        push.subscribe(&alice, &format!("device-{n}")).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        let all = page["subscriptions"].as_array().expect("a list").iter();
        all.map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let page = alice.get(path).await.expect(200);
    let known = ids(&page);
    assert_eq!((known.len(), known.contains(&first)), (20, false));
    assert!(
        !page.to_string().contains("/push/"),
        "addresses are secret: {page}"
    );
    // Another user's device is like a missing one.
    bob.delete(&format!("{path}/{}", known[0]))
        .await
        .expect_error(404, "NOT_FOUND");
    alice
        .delete(&format!("{path}/{}", known[0]))
        .await
        .expect(204);
    alice
        .delete(&format!("{path}/{}", known[0]))
        .await
        .expect_error(404, "NOT_FOUND");
    // Somebody else logs in on the same browser: the device is theirs.
    let shared = push.browser("shared").await;
    let made = register(&alice, shared.clone()).await.expect(200);
    let taken = register(&bob, shared).await.expect(200);
    assert_eq!(made["id"], taken["id"]);
    assert_eq!(ids(&bob.get(path).await.expect(200)).len(), 1);
    notify(&service, &["alice"], json!({ "kind": "ALICE" })).await;
    push.wait_for("device-20", 1).await;
    notify(&service, &["bob"], json!({ "kind": "BOB" })).await;
    let received = push.wait_for("shared", 1).await;
    assert_eq!(received[0]["payload"]["kind"], "BOB");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let service = service(0, "")
        .env("PUSH_ALLOW_PRIVATE", "false")
        .start()
        .await;
    let push = PushService::start().await;
    let alice = service.user("alice").await;
    let browser = push.browser("laptop").await;
    for endpoint in [
        "http://push.example/send",
        "https://127.0.0.1/send",
        "https://localhost/send",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/send",
        "https://192.168.1.1/send",
        "https://[::1]/send",
        "https://[::ffff:10.0.0.1]/send",
        "https://user@push.example/send",
        "https://push.example:22/send",
        "not a url",
        "",
    ] {
        let mut body = browser.clone();
        body["endpoint"] = json!(endpoint);
        let error = register(&alice, body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], "endpoint", "{endpoint}");
    }
    for (change, field) in [
        (
            json!({ "keys": { "p256dh": "AAAA", "auth": "_ordMnz7uTCmrpBTeUV4Bw" } }),
            "keys.p256dh",
        ),
        (
            json!({ "keys": { "p256dh": browser["keys"]["p256dh"], "auth": "AAAA" } }),
            "keys.auth",
        ),
        (json!({ "keys": null }), "keys"),
        (json!({ "token": "x" }), "token"),
    ] {
        let mut body = browser.clone();
        body["endpoint"] = json!("https://push.example/send");
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        if body["keys"].is_null() {
            body.as_object_mut().expect("an object").remove("keys");
        }
        let error = register(&alice, body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field);
    }
    let page = alice
        .get("/api/notifications/push/subscriptions")
        .await
        .expect(200);
    assert_eq!(
        page["subscriptions"],
        json!([]),
        "a refused registration has no effect"
    );
}
