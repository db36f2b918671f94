//! The entries of the trail, in the plugin's own collection.

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

/// An event, as far as the trail keeps it: who did what where, and not what they wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The event's id. An event may come twice; under its own id it is kept once.
    #[serde(rename = "_id")]
    pub id: EventId,
    /// Its type.
    pub kind: String,
    /// The conversation, or `user:` and the user.
    pub owner: String,
    /// Who did it; absent when the host did it in no user's name.
    pub actor_id: Option<String>,
    /// When. A date of the database, so that the database can remove what is old.
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
    /// The entry of an event; `None` when its envelope cannot be read.
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

/// Where they are kept.
pub struct Entries(Collection<Entry>);

impl Entries {
    /// Entries in `collection`.
    pub fn new(collection: Collection) -> Self {
        Self(collection.clone_with_type())
    }

    /// Makes the indexes. Runs at every start of every process, so it is safe to repeat.
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
            // It is there with another time.
            let change = doc! {
                "collMod": self.0.name(),
                "index": { "name": "expiry", "expireAfterSeconds": keep.as_secs() as i64 },
            };
            self.0.run_command(change).await?;
        }
        Ok(())
    }

    /// Keeps an entry; one that is there already stays as it is.
    pub async fn keep(&self, entry: &Entry) -> Result<(), HostError> {
        self.0
            .replace_one(doc! { "_id": entry.id.as_str() }, entry)
            .upsert(true)
            .await?;
        Ok(())
    }

    /// At most `limit` entries, the newest first: of one actor, after the one named.
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
            // Ids of events begin with the time.
            .sort(doc! { "_id": -1 })
            .limit(limit)
            .await?
            .try_collect()
            .await?)
    }
}
