//! Bodies of operations that pull and acknowledge events.

use chat_sdk::plugin::Pulled;
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::WebhookEvent;

/// Event that was pulled from an endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PulledEvent {
    /// Id with which to acknowledge the event.
    pub ack_id: String,
    /// Number of deliveries of the event so far, this one included.
    pub attempt: u32,
    /// The event as it would be delivered to a URL.
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

/// Events that were pulled from an endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PulledEvents {
    /// Pulled events, in the order of the stream; empty if none is pending.
    pub events: Vec<PulledEvent>,
}

/// Events to acknowledge.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AcknowledgeEvents {
    /// `ackId` values of the events, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub ack_ids: Vec<String>,
}

/// Number of acknowledged events.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AcknowledgedEvents {
    /// Number of ids that belong to this endpoint and were acknowledged.
    pub acknowledged: u64,
}
