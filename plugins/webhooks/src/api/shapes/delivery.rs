//! Deliveries: what became of events, and events that are put in again.

use chat_sdk::{EventId, Timestamp};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::records::{Attempt as StoredAttempt, DeliveryRecord, Outcome};

/// That a test event is on its way.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookTest {
    /// The id of the test event.
    pub event_id: EventId,
}

/// What became of an event so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub enum DeliveryStatus {
    /// The endpoint took it.
    Delivered,
    /// It is tried again.
    Retrying,
    /// It was given up and is a dead letter.
    Dead,
}

impl DeliveryStatus {
    /// As it is stored.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Delivered => Outcome::Delivered,
            Self::Retrying => Outcome::Retrying,
            Self::Dead => Outcome::Dead,
        }
    }
}

impl From<Outcome> for DeliveryStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Retrying => Self::Retrying,
            Outcome::Dead => Self::Dead,
        }
    }
}

/// An attempt to deliver an event.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeliveryAttempt {
    /// Which one of its event, from 1.
    pub number: i32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The HTTP status that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl From<StoredAttempt> for DeliveryAttempt {
    fn from(stored: StoredAttempt) -> Self {
        Self {
            number: stored.number,
            at: Timestamp::from_millis(stored.at),
            duration_ms: stored.duration_ms,
            status: stored.status,
            error: stored.error,
            answer: stored.answer,
        }
    }
}

/// An event and what became of it at one endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookDelivery {
    /// The event's id.
    pub event_id: EventId,
    /// The event's type.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// What became of it so far.
    pub status: DeliveryStatus,
    /// How many attempts are recorded.
    pub attempts: u64,
    /// The newest attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<DeliveryAttempt>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// When this was last known.
    pub updated_at: Timestamp,
}

impl From<DeliveryRecord> for WebhookDelivery {
    fn from(mut record: DeliveryRecord) -> Self {
        Self {
            event_id: record.event_id,
            kind: record.kind,
            status: record.outcome.into(),
            attempts: record.attempts.len() as u64,
            last_attempt: record.attempts.pop().map(Into::into),
            next_attempt_at: record.next_attempt_at.map(Timestamp::from_millis),
            updated_at: Timestamp::from_millis(record.updated_at.timestamp_millis()),
        }
    }
}

/// A piece of the list of deliveries.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookDeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<WebhookDelivery>,
    /// What to give as `before` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

/// The attempts to deliver one event, oldest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveryAttempts {
    /// The newest 30.
    pub attempts: Vec<DeliveryAttempt>,
}

/// From when on to deliver what happened.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct BackfillWebhook {
    /// The moment.
    pub since: Timestamp,
    /// What follows this `nextCursor`.
    pub after: Option<String>,
    /// After how many events to stop, 10,000 unless told; a few more may come along.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub limit: Option<i64>,
}

/// How many events are on their way again.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReplayResult {
    /// How many.
    pub replayed: u64,
    /// Whether there is more than one request puts in again.
    pub has_more: bool,
    /// What to give to go on: as `before` for dead letters, as `after` for a backfill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How many dead letters are left to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// Up to which moment a backfill came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Timestamp>,
}
