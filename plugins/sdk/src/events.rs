//! The catalogue of events that NATS subjects, webhooks and sockets carry.
//!
//! This file has the types and the envelope; `data` has the data of each event.

mod data;
mod plugins;

use std::str::FromStr;

use poem_openapi::{
    Object,
    registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef},
};
use serde::{Deserialize, Serialize};

use crate::{Conversation, ConversationId, EventId, Message, Metadata, Timestamp, User, UserId};

pub use data::{
    ConversationDeleted, ConversationRead, DraftUpdated, MessageDeleted, MessageDelivered,
    MessageDropped, MessageHeld, MessagePin, MessageRead, MessageRestored, MessageUpdated, Noop,
    ParticipantUpdated, ParticipantsAdded, ParticipantsRemoved, ReactionChanged, UserBlock,
    UserDeleted, UserDisconnected, UserPresence,
};

pub use plugins::{EventOwner, PluginEvent, PluginKind};

/// Version of the shape of all events. It is raised by every change that could break a reader.
pub const ENVELOPE_VERSION: u32 = 1;

macro_rules! event_types {
    (@socket) => { None };
    (@socket $socket:literal) => { Some($socket) };
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal $(=> $socket:literal)?: $data:ident,)*) => {
        /// Type of an event, for example `message.created`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType {
            $($(#[doc = $doc])* $variant,)*
            /// An event of a plugin.
            Plugin(PluginKind),
        }

        /// Places of the types in the catalogue.
        enum Place { $($variant,)* }

        impl EventType {
            /// All types of the core, in the order of the catalogue.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// Returns the type as text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(EventType::$variant => $name,)*
                    EventType::Plugin(kind) => kind.as_str(),
                }
            }

            /// Returns the place of the type in [`EventType::ALL`]; `None` for a type of a plugin.
            pub const fn place(self) -> Option<usize> {
                match self {
                    $(EventType::$variant => Some(Place::$variant as usize),)*
                    EventType::Plugin(_) => None,
                }
            }

            /// Returns the name of the event over sockets; `None` if no socket receives its data.
            pub fn socket_event(self) -> Option<&'static str> {
                match self {
                    $(EventType::$variant => event_types!(@socket $($socket)?),)*
                    EventType::Plugin(kind) => kind.declared()?.frame,
                }
            }

            /// Returns the name of the schema of the event's data.
            pub fn data_name(self) -> &'static str {
                match self {
                    $(EventType::$variant => stringify!($data),)*
                    EventType::Plugin(kind) => kind.data_name(),
                }
            }

            /// Returns the one-line description of the event, for people.
            pub fn about(self) -> &'static str {
                let text = match self {
                    $(EventType::$variant => concat!($($doc,)*),)*
                    EventType::Plugin(kind) => kind.declared().map_or("", |event| event.about),
                };
                // The text after this is only for readers of this code.
                text.split("; `data`").next().unwrap_or_default().trim()
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text {
                    $($name => Ok(EventType::$variant),)*
                    _ => PluginKind::find(text).map(EventType::Plugin).ok_or(UnknownEventType),
                }
            }
        }
    };
}

