//! Dead letters: events that an endpoint did not accept at the last attempt. They are kept until a replay succeeds or the endpoint is removed.

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp,
    plugin::{
        Collection, Delivery, Filter, Found, HostError, Index, Order, Query, ReplayedEvent, Update,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::pages;

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
    fn filter(&self) -> Filter {
        let mut filter = Filter::all();
        if let Some(id) = &self.endpoint_id {
            filter = filter.is("endpointId", id.as_str());
        }
        if let Some(kind) = &self.kind {
            filter = filter.is("kind", kind.as_str());
        }
        if let Some(since) = self.since {
            filter = filter.at_least("diedAt", since.as_millis());
        }
        if let Some(before) = &self.before {
            filter = filter.below("_id", before.as_str());
        }
        filter
    }
}

/// Collection of dead letters.
pub struct DeadLetters(Collection<Letter>);

impl DeadLetters {
    pub(crate) fn new(collection: Collection<Letter>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let event = [
            ("endpointId", Order::Ascending),
            ("eventId", Order::Ascending),
        ];
        let of_endpoint = [("endpointId", Order::Ascending), ("_id", Order::Descending)];
        let indexes = [
            Index::new("event", &event).unique(),
            Index::new("of_endpoint", &of_endpoint),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores an event that could not be delivered. An event that is stored already keeps the id of its dead letter.
    pub async fn keep(
        &self,
        endpoint_id: &str,
        delivery: &Delivery,
        attempts: u32,
        reason: &str,
    ) -> Result<(), HostError> {
        // If two workers give the event up at the same time, one of them stores it.
        let update = Update::one(of_event(endpoint_id, &delivery.event_id))
            .set(json!({
                "attempts": i32::try_from(attempts).unwrap_or(i32::MAX),
                "reason": reason,
                "diedAt": Timestamp::now().as_millis(),
            }))
            .or_insert(json!({
                "_id": format!("dlq_{}", ulid::Ulid::generate().to_string().to_ascii_lowercase()),
                "kind": &delivery.kind,
                "owner": &delivery.owner,
                "seq": delivery.seq.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX)),
                "payload": String::from_utf8_lossy(&delivery.payload),
                "replayedAt": null,
            }));
        self.0.update(update).await.map(drop)
    }

    /// Removes the dead letter of an event that was delivered after all.
    pub async fn settle(&self, endpoint_id: &str, event_id: &EventId) -> Result<(), HostError> {
        let removed = self.0.delete(of_event(endpoint_id, event_id)).await;
        removed.map(drop)
    }

    /// Finds a dead letter by its id.
    pub async fn find(&self, id: &str) -> Result<Option<Letter>, HostError> {
        self.0.first(Filter::id(id)).await
    }

    /// Returns a page of at most `limit` dead letters, newest first.
    pub async fn page(&self, which: &Which, limit: usize) -> Result<Found<Letter>, HostError> {
        let newest = Query::from(which.filter()).sort("_id", Order::Descending);
        self.0.find(pages::bound(newest, limit)).await
    }

    /// Counts the selected dead letters.
    pub async fn count(&self, which: &Which) -> Result<u64, HostError> {
        self.0.count(which.filter()).await
    }

    /// Records that `letters` are replayed and returns their events.
    pub async fn replay(&self, letters: &[Letter]) -> Result<Vec<ReplayedEvent>, HostError> {
        let ids = letters.iter().map(|letter| letter.id.as_str());
        let update = Update::all(Filter::all().any_of("_id", ids))
            .set(json!({ "replayedAt": Timestamp::now().as_millis() }));
        self.0.update(update).await?;
        Ok(letters.iter().map(Letter::event).collect())
    }

    /// Removes all dead letters of an endpoint.
    pub async fn forget(&self, endpoint_id: &str) -> Result<(), HostError> {
        let all = Filter::all().is("endpointId", endpoint_id);
        self.0.delete(all).await.map(drop)
    }
}

fn of_event(endpoint_id: &str, event_id: &EventId) -> Filter {
    Filter::all()
        .is("endpointId", endpoint_id)
        .is("eventId", event_id.as_str())
}
