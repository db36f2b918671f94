//! Publication of a plugin's own events.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{BoxFuture, ChatError};
use crate::{ConversationId, EventId, UserId};

/// Maximum number of events of one call of [`Publisher::publish_many`].
pub const MAX_EVENTS: usize = 10_000;

/// Log that an event is appended to, or the receivers of an ephemeral event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The log of a conversation; its members.
    Conversation(ConversationId),
    /// A user's own log; the user.
    User(UserId),
}

/// An event to publish.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its type, which the plugin's factory declares.
    pub kind: &'static str,
    /// Log to which it is appended.
    pub target: Target,
    /// User who caused it; `None` for the plugin itself.
    pub actor: Option<UserId>,
    /// Its data. In the log of a conversation the core adds `conversationId`.
    pub data: Map<String, Value>,
    /// Key of the cause, 1 to 128 characters: an event with the same key in the same log is appended once. `None` appends at every call.
    pub key: Option<String>,
}

impl NewEvent {
    /// Returns an event with the fields of `data`, which must be an object.
    pub fn new(kind: &'static str, target: Target, data: &impl Serialize) -> Self {
        let data = match serde_json::to_value(data) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self {
            kind,
            target,
            actor: None,
            data,
            key: None,
        }
    }

    /// Sets the user who caused it.
    pub fn by(mut self, actor: UserId) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Sets the key of its cause.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// An event of a log after its publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Id of the event.
    pub id: EventId,
    /// Seq of the event in its log.
    pub seq: u64,
}

/// Publishes the events that the plugin's factory declares.
pub trait Publisher: Send + Sync {
    /// Appends an event to a log. It is numbered, and is delivered to sockets, hosts, webhooks and consumers as every entry of that log. A repetition with
    /// the same key returns the first event.
    ///
    /// Fails with 404 if the conversation or user does not exist, 413 if the event is too large, 400 if the type is not declared or the key is invalid,
    /// 503 if the outcome is unknown; repeat it then with the same key.
    fn publish(&self, event: NewEvent) -> BoxFuture<'_, Result<Published, ChatError>>;

    /// Appends at most [`MAX_EVENTS`] events; the results are in their order. Each succeeds or fails on its own.
    fn publish_many(
        &self,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'_, Vec<Result<Published, ChatError>>>;

    /// Sends an ephemeral event to the connected sockets of its receivers. It is stored nowhere and may be lost.
    ///
    /// Fails with 400 if the type is not a declared ephemeral one or the data is above 64 KiB.
    fn tell(&self, event: NewEvent) -> BoxFuture<'_, Result<(), ChatError>>;
}
