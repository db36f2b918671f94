//! The nouns of the contract, as REST, WebSocket, NATS and webhooks show them.
//!
//! A field that has no value is left out, never `null`.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{ConversationId, MessageId, Metadata, Timestamp, UserId};

/// What kind of conversation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ConversationType {
    /// Between two users; there is at most one for a pair, and its members never change.
    Direct,
    /// Between members who were added.
    Group,
    /// A group that everybody can find and join.
    Public,
}

/// What a member who joins sees of the time before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum HistoryVisibility {
    /// Everything since the conversation began.
    #[default]
    Full,
    /// Only what came after joining.
    Joined,
}

/// A member's rights in a conversation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Enum, Default,
)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes.
    #[default]
    Member,
    /// Also changes settings, adds and removes members, deletes messages.
    Admin,
    /// Also appoints admins and owners and deletes the conversation.
    Owner,
}

/// What a message is, for the client that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default, Hash)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum MessageType {
    /// Written by a user.
    #[default]
    Text,
    /// Said by the host or the service about the conversation.
    System,
    /// Whatever the host makes of `metadata`.
    Custom,
}

/// How a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum PresenceStatus {
    /// There.
    Online,
    /// There, but nothing was heard of them for a while.
    Away,
    /// There, and does not want to be disturbed.
    Busy,
    /// Not there, or invisible.
    #[default]
    Offline,
}

/// How a user wants to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ChosenStatus {
    /// As they are.
    #[default]
    Online,
    /// Away while there.
    Away,
    /// Busy while there.
    Busy,
    /// Offline for everybody but themselves.
    Invisible,
}

/// How a user is at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Presence {
    /// Who.
    pub user_id: UserId,
    /// How they are.
    pub status: PresenceStatus,
    /// What they say about it; absent while they are offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When they were last there; absent while they are, and where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// Of what in a conversation a member wants to be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum NotificationLevel {
    /// Every message.
    #[default]
    All,
    /// Only messages that mention the member.
    Mentions,
    /// Nothing.
    None,
}

/// What a conversation allows. Everything is on where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase", default)]
pub struct Features {
    /// Whether members see who is typing or recording.
    pub typing: bool,
    /// Whether members see who read and got what. Unread counts go on without.
    pub reads: bool,
    /// Whether members may react to messages.
    pub reactions: bool,
    /// Whether members may reply in threads.
    pub threads: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            typing: true,
            reads: true,
            reactions: true,
            threads: true,
        }
    }
}

/// A member's own settings in a conversation; nobody else sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, default)]
pub struct Preferences {
    /// Whether the member wants no notifications.
    pub muted: bool,
    /// Until when, if not for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// Whether it is put away; it is then listed only with `archived=true`.
    pub archived: bool,
    /// Whether it is pinned to the top.
    pub pinned: bool,
    /// Whether it is left out of lists until the next message.
    pub hidden: bool,
    /// Of what the member wants to be notified.
    pub notification_level: NotificationLevel,
}

/// Where a forwarded message comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ForwardedFrom {
    /// The first message.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender_id: UserId,
}

/// A file that a message carries; the service stores the link, not the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Attachment {
    /// Where the file is: at most 2,048 characters.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub url: String,
    /// Its media type, for example `image/png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 255))]
    pub mime_type: Option<String>,
    /// Its name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 255))]
    pub name: Option<String>,
    /// Its size in bytes.
    #[serde(
        default,
        deserialize_with = "crate::whole_number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[oai(validator(minimum(value = "0")))]
    pub size: Option<i64>,
    /// A smaller picture of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 2048))]
    pub thumbnail_url: Option<String>,
}

/// How many users reacted to a message with one emoji, and who.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReactionSummary {
    /// The emoji or `:shortcode:`.
    pub emoji: String,
    /// How many users.
    pub count: u32,
    /// The first 20 of them.
    pub user_ids: Vec<UserId>,
    /// Whether the caller is one of them.
    pub reacted_by_me: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The conversation it stands in.
    pub conversation_id: ConversationId,
    /// Its dense number in the conversation's log; messages are ordered by it.
    pub seq: u64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// Its text; empty when deleted.
    pub content: String,
    /// What it is.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: MessageType,
    /// The files it carries.
    pub attachments: Vec<Attachment>,
    /// The message that it quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The root of the thread it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// How many replies its thread has.
    pub reply_count: u32,
    /// When its thread was last replied to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reply_at: Option<Timestamp>,
    /// Who is mentioned in it; `@all` is every member, `@here` everybody who was online.
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Where it was forwarded from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
    /// True when it notifies nobody and counts as unread for nobody; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// When it will be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was pinned; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Timestamp>,
    /// Who pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<UserId>,
    /// The id under which the sender made sending it repeatable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// The reactions to it, one item per emoji.
    pub reactions: Vec<ReactionSummary>,
    /// Whether its text was changed.
    pub is_edited: bool,
    /// Whether it was deleted; a tombstone keeps its place.
    pub is_deleted: bool,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Message {
    /// Takes away what a deleted message does not show.
    pub fn make_tombstone(&mut self) {
        self.content = String::new();
        self.attachments = Vec::new();
        self.metadata = None;
        self.mentions = Vec::new();
        self.forwarded_from = None;
        self.pinned_at = None;
        self.pinned_by = None;
        self.reactions = Vec::new();
        self.is_deleted = true;
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// What kind it is.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: ConversationType,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The host's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// What a member who joins sees of the time before.
    pub history_visibility: HistoryVisibility,
    /// What it allows.
    pub features: Features,
    /// How long messages stay, in seconds; for ever where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u32>,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings or members last changed.
    pub updated_at: Timestamp,
    /// When something last happened in it.
    pub last_activity_at: Timestamp,
    /// How many members it has.
    pub participant_count: u32,
    /// Its first 20 members by user id.
    pub participant_ids: Vec<UserId>,
    /// The number of its newest log entry that this answer knows.
    pub seq: u64,
    /// Its newest message; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Box<Message>>,
    /// The caller's role in it; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub my_role: Option<Role>,
    /// The caller's own settings in it; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// The number up to which the caller has read, 0 when nothing; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
    /// How many messages the caller has not read; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_count: Option<u64>,
    /// How many of them mention the caller; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mention_count: Option<u64>,
    /// What the caller has begun to write; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// A user's membership in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Participant {
    /// Who.
    pub user_id: UserId,
    /// With which rights.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// The user's name, where the host gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's picture, where the host gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct User {
    /// The host's id of the user.
    pub external_user_id: UserId,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The picture to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The e-mail address; shown to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The host's roles of the user; shown to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The host's own data; shown to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// When the service first heard of the user.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}