event_types! {
    /// A message was sent; `data` is the message.
    MessageCreated = "message.created" => "message:new": Message,
    /// A message's text was changed; `data` is [`MessageUpdated`].
    MessageUpdated = "message.updated" => "message:updated": MessageUpdated,
    /// A message was deleted; `data` is [`MessageDeleted`].
    MessageDeleted = "message.deleted" => "message:deleted": MessageDeleted,
    /// A deleted message was restored; `data` is [`MessageRestored`].
    MessageRestored = "message.restored" => "message:restored": MessageRestored,
    /// A message was pinned; `data` is [`MessagePin`].
    MessagePinned = "message.pinned" => "message:pinned": MessagePin,
    /// A message was unpinned; `data` is [`MessagePin`].
    MessageUnpinned = "message.unpinned" => "message:unpinned": MessagePin,
    /// A user added a reaction to a message; `data` is [`ReactionChanged`].
    ReactionAdded = "reaction.added" => "reaction:added": ReactionChanged,
    /// A user removed a reaction from a message; `data` is [`ReactionChanged`].
    ReactionRemoved = "reaction.removed" => "reaction:removed": ReactionChanged,
    /// A conversation was created; `data` is the conversation.
    ConversationCreated = "conversation.created" => "conversation:new": Conversation,
    /// A conversation's settings were changed; `data` is the conversation.
    ConversationUpdated = "conversation.updated" => "conversation:updated": Conversation,
    /// A conversation was deleted; `data` is [`ConversationDeleted`].
    ConversationDeleted = "conversation.deleted" => "conversation:removed": ConversationDeleted,
    /// Users became members of a conversation; `data` is [`ParticipantsAdded`].
    ParticipantAdded = "participant.added" => "participant:added": ParticipantsAdded,
    /// Users left a conversation or were removed from it; `data` is [`ParticipantsRemoved`].
    ParticipantRemoved = "participant.removed" => "participant:removed": ParticipantsRemoved,
    /// A member's role or own settings were changed; `data` is [`ParticipantUpdated`]. A change of own settings is delivered to that member only.
    ParticipantUpdated = "participant.updated" => "participant:updated": ParticipantUpdated,
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
    MessageRead = "message.read" => "message:read": MessageRead,
    /// A member's device received the conversation up to a message; `data` is [`MessageDelivered`]. A latest value, not in the log.
    MessageDelivered = "message.delivered" => "message:delivered": MessageDelivered,
    /// A member's read position changed, forwards or backwards; `data` is [`ConversationRead`]. A latest value, not in the log.
    ConversationRead = "conversation.read" => "conversation:read": ConversationRead,
    /// A member's draft was changed or cleared; `data` is [`DraftUpdated`]. A latest value, not in the log; it is delivered to the member's own devices.
    DraftUpdated = "draft.updated" => "draft:updated": DraftUpdated,
    /// A hook holds a message for review; `data` is [`MessageHeld`]. A latest value, not in the log; it is delivered to the author's own devices.
    MessageHeld = "message.held" => "message:held": MessageHeld,
    /// A held message was dropped; `data` is [`MessageDropped`]. A latest value, not in the log; it is delivered to the author's own devices.
    MessageDropped = "message.dropped" => "message:dropped": MessageDropped,
    /// A user is online or busy; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOnline = "user.online" => "user:online": UserPresence,
    /// A user is away; `data` is [`UserPresence`]. A latest value, not in the log.
    UserAway = "user.away" => "user:away": UserPresence,
    /// A user is offline or invisible; `data` is [`UserPresence`]. A latest value, not in the log.
    UserOffline = "user.offline" => "user:offline": UserPresence,
    /// A seq of the log that holds no change; `data` is `{}`. It lets readers prove that they missed nothing.
    Noop = "noop": Noop,
}

impl EventType {
    /// Returns the type of a stored or published event: it may be one of a plugin that this process does not have.
    ///
    /// # Errors
    /// If the text does not have the form of a type.
    pub fn stored(text: &str) -> Result<Self, UnknownEventType> {
        text.parse().or_else(|_| {
            PluginKind::of(text)
                .map(Self::Plugin)
                .ok_or(UnknownEventType)
        })
    }

    /// Returns all types: those of the core, then those that the plugins of this program declare.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_plugins = PluginKind::all_declared().into_iter().map(Self::Plugin);
        Self::ALL.iter().copied().chain(of_plugins)
    }

    /// Returns true if events of this type are entries of a log, with a seq. The others are latest values: one may be lost once a newer one exists.
    pub const fn is_logged(self) -> bool {
        !matches!(
            self,
            Self::MessageRead
                | Self::MessageDelivered
                | Self::ConversationRead
                | Self::DraftUpdated
                | Self::MessageHeld
                | Self::MessageDropped
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
        Self::stored(&text).map_err(serde::de::Error::custom)
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
    /// `message.held`
    MessageHeld(MessageHeld),
    /// `message.dropped`
    MessageDropped(MessageDropped),
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
    /// An event of a plugin: its JSON object.
    Plugin(Metadata),
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
    message_held: Option<MessageHeld>,
    message_dropped: Option<MessageDropped>,
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
