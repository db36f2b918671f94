//! Rules for unread counts; every way to query them returns the same numbers.

use mongodb::bson::doc;
use serde_json::{Value, json};

use super::{
    badge, column, counts, counts_everywhere, id, mention, pair, put, read, read_all, send,
};
use crate::support::{Service, User, eventually};

#[tokio::test]
async fn own_deleted_silent_system_and_expired_messages_are_not_unread() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    alice.say(&group, "counts").await;
    bob.say(&group, "own").await;
    let deleted = send(&alice, &group, mention(&["bob"])).await;
    send(&alice, &group, json!({ "content": "hush", "silent": true })).await;
    let short = json!({ "content": "soon gone", "ttlSeconds": 1, "mentions": ["@all"] });
    send(&alice, &group, short).await;
    send(
        &alice,
        &group,
        json!({ "content": "custom", "type": "custom" }),
    )
    .await;
    let path = format!("/api/messages/{}", id(&deleted));
    assert_eq!(counts(&alice, &group).await, (1, 0));
    alice.delete(&path).await.expect(204);
    eventually("the short one is over", async || {
        (counts(&bob, &group).await == (2, 0)).then_some(())
    })
    .await;
    assert_eq!(counts_everywhere(&bob, &group).await, (2, 0));
}

#[tokio::test]
async fn mentions_count_by_name_for_all_and_for_who_was_there() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let group = service.group(&alice, &[&bob, &carol]).await;
    send(&alice, &group, mention(&["bob"])).await;
    send(&alice, &group, mention(&["bob", "carol", "@all"])).await;
    send(&bob, &group, mention(&["@all"])).await;
    alice.say(&group, "bob, without a mention").await;
    assert_eq!(counts_everywhere(&bob, &group).await, (3, 2));
    assert_eq!(counts_everywhere(&carol, &group).await, (4, 2));
    assert_eq!(counts_everywhere(&alice, &group).await, (1, 1));
    let total = bob.get("/api/unread-count").await.expect(200);
    assert_eq!(pair(&total), (3, 2));

    let _bobs_phone = bob.connect().await;
    eventually("bob is there", async || {
        let presence = alice.get("/api/users/bob/presence").await.expect(200);
        (presence["status"] == "online").then_some(())
    })
    .await;
    send(&alice, &group, mention(&["@here"])).await;
    assert_eq!(counts_everywhere(&bob, &group).await, (4, 3));
    assert_eq!(counts_everywhere(&carol, &group).await, (5, 2));
}

#[tokio::test]
async fn under_joined_only_what_came_since_counts() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    for (visibility, before) in [("full", 2), ("joined", 0)] {
        let settings = json!({ "historyVisibility": visibility });
        let group = service.group_with(&alice, &[], settings).await;
        for _ in 0..2 {
            alice.say(&group, "before").await;
        }
        let path = format!("/api/conversations/{group}/participants");
        let body = json!({ "userIds": ["bob"] });
        alice.post(&path, body).await.expect(201);
        assert_eq!(counts_everywhere(&bob, &group).await, (before, 0));
        alice.say(&group, "after").await;
        assert_eq!(counts_everywhere(&bob, &group).await, (before + 1, 0));
    }
}

#[tokio::test]
async fn the_total_and_the_list_hold_every_conversation_with_something_unread() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut groups = Vec::new();
    for n in 0..12 {
        let group = service.group(&alice, &[&bob]).await;
        for _ in 0..n % 3 {
            alice.say(&group, "hello").await;
        }
        groups.push(group);
    }
    let total = bob.get("/api/unread-count").await.expect(200);
    assert_eq!(pair(&total), (12, 0));
    let mut expected: Vec<&String> = groups
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 3 > 0)
        .map(|(_, group)| group)
        .collect();
    expected.reverse();
    for limit in [1, 3, 8, 100] {
        let found =
            super::super::read_all(&bob, "/api/unread", "conversations", "before", limit).await;
        assert_eq!(
            column(&json!(found), "conversationId"),
            expected.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            "in pieces of {limit}"
        );
    }
    read_all(&bob, &groups[11], json!({})).await;
    let total = bob.get("/api/unread-count").await.expect(200);
    assert_eq!(pair(&total), (10, 0));
}

