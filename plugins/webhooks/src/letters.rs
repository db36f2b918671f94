//! Dead letters: events that an endpoint did not take after the last retry. They stay until they are replayed with success, or removed with the endpoint.

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

/// A dead letter as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Who did not take it.
    pub endpoint_id: String,
    /// The event's id.
    pub event_id: EventId,
    /// Its type.
    pub kind: String,
    owner: String,
    seq: Option<i64>,
    /// Its envelope, as JSON.
    pub payload: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What the last attempt came to.
    pub reason: String,
    /// When it was given up (milliseconds since 1970).
    pub died_at: i64,
    /// When it was last put in again.
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

/// Which dead letters are meant.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Of one endpoint.
    pub endpoint_id: Option<String>,
    /// Of one type.
    pub kind: Option<String>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Older than this one.
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

/// Where dead letters are kept.
pub struct DeadLetters(Collection<Letter>);

impl DeadLetters {
    pub(crate) fn new(collection: Collection) -> Self {
        Self(collection.clone_with_type())
    }

    /// Makes the indexes.
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

    /// Keeps an event that could not be delivered. One that died before keeps its id.
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
            // Two workers gave it up at the same moment.
            Err(error) if is_duplicate(&error) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// An event arrived after all.
    pub async fn settle(&self, endpoint_id: &str, event_id: &EventId) -> Result<(), HostError> {
        self.0
            .delete_one(doc! { "endpointId": endpoint_id, "eventId": event_id.as_str() })
            .await?;
        Ok(())
    }

    /// One of them.
    pub async fn find(&self, id: &str) -> Result<Option<Letter>, HostError> {
        Ok(self.0.find_one(doc! { "_id": id }).await?)
    }

    /// A page of at most `limit` of them, the newest first.
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

    /// How many there are.
    pub async fn count(&self, which: &Which) -> Result<u64, HostError> {
        Ok(self.0.count_documents(which.filter()).await?)
    }

    /// Notes that `letters` are put in again, and answers their events.
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

    /// Forgets those of an endpoint.
    pub async fn forget(&self, endpoint_id: &str) -> Result<(), HostError> {
        self.0
            .delete_many(doc! { "endpointId": endpoint_id })
            .await?;
        Ok(())
    }
}
