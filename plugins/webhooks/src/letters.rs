//! Dead letters: events that an endpoint did not accept at the last attempt. They are kept until a replay succeeds or the endpoint is removed.

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp,
    plugin::{Collection, Delivery, HostError, ReplayedEvent},
};
use mongodb::{
    IndexModel,
    bson::{Document, doc},
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};

use crate::{
    endpoints::is_duplicate,
    pages::{self, Piece},
};

/// Dead letter as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Id of the dead letter.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the endpoint that did not accept the event.
    pub endpoint_id: String,
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    pub kind: String,
    owner: String,
    seq: Option<i64>,
    /// Envelope of the event, as JSON.
    pub payload: String,
    /// Number of attempts.
    pub attempts: i32,
    /// Reason why the last attempt failed.
    pub reason: String,
    /// Time at which it was given up, in milliseconds since 1970.
    pub died_at: i64,
    /// Time of the last replay, in milliseconds since 1970.
    pub replayed_at: Option<i64>,
}

impl Letter {
    fn event(&self) -> ReplayedEvent {
        ReplayedEvent {
            event_id: self.event_id.clone(),
            kind: self.kind.clone(),
            owner: self.owner.clone(),
            seq: self.seq.map(i64::unsigned_abs),
            payload: Bytes::from(self.payload.clone()),
        }
    }
}

/// Selection of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Id of the endpoint; `None` for all.
    pub endpoint_id: Option<String>,
    /// Type of the events; `None` for all.
    pub kind: Option<String>,
    /// Earliest time at which the event was given up.
    pub since: Option<Timestamp>,
    /// Id of the dead letter before which the selection begins: only older ones match.
    pub before: Option<String>,
}

impl Which {
    fn filter(&self) -> Document {
        let mut filter = doc! {};
        if let Some(id) = &self.endpoint_id {
            filter.insert("endpointId", id);
        }
        if let Some(kind) = &self.kind {
            filter.insert("kind", kind);
        }
        if let Some(since) = self.since {
            filter.insert("diedAt", doc! { "$gte": since.as_millis() });
        }
        if let Some(before) = &self.before {
            filter.insert("_id", doc! { "$lt": before });
        }
        filter
    }
}

/// Collection of dead letters.
pub struct DeadLetters(Collection<Letter>);

impl DeadLetters {
    pub(crate) fn new(collection: Collection) -> Self {
        Self(collection.clone_with_type())
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let index = |keys: Document, name: &str, unique: bool| {
            let options = IndexOptions::builder()
                .name(name.to_owned())
                .unique(unique)
                .build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        self.0
            .create_indexes([
                index(doc! { "endpointId": 1, "eventId": 1 }, "event", true),
                index(doc! { "endpointId": 1, "_id": -1 }, "of_endpoint", false),
            ])
            .await?;
        Ok(())
    }

    /// Stores an event that could not be delivered. An event that is stored already keeps the id of its dead letter.
    pub async fn keep(
        &self,
        endpoint_id: &str,
        delivery: &Delivery,
        attempts: u32,
        reason: &str,
    ) -> Result<(), HostError> {
        let filter = doc! { "endpointId": endpoint_id, "eventId": delivery.event_id.as_str() };
        let update = doc! {
            "$set": {
                "attempts": i32::try_from(attempts).unwrap_or(i32::MAX),
                "reason": reason,
                "diedAt": Timestamp::now().as_millis(),
            },
            "$setOnInsert": {
                "_id": format!("dlq_{}", ulid::Ulid::generate().to_string().to_ascii_lowercase()),
                "kind": &delivery.kind,
                "owner": &delivery.owner,
                "seq": delivery.seq.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX)),
                "payload": String::from_utf8_lossy(&delivery.payload).into_owned(),
                "replayedAt": null,
            },
        };
        match self.0.update_one(filter, update).upsert(true).await {
            // Two workers gave the event up at the same time.
            Err(error) if is_duplicate(&error) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Removes the dead letter of an event that was delivered after all.
    pub async fn settle(&self, endpoint_id: &str, event_id: &EventId) -> Result<(), HostError> {
        self.0
            .delete_one(doc! { "endpointId": endpoint_id, "eventId": event_id.as_str() })
            .await?;
        Ok(())
    }

    /// Finds a dead letter by its id.
    pub async fn find(&self, id: &str) -> Result<Option<Letter>, HostError> {
        Ok(self.0.find_one(doc! { "_id": id }).await?)
    }

    /// Returns a page of at most `limit` dead letters, newest first.
    pub async fn page(&self, which: &Which, limit: usize) -> Result<Piece<Letter>, HostError> {
        let found = self
            .0
            .find(which.filter())
            .sort(doc! { "_id": -1 })
            .limit(limit as i64 + 1)
            .batch_size(pages::BATCH)
            .await?;
        pages::read(found, limit).await
    }

    /// Counts the selected dead letters.
    pub async fn count(&self, which: &Which) -> Result<u64, HostError> {
        Ok(self.0.count_documents(which.filter()).await?)
    }

    /// Records that `letters` are replayed and returns their events.
    pub async fn replay(&self, letters: &[Letter]) -> Result<Vec<ReplayedEvent>, HostError> {
        let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
        self.0
            .update_many(
                doc! { "_id": { "$in": ids } },
                doc! { "$set": { "replayedAt": Timestamp::now().as_millis() } },
            )
            .await?;
        Ok(letters.iter().map(Letter::event).collect())
    }

    /// Removes all dead letters of an endpoint.
    pub async fn forget(&self, endpoint_id: &str) -> Result<(), HostError> {
        self.0
            .delete_many(doc! { "endpointId": endpoint_id })
            .await?;
        Ok(())
    }
}
