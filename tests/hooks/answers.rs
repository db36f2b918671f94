//! Answers of hooks over HTTP: what they change, and that everything undocumented is a failure.

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::remote::register;
use crate::support::{Answering, Receiver, Service, User, eventually};

/// A service with a hook at `receiver` that fails closed, a user, and the path of the messages of a group.
async fn with_hook(receiver: &Receiver) -> (Service, User, String) {
    let service = Service::start().await;
    let body = json!({
        "name": "words", "points": ["message.before_send"], "url": receiver.url(), "timeoutMs": 3000, "failure": "closed",
    });
    receiver.answer(|_, _| pass());
    register(&service, body).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    eventually("the hook is asked", || async {
        alice.post(&path, json!({ "content": "first" })).await;
        let received = receiver.received();
        let asked = |one: &crate::support::Received| one.event["point"] == "message.before_send";
        received.iter().any(asked).then_some(())
    })
    .await;
    (service, alice, path)
}

fn pass() -> Answering {
    Answering::with(200).body(r#"{"action":"pass"}"#)
}

#[tokio::test]
async fn a_change_of_the_text_keeps_every_other_field_and_null_clears_one() {
    let receiver = Receiver::start().await;
    let (_service, alice, path) = with_hook(&receiver).await;
    let root = alice.post(&path, json!({ "content": "root" })).await;
    let root = root.expect(201)["id"].clone();
    let body = json!({
        "content": "a word", "mentions": ["alice"], "metadata": { "order": 7 }, "ttlSeconds": 600, "replyTo": root, "threadId": root,
        "attachments": [{ "url": "https://shop.example/a.png", "name": "a.png", "size": 5 }], "clientMessageId": "c-1",
    });
    receiver.answer(|_, _| {
        Answering::with(200).body(r#"{"action":"change","data":{"content":"a ****"}}"#)
    });
    let sent = alice.post(&path, body.clone()).await.expect(201);
    assert_eq!(sent["content"], "a ****");
    for field in ["mentions", "metadata", "clientMessageId", "threadId"] {
        assert_eq!(sent[field], body[field], "{field}: {sent}");
    }
    assert!(
        sent["replyTo"]
            .to_string()
            .contains(root.as_str().expect("an id")),
        "{sent}"
    );
    assert_eq!(sent["attachments"][0]["size"], 5);
    assert!(sent["expiresAt"].is_string(), "{sent}");

    receiver.answer(|_, _| {
        Answering::with(200).body(r#"{"action":"change","data":{"metadata":null}}"#)
    });
    let body = json!({ "content": "a word", "metadata": { "order": 7 } });
    let sent = alice.post(&path, body).await.expect(201);
    assert_eq!(
        (&sent["content"], &sent["metadata"]),
        (&json!("a word"), &json!(null))
    );
}

#[tokio::test]
async fn only_documented_answers_decide_and_all_others_are_failures() {
    let receiver = Receiver::start().await;
    let (_service, alice, path) = with_hook(&receiver).await;
    let large = format!(r#"{{"action":"pass","x":"{}"}}"#, "x".repeat(2 << 20));
    for (status, answer) in [
        (200, ""),
        (200, "{}"),
        (200, "null"),
        (200, "<html></html>"),
        (200, r#"{"action":"#),
        (200, r#"{"action":"allow"}"#),
        (200, r#"{"action":"pass","why":"x"}"#),
        (200, r#"{"action":"pass"}{"action":"pass"}"#),
        (200, r#"{"action":"change","data":{"unknown":1}}"#),
        (200, large.as_str()),
        (204, ""),
        (201, r#"{"action":"pass"}"#),
        (302, r#"{"action":"pass"}"#),
        (500, r#"{"action":"pass"}"#),
    ] {
        let body: Arc<str> = answer.into();
        receiver.answer(move |_, _| Answering::with(status).body(&body));
        let answered = alice.post(&path, json!({ "content": "x" })).await;
        let what: String = answer.chars().take(60).collect();
        assert_eq!(answered.status, 503, "{status} {what}: {answered}");
        assert!(!answered.header("Retry-After").is_empty(), "{what}");
        // A success in between, so that the hook is never left alone.
        receiver.answer(|_, _| pass());
        alice
            .post(&path, json!({ "content": "y" }))
            .await
            .expect(201);
    }
}

#[tokio::test]
async fn the_example_answers_of_the_document_do_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/HOOKS.md");
    let page = fs::read_to_string(page).expect("the document");
    let (_, table) = page.split_once("| answer | verdict |").expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let examples: Vec<(String, String)> = rows
        .map(|row| {
            let (_, rest) = row.split_once('`').expect("an answer");
            let (answer, rest) = rest.split_once('`').expect("an answer");
            (answer.to_owned(), rest.trim_matches([' ', '|']).to_owned())
        })
        .collect();
    assert_eq!(examples.len(), 4, "{examples:?}");
    let receiver = Receiver::start().await;
    let (_service, alice, path) = with_hook(&receiver).await;
    for (answer, verdict) in examples {
        let data: Value = serde_json::from_str(&answer).expect("JSON");
        receiver.answer(move |_, _| Answering::with(200).body(&answer));
        let sent = alice.post(&path, json!({ "content": "x" })).await;
        match verdict.as_str() {
            "pass" => assert_eq!(sent.expect(201)["content"], "x"),
            "change" => assert_eq!(sent.expect(201)["content"], data["data"]["content"]),
            "hold" => assert_eq!(sent.expect(201)["isHeld"], true),
            "refuse" => {
                let error = sent.expect_error(403, "FORBIDDEN");
                assert_eq!(error["message"], data["reason"]);
                assert_eq!(error["details"][0]["message"], data["code"]);
            }
            other => panic!("there is no verdict {other}"),
        }
    }
}
