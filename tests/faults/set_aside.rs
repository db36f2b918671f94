//! An entry that the broker never accepts, an unreadable entry, and an owner that cannot be applied: none of them blocks others.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use crate::{
    support::{
        Receiver, Service, eventually_within, insert_orphan, insert_orphan_text, wait_until_applied,
    },
    webhooks::hook,
};

/// More than the stream takes.
const TOO_LARGE: usize = 200 * 1024;

/// The relay's part of the status.
async fn relay(service: &Service) -> Value {
    let status = service.internal().get("/api/status").await.expect(200);
    status["relay"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_stream_never_takes_reaches_sockets_and_webhooks_and_stops_no_other() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    hook(&service, &receiver, json!({})).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "before").await;
    alice.say(&other, "elsewhere").await;
    for _ in 0..2 {
        socket.next("message:new").await;
    }
    let text = "x".repeat(TOO_LARGE);
    let (large, seq) = insert_orphan_text(service.sandbox(), &conversation, &text).await;
    let (orphan, _) = insert_orphan_text(service.sandbox(), &other, "orphan").await;
    let limit = Duration::from_secs(30);
    let mut pushed = std::collections::HashMap::new();
    while pushed.len() < 2 {
        let frame = socket
            .find_within(limit, "both", |frame| {
                frame["id"] == large || frame["id"] == orphan
            })
            .await;
        pushed.insert(frame["id"].as_str().expect("an id").to_owned(), frame);
    }
    assert_eq!(pushed[&large]["seq"], seq);
    assert_eq!(pushed[&large]["data"]["content"], text);
    for (id, content) in [(&large, text.as_str()), (&orphan, "orphan")] {
        let received = eventually_within(limit, "the endpoint gets both", || async {
            receiver.received().into_iter().find(|one| one.id() == id)
        });
        assert_eq!(received.await.content(), content, "{id}");
    }
    // Delivery continues.
    alice.say(&conversation, "after").await;
    let after = socket.next("message:new").await;
    assert_eq!(after["data"]["content"], "after");
    let status = eventually_within(limit, "it is reported", || async {
        let status = relay(&service).await;
        (status["setAside"]["events"] == 1).then_some(status)
    })
    .await;
    let expected = json!({
        "status": "up", "missing": 0, "behindMs": 0, "setAside": { "events": 1, "owners": 0 },
    });
    assert_eq!(status, expected);
    let health = service.anonymous().get("/api/health").await.expect(200);
    assert_eq!(health["relay"], expected, "{health}");
    let metrics = service.internal().get("/api/metrics").await.text;
    let line = "chat_relay_set_aside{what=\"event\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_cannot_be_read_and_an_owner_that_cannot_be_applied_stop_no_other() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let broken = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    for conversation in [&broken, &other] {
        alice.say(conversation, "before").await;
        socket.next("message:new").await;
    }
    // As a later version or a fault of the disk might leave it.
    let spoil = |entry: &mut Document| {
        entry.insert("data", doc! { "content": Bson::Int32(1) });
    };
    let (spoilt, _) = insert_orphan(service.sandbox(), &broken, spoil).await;
    let (orphan, seq) = insert_orphan_text(service.sandbox(), &other, "orphan").await;
    let limit = Duration::from_secs(30);
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == orphan)
        .await;
    assert_eq!(pushed["seq"], seq);
    wait_until_applied(service.sandbox(), &other, seq).await;
    let status = eventually_within(limit, "it is reported", || async {
        let status = relay(&service).await;
        let aside = &status["setAside"];
        (aside["events"] == 1 && aside["owners"] == 1).then_some(status)
    })
    .await;
    assert_eq!(status["missing"], 0, "{status}");
    // Lists with it in them still answer.
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(listed["conversations"].as_array().map(Vec::len), Some(2));
    // Once the entry is readable again, it is applied without intervention.
    let log = service.sandbox().collection("log").await;
    log.delete_one(doc! { "_id": spoilt })
        .await
        .expect("is removed");
    eventually_within(limit, "nothing waits any more", || async {
        (relay(&service).await["setAside"]["owners"] == 0).then_some(())
    })
    .await;
}
