//! Threads (`threadId`, `GET /api/messages/{id}/replies`) and quotes (`replyTo`).

use serde_json::{Value, json};

use super::super::{column, faults, id, read_all, read_from};
use super::Group;
use crate::support::User;

impl Group {
    async fn reply(&self, user: &User, root: &str, content: &str) -> Value {
        let body = json!({ "content": content, "threadId": root });
        user.post(&self.messages, body).await.expect(201)
    }

    /// Sends a message with `field`, which must be refused by its name.
    async fn refuses(&self, user: &User, field: &str, message: &str) {
        let answer = user
            .post(&self.messages, json!({ "content": "x", field: message }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
}

fn replies(root: &str) -> String {
    format!("/api/messages/{root}/replies")
}

async fn message(user: &User, id: &str) -> Value {
    user.get(&format!("/api/messages/{id}")).await.expect(200)
}

#[tokio::test]
async fn a_thread_is_counted_at_its_root_and_read_in_both_directions() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    assert_eq!(message(&group.bob, &root).await["replyCount"], 0);
    let mut last = Value::Null;
    for n in 0..5 {
        let user = [&group.alice, &group.bob][n % 2];
        last = group.reply(user, &root, &format!("reply {n}")).await;
        assert_eq!(last["threadId"], json!(root));
        group.alice.say(&group.id, "beside").await;
    }
    let shown = message(&group.bob, &root).await;
    assert_eq!(
        (&shown["replyCount"], &shown["lastReplyAt"]),
        (&json!(5), &last["createdAt"])
    );
    assert_eq!(
        (&shown["isEdited"], &shown["threadId"]),
        (&json!(false), &Value::Null)
    );
    let oldest_first: Vec<String> = (0..5).map(|n| format!("reply {n}")).collect();
    let mut newest_first = oldest_first.clone();
    newest_first.reverse();
    for limit in [1, 2, 100] {
        let read = read_all(&group.bob, &replies(&root), "messages", "before", limit).await;
        assert_eq!(column(&json!(read), "content"), newest_first);
        let read = read_from(&group.bob, &replies(&root), "messages", &root, limit).await;
        assert_eq!(column(&json!(read), "content"), oldest_first);
    }
    // A reply is a message of the conversation like any other.
    assert_eq!(group.bob.history(&group.id).await.len(), 11);
    let answer = group
        .bob
        .get(&format!("{}?around={root}", replies(&root)))
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["around".to_owned()])
    );
}

#[tokio::test]
async fn concurrent_replies_all_count() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    let sends = (0..40).map(|n| {
        let user = [&group.alice, &group.bob][n % 2];
        group.reply(user, &root, "reply")
    });
    futures_util::future::join_all(sends).await;
    assert_eq!(message(&group.bob, &root).await["replyCount"], 40);
}

#[tokio::test]
async fn a_thread_and_pins_are_found_without_looking_at_other_messages() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    let others = (0..120).map(|_| group.bob.say(&group.id, "beside"));
    futures_util::future::join_all(others).await;
    for n in 0..3 {
        let reply = id(&group.reply(&group.bob, &root, &format!("reply {n}")).await);
        let pin = format!("/api/messages/{reply}/pin");
        super::super::ask(&group.alice, "PUT", &pin, None)
            .await
            .expect(200);
    }
    let pins = format!("/api/conversations/{}/pins", group.id);
    for path in [replies(&root), pins, format!("{}?limit=3", group.messages)] {
        let reads = group.service.sandbox().count_reads("log").await;
        let page = group.bob.get(&path).await.expect(200);
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(3), "{path}");
        let examined = reads.examined().await;
        assert!(!examined.is_empty(), "{path}: nothing was noted");
        assert!(
            examined.iter().all(|count| *count <= 4),
            "{path}: {examined:?}"
        );
    }
}

#[tokio::test]
async fn a_thread_begins_with_a_message_of_the_conversation_that_is_no_reply() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    let reply = id(&group.reply(&group.bob, &root, "reply").await);
    group.refuses(&group.bob, "threadId", &reply).await;
    group
        .refuses(&group.bob, "threadId", "msg_00000000000000000000000000")
        .await;
    let elsewhere = group.service.group(&group.alice, &[&group.bob]).await;
    let foreign = id(&group.alice.say(&elsewhere, "elsewhere").await);
    group.refuses(&group.bob, "threadId", &foreign).await;
    assert_eq!(message(&group.bob, &foreign).await["replyCount"], 0);
    // A deleted root takes no new replies; existing replies stay.
    group
        .alice
        .delete(&format!("/api/messages/{root}"))
        .await
        .expect(204);
    let body = json!({ "content": "late", "threadId": root });
    group
        .bob
        .post(&group.messages, body)
        .await
        .expect_error(409, "CONFLICT");
    let read = group.bob.get(&replies(&root)).await.expect(200);
    assert_eq!(column(&read["messages"], "content"), ["reply"]);
}

