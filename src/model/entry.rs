//! Entries of a log: one numbered change each.
//!
//! These types are what is stored; [`super::catalogue`] turns them into the published events.

mod messages;

use std::fmt;

use chat_sdk::{
    ConversationId, ConversationSettings, ConversationType, EventId, EventType, Metadata,
    Preferences, Role, Timestamp, TraceParent, UserId,
};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap};

pub use messages::{
    MessageCreated, MessageEdit, MessageRemoval, MessageRestored, MessageTarget, Reaction,
    SentSchedule,
};

/// Owner of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// A conversation; its log has messages, members and settings.
    Conversation(ConversationId),
    /// A user; their log has the profile, blocks and revoked tokens.
    User(UserId),
}

/// Number of shards of the logs: the unit of single-writer ownership and of NATS subjects.
///
/// It can never change, because stored subjects contain it.
pub const SHARDS: u8 = 64;

impl Owner {
    const USER_PREFIX: &'static str = "user:";

    /// Returns the key under which the log stores this owner.
    ///
    /// A conversation's id never begins with `user:`.
    pub fn key(&self) -> String {
        match self {
            Self::Conversation(id) => id.to_string(),
            Self::User(id) => format!("{}{id}", Self::USER_PREFIX),
        }
    }

    /// Returns the owner of a stored key; `None` if the text is not a key.
    pub fn from_key(key: &str) -> Option<Self> {
        match key.strip_prefix(Self::USER_PREFIX) {
            Some(user) => UserId::stored(user).ok().map(Self::User),
            None => key.parse().ok().map(Self::Conversation),
        }
    }

    /// Returns the shard of this log (FNV-1a of the key).
    pub fn shard(&self) -> u8 {
        let (prefix, id) = match self {
            Self::Conversation(id) => ("", id.as_str()),
            Self::User(id) => (Self::USER_PREFIX, id.as_str()),
        };
        let mut hash: u32 = 0x811c_9dc5;
        for byte in prefix.bytes().chain(id.bytes()) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        // The high bits are better mixed than the low ones. The remainder is below SHARDS, so it fits.
        ((hash >> 16) % u32::from(SHARDS)) as u8
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversation(id) => id.fmt(f),
            Self::User(id) => write!(f, "{}{id}", Self::USER_PREFIX),
        }
    }
}

impl From<ConversationId> for Owner {
    fn from(id: ConversationId) -> Self {
        Self::Conversation(id)
    }
}

impl From<UserId> for Owner {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

/// One numbered change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Id of the entry, assigned where the command entered.
    pub id: EventId,
    /// Owner of the log.
    pub owner: Owner,
    /// Seq in that log, without gaps, starting at 1.
    pub seq: u64,
    /// User who made the change; `None` for the host acting without a user.
    pub actor: Option<UserId>,
    /// Time of the change, by the clock of the process that checked it.
    ///
    /// The order is that of `seq`, never of this.
    pub at: Timestamp,
    /// The change.
    pub body: Body,
    /// Trace context of the request.
    ///
    /// Published with the event but not stored: events that the relay republishes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl Entry {
    /// Returns the trace context of the request, or one derived from the entry's id if there was none.
    pub fn trace(&self) -> TraceParent {
        self.trace.unwrap_or_else(|| TraceParent::of(&self.id))
    }
}

