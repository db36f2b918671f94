//! Entries of the audit trail, in the plugin's own collection.

use std::time::Duration;

use chat_sdk::{
    EventId, Timestamp,
    plugin::{Collection, Delivery, Filter, Found, HostError, Index, Order, Query, StoredDate},
};
use serde::{Deserialize, Serialize};

/// Entry of the trail: the actor, type and place of an event, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Id of the event. An event may be delivered twice; its id ensures that it is stored once.
    #[serde(rename = "_id")]
    pub id: EventId,
    /// Type of the event.
    pub kind: String,
    /// Id of the conversation, or `user:` and the id of the user.
    pub owner: String,
    /// Id of the user who acted; absent if the host acted without an acting user.
    pub actor_id: Option<String>,
    /// Time of the event, in the form by which the database removes old entries.
    pub at: StoredDate,
}

/// The parts of an envelope that the trail reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    timestamp: Timestamp,
    actor_id: Option<String>,
}

impl Entry {
    /// Returns the entry of an event; `None` if its envelope cannot be parsed.
    pub fn of(delivery: &Delivery) -> Option<Self> {
        let envelope: Envelope = serde_json::from_slice(&delivery.payload).ok()?;
        Some(Self {
            id: delivery.event_id.clone(),
            kind: delivery.kind.clone(),
            owner: delivery.owner.clone(),
            actor_id: envelope.actor_id,
            at: StoredDate(envelope.timestamp),
        })
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
        let newest = [("actorId", Order::Ascending), ("_id", Order::Descending)];
        let indexes = [
            Index::new("newest", &newest),
            Index::expiry("expiry", "at", keep),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores an entry. An event that is delivered again changes nothing.
    pub async fn keep(&self, entry: &Entry) -> Result<(), HostError> {
        self.0.insert(entry).await.map(drop)
    }

    /// Returns at most `limit` entries, newest first, of one actor if given, after the entry with the id `before`.
    pub async fn page(
        &self,
        actor: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Found<Entry>, HostError> {
        let mut filter = Filter::all();
        if let Some(actor) = actor {
            filter = filter.is("actorId", actor);
        }
        if let Some(before) = before {
            filter = filter.below("_id", before);
        }
        // Ids of events begin with their time, so this order is newest first.
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.0.find(query.limit(limit)).await
    }
}
