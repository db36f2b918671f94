//! The catalogue of events that NATS subjects, webhooks and sockets carry.

use std::str::FromStr;

use poem_openapi::{
    Object,
    registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef},
};
use serde::{Deserialize, Serialize};

use crate::{
    Attachment, Conversation, ConversationId, EventId, Message, MessageId, Metadata, Preferences,
    PresenceStatus, Role, Timestamp, User, UserId,
};

/// Version of the shape of all events. It is raised by every change that could break a reader.
pub const ENVELOPE_VERSION: u32 = 1;

macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal: $data:ident,)*) => {
        /// Type of an event, for example `message.created`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[doc = $doc])* $variant,)* }

        impl EventType {
            /// All types, in the order of the catalogue.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// Returns the type as text.
            pub const fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $name,)* }
            }

            /// Returns the name of the schema of the event's data.
            pub const fn data_name(self) -> &'static str {
                match self { $(EventType::$variant => stringify!($data),)* }
            }

            /// Returns the one-line description of the event, for people.
            pub fn about(self) -> &'static str {
                let text = match self { $(EventType::$variant => concat!($($doc,)*),)* };
                // The text after this is only for readers of this code.
                text.split("; `data`").next().unwrap_or_default().trim()
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
    MessageCreated = "message.created": Message,
    /// A message's text was changed; `data` is [`MessageUpdated`].
    MessageUpdated = "message.updated": MessageUpdated,
    /// A message was deleted; `data` is [`MessageDeleted`].
    MessageDeleted = "message.deleted": MessageDeleted,
    /// A deleted message was restored; `data` is [`MessageRestored`].
    MessageRestored = "message.restored": MessageRestored,
    /// A message was pinned; `data` is [`MessagePin`].
    MessagePinned = "message.pinned": MessagePin,
    /// A message was unpinned; `data` is [`MessagePin`].
    MessageUnpinned = "message.unpinned": MessagePin,
    /// A user added a reaction to a message; `data` is [`ReactionChanged`].
    ReactionAdded = "reaction.added": ReactionChanged,
    /// A user removed a reaction from a message; `data` is [`ReactionChanged`].
    ReactionRemoved = "reaction.removed": ReactionChanged,
    /// A conversation was created; `data` is the conversation.
    ConversationCreated = "conversation.created": Conversation,
    /// A conversation's settings were changed; `data` is the conversation.
    ConversationUpdated = "conversation.updated": Conversation,
    /// A conversation was deleted; `data` is [`ConversationDeleted`].
    ConversationDeleted = "conversation.deleted": ConversationDeleted,
    /// Users became members of a conversation; `data` is [`ParticipantsAdded`].
    ParticipantAdded = "participant.added": ParticipantsAdded,
    /// Users left a conversation or were removed from it; `data` is [`ParticipantsRemoved`].
    ParticipantRemoved = "participant.removed": ParticipantsRemoved,
    /// A member's role or own settings were changed; `data` is [`ParticipantUpdated`]. A change of own settings is delivered to that member only.
    ParticipantUpdated = "participant.updated": ParticipantUpdated,
    /// The host created or updated a user; `data` is the user.
    UserSynced = "user.synced": User,
    /// A user changed their profile; `data` is the user.
    UserUpdated = "user.updated": User,
    /// A user was deleted; `data` is [`UserDeleted`].
    UserDeleted = "user.deleted": UserDeleted,
    /// A user blocked another user; `data` is [`UserBlock`]. It is never delivered to the blocked user.
    UserBlocked = "user.blocked": UserBlock,
    /// A user unblocked another user; `data` is [`UserBlock`]. It is never delivered to the unblocked user.
    UserUnblocked = "user.unblocked": UserBlock,
    /// The host closed a user's sockets and invalidated the tokens issued before; `data` is [`UserDisconnected`].
    UserDisconnected = "user.disconnected": UserDisconnected,
    /// A member read the conversation up to a message; `data` is [`MessageRead`]. A latest value, not in the log.
    MessageRead = "message.read": MessageRead,
    /// A member's device received the conversation up to a message; `data` is [`MessageDelivered`]. A latest value, not in the log.
    MessageDelivered = "message.delivered": MessageDelivered,
    /// A member's read position changed, forwards or backwards; `data` is [`ConversationRead`]. A latest value, not in the log.
    ConversationRead = "conversation.read": ConversationRead,
    /// A member's draft was changed or cleared; `data` is [`DraftUpdated`]. A latest value, not in the log; it is delivered to the member's own devices.
    DraftUpdated = "draft.updated": DraftUpdated,
    /// A user is online or busy; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOnline = "user.online": UserPresence,
    /// A user is away; `data` is [`UserPresence`]. A latest value, not in the log.
    UserAway = "user.away": UserPresence,
    /// A user is offline or invisible; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOffline = "user.offline": UserPresence,
    /// A seq of the log that holds no change; `data` is `{}`. It lets readers prove that they missed nothing.
    Noop = "noop": Noop,
}

