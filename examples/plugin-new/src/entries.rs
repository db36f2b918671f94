//! Entries of the plugin, in its own collection.

use std::time::Duration;

use chat_sdk::{
    ConversationId, MessageId, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate},
};
use serde::{Deserialize, Serialize};

/// Entry of the list of a conversation. It has the id of its message and not the text, so a deleted message leaves no copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Id of the message. An event may be delivered twice; this id ensures that it is stored once.
    #[serde(rename = "_id")]
    pub message_id: MessageId,
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the author; absent if the host sent the message.
    pub author_id: Option<UserId>,
    /// Time of the message, in the form by which the database removes old entries.
    pub at: StoredDate,
}

impl Entry {
    /// Returns the time of the message.
    pub fn time(&self) -> Timestamp {
        self.at.0
    }
}

/// Collection of entries.
pub struct Entries(Collection<Entry>);

impl Entries {
    /// Uses `collection` for the entries.
    pub fn new(collection: Collection<Entry>) -> Self {
        Self(collection)
    }

    /// Creates the indexes. Every process calls it at every start, so it is safe to repeat.
    pub async fn prepare(&self, keep_days: u32) -> Result<(), HostError> {
        let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
        let fields = [
            ("conversationId", Order::Ascending),
            ("_id", Order::Descending),
        ];
        let newest = Index::new("newest", &fields);
        let expiry = Index::expiry("expiry", "at", keep);
        self.0.create_indexes([newest, expiry]).await
    }

    /// Stores an entry. A repetition changes nothing.
    pub async fn keep(&self, entry: &Entry) -> Result<(), HostError> {
        self.0.insert(entry).await.map(drop)
    }

    /// Returns at most `limit` entries of a conversation, newest first.
    pub async fn newest(
        &self,
        conversation: &ConversationId,
        limit: usize,
    ) -> Result<Found<Entry>, HostError> {
        let filter = Filter::all().is("conversationId", conversation.as_str());
        // Ids of messages begin with their time, so this order is newest first.
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.0.find(query.limit(limit)).await
    }
}
