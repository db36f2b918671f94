//! Strict order per conversation.

use std::collections::HashMap;

use serde_json::json;

use super::{hook, scenario};
use crate::support::{Answering, Receiver, Service};

#[tokio::test]
async fn a_failing_conversation_waits_in_order_and_others_go_on() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let (alice, bad) = scenario(&service).await;
    let good = service.group(&alice, &[]).await;
    let stuck = bad.clone();
    receiver.answer(move |event, before| {
        let is_stuck = event["conversationId"] == stuck.as_str()
            && event["data"]["content"] == "message 0"
            && before < 3;
        Answering::with(if is_stuck { 500 } else { 200 })
    });
    let hook = hook(&service, &receiver, json!({ "ordered": true })).await;
    for n in 0..10 {
        alice.say(&bad, &format!("message {n}")).await;
        alice.say(&good, &format!("good {n}")).await;
    }
    for n in 0..10 {
        receiver.wait_taken(&format!("good {n}")).await;
        receiver.wait_taken(&format!("message {n}")).await;
    }
    let mut taken: HashMap<String, Vec<u64>> = HashMap::new();
    for one in receiver.of("message.created") {
        if one.status == 200 {
            let conversation = one.event["conversationId"].as_str().expect("an id");
            let seq = one.event["seq"].as_u64().expect("a number");
            taken.entry(conversation.to_owned()).or_default().push(seq);
        }
    }
    for (conversation, numbers) in taken {
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(numbers, sorted, "{conversation}");
        assert_eq!(numbers.len(), 10);
    }
    let failed: Vec<_> = receiver
        .of("message.created")
        .into_iter()
        .filter(|one| one.status == 500)
        .collect();
    assert_eq!(failed.len(), 3, "only the head of the line was tried");
    assert!(hook.dead_letters().await.is_empty());
}

#[tokio::test]
async fn an_event_that_is_given_up_lets_the_next_one_pass() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|event, _| {
        let is_bad = event["data"]["content"] == "poison";
        Answering::with(if is_bad { 500 } else { 200 })
    })
    .await;
    let hook = hook(&service, &receiver, json!({ "ordered": true })).await;
    let (alice, conversation) = scenario(&service).await;
    for text in ["before", "poison", "after"] {
        alice.say(&conversation, text).await;
    }
    receiver.wait_taken("after").await;
    let letters = hook.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["event"]["data"]["content"], "poison");
    assert_eq!(letters[0]["attempts"], 4);
}

#[tokio::test]
async fn another_worker_continues_in_order_after_the_first_one_died() {
    let service = Service::builder().roles("api").start().await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = Service::builder().database(&service).roles("webhooks");
        workers.push(worker.start().await);
    }
    let receiver = Receiver::answering(|event, before| {
        // Now and then one fails at first.
        let is_odd = event["seq"].as_u64().unwrap_or_default() % 7 == 0 && before == 0;
        Answering::with(if is_odd { 500 } else { 200 })
    })
    .await;
    let _hook = hook(&service, &receiver, json!({ "ordered": true })).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..60 {
        alice.say(&conversation, &format!("message {n}")).await;
        if n == 30 {
            receiver.wait_taken("message 5").await;
            workers.remove(0).crash();
        }
    }
    for n in 0..60 {
        receiver.wait_taken(&format!("message {n}")).await;
    }
    // Repeats are allowed after a death; the first time of each comes in order.
    let mut first: Vec<u64> = Vec::new();
    for one in receiver.of("message.created") {
        let seq = one.event["seq"].as_u64().expect("a number");
        if one.status == 200 && !first.contains(&seq) {
            first.push(seq);
        }
    }
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(first, sorted);
    assert_eq!(first.len(), 60);
}

#[tokio::test]
async fn conversations_with_long_pauses_do_not_delay_those_that_are_due() {
    let service = Service::builder()
        .toml("[plugins.webhooks]\nconcurrency = 1\n")
        .start()
        .await;
    let receiver =
        Receiver::answering(
            |event, before| match (event["data"]["content"].as_str(), before) {
                (Some("bad"), _) => Answering::with(500).header("retry-after", "3600"),
                (Some("slow"), 0) => Answering::with(500).header("retry-after", "1"),
                _ => Answering::with(200),
            },
        )
        .await;
    let _hook = hook(&service, &receiver, json!({ "ordered": true })).await;
    let (alice, conversation) = scenario(&service).await;
    for _ in 0..8 {
        let other = service.group(&alice, &[]).await;
        alice.say(&other, "bad").await;
    }
    alice.say(&conversation, "slow").await;
    receiver.wait_taken("slow").await;
    let bad = receiver.received();
    let bad = bad.iter().filter(|one| one.content() == "bad");
    assert_eq!(bad.count(), 8, "each was tried once");
}
