//! Bodies of operations on deliveries, backfills and replays.

use chat_sdk::{EventId, Timestamp};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::records::{Attempt as StoredAttempt, DeliveryRecord, Outcome};

/// Id of the test event that is being delivered.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookTest {
    /// Id of the test event.
    pub event_id: EventId,
}

/// Status of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub enum DeliveryStatus {
    /// The endpoint accepted the event.
    Delivered,
    /// The last attempt failed; another one follows.
    Retrying,
    /// All attempts failed; the event is a dead letter.
    Dead,
}

impl DeliveryStatus {
    /// Returns the status as it is stored.
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

/// Attempt to deliver an event.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeliveryAttempt {
    /// Number of the attempt, from 1.
    pub number: i32,
    /// Time at which the attempt began.
    pub at: Timestamp,
    /// Duration of the attempt, in milliseconds.
    pub duration_ms: i64,
    /// HTTP status of the response; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// Reason of the failure; absent if the endpoint accepted the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// First 1,024 bytes of the response body, as text; absent if it was empty.
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

/// Delivery of one event to one endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookDelivery {
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// Current status of the delivery.
    pub status: DeliveryStatus,
    /// Number of recorded attempts, at most 30.
    pub attempts: u64,
    /// The newest attempt; absent if none is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<DeliveryAttempt>,
    /// Time of the next attempt; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Time at which the delivery was last recorded.
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
            updated_at: record.updated_at.0,
        }
    }
}

/// Page of deliveries, newest event first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookDeliveryPage {
    /// Deliveries of this page.
    pub deliveries: Vec<WebhookDelivery>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more deliveries.
    pub has_more: bool,
}

/// Attempts to deliver one event, oldest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveryAttempts {
    /// The newest attempts, at most 30.
    pub attempts: Vec<DeliveryAttempt>,
}

/// Selection of the past events to deliver.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct BackfillWebhook {
    /// Earliest time of the events.
    pub since: Timestamp,
    /// `nextCursor` of the previous request; delivers the events after it. Default: begins at `since`.
    pub after: Option<String>,
    /// Number of events after which to stop, 1 to 10,000; a few more may be delivered. Default: 10,000.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub limit: Option<i64>,
}

/// Number of replayed events and the cursor of the next request.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReplayResult {
    /// Number of events that are being delivered again.
    pub replayed: u64,
    /// True if there are more events than one request replays.
    pub has_more: bool,
    /// Cursor for the next request: `before` for dead letters, `after` for a backfill; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Number of selected dead letters that remain; absent at the end and for a backfill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// Time of the newest event that a backfill has read; absent at the end and for dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Timestamp>,
}
