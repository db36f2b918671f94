//! Bodies of operations on dead letters.

use chat_sdk::{EventId, Timestamp};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::WebhookEvent;
use crate::letters::Letter;

/// Event that an endpoint did not accept at the last attempt.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeadLetter {
    /// Id of the dead letter.
    pub id: String,
    /// Id of the endpoint that did not accept the event.
    pub endpoint_id: String,
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// Number of attempts to deliver the event.
    pub attempts: i32,
    /// Reason why the last attempt failed.
    pub reason: String,
    /// Time at which the event was given up.
    pub died_at: Timestamp,
    /// Time of the last replay; absent if it was never replayed.
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

/// Page of dead letters, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DeadLetterPage {
    /// Dead letters of this page.
    pub dead_letters: Vec<DeadLetter>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more dead letters.
    pub has_more: bool,
}

/// Selection of the dead letters to replay; without any field, all are selected.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReplayDeadLetters {
    /// Id of the endpoint. Default: all endpoints.
    pub endpoint_id: Option<String>,
    /// Type of the events. Default: all types.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: Option<String>,
    /// Earliest time at which the event was given up. Default: no limit.
    pub since: Option<Timestamp>,
    /// `nextCursor` of the previous request; replays the dead letters after it.
    pub before: Option<String>,
    /// Maximum number of dead letters to replay, 1 to 10,000. Default: 10,000.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub limit: Option<i64>,
}