#[tokio::test]
async fn with_threads_off_replies_are_refused_and_existing_ones_stay() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    group.reply(&group.bob, &root, "before").await;
    let off = json!({ "features": { "threads": false } });
    let settings = format!("/api/conversations/{}", group.id);
    let changed = group.alice.patch(&settings, off).await.expect(200);
    assert_eq!(
        changed["features"],
        json!({ "typing": true, "reads": true, "reactions": true, "threads": false })
    );
    let body = json!({ "content": "after", "threadId": root });
    group
        .alice
        .post(&group.messages, body)
        .await
        .expect_error(403, "FORBIDDEN");
    let read = group.bob.get(&replies(&root)).await.expect(200);
    assert_eq!(column(&read["messages"], "content"), ["before"]);
}

#[tokio::test]
async fn a_former_member_sees_the_thread_as_of_leaving() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    group.reply(&group.alice, &root, "with bob").await;
    let then = message(&group.bob, &root).await;
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    group.reply(&group.alice, &root, "without bob").await;
    assert_eq!(message(&group.bob, &root).await, then);
    assert_eq!(then["replyCount"], 1);
    let read = group.bob.get(&replies(&root)).await.expect(200);
    assert_eq!(column(&read["messages"], "content"), ["with bob"]);
    assert_eq!(message(&group.alice, &root).await["replyCount"], 2);
}

#[tokio::test]
async fn only_what_the_sender_sees_here_can_be_quoted_or_replied_to() {
    let group = Group::with(json!({ "historyVisibility": "joined" })).await;
    let early = id(&group.alice.say(&group.id, "before carol").await);
    let carol = group.service.user("carol").await;
    let members = format!("/api/conversations/{}/participants", group.id);
    group
        .alice
        .post(&members, json!({ "userIds": ["carol"] }))
        .await
        .expect(201);
    for field in ["replyTo", "threadId"] {
        group.refuses(&carol, field, &early).await;
        group
            .refuses(&carol, field, "msg_00000000000000000000000000")
            .await;
    }
    let elsewhere = group.service.group(&group.alice, &[&group.bob]).await;
    let foreign = id(&group.alice.say(&elsewhere, "elsewhere").await);
    group.refuses(&group.bob, "replyTo", &foreign).await;
    let body = json!({ "content": "as I said", "replyTo": early });
    let quoting = group.bob.post(&group.messages, body).await.expect(201);
    assert_eq!(quoting["replyTo"], json!(early));

    let direct = json!({ "receiverId": "bob", "content": "psst", "replyTo": early });
    let answer = group.alice.post("/api/messages", direct).await;
    // There is no conversation of the two yet, so nothing in it can be quoted.
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["replyTo".to_owned()])
    );
    let host = group.service.internal();
    let body = json!({ "content": "x", "replyTo": foreign });
    let answer = host.post(&group.messages, body).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["replyTo".to_owned()])
    );
}

#[tokio::test]
async fn a_thread_does_not_count_replies_whose_time_is_over() {
    let group = Group::of_two().await;
    let root = id(&group.alice.say(&group.id, "root").await);
    let stays = group.reply(&group.bob, &root, "stays").await;
    let body = json!({ "content": "goes", "threadId": root, "ttlSeconds": 1 });
    let goes = group.bob.post(&group.messages, body).await.expect(201);
    let shown = message(&group.alice, &root).await;
    assert_eq!(
        (&shown["replyCount"], &shown["lastReplyAt"]),
        (&json!(2), &goes["createdAt"])
    );
    crate::support::eventually("it is over", || async {
        let answer = group
            .alice
            .get(&format!("/api/messages/{}", id(&goes)))
            .await;
        (answer.status == 404).then_some(())
    })
    .await;
    for shown in [
        message(&group.alice, &root).await,
        group.alice.history(&group.id).await[0].clone(),
    ] {
        assert_eq!(
            (&shown["replyCount"], &shown["lastReplyAt"]),
            (&json!(1), &stays["createdAt"])
        );
    }
    // A tombstone is counted, and so are later replies.
    group
        .bob
        .delete(&format!("/api/messages/{}", id(&stays)))
        .await
        .expect(204);
    let later = group.reply(&group.alice, &root, "later").await;
    let shown = message(&group.bob, &root).await;
    assert_eq!(
        (&shown["replyCount"], &shown["lastReplyAt"]),
        (&json!(2), &later["createdAt"])
    );
    let other = id(&group.alice.say(&group.id, "other root").await);
    let body = json!({ "content": "alone", "threadId": other, "ttlSeconds": 1 });
    group.bob.post(&group.messages, body).await.expect(201);
    crate::support::eventually("the thread is empty", || async {
        let shown = message(&group.alice, &other).await;
        (shown["replyCount"] == 0).then_some(shown)
    })
    .await;
    assert_eq!(message(&group.alice, &other).await.get("lastReplyAt"), None);
}
