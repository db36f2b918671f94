//! Records of delivery attempts, kept for some days. They are written in batches beside the deliveries, so a process that dies loses its unwritten records.

use std::time::Duration;

use chat_sdk::{
    EventId, Timestamp,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate, Update},
};
use metrics::counter;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use crate::pages;

/// Maximum number of attempts that are kept per delivery.
const KEPT_ATTEMPTS: usize = 30;
/// Maximum number of records that wait to be written.
const MAX_WAITING: usize = 10_000;
/// Maximum number of records that are written at once.
const BATCH: usize = 500;
/// Time for which a batch is collected.
const PERIOD: Duration = Duration::from_millis(200);

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: i32,
    /// Time at which it began, in milliseconds since 1970.
    pub at: i64,
    /// Duration of the attempt, in milliseconds.
    pub duration_ms: i64,
    /// HTTP status of the response; `None` if there was none.
    pub status: Option<i32>,
    /// Reason of the failure; `None` if the event was accepted.
    pub error: Option<String>,
    /// First 1,024 bytes of the response body.
    pub answer: Option<String>,
}

/// Status of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The endpoint accepted the event.
    Delivered,
    /// Another attempt follows.
    Retrying,
    /// The event was given up.
    Dead,
}

impl Outcome {
    /// Returns the status as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
        }
    }
}

/// Delivery of one event to one endpoint, as it is stored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRecord {
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    pub kind: String,
    /// Current status of the delivery.
    pub outcome: Outcome,
    /// Time of the next attempt, in milliseconds since 1970.
    pub next_attempt_at: Option<i64>,
    /// Time at which the delivery was last recorded.
    pub updated_at: StoredDate,
    /// The newest attempts, at most 30, oldest first.
    pub attempts: Vec<Attempt>,
}

/// Record of one attempt, which a worker hands over for writing.
#[derive(Debug, Clone)]
pub struct Line {
    /// Id of the endpoint.
    pub endpoint_id: String,
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    pub kind: String,
    /// The attempt itself.
    pub attempt: Attempt,
    /// Status of the delivery after the attempt.
    pub outcome: Outcome,
    /// Time of the next attempt; `None` if there is none.
    pub next_attempt_at: Option<Timestamp>,
}

/// Collection of records and the queue of unwritten ones.
pub struct Records {
    collection: Collection<DeliveryRecord>,
    lines: mpsc::Sender<Line>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Line>>,
}

impl Records {
    pub(crate) fn new(collection: Collection<DeliveryRecord>) -> Self {
        let (lines, inbox) = mpsc::channel(MAX_WAITING);
        Self {
            collection,
            lines,
            inbox: tokio::sync::Mutex::new(inbox),
        }
    }

    /// Creates the indexes. Records expire after `keep_days`.
    pub async fn prepare(&self, keep_days: u32) -> Result<(), HostError> {
        let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
        let newest = [
            ("endpointId", Order::Ascending),
            ("eventId", Order::Descending),
        ];
        let indexes = [
            Index::expiry("expiry", "updatedAt", keep),
            Index::new("newest", &newest),
        ];
        self.collection.create_indexes(indexes).await
    }

    /// Queues the record of an attempt. It never waits: if the queue is full, the record is dropped and counted.
    pub fn note(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            counter!("chat_webhooks_records_lost_total").increment(1);
        }
    }

    /// Writes queued records in batches. It does not return while the queue is open.
    pub async fn write(&self) {
        let mut inbox = self.inbox.lock().await;
        let mut batch = Vec::new();
        loop {
            let count = inbox.recv_many(&mut batch, BATCH).await;
            if count == 0 {
                return;
            }
            self.flush(&mut batch).await;
            // After a full batch more records are waiting, so the next batch is read without a pause.
            if count < BATCH {
                tokio::time::sleep(PERIOD).await;
            }
        }
    }

    /// Writes all records that are queued now.
    pub async fn write_rest(&self) {
        let mut inbox = self.inbox.lock().await;
        let mut batch = Vec::new();
        while let Ok(line) = inbox.try_recv() {
            batch.push(line);
        }
        self.flush(&mut batch).await;
    }

    async fn flush(&self, batch: &mut Vec<Line>) {
        if batch.is_empty() {
            return;
        }
        let updates: Vec<Update> = batch.drain(..).map(|line| update(&line)).collect();
        let count = updates.len() as u64;
        if let Err(error) = self.collection.update_each(updates).await {
            counter!("chat_webhooks_records_lost_total").increment(count);
            tracing::warn!(%error, "records of deliveries could not be written");
        }
    }

    /// Finds the delivery of an event to an endpoint.
    pub async fn find(
        &self,
        endpoint_id: &str,
        event_id: &str,
    ) -> Result<Option<DeliveryRecord>, HostError> {
        let filter = Filter::id(id(endpoint_id, event_id));
        self.collection.first(filter).await
    }

    /// Returns a page of at most `limit` deliveries to an endpoint, newest event first.
    pub async fn page(
        &self,
        endpoint_id: &str,
        outcome: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Found<DeliveryRecord>, HostError> {
        let mut filter = Filter::all().is("endpointId", endpoint_id);
        if let Some(outcome) = outcome {
            filter = filter.is("outcome", outcome);
        }
        if let Some(before) = before {
            filter = filter.below("eventId", before);
        }
        let newest = Query::from(filter)
            .sort("endpointId", Order::Ascending)
            .sort("eventId", Order::Descending);
        self.collection.find(pages::bound(newest, limit)).await
    }
}

fn id(endpoint_id: &str, event_id: &str) -> String {
    format!("{endpoint_id}:{event_id}")
}

fn update(line: &Line) -> Update {
    Update::one(Filter::id(id(&line.endpoint_id, line.event_id.as_str())))
        .set(json!({
            "outcome": line.outcome.as_str(),
            "nextAttemptAt": line.next_attempt_at.map(Timestamp::as_millis),
            "updatedAt": StoredDate::now(),
        }))
        .append("attempts", &line.attempt, KEPT_ATTEMPTS)
        .or_insert(json!({
            "endpointId": &line.endpoint_id,
            "eventId": line.event_id.as_str(),
            "kind": &line.kind,
        }))
}
