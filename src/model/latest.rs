//! Latest values: events that are published but in no log, because only the newest counts. Receipts and presence.

use chat_sdk::{
    Envelope, EventId, EventType, Timestamp, UserId,
    events::{ENVELOPE_VERSION, EventData},
};

use super::entry::Owner;

/// A value to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestValue {
    /// Owner of the value.
    pub owner: Owner,
    /// The event.
    pub envelope: Envelope<EventData>,
    /// Users who alone receive it on their sockets; `None` for all who may see it.
    pub only: Option<Vec<UserId>>,
}

impl LatestValue {
    /// Returns a value of `owner` for all users who may see it.
    pub fn new(
        owner: impl Into<Owner>,
        actor: Option<UserId>,
        kind: EventType,
        data: EventData,
    ) -> Self {
        let owner = owner.into();
        let (conversation_id, user_id) = match &owner {
            Owner::Conversation(id) => (Some(id.clone()), None),
            Owner::User(id) => (None, Some(id.clone())),
        };
        Self {
            owner,
            envelope: Envelope {
                id: EventId::generate(),
                kind,
                version: ENVELOPE_VERSION,
                timestamp: Timestamp::now(),
                conversation_id,
                user_id,
                seq: None,
                actor_id: actor,
                data,
            },
            only: None,
        }
    }
}

/// Publishes latest values.
pub trait PublishLatest: Send + Sync {
    /// Takes a value without waiting. While the broker is down, the newest value of each kind is kept.
    ///
    /// A value may still be lost, with the process or if too many wait: a client that needs it then reads the state.
    fn publish(&self, value: LatestValue);
}