impl EventType {
    /// Returns true if events of this type are entries of a log, with a seq. The others are latest values: one may be lost once a newer one exists.
    pub const fn is_logged(self) -> bool {
        !matches!(
            self,
            Self::MessageRead
                | Self::MessageDelivered
                | Self::ConversationRead
                | Self::DraftUpdated
                | Self::UserOnline
                | Self::UserAway
                | Self::UserOffline
        )
    }
}

/// Error for a text that is not an event type of the catalogue.
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

/// Envelope of every event on NATS and in webhooks. `D` is the type of its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<D> {
    /// Id of the event; repetitions of the event have the same id.
    pub id: EventId,
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Version of the envelope's shape: [`ENVELOPE_VERSION`].
    pub version: u32,
    /// Time at which the change was made.
    pub timestamp: Timestamp,
    /// Id of the conversation whose log holds the event; absent for events of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Id of the user whose log holds the event; absent for events of a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Seq of the event in that log, from 1, without gaps; absent for latest values, which are in no log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Id of the user who made the change; absent if the host made it without an acting user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    /// Data of the event; its shape depends on the type.
    pub data: D,
}

/// Data of an event of any type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EventData {
    /// `message.created`
    Message(Box<Message>),
    /// `message.updated`
    MessageUpdated(MessageUpdated),
    /// `message.deleted`
    MessageDeleted(MessageDeleted),
    /// `message.restored`
    MessageRestored(Box<MessageRestored>),
    /// `message.pinned`, `message.unpinned`
    MessagePin(MessagePin),
    /// `reaction.added`, `reaction.removed`
    ReactionChanged(ReactionChanged),
    /// `message.read`
    MessageRead(MessageRead),
    /// `message.delivered`
    MessageDelivered(MessageDelivered),
    /// `conversation.read`
    ConversationRead(ConversationRead),
    /// `draft.updated`
    DraftUpdated(DraftUpdated),
    /// `user.online`, `user.away`, `user.offline`
    UserPresence(UserPresence),
    /// `user.blocked`, `user.unblocked`
    UserBlock(UserBlock),
    /// `user.disconnected`
    UserDisconnected(UserDisconnected),
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

/// `format` of a schema that the core replaces by all events of a conversation's log.
pub const EVENTS_OF_A_LOG: &str = "events-of-a-log";
/// `format` of a schema that the core replaces by all events that a webhook endpoint can receive.
pub const EVENTS_OF_WEBHOOKS: &str = "events-of-webhooks";