#[tokio::test]
async fn a_cached_count_is_valid_until_one_of_its_messages_changes() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut socket = alice.connect().await;
    let mut first = None;
    for n in 0..320_u32 {
        let mut body = json!({ "conversationId": group, "content": n.to_string() });
        if n % 10 == 0 {
            body["mentions"] = json!(["bob"]);
        }
        let sent = socket.ok("message:send", body).await;
        first.get_or_insert(sent["message"].clone());
    }
    let first = first.expect("a message");
    assert_eq!(counts_everywhere(&bob, &group).await, (320, 32));
    let markers = service.sandbox().collection("markers").await;
    let marker = doc! { "_id": format!("{group}:bob"), "counted.unread": 320_i64 };
    eventually("the count is kept", async || {
        markers.find_one(marker.clone()).await.expect("an answer")
    })
    .await;
    assert_eq!(counts_everywhere(&bob, &group).await, (320, 32));
    send(&alice, &group, mention(&["bob"])).await;
    bob.say(&group, "own").await;
    assert_eq!(counts_everywhere(&bob, &group).await, (321, 33));
    // A counted message is deleted and restored.
    let path = format!("/api/messages/{}", id(&first));
    alice.delete(&path).await.expect(204);
    assert_eq!(counts_everywhere(&bob, &group).await, (320, 32));
    alice.say(&group, "another").await;
    assert_eq!(counts_everywhere(&bob, &group).await, (321, 32));
    read(&bob, &first).await;
    assert_eq!(counts_everywhere(&bob, &group).await, (321, 32));
    assert_eq!(read_all(&bob, &group, json!({})).await, 321);
    super::unread(&bob, &first).await;
    assert_eq!(counts_everywhere(&bob, &group).await, (321, 32));
}

/// Sends messages of every kind to `group`, of which some are deleted and one is restored. Returns those of `alice`.
async fn send_every_kind(alice: &User, bob: &User, group: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    for n in 0..6 {
        messages.push(alice.say(group, &n.to_string()).await);
        bob.say(group, "own").await;
        // Renaming the group makes the service write a system message.
        let name = json!({ "name": format!("Group {n}") });
        let path = format!("/api/conversations/{group}");
        alice.patch(&path, name).await.expect(200);
        for names in [&["bob"][..], &["@all"], &["@here"], &["alice"]] {
            messages.push(send(alice, group, mention(names)).await);
        }
        let hush = json!({ "content": "hush", "silent": true, "mentions": ["bob"] });
        messages.push(send(alice, group, hush).await);
        let long = json!({ "content": "ends one day", "ttlSeconds": 3600, "mentions": ["bob"] });
        messages.push(send(alice, group, long).await);
    }
    let path_of = |message: &serde_json::Value| format!("/api/messages/{}", id(message));
    for index in [9, 17, 30] {
        alice.delete(&path_of(&messages[index])).await.expect(204);
    }
    let back = format!("{}/restore", path_of(&messages[17]));
    alice.post(&back, json!({})).await.expect(200);
    messages
}

#[tokio::test]
async fn long_and_short_ranges_count_by_the_same_rule() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    send_every_kind(&alice, &bob, &group).await;
    let short = counts_everywhere(&bob, &group).await;
    assert!(short.0 > 20 && short.1 > 10, "{short:?}");
    let mut socket = alice.connect().await;
    for _ in 0..120 {
        let body = json!({ "conversationId": group, "content": "hush", "silent": true });
        socket.ok("message:send", body).await;
    }
    assert_eq!(counts_everywhere(&bob, &group).await, short);
}

#[tokio::test]
async fn badges_equal_the_counts_of_rest_while_reading() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut phone = bob.connect().await;
    let messages = send_every_kind(&alice, &bob, &group).await;
    let path_of = |message: &Value| format!("/api/messages/{}", id(message));
    for (index, message) in messages.iter().enumerate() {
        if index == 5 || index == 20 {
            // The deletion makes the earlier counts outdated.
            let gone = &messages[index + 8];
            alice.delete(&path_of(gone)).await.expect(204);
        }
        if index == 12 {
            alice.say(&group, "one more").await;
        }
        let at = read(&bob, message).await;
        let told = badge(&mut phone, message, &at).await;
        let counted = counts_everywhere(&bob, &group).await;
        assert_eq!(told, counted, "after message {index}");
    }
}

#[tokio::test]
async fn a_block_changes_no_count_of_a_shared_group() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    send(&alice, &group, mention(&["bob"])).await;
    assert_eq!(counts_everywhere(&bob, &group).await, (1, 1));
    put(&bob, "/api/users/me/blocks/alice").await.expect(204);
    assert_eq!(counts_everywhere(&bob, &group).await, (1, 1));
    send(&alice, &group, mention(&["bob"])).await;
    assert_eq!(counts_everywhere(&bob, &group).await, (2, 2));
    bob.delete("/api/users/me/blocks/alice").await.expect(204);
    assert_eq!(counts_everywhere(&bob, &group).await, (2, 2));
}
