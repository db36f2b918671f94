//! An entry that nobody published or applied: its writer died right after the insert. The relay finishes it.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, Timestamp, doc};
use serde_json::json;

use crate::support::{Place, Service, eventually_within};

/// Writes a message into the log as a writer does that dies right after it: like the last one, under the next number.
async fn insert_as_a_dead_writer(place: &Place, conversation: &str, text: &str) -> (String, u64) {
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
    entry.insert(
        "ts",
        Timestamp {
            time: 0,
            increment: 0,
        },
    );
    let data = entry.get_document_mut("data").expect("data");
    data.insert("content", text);
    data.remove("clientMessageId");
    data.remove("requestHash");
    log.insert_one(entry).await.expect("is inserted");
    (id, seq.unsigned_abs())
}

#[tokio::test]
async fn the_last_entry_of_a_dead_writer_is_delivered_and_applied_within_seconds() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "before").await;
    socket.next("message:new").await;

    let started = Instant::now();
    let (id, seq) = insert_as_a_dead_writer(service.place(), &conversation, "orphan").await;
    let limit = Duration::from_secs(15);
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == id)
        .await;
    assert_eq!(pushed["seq"], seq);
    assert_eq!(pushed["data"]["content"], "orphan");
    assert!(started.elapsed() < limit);
    // Applied too: the conversation's own document knows of it.
    let conversations = service.place().collection("conversations").await;
    eventually_within(limit, "the conversation is brought up to date", || async {
        let found = conversations
            .find_one(doc! { "_id": &conversation })
            .await
            .ok()??;
        (found.get_i64("applied").ok()?.unsigned_abs() == seq).then_some(())
    })
    .await;
    // The next one comes after it.
    assert_eq!(alice.say(&conversation, "after").await["seq"], seq + 1);
    assert_eq!(socket.next("message:new").await["seq"], seq + 1);
    assert_eq!(bob.history(&conversation).await.len(), 3);
}

#[tokio::test]
async fn an_orphan_is_delivered_at_once_when_the_next_entry_comes() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "before").await;
    socket.next("message:new").await;
    insert_as_a_dead_writer(service.place(), &conversation, "orphan").await;
    alice.say(&conversation, "after").await;
    assert_eq!(
        socket.next("message:new").await["data"]["content"],
        "orphan"
    );
    assert_eq!(socket.next("message:new").await["data"]["content"], "after");
    let path = format!("/api/conversations/{conversation}/messages?limit=10");
    let page = bob.get(&path).await.expect(200);
    let texts: Vec<&str> = page["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(json!(texts), json!(["after", "orphan", "before"]));
}

#[tokio::test]
async fn who_connects_before_the_sweep_gets_the_orphan_too() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    let cursor = bob.connect().await.cursor();
    let (id, _) = insert_as_a_dead_writer(service.place(), &conversation, "orphan").await;
    let mut fresh = bob.connect().await;
    let mut resumed = bob.resume(&cursor).await;
    for socket in [&mut fresh, &mut resumed] {
        let limit = Duration::from_secs(15);
        socket
            .find_within(limit, "the orphan", |frame| frame["id"] == id)
            .await;
    }
}
