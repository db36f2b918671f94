//! `clientMessageId`: a send can be repeated any number of times and is stored once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::id;
use super::Group;

fn body(content: &str) -> Value {
    json!({ "content": content, "clientMessageId": "c1" })
}

#[tokio::test]
async fn a_repetition_answers_200_with_the_message_that_is_there() {
    let group = Group::of_two().await;
    let first = group
        .alice
        .post(&group.messages, body("once"))
        .await
        .expect(201);
    for _ in 0..3 {
        assert_eq!(
            group
                .alice
                .post(&group.messages, body("once"))
                .await
                .expect(200),
            first
        );
    }
    assert_eq!(group.bob.history(&group.id).await, [first]);
}

#[tokio::test]
async fn thirty_concurrent_repetitions_store_one_message() {
    let group = Group::of_two().await;
    let answers = join_all((0..30).map(|_| group.alice.post(&group.messages, body("once")))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let found = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((made, found), (1, 29));
    assert!(answers.iter().all(|answer| answer.json == answers[0].json));
    assert_eq!(group.bob.history(&group.id).await.len(), 1);
}

#[tokio::test]
async fn repetitions_through_two_nodes_are_one_message() {
    let group = Group::of_two().await;
    let second = crate::support::Service::builder()
        .database(&group.service)
        .start()
        .await;
    let there = group.alice.at(&second);
    let answers = join_all((0..20).map(|n| {
        let client = if n % 2 == 0 { &group.alice } else { &there };
        client.post(&group.messages, body("once"))
    }))
    .await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 201))
    );
    assert!(answers.iter().all(|answer| answer.json == answers[0].json));
    assert_eq!(group.bob.history(&group.id).await.len(), 1);
}

#[tokio::test]
async fn the_same_id_with_anything_else_different_is_409() {
    let group = Group::of_two().await;
    let quoted = id(&group.bob.say(&group.id, "quoted").await);
    group
        .alice
        .post(&group.messages, body("one thing"))
        .await
        .expect(201);
    let mut changes = vec![body("another thing"), body("one thing ")];
    for (field, value) in [
        ("type", json!("custom")),
        ("metadata", json!({})),
        ("mentions", json!(["bob"])),
        (
            "attachments",
            json!([{ "url": "https://shop.example/a.png" }]),
        ),
        ("replyTo", json!(quoted)),
        ("threadId", json!(quoted)),
    ] {
        let mut changed = body("one thing");
        changed[field] = value;
        changes.push(changed);
    }
    for changed in changes {
        group
            .alice
            .post(&group.messages, changed)
            .await
            .expect_error(409, "CONFLICT");
    }
    assert_eq!(group.bob.history(&group.id).await.len(), 2);
    // A body that only spells out defaults is the same message.
    let spelled_out = json!({ "clientMessageId": "c1", "type": "text", "mentions": [], "attachments": [], "metadata": null, "content": "one thing" });
    group
        .alice
        .post(&group.messages, spelled_out)
        .await
        .expect(200);
}

#[tokio::test]
async fn another_sender_or_conversation_may_use_the_same_id() {
    let group = Group::of_two().await;
    let other = group.service.group(&group.alice, &[]).await;
    group
        .alice
        .post(&group.messages, body("mine"))
        .await
        .expect(201);
    group
        .bob
        .post(&group.messages, body("mine too"))
        .await
        .expect(201);
    group
        .alice
        .post(
            &format!("/api/conversations/{other}/messages"),
            body("elsewhere"),
        )
        .await
        .expect(201);
    for odd in ["C1", "c1 ", "$ne", "a.b", "名"] {
        let body = json!({ "content": "odd", "clientMessageId": odd });
        group.alice.post(&group.messages, body).await.expect(201);
    }
    assert_eq!(group.bob.history(&group.id).await.len(), 7);
}

#[tokio::test]
async fn a_repetition_returns_the_current_message() {
    let group = Group::of_two().await;
    let sent = group
        .alice
        .post(&group.messages, body("first text"))
        .await
        .expect(201);
    let path = format!("/api/messages/{}", id(&sent));
    let edited = group
        .alice
        .patch(&path, json!({ "content": "second text" }))
        .await
        .expect(200);
    assert_eq!(
        group
            .alice
            .post(&group.messages, body("first text"))
            .await
            .expect(200),
        edited
    );
    group
        .alice
        .post(&group.messages, body("second text"))
        .await
        .expect_error(409, "CONFLICT");
    group.alice.delete(&path).await.expect(204);
    let repeated = group
        .alice
        .post(&group.messages, body("first text"))
        .await
        .expect(200);
    assert_eq!(
        repeated["isDeleted"], true,
        "a late repetition does not bring a deleted message back"
    );
}

#[tokio::test]
async fn without_an_id_every_send_is_a_message() {
    let group = Group::of_two().await;
    for _ in 0..3 {
        group.alice.say(&group.id, "again").await;
    }
    assert_eq!(group.bob.history(&group.id).await.len(), 3);
}

