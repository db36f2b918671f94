//! An entry that the broker never accepts, an unreadable entry, and an owner that cannot be applied: none of them blocks others.

use std::time::Duration;

use mongodb::bson::{Bson, Document, Timestamp, doc};
use serde_json::{Value, json};

use crate::{
    support::{Place, Receiver, Service, eventually_within},
    webhooks::hook,
};

/// More than the stream takes.
const TOO_LARGE: usize = 200 * 1024;

/// Writes an entry like the last message, as a writer does that dies right after it.
async fn insert(
    place: &Place,
    conversation: &str,
    change: impl FnOnce(&mut Document),
) -> (String, u64) {
    let log = place.collection("log").await;
    let mut entry: Document = log
        .find_one(doc! { "conversationId": conversation, "type": "message.created" })
        .sort(doc! { "seq": -1 })
        .await
        .expect("the log can be read")
        .expect("there is a message");
    let seq = place.log(conversation).await.len() as i64 + 1;
    let id = format!("evt_{}", ulid::Ulid::generate().to_string().to_lowercase());
    entry.insert("_id", &id);
    entry.insert("seq", seq);
    // mongod sets the cluster time.
    let zero = Timestamp {
        time: 0,
        increment: 0,
    };
    entry.insert("ts", zero);
    let data = entry.get_document_mut("data").expect("data");
    data.remove("clientMessageId");
    data.remove("requestHash");
    change(&mut entry);
    log.insert_one(entry).await.expect("is inserted");
    (id, seq.unsigned_abs())
}

fn with_text(text: String) -> impl FnOnce(&mut Document) {
    move |entry| {
        let data = entry.get_document_mut("data").expect("data");
        data.insert("content", text);
    }
}

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
    let (large, seq) = insert(service.place(), &conversation, with_text(text.clone())).await;
    let (orphan, _) = insert(service.place(), &other, with_text("orphan".to_owned())).await;
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
    let (spoilt, _) = insert(service.place(), &broken, spoil).await;
    let (orphan, seq) = insert(service.place(), &other, with_text("orphan".to_owned())).await;
    let limit = Duration::from_secs(30);
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == orphan)
        .await;
    assert_eq!(pushed["seq"], seq);
    let conversations = service.place().collection("conversations").await;
    eventually_within(limit, "the other one is applied", || async {
        let found = conversations
            .find_one(doc! { "_id": &other })
            .await
            .ok()??;
        (found.get_i64("applied").ok()?.unsigned_abs() == seq).then_some(())
    })
    .await;
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
    let log = service.place().collection("log").await;
    log.delete_one(doc! { "_id": spoilt })
        .await
        .expect("is removed");
    eventually_within(limit, "nothing waits any more", || async {
        (relay(&service).await["setAside"]["owners"] == 0).then_some(())
    })
    .await;
}
