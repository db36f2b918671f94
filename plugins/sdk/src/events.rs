//! The catalogue of events: what NATS subjects, webhooks and sockets carry.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Conversation, ConversationId, EventId, Message, MessageId, Metadata, Role, Timestamp, User,
    UserId,
};

/// The version of every event's shape. A change that could break a reader raises it.
pub const ENVELOPE_VERSION: u32 = 1;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The type of an event, for example `message.created`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$doc])* $variant,)* }

        impl EventType {
            /// Every type, in the order of the catalogue.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// The type as text.
            pub const fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $name,)* }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text { $($name => Ok(EventType::$variant),)* _ => Err(UnknownEventType) }
            }
        }
    };
}

event_types! {
    /// A message was sent; `data` is the message.
    MessageCreated = "message.created",
    /// A message's text was changed; `data` is [`MessageUpdated`].
    MessageUpdated = "message.updated",
    /// A message was deleted; `data` is [`MessageDeleted`].
    MessageDeleted = "message.deleted",
    /// A conversation was made; `data` is the conversation.
    ConversationCreated = "conversation.created",
    /// A conversation's settings were changed; `data` is the conversation.
    ConversationUpdated = "conversation.updated",
    /// A conversation was deleted; `data` is [`ConversationDeleted`].
    ConversationDeleted = "conversation.deleted",
    /// Users became members; `data` is [`ParticipantsAdded`].
    ParticipantAdded = "participant.added",
    /// Users ceased to be members; `data` is [`ParticipantsRemoved`].
    ParticipantRemoved = "participant.removed",
    /// A member's role was changed; `data` is [`ParticipantUpdated`].
    ParticipantUpdated = "participant.updated",
    /// The host told of a user for the first time or again; `data` is the user.
    UserSynced = "user.synced",
    /// A user changed their profile; `data` is the user.
    UserUpdated = "user.updated",
    /// A user was deleted; `data` is [`UserDeleted`].
    UserDeleted = "user.deleted",
    /// A number of the log that stayed empty; `data` is `{}`. It lets readers prove completeness.
    Noop = "noop",
}

/// A text that names no event of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEventType;

impl std::fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("is not an event type of this version")
    }
}

impl std::error::Error for UnknownEventType {}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What every event looks like on NATS and in webhooks. `D` is the shape of its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<D> {
    /// The event's id, the same at every repetition.
    pub id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The version of the shape, [`ENVELOPE_VERSION`].
    pub version: u32,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The conversation in whose log it stands; absent for events of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The user in whose log it stands; absent for events of a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Its dense number in that log, from 1.
    pub seq: u64,
    /// Who did it; absent when the host did it in no user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    /// What exactly.
    pub data: D,
}

/// Data of any event, by its type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EventData {
    /// `message.created`
    Message(Box<Message>),
    /// `message.updated`
    MessageUpdated(MessageUpdated),
    /// `message.deleted`
    MessageDeleted(MessageDeleted),
    /// `conversation.created`, `conversation.updated`
    Conversation(Box<Conversation>),
    /// `conversation.deleted`
    ConversationDeleted(ConversationDeleted),
    /// `participant.added`
    ParticipantsAdded(ParticipantsAdded),
    /// `participant.removed`
    ParticipantsRemoved(ParticipantsRemoved),
    /// `participant.updated`
    ParticipantUpdated(ParticipantUpdated),
    /// `user.synced`, `user.updated`
    User(Box<User>),
    /// `user.deleted`
    UserDeleted(UserDeleted),
    /// `noop`
    Noop(Noop),
}

/// The new text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageUpdated {
    /// Which message.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Its text from now on.
    pub content: String,
    /// Always true.
    pub is_edited: bool,
    /// When it was changed.
    pub updated_at: Timestamp,
    /// The host's own data, where the edit changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Which message is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    /// Which message.
    pub message_id: MessageId,
    /// Where it stood.
    pub conversation_id: ConversationId,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// Which conversation is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationDeleted {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// When it was deleted.
    pub timestamp: Timestamp,
}

/// Who became a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsAdded {
    /// Of which conversation.
    pub conversation_id: ConversationId,
    /// The first of the new members.
    pub user_id: UserId,
    /// All of them, at most 200.
    pub user_ids: Vec<UserId>,
    /// With which rights.
    pub role: Role,
    /// When.
    pub timestamp: Timestamp,
    /// The conversation as it is with them.
    pub conversation: Box<Conversation>,
}

/// Who ceased to be a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsRemoved {
    /// Of which conversation.
    pub conversation_id: ConversationId,
    /// The first of the former members.
    pub user_id: UserId,
    /// All of them, at most 200.
    pub user_ids: Vec<UserId>,
    /// When.
    pub timestamp: Timestamp,
}

/// Whose role changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantUpdated {
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// Whose.
    pub user_id: UserId,
    /// The role from now on.
    pub role: Role,
    /// When.
    pub timestamp: Timestamp,
}

/// Which user is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeleted {
    /// Which user.
    pub external_user_id: UserId,
    /// When.
    pub timestamp: Timestamp,
}

/// Nothing happened at this number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noop {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_as_itself() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert!("message.exploded".parse::<EventType>().is_err());
    }
}
