//! Events that are fetched from an endpoint without a URL.

use chat_sdk::plugin::Pulled;
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::WebhookEvent;

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
    pub event: WebhookEvent,
}

impl From<Pulled> for PulledEvent {
    fn from(pulled: Pulled) -> Self {
        Self {
            ack_id: pulled.token,
            attempt: pulled.delivery.attempt,
            event: WebhookEvent(
                serde_json::from_slice(&pulled.delivery.payload).unwrap_or_default(),
            ),
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
pub struct AcknowledgeEvents {
    /// Their `ackId`s.
    #[oai(validator(max_items = 1000))]
    pub ack_ids: Vec<String>,
}

/// How many were acknowledged.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AcknowledgedEvents {
    /// Those that were this endpoint's.
    pub acknowledged: u64,
}
