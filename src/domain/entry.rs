//! An entry of a log: one change, numbered.
//!
//! What stands here is what is stored; [`super::catalogue`] turns it into what the world sees.

use std::fmt;

use chat_sdk::{
    Attachment, ConversationId, ConversationType, EventId, EventType, Features, ForwardedFrom,
    HistoryVisibility, MessageId, MessageType, Metadata, Preferences, Role, ScheduledId, Timestamp,
    TraceParent, UserId,
};
use serde::{Deserialize, Serialize};

use super::patch::Patch;

/// Whose log an entry stands in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// A conversation's: messages, members, settings.
    Conversation(ConversationId),
    /// A user's: the profile.
    User(UserId),
}

/// How many shards the logs are spread over: the unit of one-writer ownership and of NATS subjects. Fixed for ever, because subjects name it.
pub const SHARDS: u8 = 64;

impl Owner {
    const USER_PREFIX: &'static str = "user:";

    /// The text under which the log stores this owner. A conversation's id never begins with `user:`.
    pub fn key(&self) -> String {
        match self {
            Self::Conversation(id) => id.to_string(),
            Self::User(id) => format!("{}{id}", Self::USER_PREFIX),
        }
    }

    /// The owner of a stored key; `None` for a text that is none.
    pub fn from_key(key: &str) -> Option<Self> {
        match key.strip_prefix(Self::USER_PREFIX) {
            Some(user) => UserId::stored(user).ok().map(Self::User),
            None => key.parse().ok().map(Self::Conversation),
        }
    }

    /// The shard that this log belongs to (FNV-1a of the key).
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
    /// Its id, given where the command entered.
    pub id: EventId,
    /// Whose log.
    pub owner: Owner,
    /// Its number there, dense, from 1.
    pub seq: u64,
    /// Who did it; `None` when the host did it in no user's name.
    pub actor: Option<UserId>,
    /// When, by the clock of the process that checked it. Order is by `seq`, never by this.
    pub at: Timestamp,
    /// What.
    pub body: Body,
    /// The trace that it came in. Told with the event, and stored nowhere: what the relay puts back has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl Entry {
    /// The trace that it came in; of one that came in none, its own.
    pub fn trace(&self) -> TraceParent {
        self.trace.unwrap_or_else(|| TraceParent::of(&self.id))
    }
}

/// What an entry changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// A message was sent.
    MessageCreated(Box<MessageCreated>),
    /// A message's text was changed.
    MessageUpdated(MessageEdit),
    /// A message was deleted, or its time was over.
    MessageDeleted(MessageRemoval),
    /// A deleted message is back.
    MessageRestored(Box<MessageRestored>),
    /// A message was pinned.
    MessagePinned(MessageTarget),
    /// A message is pinned no more.
    MessageUnpinned(MessageTarget),
    /// A user reacted to a message.
    ReactionAdded(Reaction),
    /// A user took a reaction back.
    ReactionRemoved(Reaction),
    /// A conversation was made.
    ConversationCreated(ConversationCreated),
    /// A conversation's settings were changed.
    ConversationUpdated(ConversationSnapshot),
    /// A conversation was deleted.
    ConversationDeleted,
    /// Users became members.
    ParticipantAdded(ParticipantsJoined),
    /// Users ceased to be members.
    ParticipantRemoved(ParticipantsLeft),
    /// A member's role was changed, or what is the member's own.
    ParticipantUpdated(ParticipantChange),
    /// The host told of a user.
    UserSynced(Profile),
    /// A user changed their profile.
    UserUpdated(Profile),
    /// A user was deleted.
    UserDeleted,
    /// A user blocked another.
    UserBlocked(Block),
    /// A user blocks another no more.
    UserUnblocked(Block),
    /// The host ended a user's sockets and refuses older tokens.
    UserDisconnected(Disconnection),
    /// The number stays empty.
    Noop,
}

impl Body {
    /// The type of event that this is.
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
            Self::Noop => EventType::Noop,
        }
    }

    /// The number of the message that it is about, where only those see it who were members then.
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

    /// The same, with the number of the message written down; what is about no message stays as it is.
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

    /// The one member who may be told of it; `None` when all may.
    pub fn told_only_to(&self) -> Option<&UserId> {
        match self {
            Self::ParticipantUpdated(change) if change.role.is_none() => Some(&change.user_id),
            _ => None,
        }
    }
}

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageCreated {
    /// Its text.
    pub content: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// The files it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that it quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The root of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Who is mentioned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The sender's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// Tells a repetition from another message under the same `client_message_id`; there only with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
    /// How many replies its thread has with it; there only in a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_reply_count: Option<u32>,
    /// Whether its thread has replies with an end, itself included; then the replies that are left have to be counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_thread_expiring: bool,
    /// Those who were online when it mentioned `@here`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub here: Vec<UserId>,
    /// Whether it notifies nobody and counts as unread for nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Where it was forwarded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
    /// When its time is over (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The schedule that sent it; only with a `client_message_id`, so that a repeated request gets the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SentSchedule>,
}

