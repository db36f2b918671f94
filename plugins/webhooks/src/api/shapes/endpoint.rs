//! Endpoints: made, changed, shown.

use chat_sdk::{Patch, Timestamp, http::Refusal, plugin::Lag};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::endpoints::{Draft, Endpoint as Stored};

/// An endpoint to make.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateWebhook {
    /// Where events are delivered: https or http. Absent for an endpoint without a URL, whose events are pulled.
    pub url: Option<String>,
    /// Names of events, `noun.*`, or `*` for all; at least one.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub events: Vec<String>,
    /// What it is for, at most 500 characters.
    pub description: Option<String>,
    /// Whether a conversation's next event waits until the one before was taken or given up.
    pub ordered: Option<bool>,
    /// Pauses before the second and each further attempt, in seconds: at most 20, each from 1 to 86,400. After the last attempt the event becomes a dead
    /// letter. An empty list means a single attempt. Default: the pauses of `WEBHOOK_RETRY_SCHEDULE`.
    #[oai(validator(max_items = 20))]
    pub retry_schedule: Option<Vec<u32>>,
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
        if self.url.is_none() && self.retry_schedule.is_some() {
            return Err(Refusal::invalid(
                "retrySchedule",
                "must not be given without a URL; an event that was pulled comes again after a minute",
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

/// What is to be changed of an endpoint; what is left out stays.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateWebhook {
    /// Where events are delivered.
    pub url: Option<String>,
    /// Names of events, `noun.*`, or `*` for all; at least one.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub events: Option<Vec<String>>,
    /// What it is for, at most 500 characters; `null` clears it.
    #[serde(default)]
    pub description: Patch<String>,
    /// Whether a conversation's next event waits until the one before was taken or given up.
    pub ordered: Option<bool>,
    /// Pauses before the second and each further attempt, in seconds: at most 20, each from 1 to 86,400. An empty list means a single attempt; `null`
    /// means the pauses of `WEBHOOK_RETRY_SCHEDULE`.
    #[serde(default)]
    #[oai(validator(max_items = 20))]
    pub retry_schedule: Patch<Vec<u32>>,
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
    /// Pauses between attempts, in seconds; absent if the pauses of `WEBHOOK_RETRY_SCHEDULE` apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<Vec<u32>>,
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
