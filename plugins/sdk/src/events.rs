//! The catalogue of events: what NATS subjects, webhooks and sockets carry.

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

/// The version of every event's shape. A change that could break a reader raises it.
pub const ENVELOPE_VERSION: u32 = 1;

macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal: $data:ident,)*) => {
        /// The type of an event, for example `message.created`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[doc = $doc])* $variant,)* }

        impl EventType {
            /// Every type, in the order of the catalogue.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// The type as text.
            pub const fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $name,)* }
            }

            /// The name of the type of its data.
            pub const fn data_name(self) -> &'static str {
                match self { $(EventType::$variant => stringify!($data),)* }
            }

            /// What it tells, for people.
            pub fn about(self) -> &'static str {
                let text = match self { $(EventType::$variant => concat!($($doc,)*),)* };
                // The rest is for readers of this code.
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
    /// A deleted message is back; `data` is [`MessageRestored`].
    MessageRestored = "message.restored": MessageRestored,
    /// A message was pinned; `data` is [`MessagePin`].
    MessagePinned = "message.pinned": MessagePin,
    /// A message is pinned no more; `data` is [`MessagePin`].
    MessageUnpinned = "message.unpinned": MessagePin,
    /// A user reacted to a message; `data` is [`ReactionChanged`].
    ReactionAdded = "reaction.added": ReactionChanged,
    /// A user took a reaction back; `data` is [`ReactionChanged`].
    ReactionRemoved = "reaction.removed": ReactionChanged,
    /// A conversation was made; `data` is the conversation.
    ConversationCreated = "conversation.created": Conversation,
    /// A conversation's settings were changed; `data` is the conversation.
    ConversationUpdated = "conversation.updated": Conversation,
    /// A conversation was deleted; `data` is [`ConversationDeleted`].
    ConversationDeleted = "conversation.deleted": ConversationDeleted,
    /// Users became members; `data` is [`ParticipantsAdded`].
    ParticipantAdded = "participant.added": ParticipantsAdded,
    /// Users ceased to be members; `data` is [`ParticipantsRemoved`].
    ParticipantRemoved = "participant.removed": ParticipantsRemoved,
    /// A member's role was changed, or a member's own settings; `data` is [`ParticipantUpdated`]. Own settings are told to that member alone.
    ParticipantUpdated = "participant.updated": ParticipantUpdated,
    /// The host told of a user for the first time or again; `data` is the user.
    UserSynced = "user.synced": User,
    /// A user changed their profile; `data` is the user.
    UserUpdated = "user.updated": User,
    /// A user was deleted; `data` is [`UserDeleted`].
    UserDeleted = "user.deleted": UserDeleted,
    /// A user blocked another; `data` is [`UserBlock`]. Never told to the other.
    UserBlocked = "user.blocked": UserBlock,
    /// A user blocks another no more; `data` is [`UserBlock`]. Never told to the other.
    UserUnblocked = "user.unblocked": UserBlock,
    /// The host ended a user's sockets and refuses tokens that were issued before; `data` is [`UserDisconnected`].
    UserDisconnected = "user.disconnected": UserDisconnected,
    /// A member read up to a message; `data` is [`MessageRead`]. A latest value, not in the log.
    MessageRead = "message.read": MessageRead,
    /// A member's device got everything up to a message; `data` is [`MessageDelivered`]. A latest value, not in the log.
    MessageDelivered = "message.delivered": MessageDelivered,
    /// A member read a conversation, or marked it unread; `data` is [`ConversationRead`]. A latest value, not in the log.
    ConversationRead = "conversation.read": ConversationRead,
    /// A member has begun to write, or no more; `data` is [`DraftUpdated`]. A latest value, not in the log; told to the member's own devices.
    DraftUpdated = "draft.updated": DraftUpdated,
    /// A user came online, or is busy; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOnline = "user.online": UserPresence,
    /// A user is away; `data` is [`UserPresence`]. A latest value, not in the log.
    UserAway = "user.away": UserPresence,
    /// A user is offline, or looks so; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOffline = "user.offline": UserPresence,
    /// A number of the log that stayed empty; `data` is `{}`. It lets readers prove completeness.
    Noop = "noop": Noop,
}

