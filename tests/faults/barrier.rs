//! A writer that dies right after its acknowledgement: its messages are in every list and count at once, with or without NATS.

use std::time::Duration;

use mongodb::bson::{Timestamp, doc};
use reqwest::Method;

use crate::support::{Nats, Process, Service, User, insert_orphan_text, wait_until_applied};

/// Everything that `reader` sees of the only conversation has `text` as its newest message, and `unread` unread messages.
async fn assert_lists(reader: &User, conversation: &str, text: &str, unread: u64) {
    let listed = reader.get("/api/conversations").await.expect(200);
    let listed = &listed["conversations"][0];
    assert_eq!(listed["lastMessage"]["content"], text, "{listed}");
    assert_eq!(listed["unreadCount"], unread, "{listed}");
    let one = reader
        .get(&format!("/api/conversations/{conversation}"))
        .await
        .expect(200);
    assert_eq!(one["lastMessage"]["content"], text, "{one}");
    let counts = reader.get("/api/unread").await.expect(200);
    assert_eq!(
        counts["conversations"][0]["unreadCount"], unread,
        "{counts}"
    );
}

/// Marks everything as read: the newest message is among it.
async fn assert_reads_all(reader: &User, conversation: &str) {
    let path = format!("/api/conversations/{conversation}/read");
    reader.request(Method::PUT, &path, None).await.expect(200);
    let path = format!("/api/conversations/{conversation}");
    let one = reader.get(&path).await.expect(200);
    assert_eq!(one["unreadCount"], 0, "{one}");
}

struct Pair {
    writer: Process,
    alice: User,
    /// At the process that stays.
    bob: User,
    conversation: String,
}

/// Two processes, the first of which writes.
async fn pair(nats: Option<&Nats>) -> (Pair, Process) {
    let builder = || match nats {
        Some(nats) => Service::builder().nats(nats),
        None => Service::builder(),
    };
    let writer = builder().spawn().await;
    let reader = Service::builder().database(&writer).spawn().await;
    let alice = writer.user("alice").await;
    let bob = writer.user("bob").await;
    let conversation = writer.group(&alice, &[&bob]).await;
    let bob = bob.between(&reader, &reader);
    let pair = Pair {
        writer,
        alice,
        bob,
        conversation,
    };
    (pair, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_acknowledged_by_a_killed_writer_are_listed_at_once() {
    let (mut pair, _reader) = pair(None).await;
    // The reader has been there for so long that it trusts its writer.
    tokio::time::sleep(Duration::from_secs(32)).await;
    for round in 1..=3 {
        let text = format!("m{round}");
        pair.alice.say(&pair.conversation, &text).await;
        pair.writer.kill();
        assert_lists(&pair.bob, &pair.conversation, &text, round).await;
        pair.writer.restart().await;
    }
    pair.alice.say(&pair.conversation, "last").await;
    pair.writer.kill();
    assert_reads_all(&pair.bob, &pair.conversation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nats_away_messages_acknowledged_by_a_killed_writer_are_listed_at_once() {
    let mut nats = Nats::start().await;
    let (mut pair, _reader) = pair(Some(&nats)).await;
    nats.kill();
    // Before any process has detected that NATS is away.
    pair.alice.say(&pair.conversation, "m1").await;
    pair.writer.kill();
    assert_lists(&pair.bob, &pair.conversation, "m1", 1).await;
    // The same long after all processes have detected it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for n in 2..=4 {
        insert_orphan_text(pair.writer.sandbox(), &pair.conversation, &format!("m{n}")).await;
        assert_lists(&pair.bob, &pair.conversation, &format!("m{n}"), n).await;
    }
    insert_orphan_text(pair.writer.sandbox(), &pair.conversation, "last").await;
    assert_reads_all(&pair.bob, &pair.conversation).await;
    nats.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_applies_without_nats() {
    let mut nats = Nats::start().await;
    let service = Service::builder().nats(&nats).start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    nats.kill();
    let (_, seq) = insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
    // No request reads it, so only the relay can apply it.
    wait_until_applied(service.sandbox(), &conversation, seq).await;
    let state = service.sandbox().collection("relay").await;
    let state = state.find_one(doc! {}).await.expect("can be read");
    let state = state.expect("is there");
    let of = |name: &str| -> Timestamp { state.get_timestamp(name).expect("a time") };
    assert!(of("watermark") < of("appliedWatermark"), "{state}");
    nats.restart().await;
}