/// The schedule of a message that was sent by it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentSchedule {
    /// Id of the scheduled message.
    pub id: ScheduledId,
    /// The time of the first request.
    pub first_send_at: i64,
    /// The time for which the message was scheduled last.
    pub send_at: i64,
    /// When the message was scheduled.
    pub created_at: i64,
    /// When the schedule was last changed.
    pub updated_at: i64,
}

/// A message's removal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRemoval {
    /// The message's id.
    pub message_id: MessageId,
    /// Whether its time was over: then no tombstone stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_expired: bool,
    /// The message's number, where only those see it who were members then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// A message that is back, as it was before it was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRestored {
    /// The message's id.
    pub message_id: MessageId,
    /// The entry that last changed its text before; 0 when none did. Another by now means that this content is not the one that was deleted.
    pub edit_seq: u64,
    /// Its text.
    pub content: String,
    /// The files it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Who is mentioned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The message's number, where only those see it who were members then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// A reaction to a message, given or taken back, with what the message's reactions are then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The message's id.
    pub message_id: MessageId,
    /// One emoji, or a `:shortcode:`.
    pub emoji: String,
    /// Who.
    pub user_id: UserId,
    /// How many users have reacted with it then.
    pub total_count: u32,
    /// The first of them.
    pub user_ids: Vec<UserId>,
    /// The message's number, where only those see it who were members then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Which message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageTarget {
    /// The message's id.
    pub message_id: MessageId,
    /// The message's number, where only those see it who were members then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// A message's new text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdit {
    /// The message's id.
    pub message_id: MessageId,
    /// Its text from now on.
    pub content: String,
    /// What becomes of the host's own data.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Metadata>,
    /// The message's number, where only those see it who were members then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// What a conversation is called and how it behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// What a member who joins sees of the time before.
    #[serde(default)]
    pub history_visibility: HistoryVisibility,
    /// What it allows.
    #[serde(default)]
    pub features: Features,
    /// How long messages stay, in seconds; `None` for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u32>,
}

/// A conversation as it is right after an entry: what readers of the stream need to show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationSnapshot {
    /// What kind it is.
    #[serde(rename = "type")]
    pub kind: ConversationType,
    /// Its settings.
    pub settings: Settings,
    /// Who made it; `None` only for one the host made in no user's name.
    pub created_by: UserId,
    /// When it was made (milliseconds since 1970).
    pub created_at: i64,
    /// How many members it has.
    pub participant_count: u32,
    /// Its first members by user id.
    pub participant_ids: Vec<UserId>,
}

/// A conversation's beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationCreated {
    /// How it begins.
    pub conversation: ConversationSnapshot,
    /// Its first members, at most 200; the maker among them.
    pub members: Vec<NewMember>,
}

/// A member of a new conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMember {
    /// Who.
    pub user_id: UserId,
    /// With which rights.
    pub role: Role,
}

/// Users who became members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsJoined {
    /// Who; at most 200.
    pub user_ids: Vec<UserId>,
    /// With which rights.
    pub role: Role,
    /// The conversation with them.
    pub conversation: ConversationSnapshot,
}

/// Users who ceased to be members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantsLeft {
    /// Who; at most 200.
    pub user_ids: Vec<UserId>,
    /// Whether they were deleted: a later holder of the id shares nothing with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forgotten: bool,
}

/// A change of one member. With a role everybody is told; without, it is the member's own affair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantChange {
    /// Who.
    pub user_id: UserId,
    /// The role from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The member's own settings from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// Whether the member blocks the other one of a direct conversation from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_blocking: Option<bool>,
    /// Whether the user, a former member, was deleted: a later holder of the id shares nothing with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forgotten: bool,
}

impl ParticipantChange {
    /// A change of nothing.
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

/// Whom a user blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Who is blocked.
    pub user_id: UserId,
}

/// From when on a user's tokens count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disconnection {
    /// Tokens issued before are refused (milliseconds since 1970).
    pub tokens_valid_from: i64,
}

/// What a host tells of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The picture to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The host's roles of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// When the service first heard of the user (milliseconds since 1970).
    #[serde(default)]
    pub created_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_back_from_their_keys() {
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