/// Returns the schema of an event, with `type` as the discriminator. `events` is one of the two formats above; `others` are further shapes, each a value of
/// `type` and the name of a schema.
pub fn any_event(
    events: &'static str,
    about: &'static str,
    others: Vec<(&'static str, String)>,
) -> MetaSchema {
    MetaSchema {
        format: Some(events),
        description: Some(about),
        // A schema that nothing refers to is left out of the document, so the further shapes are referred to here.
        one_of: others
            .iter()
            .map(|(_, schema)| MetaSchemaRef::Reference(schema.clone()))
            .collect(),
        discriminator: Some(MetaDiscriminatorObject {
            property_name: "type",
            mapping: others
                .into_iter()
                .map(|(kind, schema)| (kind.to_owned(), format!("#/components/schemas/{schema}")))
                .collect(),
        }),
        ..MetaSchema::ANY
    }
}

/// Data of `message.updated`: the new text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageUpdated {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// New text of the message.
    pub content: String,
    /// Always true: the message was edited.
    pub is_edited: bool,
    /// Time of the edit.
    pub updated_at: Timestamp,
    /// New metadata of the message; absent if the edit did not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// True if the edit removed the metadata; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_metadata_cleared: Option<bool>,
    /// Seq of the message in the conversation log; present only if `historyVisibility` is `joined`. Users who were not members at that seq see neither the
    /// message nor this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Data of `message.deleted`: the message that was deleted or has expired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageDeleted {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Time of the deletion.
    pub deleted_at: Timestamp,
    /// True if the message expired; no tombstone of it remains then. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[oai(default)]
    pub is_expired: bool,
    /// Seq of the message in the conversation log; present only if `historyVisibility` is `joined`. Users who were not members at that seq see neither the
    /// message nor this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Data of `message.restored`: the restored message and its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageRestored {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Text of the message, as it was before the deletion.
    pub content: String,
    /// Files of the message, at most 20.
    pub attachments: Vec<Attachment>,
    /// Ids of the users that the message mentions, at most 100; also `@all` and `@here`.
    pub mentions: Vec<UserId>,
    /// Metadata of the message, set by the host; at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Time of the restoration.
    pub updated_at: Timestamp,
    /// Seq of the message in the conversation log; present only if `historyVisibility` is `joined`. Users who were not members at that seq see neither the
    /// message nor this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Shapes of the data of all events, each once. Schemas are generated from it; it is never sent.
#[derive(Debug, Default, Object)]
#[oai(rename_all = "camelCase")]
pub struct EventShapes {
    message: Option<Message>,
    message_updated: Option<MessageUpdated>,
    message_deleted: Option<MessageDeleted>,
    message_restored: Option<MessageRestored>,
    message_pin: Option<MessagePin>,
    reaction_changed: Option<ReactionChanged>,
    message_read: Option<MessageRead>,
    message_delivered: Option<MessageDelivered>,
    conversation: Option<Conversation>,
    conversation_deleted: Option<ConversationDeleted>,
    conversation_read: Option<ConversationRead>,
    draft_updated: Option<DraftUpdated>,
    participants_added: Option<ParticipantsAdded>,
    participants_removed: Option<ParticipantsRemoved>,
    participant_updated: Option<ParticipantUpdated>,
    user: Option<User>,
    user_presence: Option<UserPresence>,
    user_block: Option<UserBlock>,
    user_deleted: Option<UserDeleted>,
    user_disconnected: Option<UserDisconnected>,
    noop: Option<Noop>,
}

/// Data of `message.pinned` and `message.unpinned`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessagePin {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Id of the user who pinned or unpinned the message; absent if the host did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Time of the change.
    pub timestamp: Timestamp,
    /// Seq of the message in the conversation log; present only if `historyVisibility` is `joined`. Users who were not members at that seq see neither the
    /// message nor this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Data of `reaction.added` and `reaction.removed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReactionChanged {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// The reaction: one emoji or a `:shortcode:`.
    pub emoji: String,
    /// Id of the user who reacted, or no longer does.
    pub user_id: UserId,
    /// Number of users who react to the message with this emoji after the change.
    pub total_count: u32,
    /// Time of the change.
    pub timestamp: Timestamp,
    /// Seq of the message in the conversation log; present only if `historyVisibility` is `joined`. Users who were not members at that seq see neither the
    /// message nor this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Data of `message.read`: a read receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageRead {
    /// Id of the newest message that was read; all messages before it are read too.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Id of the member who read the message.
    pub user_id: UserId,
    /// Time at which the member read it.
    pub read_at: Timestamp,
}