#[tokio::test]
async fn a_repetition_after_leaving_sends_nothing() {
    let group = Group::of_two().await;
    group
        .bob
        .post(&group.messages, body("while in"))
        .await
        .expect(201);
    group
        .bob
        .post(
            &format!("/api/conversations/{}/leave", group.id),
            Value::Null,
        )
        .await
        .expect(204);
    let answer = group.bob.post(&group.messages, body("while in")).await;
    assert!(matches!(answer.status, 200 | 404), "{answer}");
    group
        .bob
        .post(
            &group.messages,
            json!({ "content": "x", "clientMessageId": "c2" }),
        )
        .await
        .expect_error(404, "NOT_FOUND");
    assert_eq!(group.alice.history(&group.id).await.len(), 1);
}

/// Sends `body` exactly as it is written.
async fn send_text(group: &Group, body: &str) -> crate::support::Answer {
    let json = "application/json";
    group
        .alice
        .send(
            reqwest::Method::POST,
            &group.messages,
            json,
            Some(body.to_owned()),
        )
        .await
}

#[tokio::test]
async fn one_body_written_in_several_ways_is_one_message() {
    let group = Group::of_two().await;
    let first =
        r#"{"content":"a","clientMessageId":"c","metadata":{"n":1,"m":[2.5,{"x":1,"y":2}]}}"#;
    let first = send_text(&group, first).await.expect(201);
    for same in [
        r#"{"metadata":{"m":[2.50,{"y":2.0,"x":1e0}],"n":1.0},"clientMessageId":"c","content":"a"}"#,
        r#" { "content" : "\u0061", "clientMessageId" : "c", "metadata" : { "n" : 1, "m" : [ 25e-1, { "x" : 1, "y" : 2 } ] } } "#,
        r#"{"content":"a","clientMessageId":"c","metadata":{"n":1,"m":[2.5,{"x":1,"y":2}]},"type":"text","silent":false,"mentions":[],"attachments":null,"replyTo":null}"#,
    ] {
        assert_eq!(send_text(&group, same).await.expect(200), first, "{same}");
    }
    let other =
        r#"{"content":"a","clientMessageId":"c","metadata":{"n":1.5,"m":[2.5,{"x":1,"y":2}]}}"#;
    send_text(&group, other).await.expect_error(409, "CONFLICT");
    assert_eq!(group.bob.history(&group.id).await.len(), 1);
}

#[tokio::test]
async fn a_repetition_does_not_depend_on_what_became_of_what_it_names() {
    let group = Group::of_two().await;
    let ends = json!({ "content": "quoted", "ttlSeconds": 1 });
    let quoted = id(&group.bob.post(&group.messages, ends).await.expect(201));
    let root = id(&group.bob.say(&group.id, "root").await);
    let quote = json!({ "content": "quote", "replyTo": quoted, "clientMessageId": "quote" });
    let reply = json!({ "content": "reply", "threadId": root, "clientMessageId": "reply" });
    let quote_sent = group.alice.post(&group.messages, quote.clone()).await;
    let (quote_sent, reply_sent) = (
        quote_sent.expect(201),
        group
            .alice
            .post(&group.messages, reply.clone())
            .await
            .expect(201),
    );
    crate::support::eventually("the quoted message is over", || async {
        let answer = group.bob.get(&format!("/api/messages/{quoted}")).await;
        (answer.status == 404).then_some(())
    })
    .await;
    group
        .bob
        .delete(&format!("/api/messages/{root}"))
        .await
        .expect(204);
    let mut socket = group.alice.connect().await;
    for (body, sent) in [(quote, quote_sent), (reply, reply_sent)] {
        let again = group.alice.post(&group.messages, body.clone()).await;
        assert_eq!(again.expect(200), sent);
        let mut by_socket = body.clone();
        by_socket["conversationId"] = json!(group.id);
        let again = socket.ok("message:send", by_socket).await;
        assert_eq!(again["message"], sent);
        let mut other = body;
        other["clientMessageId"] = json!("new");
        let answer = group.alice.post(&group.messages, other).await;
        assert!(matches!(answer.status, 400 | 409), "{answer}");
    }
}

#[tokio::test]
async fn a_former_member_gets_the_message_as_it_was_when_leaving() {
    let group = Group::of_two().await;
    let sent = group
        .bob
        .post(&group.messages, body("while in"))
        .await
        .expect(201);
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    // After that an owner deletes it.
    group
        .alice
        .delete(&format!("/api/messages/{}", id(&sent)))
        .await
        .expect(204);
    let again = group.bob.post(&group.messages, body("while in")).await;
    assert_eq!(again.expect(200), sent);
    group
        .bob
        .post(&group.messages, body("another"))
        .await
        .expect_error(404, "NOT_FOUND");
}
