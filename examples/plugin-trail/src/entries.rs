//! Entries of the audit trail, in the plugin's own collection.

use std::time::Duration;

use chat_sdk::{
    EventId, Timestamp,
    plugin::{Collection, Delivery, HostError},
};
use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{DateTime, doc},
    options::IndexOptions,
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
    /// Time of the event, as a date of the database, so that the database can remove old entries.
    pub at: DateTime,
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
            at: DateTime::from_millis(envelope.timestamp.as_millis()),
        })
    }
}

/// Collection of entries.
pub struct Entries(Collection<Entry>);

impl Entries {
    /// Uses `collection` for the entries.
    pub fn new(collection: Collection) -> Self {
        Self(collection.clone_with_type())
    }

    /// Creates the indexes. Every process calls it at every start, so it is safe to repeat.
    pub async fn prepare(&self, keep_days: u32) -> Result<(), HostError> {
        let newest = IndexModel::builder()
            .keys(doc! { "actorId": 1, "_id": -1 })
            .build();
        self.0.create_index(newest).await?;
        let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
        let options = IndexOptions::builder()
            .name("expiry".to_owned())
            .expire_after(keep)
            .build();
        let expiry = IndexModel::builder()
            .keys(doc! { "at": 1 })
            .options(options)
            .build();
        if self.0.create_index(expiry).await.is_err() {
            // The index exists with another expiry time.
            let change = doc! {
                "collMod": self.0.name(),
                "index": { "name": "expiry", "expireAfterSeconds": keep.as_secs() as i64 },
            };
            self.0.run_command(change).await?;
        }
        Ok(())
    }

    /// Stores an entry. A repetition of the same event replaces it by an equal one.
    pub async fn keep(&self, entry: &Entry) -> Result<(), HostError> {
        self.0
            .replace_one(doc! { "_id": entry.id.as_str() }, entry)
            .upsert(true)
            .await?;
        Ok(())
    }

    /// Returns at most `limit` entries, newest first, of one actor if given, after the entry with the id `before`.
    pub async fn page(
        &self,
        actor: Option<&str>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Entry>, HostError> {
        let mut filter = doc! {};
        if let Some(actor) = actor {
            filter.insert("actorId", actor);
        }
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": before });
        }
        Ok(self
            .0
            .find(filter)
            // Ids of events begin with their time, so this order is newest first.
            .sort(doc! { "_id": -1 })
            .limit(limit)
            .await?
            .try_collect()
            .await?)
    }
}
