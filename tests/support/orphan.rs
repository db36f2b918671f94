//! Entries that were neither published nor applied, as a writer leaves them that dies right after the insert.

use std::time::Duration;

use mongodb::bson::{Document, Timestamp, doc};

use super::{Sandbox, eventually_within};

/// Inserts an orphan into the log of `conversation`: the last message with `change`, under the next seq. Returns its id and seq.
pub async fn insert_orphan(
    place: &Sandbox,
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

/// Inserts an orphan with the text `text`.
pub async fn insert_orphan_text(place: &Sandbox, conversation: &str, text: &str) -> (String, u64) {
    insert_orphan(place, conversation, |entry| {
        let data = entry.get_document_mut("data").expect("data");
        data.insert("content", text);
    })
    .await
}

/// Waits until the documents of `conversation` are at `seq`, without a request that could bring them there.
pub async fn wait_until_applied(place: &Sandbox, conversation: &str, seq: u64) {
    let conversations = place.collection("conversations").await;
    let limit = Duration::from_secs(30);
    eventually_within(limit, "the conversation is brought up to date", || async {
        let found = conversations
            .find_one(doc! { "_id": conversation })
            .await
            .ok()??;
        (found.get_i64("applied").ok()?.unsigned_abs() == seq).then_some(())
    })
    .await;
}
