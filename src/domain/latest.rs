//! Latest values: what is told to the world and stands in no log, because only the newest counts. Receipts and settled presence.

use chat_sdk::{
    Envelope, EventId, EventType, Timestamp, UserId, events::ENVELOPE_VERSION, events::EventData,
};

use super::entry::Owner;

/// A value to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestValue {
    /// Of what.
    pub owner: Owner,
    /// The event.
    pub envelope: Envelope<EventData>,
    /// The users who alone are told on their sockets; `None` for all who may see it.
    pub only: Option<Vec<UserId>>,
}

impl LatestValue {
    /// A value of `owner` for everybody who may see it.
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

/// Whoever tells the world of latest values.
pub trait PublishLatest: Send + Sync {
    /// Takes a value in, without waiting. While the broker is away the newest of its kind is kept for it. It may still be lost, with the process or when
    /// too many wait: whoever needs it then reads the state.
    fn publish(&self, value: LatestValue);
}
