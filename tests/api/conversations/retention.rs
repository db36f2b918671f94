//! `retentionSeconds`: older messages are removed.

use std::time::Duration;

use chat_sdk::Timestamp;
use mongodb::bson::{DateTime, doc};
use serde_json::{Value, json};

use super::super::{column, faults, id};
use crate::support::{Service, User, eventually_within};

/// Time within which a change of the setting must take effect.
const SOON: Duration = Duration::from_secs(40);

/// Backdates a message in the database, because the shortest retention is a minute.
async fn make_older(service: &Service, message: &Value, seconds: i64) {
    let event = id(message).replace("msg_", "evt_");
    let at = DateTime::from_millis(Timestamp::now().as_millis() - seconds * 1000);
    let log = service.sandbox().collection("log").await;
    let changed = log
        .update_one(doc! { "_id": event }, doc! { "$set": { "at": at } })
        .await
        .expect("MongoDB answers");
    assert_eq!(changed.modified_count, 1);
}

async fn contents(user: &User, conversation: &str) -> Vec<String> {
    column(&json!(user.history(conversation).await), "content")
}

async fn wait_for(user: &User, conversation: &str, expected: &[&str]) {
    eventually_within(SOON, "only the young ones are left", || async {
        (contents(user, conversation).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_older_than_the_retention_are_removed_and_newer_ones_stay() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut messages = Vec::new();
    for content in ["oldest", "old", "young"] {
        messages.push(alice.say(&group, content).await);
    }
    let path = format!("/api/messages/{}", id(&messages[0]));
    alice
        .patch(&path, json!({ "content": "edited" }))
        .await
        .expect(200);
    make_older(&service, &messages[0], 7200).await;
    make_older(&service, &messages[1], 3700).await;
    let mut socket = bob.connect().await;
    let conversation = format!("/api/conversations/{group}");
    let setting = json!({ "retentionSeconds": 3600 });
    let changed = alice.patch(&conversation, setting).await.expect(200);
    assert_eq!(changed["retentionSeconds"], 3600);
    wait_for(&bob, &group, &["young"]).await;
    for message in &messages[..2] {
        let ended = socket
            .find("it is said to be over", |frame| {
                frame["data"]["messageId"] == message["id"] && frame["event"] == "message:deleted"
            })
            .await;
        assert_eq!(ended["data"]["isExpired"], true);
        bob.get(&format!("/api/messages/{}", id(message)))
            .await
            .expect(404);
    }
    let log = bob.get(&format!("{conversation}/log")).await.expect(200);
    for gone in ["oldest", "\"old\"", "edited"] {
        assert!(!log.to_string().contains(gone), "{gone} in {log}");
    }
    // A shorter retention applies to existing messages; a longer one restores nothing.
    make_older(&service, &messages[2], 120).await;
    alice
        .patch(&conversation, json!({ "retentionSeconds": 60 }))
        .await
        .expect(200);
    wait_for(&bob, &group, &[]).await;
    alice
        .patch(&conversation, json!({ "retentionSeconds": null }))
        .await
        .expect(200);
    let kept = alice.say(&group, "kept").await;
    make_older(&service, &kept, 9_000_000).await;
    let other = service
        .group_with(&alice, &[&bob], json!({ "retentionSeconds": 60 }))
        .await;
    let short = alice.say(&other, "short").await;
    make_older(&service, &short, 58).await;
    // The end of the other message shows that the timer has run.
    wait_for(&bob, &other, &[]).await;
    assert_eq!(contents(&bob, &group).await, ["kept"]);
    let count = service
        .sandbox()
        .log(&group)
        .await
        .iter()
        .filter(|(_, kind)| kind == "message.deleted")
        .count();
    assert_eq!(count, 3, "each is ended once");
}

#[tokio::test]
async fn a_long_history_is_removed_in_batches_while_requests_are_served() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let long = service
        .group_with(&alice, &[&bob], json!({ "retentionSeconds": 3600 }))
        .await;
    let sends = (0..450).map(|n| {
        let (alice, long) = (&alice, &long);
        async move { alice.say(long, &n.to_string()).await }
    });
    futures_util::future::join_all(sends).await;
    let log = service.sandbox().collection("log").await;
    let at = DateTime::from_millis(Timestamp::now().as_millis() - 4_000_000);
    log.update_many(
        doc! { "conversationId": &long, "type": "message.created" },
        doc! { "$set": { "at": at } },
    )
    .await
    .expect("MongoDB answers");
    // Its note says when the first would be too old, which has changed under it.
    alice
        .patch(
            &format!("/api/conversations/{long}"),
            json!({ "retentionSeconds": 3500 }),
        )
        .await
        .expect(200);
    let short = service
        .group_with(&alice, &[&bob], json!({ "retentionSeconds": 3600 }))
        .await;
    let old = alice.say(&short, "old").await;
    make_older(&service, &old, 4000).await;
    wait_for(&bob, &short, &[]).await;
    wait_for(&bob, &long, &[]).await;
    let kinds = service.sandbox().log(&long).await;
    let ended = kinds
        .iter()
        .filter(|(_, kind)| kind == "message.deleted")
        .count();
    assert_eq!(ended, 450, "each once");
}

#[tokio::test]
async fn a_minute_to_ten_years_can_be_set() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{group}");
    for seconds in [60, 315_360_000] {
        let set = json!({ "retentionSeconds": seconds });
        let changed = alice.patch(&path, set).await.expect(200);
        assert_eq!(changed["retentionSeconds"], seconds);
    }
    for wrong in [
        json!(59),
        json!(315_360_001),
        json!(0),
        json!(-1),
        json!("60"),
        json!(1.5),
    ] {
        let answer = alice
            .patch(&path, json!({ "retentionSeconds": wrong }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["retentionSeconds".to_owned()]),
            "{wrong}"
        );
        let body = json!({ "type": "group", "participantIds": [], "retentionSeconds": wrong });
        let answer = alice.post("/api/conversations", body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["retentionSeconds".to_owned()]),
            "{wrong}"
        );
    }
    let cleared = alice
        .patch(&path, json!({ "retentionSeconds": null }))
        .await
        .expect(200);
    assert!(cleared.get("retentionSeconds").is_none());
}

