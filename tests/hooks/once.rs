//! A hook is asked once about a repeatable send, whatever its verdict.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::sample::{asked, builder, service};
use crate::support::{Service, eventually};

async fn count(service: &Service) -> usize {
    asked(service).await.len()
}

#[tokio::test]
async fn a_repeated_send_gets_the_first_verdict() {
    let service = service(r#"{ name = "words" }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    for (index, (text, statuses)) in [
        ("pass", [201, 200, 200]),
        ("change", [201, 200, 200]),
        ("refuse", [403, 403, 403]),
        ("hold", [201, 200, 200]),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "content": text, "clientMessageId": format!("c-{index}") });
        let mut first: Option<Value> = None;
        for status in statuses {
            let answer = alice.post(&path, body.clone()).await;
            assert_eq!(answer.status, status, "{answer}");
            let first = first.get_or_insert_with(|| answer.json.clone());
            assert_eq!(first["id"], answer.json["id"], "{answer}");
            assert_eq!(first["content"], answer.json["content"], "{answer}");
        }
        assert_eq!(count(&service).await, index + 1, "{text}");
        let other = json!({ "content": "another", "clientMessageId": format!("c-{index}") });
        alice.post(&path, other).await.expect_error(409, "CONFLICT");
        assert_eq!(count(&service).await, index + 1, "{text}");
    }
    let socket = json!({
        "conversationId": conversation, "content": "refuse", "clientMessageId": "c-2",
    });
    let error = alice.connect().await.refused("message:send", socket).await;
    assert_eq!(error["details"][0]["message"], "BAD_WORD");
    assert_eq!(count(&service).await, 4);
}

#[tokio::test]
async fn concurrent_repetitions_over_two_processes_ask_once() {
    let hooks = r#"{ name = "words" }"#;
    let one = service(hooks).await;
    let two = builder(hooks)
        .database(&one)
        .start_with([super::sample::PLUGIN])
        .await;
    let alice = one.user("alice").await;
    let conversation = one.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    for (text, statuses) in [
        ("slow", [201, 200]),
        ("slow hold", [201, 200]),
        ("slow refuse", [403, 403]),
    ] {
        let before = count(&one).await + count(&two).await;
        let body = json!({ "content": text, "clientMessageId": text });
        let sends = (0..10).map(|index| {
            let user = if index % 2 == 0 {
                alice.clone()
            } else {
                alice.at(&two)
            };
            let (path, body) = (path.clone(), body.clone());
            async move { user.post(&path, body).await }
        });
        let answers = join_all(sends).await;
        let firsts = answers
            .iter()
            .filter(|answer| answer.status == statuses[0])
            .count();
        let others = answers
            .iter()
            .filter(|answer| answer.status == statuses[1])
            .count();
        let is_same = statuses[0] == statuses[1];
        assert_eq!(firsts, if is_same { 10 } else { 1 }, "{text}");
        assert_eq!(others, if is_same { 10 } else { 9 }, "{text}");
        assert_eq!(count(&one).await + count(&two).await, before + 1, "{text}");
    }
}

#[tokio::test]
async fn the_verdict_counts_although_the_client_that_asked_is_gone() {
    let service = service(r#"{ name = "words" }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let data = json!({
        "conversationId": conversation, "content": "slow refuse", "clientMessageId": "c-1",
    });
    socket.post("message:send", data);
    eventually("the hook is asked", || async {
        (count(&service).await == 1).then_some(())
    })
    .await;
    drop(socket.vanish());
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "slow refuse", "clientMessageId": "c-1" });
    alice.post(&path, body).await.expect_error(403, "FORBIDDEN");
    assert_eq!(count(&service).await, 1);
}