/// The change that an entry makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// A message was sent.
    MessageCreated(Box<MessageCreated>),
    /// A message was edited.
    MessageUpdated(MessageEdit),
    /// A message was deleted or has expired.
    MessageDeleted(MessageRemoval),
    /// A deleted message was restored.
    MessageRestored(Box<MessageRestored>),
    /// A message was pinned.
    MessagePinned(MessageTarget),
    /// A message was unpinned.
    MessageUnpinned(MessageTarget),
    /// A user reacted to a message.
    ReactionAdded(Reaction),
    /// A user removed a reaction.
    ReactionRemoved(Reaction),
    /// A conversation was created.
    ConversationCreated(ConversationCreated),
    /// A conversation's settings were changed.
    ConversationUpdated(ConversationSnapshot),
    /// A conversation was deleted.
    ConversationDeleted,
    /// Users became members.
    ParticipantAdded(ParticipantsJoined),
    /// Users left or were removed.
    ParticipantRemoved(ParticipantsLeft),
    /// A member's role or own settings were changed.
    ParticipantUpdated(ParticipantChange),
    /// The host synced a user.
    UserSynced(Profile),
    /// A user changed their profile.
    UserUpdated(Profile),
    /// A user was deleted.
    UserDeleted,
    /// A user blocked another user.
    UserBlocked(Block),
    /// A user unblocked another.
    UserUnblocked(Block),
    /// The host closed a user's sockets and revoked older tokens.
    UserDisconnected(Disconnection),
    /// A plugin published an event.
    Plugin(Box<PluginData>),
    /// Placeholder for a seq without a change.
    Noop,
}

/// Event of a plugin. It changes nothing in the state of its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginData {
    /// Type of the event.
    pub kind: EventType,
    /// Data of the event.
    pub data: Metadata,
}

/// Data of an event of a plugin as a store writes it. The JSON is one text, so that none of its keys can have a meaning for the database.
#[derive(Serialize, Deserialize)]
struct StoredPluginData<D> {
    json: D,
}

/// Stored data of an entry, in the format of a store.
pub trait ReadData {
    /// Error of data of another shape.
    type Error: serde::de::Error;
    /// Reads the data as a `T`.
    ///
    /// # Errors
    /// Fails if the data has another shape.
    fn read<T: DeserializeOwned>(self) -> Result<T, Self::Error>;
}

/// Data of an entry as a store writes it: without its type.
pub struct Data<'a>(pub &'a Body);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Body::MessageCreated(data) => data.serialize(serializer),
            Body::MessageUpdated(data) => data.serialize(serializer),
            Body::MessageDeleted(data) => data.serialize(serializer),
            Body::MessageRestored(data) => data.serialize(serializer),
            Body::MessagePinned(data) | Body::MessageUnpinned(data) => data.serialize(serializer),
            Body::ReactionAdded(data) | Body::ReactionRemoved(data) => data.serialize(serializer),
            Body::UserBlocked(data) | Body::UserUnblocked(data) => data.serialize(serializer),
            Body::UserDisconnected(data) => data.serialize(serializer),
            Body::ConversationCreated(data) => data.serialize(serializer),
            Body::ConversationUpdated(data) => data.serialize(serializer),
            Body::ParticipantAdded(data) => data.serialize(serializer),
            Body::ParticipantRemoved(data) => data.serialize(serializer),
            Body::ParticipantUpdated(data) => data.serialize(serializer),
            Body::UserSynced(data) | Body::UserUpdated(data) => data.serialize(serializer),
            Body::Plugin(event) => StoredPluginData { json: &event.data }.serialize(serializer),
            Body::ConversationDeleted | Body::UserDeleted | Body::Noop => {
                serializer.serialize_map(Some(0))?.end()
            }
        }
    }
}