/// Data of `message.delivered`: a delivery receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageDelivered {
    /// Id of the newest message that arrived; all messages before it arrived too.
    pub message_id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Id of the member whose device received the message.
    pub user_id: UserId,
    /// Time at which the device received it.
    pub delivered_at: Timestamp,
}

/// Data of `conversation.read`: a member's read position and unread counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConversationRead {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the member.
    pub user_id: UserId,
    /// Id of the newest message that is read; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_message_id: Option<MessageId>,
    /// Seq up to which everything is read; 0 if nothing is.
    #[serde(default)]
    pub read_seq: u64,
    /// Number of unread messages, counted within the newest 100,000 entries of the conversation log.
    pub unread_count: u64,
    /// Number of unread messages that mention the member.
    pub mention_count: u64,
    /// Time of the change.
    pub read_at: Timestamp,
}

/// Data of `draft.updated`: a member's unsent text in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DraftUpdated {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Unsent text of the member; absent if the draft was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// Data of `user.online`, `user.away` and `user.offline`: a user's presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserPresence {
    /// Id of the user.
    pub user_id: UserId,
    /// Id of a conversation that the reader shares with the user; present only on sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Status of the user as others see it.
    pub status: PresenceStatus,
    /// Status text of the user, at most 200 characters; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Time at which the user was last online; absent while the user is online, away or busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Time at which the status changed.
    pub timestamp: Timestamp,
}

/// Data of `user.blocked` and `user.unblocked`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserBlock {
    /// Id of the user who blocks or unblocks.
    pub external_user_id: UserId,
    /// Id of the user who is blocked or unblocked.
    pub blocked_user_id: UserId,
    /// Time of the change.
    pub timestamp: Timestamp,
}

/// Data of `user.disconnected`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserDisconnected {
    /// Id of the user whose sockets were closed.
    pub external_user_id: UserId,
    /// Tokens issued before this time are rejected.
    pub tokens_valid_from: Timestamp,
    /// Time of the disconnection.
    pub timestamp: Timestamp,
}

/// Data of `conversation.deleted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConversationDeleted {
    /// Id of the deleted conversation.
    pub conversation_id: ConversationId,
    /// Time of the deletion.
    pub timestamp: Timestamp,
}

/// Data of `participant.added`: the new members and the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ParticipantsAdded {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the first new member; the same as the first item of `userIds`.
    pub user_id: UserId,
    /// Ids of all new members, at most 200.
    pub user_ids: Vec<UserId>,
    /// Role of the new members.
    pub role: Role,
    /// Time at which they became members.
    pub timestamp: Timestamp,
    /// The conversation, with the new members included.
    pub conversation: Box<Conversation>,
}

/// Data of `participant.removed`: the former members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ParticipantsRemoved {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the first former member; the same as the first item of `userIds`.
    pub user_id: UserId,
    /// Ids of all former members, at most 200.
    pub user_ids: Vec<UserId>,
    /// Time at which their membership ended.
    pub timestamp: Timestamp,
}

/// Data of `participant.updated`: a member's new role or own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ParticipantUpdated {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the member.
    pub user_id: UserId,
    /// New role of the member; absent if it did not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// New settings of the member; absent if they did not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// Time of the change.
    pub timestamp: Timestamp,
}

impl ParticipantUpdated {
    /// Returns true if the event must be delivered to the member only.
    pub fn is_private(&self) -> bool {
        self.role.is_none()
    }
}

/// Data of `user.deleted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserDeleted {
    /// Id of the deleted user.
    pub external_user_id: UserId,
    /// Time of the deletion.
    pub timestamp: Timestamp,
}

/// Data of `noop`: an empty object. The seq of the event holds no change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
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