#[tokio::test]
async fn only_an_owner_or_the_host_shortens_the_retention() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = service.internal();
    let minute = json!({ "retentionSeconds": 60 });
    let year = json!({ "retentionSeconds": 31_536_000 });
    let forever = json!({ "retentionSeconds": null });

    let direct = service.direct(&alice, &bob).await;
    let path = format!("/api/conversations/{direct}");
    bob.say(&direct, "keep this").await;
    for shorter in [&minute, &year] {
        let refused = alice.patch(&path, shorter.clone()).await;
        refused.expect_error(403, "FORBIDDEN");
        // With an acting user the host has that user's rights.
        let acting = host.acting_for("alice");
        let refused = acting.patch(&path, shorter.clone()).await;
        refused.expect_error(403, "FORBIDDEN");
    }
    let set = host.patch(&path, year.clone()).await.expect(200);
    assert_eq!(set["retentionSeconds"], 31_536_000);
    let refused = bob.patch(&path, minute.clone()).await;
    refused.expect_error(403, "FORBIDDEN");
    // A longer retention removes no messages.
    bob.patch(&path, forever.clone()).await.expect(200);
    assert_eq!(contents(&alice, &direct).await, ["keep this"]);
    service.user("carol").await;
    let begun = json!({
        "type": "direct", "participantIds": ["carol"], "retentionSeconds": 60,
    });
    let refused = alice.post("/api/conversations", begun).await;
    refused.expect_error(403, "FORBIDDEN");

    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    let role = format!("{path}/participants/bob");
    alice
        .patch(&role, json!({ "role": "admin" }))
        .await
        .expect(200);
    let refused = bob.patch(&path, minute.clone()).await;
    refused.expect_error(403, "FORBIDDEN");
    alice.patch(&path, year.clone()).await.expect(200);
    bob.patch(&path, forever).await.expect(200);
    host.patch(&path, year).await.expect(200);
    host.patch("/api/conversations/cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", minute)
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn retention_covers_more_conversations_than_one_read() {
    const COUNT: u64 = 20_050;
    let service = Service::start().await;
    let conversations = service.sandbox().collection("conversations").await;
    let documents = (0..COUNT).map(|number| {
        doc! {
            "_id": chat_sdk::ConversationId::generate().to_string(),
            "retentionSeconds": 3600_i64 * (1 + number as i64 % 2),
            "isDeleted": true,
        }
    });
    conversations.insert_many(documents).await.expect("written");
    let noted = service.sandbox().collection("retention").await;
    eventually_within(Duration::from_secs(60), "all are noted", || async {
        let count = noted.count_documents(doc! {}).await.expect("readable");
        (count == COUNT).then_some(())
    })
    .await;
}
