//! Requests that use every field to its limit, and many conversations at once.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use super::{Client, Node, User, eventually_within};

/// Number of documents per insert.
const BATCH: usize = 1000;

/// The body of a message of about 97 KB, of which the text and all attachments are as large as they may be.
pub fn large_message(mark: &str) -> Value {
    let link = |kind: &str, n: usize| {
        let mut link = format!("https://files.example/{mark}/{kind}/{n}/");
        link.push_str(&"x".repeat(2_000 - link.len()));
        link
    };
    let attachments: Vec<Value> = (0..20)
        .map(|n| json!({ "url": link("file", n), "thumbnailUrl": link("thumbnail", n) }))
        .collect();
    let content = format!("{mark} {}", "y".repeat(16_000));
    json!({ "content": content, "attachments": attachments })
}

/// Sends `count` messages of about 97 KB one after the other. Returns them in order.
pub async fn send_large(sender: &Client, conversation: &str, count: usize) -> Vec<Value> {
    let path = format!("/api/conversations/{conversation}/messages");
    let mut sent = Vec::with_capacity(count);
    for n in 0..count {
        let body = large_message(&format!("m{n}"));
        sent.push(sender.post(&path, body).await.expect(201));
    }
    sent
}

/// Connects `reader` until a message of `sender` arrives in `conversation`, then disconnects. Returns the cursor from which later messages are missed.
pub async fn cursor_before(reader: &User, sender: &User, conversation: &str) -> String {
    let mut socket = reader.connect().await;
    sender.say(conversation, "heard").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    socket.vanish();
    cursor
}

/// Waits until `viewer` sees `user` offline: the last connection of `user` is closed.
pub async fn wait_until_offline(viewer: &User, user: &str) {
    let path = format!("/api/users/{user}/presence");
    let limit = Duration::from_secs(30);
    eventually_within(limit, "every connection is closed", || async {
        let presence = viewer.get(&path).await.expect(200);
        (presence["status"] == "offline").then_some(())
    })
    .await;
}

/// Makes `count` groups of two users, as copies of one that the service made. Returns their ids.
pub async fn many_groups(service: &Node, one: &User, other: &User, count: usize) -> Vec<String> {
    let pattern = service.group(one, &[other]).await;
    let place = service.sandbox();
    let find = async |collection: &str, filter: Document| {
        let found = place.collection(collection).await;
        let found = found.find_one(filter).await.expect("can be read");
        found.expect("was made")
    };
    let conversation = find("conversations", doc! { "_id": &pattern }).await;
    let member = async |user: &User| {
        find(
            "participants",
            doc! { "_id": format!("{pattern}:{}", user.id) },
        )
        .await
    };
    let members = [member(one).await, member(other).await];
    let ids: Vec<String> = (0..count)
        .map(|_| chat_sdk::ConversationId::generate().to_string())
        .collect();
    let with = |document: &Document, changes: Document| {
        let mut copy = document.clone();
        copy.extend(changes);
        copy
    };
    let insert = async |collection: &str, documents: Vec<Document>| {
        let collection = &place.collection(collection).await;
        let batches = stream::iter(documents.chunks(BATCH));
        batches
            .for_each_concurrent(4, |batch| async move {
                collection.insert_many(batch).await.expect("is inserted");
            })
            .await;
    };
    let copies = ids.iter().map(|id| with(&conversation, doc! { "_id": id }));
    insert("conversations", copies.collect()).await;
    let copies = ids.iter().flat_map(|id| {
        members.iter().map(move |member| {
            let user = member.get("userId").and_then(Bson::as_str);
            let own_id = format!("{id}:{}", user.expect("a user"));
            with(member, doc! { "_id": own_id, "conversationId": id })
        })
    });
    insert("participants", copies.collect()).await;
    ids
}
