//! Entries that were neither published nor applied, because the writer died right after the insert. The relay completes them.

use std::time::{Duration, Instant};

use mongodb::bson::{Timestamp, doc};
use serde_json::json;

use crate::support::{
    Service, User, eventually_within, insert_orphan, insert_orphan_text, wait_until_applied,
};

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
    let (id, seq) = insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
    let limit = Duration::from_secs(15);
    let pushed = socket
        .find_within(limit, "the orphan", |frame| frame["id"] == id)
        .await;
    assert_eq!(pushed["seq"], seq);
    assert_eq!(pushed["data"]["content"], "orphan");
    assert!(started.elapsed() < limit);
    // Applied too: the conversation's own document knows of it.
    wait_until_applied(service.sandbox(), &conversation, seq).await;
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
    insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
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

/// True if the list of conversations has `text` as the newest message.
async fn is_listed(reader: &User, text: &str) -> bool {
    let listed = reader.get("/api/conversations").await.expect(200);
    listed["conversations"][0]["lastMessage"]["content"] == text
}

#[tokio::test]
async fn a_client_that_resumes_before_the_sweep_gets_the_orphan() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    let cursor = bob.connect().await.cursor();
    let (id, seq) = insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
    let mut resumed = bob.resume(&cursor).await;
    let limit = Duration::from_secs(15);
    let missed = resumed.find_within(limit, "the orphan", |frame| frame["id"] == id);
    assert_eq!(missed.await["seq"], seq);
}

/// The first socket in a conversation begins where the documents are: an entry that was listed before is not pushed, one that is not listed after
/// `connected` is pushed once.
#[tokio::test]
async fn an_orphan_is_either_listed_before_a_new_connection_or_pushed_to_it() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for round in 0..4 {
        let bob = service.user(&format!("bob-{round}")).await;
        let conversation = service.group(&alice, &[&bob]).await;
        alice.say(&conversation, "before").await;
        let (_, seq) = insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
        // In some rounds the list, which waits for the read barrier, is read before the connection begins.
        let was_listed = round % 2 == 0 && is_listed(&bob, "orphan").await;
        let mut fresh = bob.connect().await;
        let listed_after = is_listed(&bob, "orphan").await;
        // All frames up to the next message: the numbers of a connection are dense from its first one.
        let last = alice.say(&conversation, "last").await["seq"].clone();
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            seqs.push(fresh.next("message:new").await["seq"].clone());
        }
        let is_pushed = seqs == [json!(seq), last.clone()];
        assert!(is_pushed || seqs == [last], "{seqs:?}, orphan {seq}");
        assert!(is_pushed || listed_after, "neither listed nor pushed");
        assert!(!(is_pushed && was_listed), "listed and pushed");
    }
}

/// A further socket begins where the sockets of its node are: it gets what they have not got yet, listed or not, once and in order.
#[tokio::test]
async fn a_socket_that_joins_others_gets_the_orphan_with_them() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut first = bob.connect().await;
    alice.say(&conversation, "before").await;
    first.next("message:new").await;
    let (_, seq) = insert_orphan_text(service.sandbox(), &conversation, "orphan").await;
    let mut second = bob.connect().await;
    let last = alice.say(&conversation, "last").await["seq"].clone();
    let mut received = Vec::new();
    for socket in [&mut first, &mut second] {
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            seqs.push(socket.next("message:new").await["seq"].clone());
        }
        received.push(seqs);
    }
    assert_eq!(received[0], [json!(seq), last.clone()]);
    // The relay may have delivered the orphan before the second one was there.
    assert!(received[1] == received[0] || received[1] == [last]);
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
    let relay = service.sandbox().collection("relay").await;
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
    let (id, seq) = insert_orphan(service.sandbox(), &conversation, |entry| {
        entry.insert("ts", ts);
        let data = entry.get_document_mut("data").expect("data");
        data.insert("content", "late");
    })
    .await;
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
