//! Reads of messages by their ids, grouped for many callers.

use std::collections::{HashMap, HashSet};

use chat_sdk::MessageId;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{
    Collection, Database, bounded, documents::LogDocument, facets::StoredMessage, log::Unavailable,
};
use crate::{
    group::Group,
    model::{Result, state::MessageState},
};

/// Selection of a conversation's messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// First and last seq.
    pub(super) range: (u64, u64),
    /// Order: 1 for oldest first, -1 for newest first.
    pub(super) direction: i32,
    pub(super) limit: u32,
    pub(super) max_bytes: usize,
}

/// Starts the task that reads single messages in groups; it ends with the handle.
pub(super) fn start_reading(
    database: &Database,
) -> Group<MessageId, Result<Option<StoredMessage>>> {
    let log = database.collection::<LogDocument>("log");
    Group::start(move |ids: Vec<MessageId>| {
        let log = log.clone();
        async move {
            let found = read_by_id(&log, &ids).await;
            let found = |id: &MessageId| match &found {
                Err(error) => Err((*error).into()),
                Ok(found) => found.get(id).cloned().transpose(),
            };
            ids.iter().map(found).collect()
        }
    })
}

/// Reads the messages among `ids` that exist. One that cannot be read does not affect the others.
pub(super) async fn read_by_id(
    log: &Collection<LogDocument>,
    ids: impl IntoIterator<Item = &MessageId>,
) -> std::result::Result<HashMap<MessageId, Result<StoredMessage>>, Unavailable> {
    read_parts_by_id(log, ids, doc! {}).await
}

/// Reads what checks need of the messages among `ids` that exist, without their largest parts.
///
/// The messages of a group may be many and as large as they may be; a check needs none of their contents.
pub(super) async fn read_states_by_id(
    log: &Collection<LogDocument>,
    ids: impl IntoIterator<Item = &MessageId>,
) -> std::result::Result<HashMap<MessageId, MessageState>, Unavailable> {
    let left_out = doc! {
        "data.attachments": 0, "data.metadata": 0, "data.mentions": 0, "data.here": 0,
        "edit.metadata": 0, "editMetadata": 0,
    };
    let found = read_parts_by_id(log, ids, left_out).await?.into_iter();
    let states = found.map(|(id, message)| Ok((id, message?.into_state())));
    let states: Result<HashMap<MessageId, MessageState>> = states.collect();
    states.map_err(|_| Unavailable)
}

async fn read_parts_by_id(
    log: &Collection<LogDocument>,
    ids: impl IntoIterator<Item = &MessageId>,
    projection: Document,
) -> std::result::Result<HashMap<MessageId, Result<StoredMessage>>, Unavailable> {
    let entries: HashSet<String> = ids
        .into_iter()
        .map(|id| id.to_event_id().to_string())
        .collect();
    if entries.is_empty() {
        return Ok(HashMap::new());
    }
    let entries: Vec<String> = entries.into_iter().collect();
    let filter = doc! { "_id": { "$in": entries }, "type": "message.created" };
    let found: Vec<LogDocument> = bounded(async {
        let find = log.find(filter).projection(projection).batch_size(2000);
        find.await?.try_collect().await
    })
    .await?;
    let by_id = found
        .into_iter()
        .map(|document| (document.id.to_message_id(), StoredMessage::new(document)));
    Ok(by_id.collect())
}
