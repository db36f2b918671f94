//! Dead letters: events that an endpoint did not take.

use chat_sdk::{EventId, Timestamp};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::WebhookEvent;
use crate::letters::Letter;

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
    pub event: WebhookEvent,
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
            event: WebhookEvent(serde_json::from_str(&letter.payload).unwrap_or_default()),
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
pub struct ReplayDeadLetters {
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
    /// How many at most, 10,000 unless told.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub limit: Option<i64>,
}
