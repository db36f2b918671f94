//! Recipients of messages, as the event `notification.message` names them to the host.

use reqwest::Method;
use serde_json::{Value, json};

use super::service;
use crate::{
    support::{Receiver, User, eventually_within},
    webhooks::make,
};

/// The data of all digests of a conversation so far.
fn recipients(receiver: &Receiver, conversation: &str) -> Vec<Value> {
    let events = receiver.of("notification.message").into_iter();
    events
        .map(|one| one.event["data"].clone())
        .filter(|data| data["conversationId"] == conversation)
        .collect()
}

/// Waits for the digest with this newest message, and returns its data.
async fn digest(receiver: &Receiver, conversation: &str, newest: &Value) -> Value {
    let what = format!("the digest of {} arrives", newest["content"]);
    eventually_within(std::time::Duration::from_secs(30), &what, || async {
        recipients(receiver, conversation).into_iter().find(|data| {
            let messages = data["messages"].as_array().expect("a list");
            messages
                .last()
                .is_some_and(|message| message["messageId"] == newest["id"])
        })
    })
    .await
}

fn names(data: &Value) -> Vec<String> {
    let all = data["recipients"].as_array().expect("a list").iter();
    all.map(|one| one["userId"].as_str().expect("an id").to_owned())
        .collect()
}

async fn settings(user: &User, conversation: &str, change: Value) {
    let path = format!("/api/conversations/{conversation}/me");
    user.patch(&path, change).await.expect(200);
}

#[tokio::test]
async fn levels_muting_blocks_and_mentions_decide_who_is_notified() {
    let service = service(0, "").start().await;
    let receiver = Receiver::start().await;
    make(
        &service,
        json!({ "url": receiver.url(), "events": ["notification.message"] }),
    )
    .await;
    let alice = service.user("alice").await;
    let mut others = Vec::new();
    for name in ["all", "blocking", "mentions", "muted", "none", "reading"] {
        others.push(service.user(&format!("u-{name}")).await);
    }
    let members: Vec<&User> = others.iter().collect();
    let conversation = service.group(&alice, &members).await;
    let [_, blocking, mentions, muted, none, reading] = &others[..] else {
        panic!("six members");
    };
    blocking
        .request(Method::PUT, "/api/users/me/blocks/alice", None)
        .await;
    settings(
        mentions,
        &conversation,
        json!({ "notificationLevel": "mentions" }),
    )
    .await;
    settings(muted, &conversation, json!({ "muted": true })).await;
    settings(none, &conversation, json!({ "notificationLevel": "none" })).await;
    let message = alice.say(&conversation, "to all who want it").await;
    let data = digest(&receiver, &conversation, &message).await;
    assert!(
        !data.to_string().contains("to all who want it"),
        "an event has no text"
    );
    assert_eq!(names(&data), ["u-all", "u-reading"]);
    assert_eq!(data["recipients"][0]["unreadCount"], 1);

    // One has read it on another device; a mention reaches those who want mentions, and the muted one.
    let read = format!("/api/conversations/{conversation}/read");
    reading
        .request(Method::PUT, &read, Some(json!({})))
        .await
        .expect(200);
    let path = format!("/api/conversations/{conversation}/messages");
    let everybody = [
        "u-all",
        "u-blocking",
        "u-mentions",
        "u-muted",
        "u-none",
        "u-reading",
    ];
    let body = json!({ "content": "to the mentioned", "mentions": everybody });
    let message = alice.post(&path, body).await.expect(201);
    let data = digest(&receiver, &conversation, &message).await;
    assert_eq!(
        names(&data),
        ["u-all", "u-mentions", "u-muted", "u-reading"]
    );
    let of = |name: &str| {
        let all = data["recipients"].as_array().expect("a list");
        all.iter()
            .find(|one| one["userId"] == name)
            .expect("a recipient")
            .clone()
    };
    assert_eq!(of("u-all")["unreadCount"], 2);
    assert_eq!(of("u-reading")["unreadCount"], 1);
    assert_eq!(
        (&of("u-muted")["isMention"], &of("u-muted")["mentionCount"]),
        (&json!(true), &json!(1))
    );
}

#[tokio::test]
async fn a_reader_a_silent_message_and_a_deleted_one_make_no_digest() {
    let service = service(2, "").start().await;
    let receiver = Receiver::start().await;
    make(
        &service,
        json!({ "url": receiver.url(), "events": ["notification.message"] }),
    )
    .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    alice
        .post(&path, json!({ "content": "silent", "silent": true }))
        .await;
    let message = alice.say(&conversation, "deleted").await;
    alice
        .delete(&format!(
            "/api/messages/{}",
            message["id"].as_str().expect("an id")
        ))
        .await
        .expect(204);
    alice.say(&conversation, "read").await;
    let read = format!("/api/conversations/{conversation}/read");
    bob.request(Method::PUT, &read, Some(json!({})))
        .await
        .expect(200);
    // A later conversation is notified, so the first one's digest was made.
    let later = service.group(&alice, &[&bob]).await;
    let message = alice.say(&later, "later").await;
    digest(&receiver, &later, &message).await;
    assert_eq!(recipients(&receiver, &conversation), Vec::<Value>::new());
}

#[tokio::test]
async fn in_a_large_conversation_only_named_members_are_notified() {
    let service = service(0, "large_conversation = 4").start().await;
    let receiver = Receiver::start().await;
    make(
        &service,
        json!({ "url": receiver.url(), "events": ["notification.message"] }),
    )
    .await;
    let alice = service.user("alice").await;
    let (bob, carol, dave) = (
        service.user("bob").await,
        service.user("carol").await,
        service.user("dave").await,
    );
    let conversation = service.group(&alice, &[&bob, &carol, &dave]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    alice.say(&conversation, "to nobody").await;
    let body = json!({ "content": "to carol", "mentions": ["carol", "@all"] });
    let message = alice.post(&path, body).await.expect(201);
    let data = digest(&receiver, &conversation, &message).await;
    assert_eq!(names(&data), ["carol"]);
    assert!(
        recipients(&receiver, &conversation)
            .iter()
            .all(|data| names(data) == ["carol"])
    );
}

#[tokio::test]
async fn members_get_a_skipped_seq_in_place_of_the_recipients() {
    let service = service(0, "").start().await;
    let receiver = Receiver::start().await;
    make(
        &service,
        json!({ "url": receiver.url(), "events": ["notification.message"] }),
    )
    .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    let message = alice.say(&conversation, "hello").await;
    digest(&receiver, &conversation, &message).await;
    let skipped = socket.next("seq:skip").await;
    assert!(
        skipped["seq"].as_u64() > message["seq"].as_u64(),
        "{skipped}"
    );
    let log = bob
        .get(&format!("/api/conversations/{conversation}/log"))
        .await
        .expect(200);
    assert!(!log.to_string().contains("recipients"), "{log}");
}