impl EventType {
    /// Whether events of this type are entries of a log, with a number. The others are latest values: one may be lost when the next is there.
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
    /// Its dense number in that log, from 1; absent for latest values, which are in no log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
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

/// The `format` of a schema that the core replaces by all events of a conversation's log.
pub const EVENTS_OF_A_LOG: &str = "events-of-a-log";
/// The `format` of a schema that the core replaces by all events that a webhook endpoint can get.
pub const EVENTS_OF_WEBHOOKS: &str = "events-of-webhooks";

/// The schema of an event, told apart by `type`. `events` is one of the two formats above; `others` are further shapes: value of `type`, name of the
/// schema.
pub fn any_event(
    events: &'static str,
    about: &'static str,
    others: Vec<(&'static str, String)>,
) -> MetaSchema {
    MetaSchema {
        format: Some(events),
        description: Some(about),
        // A schema to which nothing refers is not published.
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

/// The new text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
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
    /// True if the edit removed the host's own data; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_metadata_cleared: Option<bool>,
    /// The message's number in the conversation, where new members do not see what came before them (`historyVisibility: joined`): who was no member
    /// at that number sees neither the message nor this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Which message is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageDeleted {
    /// Which message.
    pub message_id: MessageId,
    /// Where it stood.
    pub conversation_id: ConversationId,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Whether its time was over; then no tombstone stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[oai(default)]
    pub is_expired: bool,
    /// The message's number in the conversation, where new members do not see what came before them (`historyVisibility: joined`): who was no member
    /// at that number sees neither the message nor this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Which message is back, and what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageRestored {
    /// Which message.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Its text, as it was before it was deleted.
    pub content: String,
    /// The files it carries.
    pub attachments: Vec<Attachment>,
    /// Who is mentioned in it.
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// When it came back.
    pub updated_at: Timestamp,
    /// The message's number in the conversation, where new members do not see what came before them (`historyVisibility: joined`): who was no member
    /// at that number sees neither the message nor this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// The shape of every event's data, each once: what schemas are made from. Never sent.
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

/// Which message is pinned, or no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessagePin {
    /// Which message.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Who did it; absent for the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When.
    pub timestamp: Timestamp,
    /// The message's number in the conversation, where new members do not see what came before them (`historyVisibility: joined`): who was no member
    /// at that number sees neither the message nor this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Who reacted, or did no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReactionChanged {
    /// To which message.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// With what: one emoji or a `:shortcode:`.
    pub emoji: String,
    /// Who.
    pub user_id: UserId,
    /// How many users have reacted with it now.
    pub total_count: u32,
    /// When.
    pub timestamp: Timestamp,
    /// The message's number in the conversation, where new members do not see what came before them (`historyVisibility: joined`): who was no member
    /// at that number sees neither the message nor this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Up to which message a member read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageRead {
    /// The newest message that is read; all before it are too.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Who read.
    pub user_id: UserId,
    /// When.
    pub read_at: Timestamp,
}

/// Up to which message a member's device got everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageDelivered {
    /// The newest message that arrived; all before it did too.
    pub message_id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Whose device.
    pub user_id: UserId,
    /// When.
    pub delivered_at: Timestamp,
}

/// Where a member is in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConversationRead {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// Who.
    pub user_id: UserId,
    /// The newest message that is read; absent when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_message_id: Option<MessageId>,
    /// The number up to which everything is read; 0 when nothing is.
    #[serde(default)]
    pub read_seq: u64,
    /// How many messages are unread now.
    pub unread_count: u64,
    /// How many of them mention the member.
    pub mention_count: u64,
    /// When.
    pub read_at: Timestamp,
}

/// What a member has begun to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct DraftUpdated {
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// The text; absent when there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// Whether a user is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserPresence {
    /// Who.
    pub user_id: UserId,
    /// A conversation that the reader shares with them; only on sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// How they are.
    pub status: PresenceStatus,
    /// What they say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When they were last there; absent while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When this became so.
    pub timestamp: Timestamp,
}

/// Whom a user blocks, or no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserBlock {
    /// Who blocks.
    pub external_user_id: UserId,
    /// Whom.
    pub blocked_user_id: UserId,
    /// When.
    pub timestamp: Timestamp,
}

/// Whose sockets the host ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserDisconnected {
    /// Whose.
    pub external_user_id: UserId,
    /// Tokens that were issued before this moment are refused.
    pub tokens_valid_from: Timestamp,
    /// When.
    pub timestamp: Timestamp,
}

/// Which conversation is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConversationDeleted {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// When it was deleted.
    pub timestamp: Timestamp,
}

/// Who became a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
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

/// Whose role or own settings changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ParticipantUpdated {
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// Whose.
    pub user_id: UserId,
    /// The role from now on, where it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The member's own settings from now on, where they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// When.
    pub timestamp: Timestamp,
}

impl ParticipantUpdated {
    /// Whether only the member may be told.
    pub fn is_private(&self) -> bool {
        self.role.is_none()
    }
}

/// Which user is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct UserDeleted {
    /// Which user.
    pub external_user_id: UserId,
    /// When.
    pub timestamp: Timestamp,
}

/// Nothing happened at this number.
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
