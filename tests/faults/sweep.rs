//! Entries that were neither published nor applied, because the writer died right after the insert. The relay completes them.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, Timestamp, doc};
use serde_json::json;

use crate::support::{Place, Service, eventually_within};

/// Lets mongod set the cluster time.
const NOW: Timestamp = Timestamp {
    time: 0,
    increment: 0,
};

/// Writes a message into the log as a writer does that dies right after it: like the last one, under the next number.
pub(super) async fn insert_as_a_dead_writer(
    place: &Place,
    conversation: &str,
    text: &str,
) -> (String, u64) {
    insert_at(place, conversation, text, NOW).await
}

async fn insert_at(place: &Place, conversation: &str, text: &str, ts: Timestamp) -> (String, u64) {
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
    entry.insert("ts", ts);
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
async fn a_client_that_connects_before_the_sweep_gets_the_orphan() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    let cursor = bob.connect().await.cursor();
    let (id, _) = insert_as_a_dead_writer(service.place(), &conversation, "orphan").await;
    let mut fresh = bob.connect().await;
    let mut resumed = bob.resume(&cursor).await;
    let limit = Duration::from_secs(15);
    resumed
        .find_within(limit, "the orphan", |frame| frame["id"] == id)
        .await;
    // A new connection starts at the current position: earlier messages are listed, later ones are pushed.
    let listed = bob.get("/api/conversations").await.expect(200);
    if listed["conversations"][0]["lastMessage"]["content"] != "orphan" {
        fresh
            .find_within(limit, "the orphan", |frame| frame["id"] == id)
            .await;
    }
}

#[tokio::test]
async fn the_second_sweep_delivers_entries_that_the_first_could_not_see() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "before").await;
    socket.next("message:new").await;
    let relay = service.place().collection("relay").await;
    let watermarks = || async {
        let state = relay.find_one(doc! { "_id": "relay" }).await.ok()??;
        let of = |name: &str| state.get_timestamp(name).ok();
        Some((of("watermark")?, of("lateWatermark")?))
    };
    // Something to pass, so that the watermark is beyond the message.
    let limit = Duration::from_secs(30);
    let (first, second) = eventually_within(limit, "the first sweep is ahead", || async {
        let (first, second) = watermarks().await?;
        (first.time > second.time + 1 && first.time > 0).then_some((first, second))
    })
    .await;
    // Simulates an insert that waited so long that the first sweep had passed its time.
    let ts = Timestamp {
        time: first.time,
        increment: 0,
    };
    assert!(second < ts && ts < first, "{second:?} < {ts:?} < {first:?}");
    let (id, seq) = insert_at(service.place(), &conversation, "late", ts).await;
    // The second sweep follows what happens.
    let busy = async {
        loop {
            let other = service.user("carol").await;
            service.group(&other, &[]).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let wanted = socket.find_within(Duration::from_secs(60), "the late one", |frame| {
        frame["id"] == id
    });
    let pushed = tokio::select! {
        pushed = wanted => pushed,
        () = busy => unreachable!("it never ends"),
    };
    assert_eq!(pushed["seq"], seq);
    assert_eq!(pushed["data"]["content"], "late");
    assert_eq!(alice.say(&conversation, "after").await["seq"], seq + 1);
}
