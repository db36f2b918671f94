//! HTTP operations on hosts' durable consumers, for the host only.

use chat_sdk::{Timestamp, patterns, plugin::Lag};
use poem_openapi::{Object, OpenApi, param};
use serde::{Deserialize, Serialize};

use super::{
    auth::AsHost,
    error::ApiError,
    parts::{
        body::ValidJson,
        page::PageQuery,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::consumers::{Consumers, Draft},
    model::consumers::HostConsumer as Stored,
};

/// Durable consumer of a host to create or change.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateConsumer {
    /// Name of the host, also of its NATS account: 1 to 32 of a-z, 0-9 and _, beginning with a letter.
    pub name: String,
    /// Event types to deliver, at least one: a type such as `message.created`, a group such as `message.*`, or `*` for all. Default: all.
    #[oai(validator(min_items = 1))]
    pub events: Option<Vec<String>>,
    /// Purpose of the consumer, at most 500 characters. Default: none.
    pub description: Option<String>,
    /// Time in seconds after which an unacknowledged event is delivered again, 1 to 3,600. Default: 30.
    pub ack_wait_seconds: Option<u32>,
    /// Maximum number of unacknowledged events, 1 to 10,000. Default: 1,000.
    pub max_pending: Option<u32>,
}

impl From<CreateConsumer> for Draft {
    fn from(body: CreateConsumer) -> Self {
        Self {
            name: body.name,
            events: body.events.unwrap_or_default(),
            description: body.description,
            ack_wait_seconds: body.ack_wait_seconds,
            max_pending: body.max_pending,
        }
    }
}

/// Lag of a host.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConsumerLag {
    /// Number of events that were not delivered to the host yet.
    pub pending: u64,
    /// Number of events that were delivered to the host and are not acknowledged.
    pub in_flight: u64,
    /// Number of unacknowledged events that were delivered more than once.
    pub redelivered: u64,
    /// Time in milliseconds until the next delivery, after the broker lost data; absent if deliveries are not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for_ms: Option<u64>,
}

impl From<Lag> for ConsumerLag {
    fn from(lag: Lag) -> Self {
        Self {
            pending: lag.pending,
            in_flight: lag.ack_pending,
            redelivered: lag.redelivered,
            paused_for_ms: lag
                .paused_for
                .map(|rest| u64::try_from(rest.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Durable consumer of a host.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct HostConsumer {
    /// Name of the host and of its durable consumer.
    pub name: String,
    /// Name of the stream that the consumer reads.
    pub stream: String,
    /// Event types that are delivered: types, groups such as `message.*`, or `*` for all.
    pub events: Vec<String>,
    /// Items of `events` that this version of the service does not know. Nothing is delivered for them; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_events: Option<Vec<String>>,
    /// Purpose of the consumer; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Time in seconds after which an unacknowledged event is delivered again.
    pub ack_wait_seconds: u32,
    /// Maximum number of unacknowledged events.
    pub max_pending: u32,
    /// Time at which the consumer was created.
    pub created_at: Timestamp,
    /// Time of the last request that created or changed the consumer.
    pub updated_at: Timestamp,
    /// Lag of the host; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<ConsumerLag>,
}

/// Page of hosts' durable consumers, by name.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConsumerPage {
    /// Durable consumers of this page.
    pub consumers: Vec<HostConsumer>,
    /// Value of `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more consumers.
    pub has_more: bool,
}

/// Operations on hosts' durable consumers.
pub struct ConsumersApi(pub Consumers);

impl ConsumersApi {
    async fn show(&self, stored: Stored) -> HostConsumer {
        let lag = self.0.lag(&stored.name).await.map(ConsumerLag::from);
        let unknown_events = patterns::unknown(&stored.events);
        HostConsumer {
            unknown_events: (!unknown_events.is_empty()).then_some(unknown_events),
            stream: self.0.durables.stream(),
            events: if stored.events.is_empty() {
                vec!["*".to_owned()]
            } else {
                stored.events
            },
            name: stored.name,
            description: stored.description,
            ack_wait_seconds: stored.ack_wait_seconds,
            max_pending: stored.max_pending,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            lag,
        }
    }
}

#[OpenApi(prefix_path = "/api", tag = "Tag::AdminConsumers")]
impl ConsumersApi {
    /// Create a host's durable consumer
    ///
    /// Creates or changes the consumer and returns it. From this moment the host can receive every event that it selected from NATS, at least once,
    /// also after a loss of data in the broker. A repetition with the same name changes the selection and loses no event.
    ///
    /// Fails with 400 for an invalid name, event type or limit.
    #[oai(
        path = "/admin/consumers",
        method = "post",
        operation_id = "createConsumer"
    )]
    async fn put(
        &self,
        _host: AsHost,
        body: ValidJson<CreateConsumer>,
    ) -> Result<Upserted<HostConsumer>, ApiError> {
        let (stored, is_new) = self.0.put(body.0.into()).await?;
        Ok(Upserted {
            is_new,
            body: self.show(stored).await,
        })
    }

    /// List hosts' durable consumers
    ///
    /// Returns the consumers by name, each with its lag.
    #[oai(
        path = "/admin/consumers",
        method = "get",
        operation_id = "listConsumers"
    )]
    async fn list(&self, _host: AsHost, page: PageQuery) -> Result<Json<ConsumerPage>, ApiError> {
        let page = self.0.list(&page.0).await?;
        let mut consumers = Vec::with_capacity(page.items.len());
        for stored in page.items {
            consumers.push(self.show(stored).await);
        }
        Ok(Json(ConsumerPage {
            consumers,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        }))
    }

    /// Get a host's durable consumer
    ///
    /// Returns one consumer with its lag.
    ///
    /// Fails with 404 if there is none of that name.
    #[oai(
        path = "/admin/consumers/:name",
        method = "get",
        operation_id = "getConsumer"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// Name of the host.
        name: param::Path<String>,
    ) -> Result<Json<HostConsumer>, ApiError> {
        let stored = self.0.get(&name.0).await?;
        Ok(Json(self.show(stored).await))
    }

    /// Delete a host's durable consumer
    ///
    /// Deletes the consumer. Its pending events are no longer delivered. A consumer that is created again starts with the events from then on.
    ///
    /// Fails with 404 if there is none of that name.
    #[oai(
        path = "/admin/consumers/:name",
        method = "delete",
        operation_id = "deleteConsumer"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Name of the host.
        name: param::Path<String>,
    ) -> Result<NoContent, ApiError> {
        self.0.remove(&name.0).await?;
        Ok(NoContent)
    }
}