impl Body {
    /// Returns the type of the event.
    pub fn kind(&self) -> EventType {
        match self {
            Self::MessageCreated(_) => EventType::MessageCreated,
            Self::MessageUpdated(_) => EventType::MessageUpdated,
            Self::MessageDeleted(_) => EventType::MessageDeleted,
            Self::MessageRestored(_) => EventType::MessageRestored,
            Self::MessagePinned(_) => EventType::MessagePinned,
            Self::MessageUnpinned(_) => EventType::MessageUnpinned,
            Self::ReactionAdded(_) => EventType::ReactionAdded,
            Self::ReactionRemoved(_) => EventType::ReactionRemoved,
            Self::ConversationCreated(_) => EventType::ConversationCreated,
            Self::ConversationUpdated(_) => EventType::ConversationUpdated,
            Self::ConversationDeleted => EventType::ConversationDeleted,
            Self::ParticipantAdded(_) => EventType::ParticipantAdded,
            Self::ParticipantRemoved(_) => EventType::ParticipantRemoved,
            Self::ParticipantUpdated(_) => EventType::ParticipantUpdated,
            Self::UserSynced(_) => EventType::UserSynced,
            Self::UserUpdated(_) => EventType::UserUpdated,
            Self::UserDeleted => EventType::UserDeleted,
            Self::UserBlocked(_) => EventType::UserBlocked,
            Self::UserUnblocked(_) => EventType::UserUnblocked,
            Self::UserDisconnected(_) => EventType::UserDisconnected,
            Self::Plugin(event) => event.kind,
            Self::Noop => EventType::Noop,
        }
    }

    /// Reads the data of an entry of `kind`.
    ///
    /// # Errors
    /// Fails if the data has another shape, or if entries of this kind are in no log.
    pub fn read<R: ReadData>(kind: EventType, data: R) -> Result<Self, R::Error> {
        Ok(match kind {
            EventType::MessageCreated => Self::MessageCreated(data.read()?),
            EventType::MessageUpdated => Self::MessageUpdated(data.read()?),
            EventType::MessageDeleted => Self::MessageDeleted(data.read()?),
            EventType::MessageRestored => Self::MessageRestored(data.read()?),
            EventType::MessagePinned => Self::MessagePinned(data.read()?),
            EventType::MessageUnpinned => Self::MessageUnpinned(data.read()?),
            EventType::ReactionAdded => Self::ReactionAdded(data.read()?),
            EventType::ReactionRemoved => Self::ReactionRemoved(data.read()?),
            EventType::ConversationCreated => Self::ConversationCreated(data.read()?),
            EventType::ConversationUpdated => Self::ConversationUpdated(data.read()?),
            EventType::ConversationDeleted => Self::ConversationDeleted,
            EventType::ParticipantAdded => Self::ParticipantAdded(data.read()?),
            EventType::ParticipantRemoved => Self::ParticipantRemoved(data.read()?),
            EventType::ParticipantUpdated => Self::ParticipantUpdated(data.read()?),
            EventType::UserSynced => Self::UserSynced(data.read()?),
            EventType::UserUpdated => Self::UserUpdated(data.read()?),
            EventType::UserDeleted => Self::UserDeleted,
            EventType::UserBlocked => Self::UserBlocked(data.read()?),
            EventType::UserUnblocked => Self::UserUnblocked(data.read()?),
            EventType::UserDisconnected => Self::UserDisconnected(data.read()?),
            EventType::Noop => Self::Noop,
            EventType::Plugin(_) => {
                let stored: StoredPluginData<Metadata> = data.read()?;
                let data = stored.json;
                Self::Plugin(Box::new(PluginData { kind, data }))
            }
            EventType::MessageRead
            | EventType::MessageDelivered
            | EventType::ConversationRead
            | EventType::DraftUpdated
            | EventType::MessageHeld
            | EventType::MessageDropped
            | EventType::UserOnline
            | EventType::UserAway
            | EventType::UserOffline => {
                return Err(serde::de::Error::custom("latest values are in no log"));
            }
        })
    }

    /// Returns the seq of the message concerned, if only members at that time may see it.
    pub fn message_seq(&self) -> Option<u64> {
        match self {
            Self::MessageUpdated(edit) => edit.message_seq,
            Self::MessageDeleted(removal) => removal.message_seq,
            Self::MessageRestored(restored) => restored.message_seq,
            Self::MessagePinned(target) | Self::MessageUnpinned(target) => target.message_seq,
            Self::ReactionAdded(reaction) | Self::ReactionRemoved(reaction) => reaction.message_seq,
            _ => None,
        }
    }

