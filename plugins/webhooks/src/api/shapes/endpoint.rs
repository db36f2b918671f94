//! Bodies of operations on endpoints.

use chat_sdk::{Patch, Timestamp, http::ApiError, patterns, plugin::Lag};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::endpoints::{Draft, Endpoint as Stored};

/// Endpoint to create.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateWebhook {
    /// URL to which events are delivered: `https` or `http`, at most 2,048 bytes. Absent for an endpoint whose events are pulled.
    pub url: Option<String>,
    /// Event types to deliver, 1 to 100: a type such as `message.created`, a group such as `message.*`, or `*` for all.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub events: Vec<String>,
    /// Purpose of the endpoint, at most 500 characters. Default: none.
    pub description: Option<String>,
    /// True if the next event of a conversation waits until the previous one was accepted or given up. Default: false.
    pub ordered: Option<bool>,
    /// Pauses before the second and each further attempt, in seconds: at most 20, each 1 to 86,400. After the last attempt the event becomes a dead letter. An
    /// empty list means a single attempt. Default: the pauses of `WEBHOOK_RETRY_SCHEDULE`.
    #[oai(validator(max_items = 20))]
    pub retry_schedule: Option<Vec<u32>>,
}

impl CreateWebhook {
    /// Checks the fields that exclude one another and returns the endpoint to store.
    pub fn into_draft(self) -> Result<Draft, ApiError> {
        if self.url.is_none() && self.ordered == Some(true) {
            return Err(ApiError::invalid(
                "ordered",
                "must not be true without a URL; a client that pulls orders events by seq",
            ));
        }
        if self.url.is_none() && self.retry_schedule.is_some() {
            return Err(ApiError::invalid(
                "retrySchedule",
                "must not be given without a URL; a pulled event is delivered again after 60 seconds",
            ));
        }
        Ok(Draft {
            url: self.url,
            events: self.events,
            description: self.description,
            ordered: self.ordered.unwrap_or(false),
            retry_schedule: self.retry_schedule,
        })
    }
}

/// Fields of an endpoint to change; omitted fields keep their values.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateWebhook {
    /// URL to which events are delivered: `https` or `http`, at most 2,048 bytes.
    pub url: Option<String>,
    /// Event types to deliver, 1 to 100: a type such as `message.created`, a group such as `message.*`, or `*` for all.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub events: Option<Vec<String>>,
    /// Purpose of the endpoint, at most 500 characters; `null` clears it.
    #[serde(default)]
    pub description: Patch<String>,
    /// True if the next event of a conversation waits until the previous one was accepted or given up.
    pub ordered: Option<bool>,
    /// Pauses before the second and each further attempt, in seconds: at most 20, each 1 to 86,400. An empty list means a single attempt; `null` means the
    /// pauses of `WEBHOOK_RETRY_SCHEDULE`.
    #[serde(default)]
    #[oai(validator(max_items = 20))]
    pub retry_schedule: Patch<Vec<u32>>,
    /// True if events are delivered to the endpoint. Events that occur while it is false are delivered when it is true again.
    pub is_enabled: Option<bool>,
}

/// Lag of an endpoint.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookLag {
    /// Number of events that were not given to a worker yet.
    pub pending: u64,
    /// Number of events that are being delivered or wait for their next attempt.
    pub in_flight: u64,
    /// Number of these events that were tried before.
    pub retrying: u64,
    /// Remaining pause after repeated failures, in milliseconds; absent if deliveries are not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for_ms: Option<u64>,
}

/// Webhook endpoint, to which events are delivered or from which they are pulled.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Webhook {
    /// Id of the endpoint; `environment` for the one that the environment sets.
    pub id: String,
    /// URL to which events are delivered; absent for an endpoint whose events are pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Event types that are delivered: types, groups such as `message.*`, or `*` for all.
    pub events: Vec<String>,
    /// Items of `events` that this version of the service does not know. Nothing is delivered for them; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_events: Option<Vec<String>>,
    /// Purpose of the endpoint; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True if the next event of a conversation waits until the previous one was accepted or given up.
    pub ordered: bool,
    /// Pauses between attempts, in seconds; absent if the pauses of `WEBHOOK_RETRY_SCHEDULE` apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<Vec<u32>>,
    /// True if events are delivered to the endpoint.
    pub is_enabled: bool,
    /// Reason why the service disabled the endpoint; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Time until which the previous secret signs too; absent if no rotation is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotating_until: Option<Timestamp>,
    /// Time at which the endpoint was created.
    pub created_at: Timestamp,
    /// Time at which the endpoint was last changed.
    pub updated_at: Timestamp,
    /// Lag of the endpoint; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<WebhookLag>,
}

impl Webhook {
    /// Returns the public view of `endpoint`.
    pub fn new(endpoint: Stored, lag: Option<Lag>) -> Self {
        let rotating_until = endpoint.overlap_until();
        let unknown_events = patterns::unknown(&endpoint.events);
        Self {
            id: endpoint.id,
            url: endpoint.url,
            unknown_events: (!unknown_events.is_empty()).then_some(unknown_events),
            events: if endpoint.events.is_empty() {
                vec!["*".to_owned()]
            } else {
                endpoint.events
            },
            description: endpoint.description,
            ordered: endpoint.ordered,
            retry_schedule: endpoint.retry_schedule,
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

/// Endpoint with its secret, which is returned only once.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookWithSecret {
    /// Id of the endpoint.
    pub id: String,
    /// Secret that signs its deliveries: `whsec_` and base64 of 32 bytes. Store it; it is not returned again.
    pub secret: String,
    /// The endpoint as stored.
    pub webhook: Webhook,
}

impl WebhookWithSecret {
    /// Returns the endpoint with its secret.
    pub fn new(webhook: Webhook, secret: String) -> Self {
        Self {
            id: webhook.id.clone(),
            secret,
            webhook,
        }
    }
}

/// Page of endpoints, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WebhookPage {
    /// Endpoints of this page.
    pub webhooks: Vec<Webhook>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more endpoints.
    pub has_more: bool,
}
