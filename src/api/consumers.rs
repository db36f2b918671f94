//! Hosts' durables over HTTP: all for the host, none for users.

use chat_sdk::{Timestamp, plugin::Lag};
use poem_openapi::{Object, OpenApi, param};
use serde::{Deserialize, Serialize};

use super::{
    Tag,
    auth::AsHost,
    error::ApiError,
    json::ValidJson,
    page::PageQuery,
    reply::{Json, NoContent, Upserted},
};
use crate::domain::consumers::{Consumers, Draft, HostConsumer as Stored};

/// A host's durable to make, or to change.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateConsumer {
    /// The host's name, which is also that of its account in NATS: 1-32 of a-z, 0-9 and _, beginning with a letter.
    pub name: String,
    /// Names of events, `noun.*`, or `*` for all; at least one. Default: all.
    #[oai(validator(min_items = 1))]
    pub events: Option<Vec<String>>,
    /// What it is for, at most 500 characters.
    pub description: Option<String>,
    /// After how many seconds without a word from the host an event is given out again, 1-3600; 30 where it is left out.
    pub ack_wait_seconds: Option<u32>,
    /// How many events may be given out and not settled, 1-10000; 1000 where it is left out.
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

/// How far a host is behind.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConsumerLag {
    /// Events that the host has not taken yet.
    pub pending: u64,
    /// Events that it has taken and not settled.
    pub in_flight: u64,
    /// How many of these were given out more than once.
    pub redelivered: u64,
    /// For how much longer nothing is given out after the broker lost data, in milliseconds.
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

/// A host's durable.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct HostConsumer {
    /// The host's name; also the durable's.
    pub name: String,
    /// The stream that it reads.
    pub stream: String,
    /// Names of events or `noun.*`; `*` for all.
    pub events: Vec<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// After how many seconds without a word from the host an event is given out again.
    pub ack_wait_seconds: u32,
    /// How many events may be given out and not settled.
    pub max_pending: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last asked for.
    pub updated_at: Timestamp,
    /// How far the host is behind; absent when that cannot be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<ConsumerLag>,
}

/// A piece of the list of hosts' durables, by name.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConsumerPage {
    /// The items.
    pub consumers: Vec<HostConsumer>,
    /// What to give as `after` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

/// The operations on hosts' durables.
pub struct ConsumersApi(pub Consumers);

impl ConsumersApi {
    async fn show(&self, stored: Stored) -> HostConsumer {
        let lag = self.0.lag(&stored.name).await.map(ConsumerLag::from);
        HostConsumer {
            stream: self.0.durables.stream(),
            events: match stored.events.is_empty() {
                true => vec!["*".to_owned()],
                false => stored.events,
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
    /// Make a host's durable
    ///
    /// From this moment on the host can take every event that it asks for from NATS, at least once, whatever becomes of the broker. Repeating it
    /// with the same name changes what is asked for and loses nothing.
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

    /// List the hosts' durables
    ///
    /// By name, each with its lag.
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

    /// Get a host's durable, with its lag
    #[oai(
        path = "/admin/consumers/:name",
        method = "get",
        operation_id = "getConsumer"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// The host's name.
        name: param::Path<String>,
    ) -> Result<Json<HostConsumer>, ApiError> {
        let stored = self.0.get(&name.0).await?;
        Ok(Json(self.show(stored).await))
    }

    /// Remove a host's durable
    ///
    /// What waits in it is not given out any more. Made again, it starts with what happens from then on.
    #[oai(
        path = "/admin/consumers/:name",
        method = "delete",
        operation_id = "deleteConsumer"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// The host's name.
        name: param::Path<String>,
    ) -> Result<NoContent, ApiError> {
        self.0.remove(&name.0).await?;
        Ok(NoContent)
    }
}