    /// Returns the same body with the seq of the message set.
    ///
    /// A body that concerns no message stays as it is.
    pub fn with_message_seq(mut self, seq: u64) -> Self {
        match &mut self {
            Self::MessageUpdated(edit) => edit.message_seq = Some(seq),
            Self::MessageDeleted(removal) => removal.message_seq = Some(seq),
            Self::MessageRestored(restored) => restored.message_seq = Some(seq),
            Self::MessagePinned(target) | Self::MessageUnpinned(target) => {
                target.message_seq = Some(seq);
            }
            Self::ReactionAdded(reaction) | Self::ReactionRemoved(reaction) => {
                reaction.message_seq = Some(seq);
            }
            _ => {}
        }
        self
    }
}

/// A conversation right after an entry: what readers of the stream need to show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationSnapshot {
    /// Type of the conversation.
    #[serde(rename = "type")]
    pub kind: ConversationType,
    /// Its settings.
    pub settings: ConversationSettings,
    /// User who created it.
    pub created_by: UserId,
    /// Time of creation (milliseconds since 1970).
    pub created_at: i64,
    /// Number of members.
    pub participant_count: u32,
    /// Ids of its first members, ordered by user id.
    pub participant_ids: Vec<UserId>,
}

/// Creation of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationCreated {
    /// The conversation as it was created.
    pub conversation: ConversationSnapshot,
    /// First members, at most 200, including the creator.
    pub members: Vec<NewMember>,
}

/// A member of a new conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMember {
    /// Id of the member.
    pub user_id: UserId,
    /// Role of the member.
    pub role: Role,
}

/// Users who became members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsJoined {
    /// Ids of the new members, at most 200.
    pub user_ids: Vec<UserId>,
    /// Role of the new members.
    pub role: Role,
    /// The conversation with the new members.
    pub conversation: ConversationSnapshot,
}

/// Users who are no longer members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsLeft {
    /// Ids of the former members, at most 200.
    pub user_ids: Vec<UserId>,
    /// True if the users were deleted: later holders of the ids share nothing with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forgotten: bool,
}

/// A change of one member.
///
/// A change with a role is visible to all members; without one, only to the member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantChange {
    /// Id of the member.
    pub user_id: UserId,
    /// The new role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The member's new settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// True if the member now blocks the other member of a direct conversation; false if no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_blocking: Option<bool>,
    /// True if the user, a former member, was deleted: a later holder of the id shares nothing with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forgotten: bool,
}

impl ParticipantChange {
    /// Returns a change without any field set.
    pub fn of(user_id: UserId) -> Self {
        Self {
            user_id,
            role: None,
            preferences: None,
            is_blocking: None,
            is_forgotten: false,
        }
    }
}

/// A block of one user by another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Id of the blocked user.
    pub user_id: UserId,
}

/// Revocation of a user's tokens: of all, or of one session's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disconnection {
    /// Tokens issued before this time are refused (milliseconds since 1970).
    pub tokens_valid_from: i64,
    /// Id of the only session whose tokens are refused (claim `sid`); absent for all of the user's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// Profile of a user, as the host supplies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of the user's picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Roles that the host gives the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Data that the host attaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Time of the user's creation in the service (milliseconds since 1970).
    #[serde(default)]
    pub created_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_parsed_from_their_keys() {
        let conversation = Owner::from(ConversationId::generate());
        let user = Owner::from("user:odd".parse::<UserId>().expect("a valid user id"));
        for owner in [conversation, user] {
            assert_eq!(Owner::from_key(&owner.key()), Some(owner.clone()));
            assert!(owner.shard() < SHARDS);
        }
    }

    #[test]
    fn conversations_spread_over_all_shards() {
        let mut used = std::collections::HashSet::new();
        for _ in 0..5000 {
            used.insert(Owner::from(ConversationId::generate()).shard());
        }
        assert_eq!(used.len(), usize::from(SHARDS));
    }
}
