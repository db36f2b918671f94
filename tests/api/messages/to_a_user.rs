//! `POST /api/messages`: sends to a user and creates the conversation if needed.

use futures_util::future::join_all;
use serde_json::json;

use super::super::{faults, text};
use crate::support::Service;

#[tokio::test]
async fn the_first_message_creates_the_conversation_and_the_next_uses_it() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let first = json!({ "receiverId": "bob", "content": "hi", "metadata": { "x": [1.5] }, "mentions": ["bob"], "type": "text" });
    let first = alice.post("/api/messages", first).await.expect(201);
    assert_eq!(
        (&first["content"], &first["metadata"]),
        (&json!("hi"), &json!({ "x": [1.5] }))
    );
    let answer = bob
        .post(
            "/api/messages",
            json!({ "receiverId": "alice", "content": "hello" }),
        )
        .await
        .expect(201);
    assert_eq!(first["conversationId"], answer["conversationId"]);
    let direct = service.direct(&alice, &bob).await;
    assert_eq!(first["conversationId"], json!(direct));
    assert_eq!(alice.history(&direct).await, [first, answer]);
}

#[tokio::test]
async fn thirty_concurrent_first_messages_share_one_conversation() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let sends = (0..30).map(|n| {
        let (sender, receiver) = if n % 2 == 0 { (&alice, "bob") } else { (&bob, "alice") };
        let body = json!({ "receiverId": receiver, "content": format!("{n}"), "clientMessageId": format!("c{n}") });
        async move { sender.post("/api/messages", body).await.expect(201) }
    });
    let sent = join_all(sends).await;
    let conversation = text(&sent[0], "conversationId");
    assert!(
        sent.iter()
            .all(|message| message["conversationId"] == json!(conversation))
    );
    assert_eq!(alice.history(&conversation).await.len(), 30);
    assert_eq!(service.sandbox().log(&conversation).await.len(), 31);
}

#[tokio::test]
async fn a_receiver_must_be_another_known_user() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    service.user("bob").await;
    for (body, field) in [
        (json!({ "content": "hi" }), "receiverId"),
        (
            json!({ "receiverId": "ghost", "content": "hi" }),
            "receiverId",
        ),
        (
            json!({ "receiverId": "alice", "content": "hi" }),
            "receiverId",
        ),
        (json!({ "receiverId": "me", "content": "hi" }), "receiverId"),
        (
            json!({ "receiverId": ["bob"], "content": "hi" }),
            "receiverId",
        ),
        (json!({ "receiverId": "bob", "content": "" }), "content"),
        (
            json!({ "receiverId": "bob", "content": "hi", "conversationId": "cnv_1" }),
            "conversationId",
        ),
    ] {
        let answer = alice.post("/api/messages", body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
    assert_eq!(
        alice.get("/api/conversations").await.expect(200)["conversations"],
        json!([]),
        "nothing was made on the way"
    );
}

#[tokio::test]
async fn a_repetition_is_recognised_even_of_the_first_message() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    service.user("bob").await;
    let body = json!({ "receiverId": "bob", "content": "hi", "clientMessageId": "c1" });
    let answers = join_all((0..10).map(|_| alice.post("/api/messages", body.clone()))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 201) && answer.json == answers[0].json)
    );
}

#[tokio::test]
async fn a_refused_first_message_creates_no_conversation() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let elsewhere = text(&alice.say(&group, "elsewhere").await, "id");
    let mut socket = alice.connect().await;
    let mut watcher = bob.connect().await;
    let listed = bob.get("/api/conversations").await.expect(200);
    let host = service.internal().acting_for("alice");
    let ghost = "msg_00000000000000000000000000".to_owned();
    for (field, value) in [
        ("replyTo", json!(elsewhere)),
        ("replyTo", json!(ghost)),
        ("threadId", json!(elsewhere)),
        ("threadId", json!(ghost)),
        ("content", json!("\u{200b}")),
        ("mentions", json!(["bob", "bob"])),
        ("ttlSeconds", json!(0)),
    ] {
        let mut body = json!({ "receiverId": "bob", "content": "hi" });
        body[field] = value;
        for client in [&*alice, &host] {
            let answer = client.post("/api/messages", body.clone()).await;
            assert_eq!(
                (answer.status, faults(&answer)),
                (400, vec![field.to_owned()]),
                "{answer}"
            );
        }
        let refused = socket.refused("message:send", body).await;
        assert_eq!(
            refused["details"][0]["field"]
                .as_str()
                .map(|found| found.starts_with(field)),
            Some(true),
            "{refused}"
        );
    }
    assert_eq!(bob.get("/api/conversations").await.expect(200), listed);
    let mut pushed = watcher.drain().await;
    // Alice may come online at any time, so that event is ignored.
    pushed.retain(|frame| frame["event"] != "user:online");
    assert!(pushed.is_empty(), "bob was told something: {pushed:?}");
    let fine = json!({ "receiverId": "bob", "content": "hi" });
    alice.post("/api/messages", fine).await.expect(201);
}
