//! The bodies of the operations.

use chat_sdk::{
    EventId, Timestamp,
    http::Refusal,
    plugin::{Lag, Pulled},
};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    endpoints::{Draft, Endpoint as Stored},
    letters::Letter,
    records::{Attempt as StoredAttempt, DeliveryRecord, Outcome},
};

/// An endpoint to make.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateWebhook {
    /// Where events are delivered: https or http. Absent for an endpoint without a URL, whose events are pulled.
    pub url: Option<String>,
    /// Names of events, `noun.*`, or `*` for all.
    pub events: Vec<String>,
    /// What it is for, at most 500 characters.
    pub description: Option<String>,
    /// Whether a conversation's next event waits until the one before was taken or given up.
    pub ordered: Option<bool>,
}

impl CreateWebhook {
    /// What is stored of it.
    pub fn into_draft(self) -> Result<Draft, Refusal> {
        if self.url.is_none() && self.ordered == Some(true) {
            return Err(Refusal::invalid(
                "ordered",
                "must not be true without a URL; who pulls orders by seq",
            ));
        }
        Ok(Draft {
            url: self.url,
            events: self.events,
            description: self.description,
            ordered: self.ordered.unwrap_or(false),
        })
    }
}

/// What is to be changed of an endpoint; what is left out stays.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookChange {
    /// Where events are delivered.
    pub url: Option<String>,
    /// Names of events, `noun.*`, or `*` for all.
    pub events: Option<Vec<String>>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether a conversation's next event waits until the one before was taken or given up.
    pub ordered: Option<bool>,
    /// Whether it gets events. What happens while it does not is delivered when it does again.
    pub is_enabled: Option<bool>,
}

/// How far an endpoint is behind.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookLag {
    /// Events that were not given to a worker yet.
    pub pending: u64,
    /// Events that are being delivered, or wait for their next attempt.
    pub in_flight: u64,
    /// How many of these were tried before.
    pub retrying: u64,
    /// How much longer the endpoint is left alone because it kept failing, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for_ms: Option<u64>,
}

/// An endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Webhook {
    /// Its id; `environment` for the one that the environment names.
    pub id: String,
    /// Where events are delivered; absent for one without a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Names of events or `noun.*`; `*` for all.
    pub events: Vec<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether a conversation's next event waits until the one before was taken or given up.
    pub ordered: bool,
    /// Whether it gets events.
    pub is_enabled: bool,
    /// Why it gets none, where the service decided that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Until when two secrets sign, while one is being rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotating_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How far it is behind; absent when that cannot be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<WebhookLag>,
}

impl Webhook {
    /// What is shown of `endpoint`.
    pub fn new(endpoint: Stored, lag: Option<Lag>) -> Self {
        let rotating_until = endpoint.overlap_until();
        Self {
            id: endpoint.id,
            url: endpoint.url,
            events: match endpoint.events.is_empty() {
                true => vec!["*".to_owned()],
                false => endpoint.events,
            },
            description: endpoint.description,
            ordered: endpoint.ordered,
            is_enabled: endpoint.is_enabled,
            disabled_reason: endpoint.disabled_reason,
            rotating_until,
            created_at: Timestamp::from_millis(endpoint.created_at),
            updated_at: Timestamp::from_millis(endpoint.updated_at),
            lag: lag.map(|lag| WebhookLag {
                pending: lag.pending,
                in_flight: lag.ack_pending,
                retrying: lag.redelivered,
                paused_for_ms: lag
                    .paused_for
                    .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            }),
        }
    }
}

/// An endpoint and its secret, which is shown this once.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookWithSecret {
    /// Its id.
    pub id: String,
    /// What its deliveries are signed with: `whsec_` and base64 of 32 bytes. Keep it; it is not shown again.
    pub secret: String,
    /// The endpoint.
    pub webhook: Webhook,
}

impl WebhookWithSecret {
    /// Both.
    pub fn new(webhook: Webhook, secret: String) -> Self {
        Self {
            id: webhook.id.clone(),
            secret,
            webhook,
        }
    }
}

/// A piece of the list of endpoints.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookPage {
    /// The endpoints.
    pub webhooks: Vec<Webhook>,
    /// What to give as `before` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

/// That a test event is on its way.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct TestSent {
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
pub struct Attempt {
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

impl From<StoredAttempt> for Attempt {
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
    pub last_attempt: Option<Attempt>,
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
pub struct DeliveryPage {
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
pub struct AttemptList {
    /// The newest 30.
    pub attempts: Vec<Attempt>,
}

/// An event that an endpoint did not take.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeadLetter {
    /// Its id.
    pub id: String,
    /// Whose endpoint.
    pub endpoint_id: String,
    /// The event's id.
    pub event_id: EventId,
    /// The event's type.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What the last attempt came to.
    pub reason: String,
    /// When it was given up.
    pub died_at: Timestamp,
    /// When it was last replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<Timestamp>,
    /// The event as it would be delivered.
    pub event: Value,
}

impl From<Letter> for DeadLetter {
    fn from(letter: Letter) -> Self {
        Self {
            id: letter.id,
            endpoint_id: letter.endpoint_id,
            event_id: letter.event_id,
            kind: letter.kind,
            attempts: letter.attempts,
            reason: letter.reason,
            died_at: Timestamp::from_millis(letter.died_at),
            replayed_at: letter.replayed_at.map(Timestamp::from_millis),
            event: serde_json::from_str(&letter.payload).unwrap_or_default(),
        }
    }
}

/// A piece of the list of dead letters.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeadLetterPage {
    /// The dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// What to give as `before` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

/// Which dead letters to replay; all without a field.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Replay {
    /// Of this endpoint.
    pub endpoint_id: Option<String>,
    /// Of this type of event.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: Option<String>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Those after this `nextCursor`.
    pub before: Option<String>,
}

/// From when on to deliver what happened.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Backfill {
    /// The moment.
    pub since: Timestamp,
}

/// How many events are on their way again.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Replayed {
    /// How many.
    pub replayed: u64,
    /// Whether there is more than one request puts in again.
    pub has_more: bool,
    /// What to give as `before` to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// What to give as `since` to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_since: Option<Timestamp>,
}

/// An event that was taken.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PulledEvent {
    /// What acknowledges it.
    pub ack_id: String,
    /// How often it was taken, this time included.
    pub attempt: u32,
    /// The event.
    pub event: Value,
}

impl From<Pulled> for PulledEvent {
    fn from(pulled: Pulled) -> Self {
        Self {
            ack_id: pulled.token,
            attempt: pulled.delivery.attempt,
            event: serde_json::from_slice(&pulled.delivery.payload).unwrap_or_default(),
        }
    }
}

/// Events that were taken.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PulledEvents {
    /// The events, in the order of the stream.
    pub events: Vec<PulledEvent>,
}

/// Which events are dealt with.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Acknowledge {
    /// Their `ackId`s.
    #[oai(validator(max_items = 1000))]
    pub ack_ids: Vec<String>,
}

/// How many were acknowledged.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Acknowledged {
    /// Those that were this endpoint's.
    pub acknowledged: u64,
}
