//! Processes that die while they send notifications: nothing is lost, and nothing comes twice.

use std::{collections::HashSet, time::Duration};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::json;

use super::{browser::PushService, notify, service};
use crate::support::{Node, eventually, eventually_within};

const COUNT: usize = 10_000;

/// Creates users with the ids `u0` to `u<count>`.
async fn users(node: &Node, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("u{n}")).collect();
    let host = node.internal();
    for some in ids.chunks(1000) {
        let items: Vec<_> = some
            .iter()
            .map(|id| json!({ "externalUserId": id, "name": id }))
            .collect();
        host.post_repeating("/api/users/sync/batch", json!({ "users": items }))
            .await
            .expect(200);
    }
    ids
}

async fn stored(node: &Node) -> u64 {
    let items = node.sandbox().collection("notifications_items").await;
    items.count_documents(doc! {}).await.expect("answers")
}

/// Numbers of `notification.created` entries: all, and those of different users.
async fn entries(node: &Node) -> (usize, usize) {
    let log = node.sandbox().collection("log").await;
    let found = log
        .find(doc! { "type": "notification.created" })
        .projection(doc! { "conversationId": 1 });
    let found: Vec<Document> = found
        .await
        .expect("answers")
        .try_collect()
        .await
        .expect("answers");
    let owners: HashSet<&str> = found
        .iter()
        .filter_map(|entry| entry.get_str("conversationId").ok())
        .collect();
    (found.len(), owners.len())
}

#[tokio::test]
async fn ten_thousand_recipients_in_one_call_get_it_once_each() {
    let service = service(0, "").start().await;
    let ids = users(&service, COUNT).await;
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let sent = notify(&service, &names, json!({})).await;
    assert_eq!(sent["recipientCount"], COUNT);
    eventually_within(Duration::from_secs(120), "all have it", || async {
        (entries(&service).await == (COUNT, COUNT)).then_some(())
    })
    .await;
    assert_eq!(stored(&service).await, COUNT as u64);
}

#[tokio::test]
async fn a_call_survives_three_killed_processes() {
    let count = 3000;
    let mut killed = service(0, "").spawn().await;
    let push = PushService::start().await;
    let ids = users(&killed, count).await;
    let last = killed.known_user(&ids[count - 1]);
    push.subscribe(&last, "last").await;
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    notify(&killed, &names, json!({})).await;
    for n in 1..=3 {
        eventually_within(Duration::from_secs(60), "a part is done", || async {
            (stored(&killed).await > 250 * n).then_some(())
        })
        .await;
        killed.kill();
        killed.restart().await;
    }
    eventually_within(Duration::from_secs(120), "all have it", || async {
        (entries(&killed).await.1 == count).then_some(())
    })
    .await;
    assert_eq!(
        (stored(&killed).await, entries(&killed).await.0),
        (count as u64, count)
    );
    let received = push.wait_for("last", 1).await;
    notify(&killed, &[names[count - 1]], json!({ "kind": "NEXT" })).await;
    let after = push.wait_for("last", received.len() + 1).await;
    // A push in flight at a kill may be repeated under its topic; each other one is sent once.
    assert!(received.len() <= 2, "{received:?}");
    assert_eq!(after[0]["topic"], received[received.len() - 1]["topic"]);
}

#[tokio::test]
async fn a_worker_that_dies_before_a_digest_loses_no_message() {
    let push = PushService::start().await;
    let api = service(0, "").roles("api").start().await;
    let (alice, bob) = (api.user("alice").await, api.user("bob").await);
    let conversation = api.group(&alice, &[&bob]).await;
    let mut worker = service(2, "")
        .roles("webhooks")
        .database(&api)
        .spawn()
        .await;
    push.subscribe(&alice, "laptop").await;
    api.sandbox().wait_for_durable("notifications-events").await;
    bob.say(&conversation, "first").await;
    let states = api
        .sandbox()
        .collection("notifications_conversations")
        .await;
    eventually("the digest is due", || async {
        let waiting = states
            .find_one(doc! { "dueAt": { "$gt": 0 } })
            .await
            .expect("answers");
        waiting.map(drop)
    })
    .await;
    worker.kill();
    bob.say(&conversation, "second").await;
    worker.restart().await;
    eventually_within(Duration::from_secs(90), "both were pushed", || async {
        let received = push.received("laptop").await;
        let counts = received
            .iter()
            .map(|one| one["payload"]["messageCount"].as_u64().unwrap_or(0));
        (counts.sum::<u64>() == 2).then_some(())
    })
    .await;
}
