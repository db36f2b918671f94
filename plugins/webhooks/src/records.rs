//! What was tried and what came of it, kept for some days. Written in batches beside the deliveries: a record that is lost with its process is lost.

use std::time::Duration;

use chat_sdk::{
    EventId, Timestamp,
    plugin::{Collection, HostError},
};
use metrics::counter;
use mongodb::{
    IndexModel,
    bson::{Bson, DateTime, Document, doc},
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::pages::{self, Piece};

/// How many attempts are kept of one delivery.
const KEPT_ATTEMPTS: i32 = 30;
/// How many records may wait to be written.
const MAX_WAITING: usize = 10_000;
/// How many are written at once.
const BATCH: usize = 500;
/// How long a batch is collected.
const PERIOD: Duration = Duration::from_millis(200);

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which one of its event, from 1.
    pub number: i32,
    /// When it began (milliseconds since 1970).
    pub at: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// What was answered.
    pub status: Option<i32>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
}

/// What became of an event so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// It is tried again.
    Retrying,
    /// It was given up.
    Dead,
}

impl Outcome {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
        }
    }
}

/// A delivery as it is stored: an event and an endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRecord {
    /// The event's id.
    pub event_id: EventId,
    /// Its type.
    pub kind: String,
    /// What became of it so far.
    pub outcome: Outcome,
    /// When it is tried again (milliseconds since 1970).
    pub next_attempt_at: Option<i64>,
    /// When that was last known.
    pub updated_at: DateTime,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What a worker says of an attempt.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose endpoint.
    pub endpoint_id: String,
    /// Which event.
    pub event_id: EventId,
    /// Its type.
    pub kind: String,
    /// What was tried.
    pub attempt: Attempt,
    /// What it came to.
    pub outcome: Outcome,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
}

/// Where records are kept.
pub struct Records {
    collection: Collection,
    lines: mpsc::Sender<Line>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Line>>,
}

impl Records {
    pub(crate) fn new(collection: Collection) -> Self {
        let (lines, inbox) = mpsc::channel(MAX_WAITING);
        Self {
            collection,
            lines,
            inbox: tokio::sync::Mutex::new(inbox),
        }
    }

    /// Makes the indexes. Records end by themselves after `keep_days`.
    pub async fn prepare(&self, keep_days: u32) -> Result<(), HostError> {
        let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
        let expiry = IndexOptions::builder()
            .name("expiry".to_owned())
            .expire_after(keep)
            .build();
        let expiry = IndexModel::builder()
            .keys(doc! { "updatedAt": 1 })
            .options(expiry)
            .build();
        if self.collection.create_index(expiry).await.is_err() {
            // It is there with another time.
            let change = doc! {
                "collMod": self.collection.name(),
                "index": { "name": "expiry", "expireAfterSeconds": keep.as_secs() as i64 },
            };
            self.collection.run_command(change).await?;
        }
        let newest = IndexOptions::builder().name("newest".to_owned()).build();
        self.collection
            .create_index(
                IndexModel::builder()
                    .keys(doc! { "endpointId": 1, "eventId": -1 })
                    .options(newest)
                    .build(),
            )
            .await?;
        Ok(())
    }

    /// Notes an attempt. Never waits.
    pub fn note(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            counter!("chat_webhooks_records_lost_total").increment(1);
        }
    }

    /// Writes what is noted, for ever.
    pub async fn write(&self) {
        let mut inbox = self.inbox.lock().await;
        let mut batch = Vec::new();
        loop {
            let count = inbox.recv_many(&mut batch, BATCH).await;
            if count == 0 {
                return;
            }
            self.flush(&mut batch).await;
            // A full batch means that more than this is waiting.
            if count < BATCH {
                tokio::time::sleep(PERIOD).await;
            }
        }
    }

    /// Writes what is noted now.
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
        let updates: Vec<Document> = batch.drain(..).map(|line| update(&line)).collect();
        let count = updates.len() as u64;
        let command = doc! {
            "update": self.collection.name(),
            "updates": updates,
            "ordered": true,
            "writeConcern": { "w": 1 },
        };
        if let Err(error) = self.collection.run_command(command).await {
            counter!("chat_webhooks_records_lost_total").increment(count);
            tracing::warn!(error = %error.kind, "records of deliveries could not be written");
        }
    }

    /// One delivery.
    pub async fn find(
        &self,
        endpoint_id: &str,
        event_id: &str,
    ) -> Result<Option<DeliveryRecord>, HostError> {
        let found = self
            .collection
            .clone_with_type::<DeliveryRecord>()
            .find_one(doc! { "_id": id(endpoint_id, event_id) })
            .await?;
        Ok(found)
    }

    /// A page of at most `limit` deliveries to an endpoint, the newest events first.
    pub async fn page(
        &self,
        endpoint_id: &str,
        outcome: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Piece<DeliveryRecord>, HostError> {
        let mut filter = doc! { "endpointId": endpoint_id };
        if let Some(outcome) = outcome {
            filter.insert("outcome", outcome);
        }
        if let Some(before) = before {
            filter.insert("eventId", doc! { "$lt": before });
        }
        let found = self
            .collection
            .clone_with_type::<DeliveryRecord>()
            .find(filter)
            .sort(doc! { "endpointId": 1, "eventId": -1 })
            .limit(limit as i64 + 1)
            .batch_size(pages::BATCH)
            .await?;
        pages::read(found, limit).await
    }
}

fn id(endpoint_id: &str, event_id: &str) -> String {
    format!("{endpoint_id}:{event_id}")
}

fn update(line: &Line) -> Document {
    // A struct of numbers and texts always becomes BSON.
    let attempt = mongodb::bson::serialize_to_bson(&line.attempt).unwrap_or(Bson::Null);
    doc! {
        "q": { "_id": id(&line.endpoint_id, line.event_id.as_str()) },
        "u": {
            "$set": {
                "outcome": line.outcome.as_str(),
                "nextAttemptAt": line.next_attempt_at.map(Timestamp::as_millis),
                "updatedAt": DateTime::now(),
            },
            "$setOnInsert": {
                "endpointId": &line.endpoint_id,
                "eventId": line.event_id.as_str(),
                "kind": &line.kind,
            },
            "$push": { "attempts": { "$each": [attempt], "$slice": -KEPT_ATTEMPTS } },
        },
        "upsert": true,
    }
}
