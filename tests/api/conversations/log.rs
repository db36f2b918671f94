//! `GET /api/conversations/{id}/log`: lets a client verify that it has every entry.

use serde_json::{Value, json};

use super::super::{column, id};
use crate::support::{Client, Service};

/// The whole log as `client` may read it, in pieces of `limit`.
async fn read(client: &Client, conversation: &str, limit: u32) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/api/conversations/{conversation}/log?limit={limit}&after={after}");
        let page = client.get(&path).await.expect(200);
        entries.extend(page["entries"].as_array().expect("entries").iter().cloned());
        if page["hasMore"] == false {
            return entries;
        }
        after = page["nextAfter"]
            .as_u64()
            .expect("a number while there is more");
    }
}

fn numbers(entries: &[Value]) -> Vec<u64> {
    entries
        .iter()
        .map(|entry| entry["seq"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn seqs_are_dense_after_any_operations() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    let sends = (0..40).map(|n| {
        if n % 2 == 0 {
            alice.say(&group, "a")
        } else {
            bob.say(&group, "b")
        }
    });
    let sent = futures_util::future::join_all(sends).await;
    let message = id(&sent[0]);
    alice
        .patch(
            &format!("/api/messages/{message}"),
            json!({ "content": "changed" }),
        )
        .await
        .expect(200);
    alice
        .delete(&format!("/api/messages/{message}"))
        .await
        .expect(204);
    alice
        .patch(&path, json!({ "name": "Other" }))
        .await
        .expect(200);
    bob.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);

    for limit in [1, 7, 100] {
        let entries = read(&alice, &group, limit).await;
        assert_eq!(
            numbers(&entries),
            (1..=45).collect::<Vec<u64>>(),
            "in pieces of {limit}"
        );
    }
    let entries = read(&alice, &group, 100).await;
    let kinds = column(&json!(entries), "type");
    assert_eq!(kinds[0], "conversation.created");
    assert_eq!(
        kinds[41..],
        [
            "message.updated",
            "message.deleted",
            "conversation.updated",
            "participant.removed"
        ]
    );
    assert!(kinds[1..41].iter().all(|kind| kind == "message.created"));
    // A deleted message has no text in the log either.
    let deleted = entries
        .iter()
        .find(|entry| entry["data"]["id"] == json!(message))
        .expect("its entry");
    assert!(!deleted.to_string().contains("\"a\""), "{deleted}");
    assert!(
        !entries[41].to_string().contains("changed"),
        "the text of a later edit is gone too: {}",
        entries[41]
    );
}

#[tokio::test]
async fn a_former_member_reads_the_log_up_to_leaving() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    alice.say(&group, "with bob").await;
    bob.post(&format!("/api/conversations/{group}/leave"), Value::Null)
        .await
        .expect(204);
    alice.say(&group, "without bob").await;
    assert_eq!(numbers(&read(&bob, &group, 100).await), [1, 2, 3]);
    assert_eq!(numbers(&read(&alice, &group, 100).await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn entries_the_caller_may_not_see_carry_only_a_seq() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service
        .group_with(&alice, &[], json!({ "historyVisibility": "joined" }))
        .await;
    alice.say(&group, "before bob").await;
    alice
        .post(
            &format!("/api/conversations/{group}/participants"),
            json!({ "userIds": ["bob"] }),
        )
        .await
        .expect(201);
    alice.say(&group, "with bob").await;
    let entries = read(&bob, &group, 100).await;
    assert_eq!(numbers(&entries), [1, 2, 3, 4]);
    assert_eq!(
        entries[..2],
        [
            json!({ "seq": 1, "type": "skip" }),
            json!({ "seq": 2, "type": "skip" })
        ]
    );
    assert_eq!(
        column(&json!(entries), "type")[2..],
        ["participant.added", "message.created"]
    );
}
