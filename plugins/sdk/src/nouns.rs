//! The resources of the contract, as REST, WebSocket, NATS and webhooks return them.
//!
//! A field without a value is left out, never `null`.

use poem_openapi::{Enum, Object, registry::Registry};
use serde::{Deserialize, Serialize};

use crate::{ConversationId, MessageId, Metadata, Timestamp, UserId};

/// Type of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ConversationType {
    /// Between two users: at most one conversation per pair, whose members never change.
    Direct,
    /// Between members who were added to it.
    Group,
    /// A group that every user can find and join.
    Public,
}

/// Part of the history that a new member sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum HistoryVisibility {
    /// All messages since the conversation was created.
    #[default]
    Full,
    /// Only messages that were sent after the member joined.
    Joined,
}

/// Role of a member in a conversation; each role includes the rights of those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Enum, Default,
)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Role {
    /// May read and send messages.
    #[default]
    Member,
    /// May also change settings, add and remove members, and delete messages.
    Admin,
    /// May also appoint admins and owners and delete the conversation.
    Owner,
}

/// Type of a message, which tells a client how to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default, Hash)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum MessageType {
    /// Written by a user.
    #[default]
    Text,
    /// Sent by the host or the service about the conversation.
    System,
    /// Defined by the host, usually by `metadata`.
    Custom,
}

/// Presence of a user, as other users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum PresenceStatus {
    /// Connected and active.
    Online,
    /// Connected, but inactive for a while or away by choice.
    Away,
    /// Connected, and does not want to be disturbed.
    Busy,
    /// Not connected, or invisible.
    #[default]
    Offline,
}

/// Status that a user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ChosenStatus {
    /// Shown by activity: online, or away after a while without activity.
    #[default]
    Online,
    /// Shown as away while connected.
    Away,
    /// Shown as busy while connected.
    Busy,
    /// Shown as offline to everyone but the user.
    Invisible,
}

/// Current presence of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Presence {
    /// Id of the user.
    pub user_id: UserId,
    /// Status of the user as others see it.
    pub status: PresenceStatus,
    /// Status text of the user, at most 200 characters; absent while the user is offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Time at which the user was last online; absent while the user is online, away or busy, and if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// Messages of a conversation that a member wants to be notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum, Default)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum NotificationLevel {
    /// Every message.
    #[default]
    All,
    /// Only messages that mention the member.
    Mentions,
    /// No messages at all.
    None,
}

/// Features of a conversation. Each is on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase", default)]
pub struct Features {
    /// True if members see who is typing or recording; default true.
    pub typing: bool,
    /// True if members see read and delivery receipts; default true. Unread counts do not depend on it.
    pub reads: bool,
    /// True if members may react to messages; default true.
    pub reactions: bool,
    /// True if members may reply in threads; default true.
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

/// A member's own settings of a conversation; no other member sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, default)]
pub struct Preferences {
    /// True if the member wants no notifications; default false.
    pub muted: bool,
    /// End of the muting; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// True if the conversation is archived: it is then listed only with `archived=true`; default false.
    pub archived: bool,
    /// True if the conversation is pinned to the top of lists; default false.
    pub pinned: bool,
    /// True if the conversation is left out of lists until its next message; default false.
    pub hidden: bool,
    /// Messages that the member wants to be notified of; default `all`.
    pub notification_level: NotificationLevel,
}

/// Origin of a forwarded message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ForwardedFrom {
    /// Id of the original message, also if a copy of it was forwarded.
    pub message_id: MessageId,
    /// Id of the user who sent the original message.
    pub sender_id: UserId,
}

/// File of a message; the service stores the link, not the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Attachment {
    /// URL of the file: 1 to 2,048 characters.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub url: String,
    /// Media type of the file, for example `image/png`; at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 255))]
    pub mime_type: Option<String>,
    /// Name of the file, for people; at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 255))]
    pub name: Option<String>,
    /// Size of the file in bytes.
    #[serde(
        default,
        deserialize_with = "crate::whole_number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[oai(validator(minimum(value = "0")))]
    pub size: Option<i64>,
    /// URL of a preview image of the file, at most 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(max_length = 2048))]
    pub thumbnail_url: Option<String>,
}

/// Reactions to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReactionSummary {
    /// The reaction: one emoji or a `:shortcode:`.
    pub emoji: String,
    /// Number of users who react with it.
    pub count: u32,
    /// Ids of the first 20 of these users.
    pub user_ids: Vec<UserId>,
    /// True if the caller is one of these users.
    pub reacted_by_me: bool,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Message {
    /// Id of the message.
    pub id: MessageId,
    /// Id of the conversation of the message.
    pub conversation_id: ConversationId,
    /// Seq of the message in the conversation log, from 1; messages are ordered by it. Other events take numbers of the same log. 0 while it is held.
    pub seq: u64,
    /// Id of the user who sent the message; `system` if the host sent it without an acting user.
    pub sender_id: UserId,
    /// Text of the message, at most `MAX_MESSAGE_BYTES` (16,384 bytes by default); empty if the message is deleted.
    pub content: String,
    /// Type of the message.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: MessageType,
    /// Files of the message, at most 20.
    pub attachments: Vec<Attachment>,
    /// Id of the message that this message quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Id of the root message of the thread that this message is a reply in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Number of replies in the thread of which this message is the root.
    pub reply_count: u32,
    /// Time of the newest reply in that thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reply_at: Option<Timestamp>,
    /// Ids of the mentioned users, at most 100; `@all` mentions every member, `@here` every member who was online.
    pub mentions: Vec<UserId>,
    /// Metadata of the message, set by the host; at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Origin of the message, if it was forwarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
    /// True if the message notifies no one and does not count as unread; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Time at which the message expires; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Time at which the message was pinned; absent while it is not pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Timestamp>,
    /// Id of the user who pinned the message; absent if the host pinned it, and while it is not pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<UserId>,
    /// Id that the sender gave the message, 1 to 128 characters; a send that is repeated with the same id returns the same message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// Reactions to the message, one item per emoji; at most 50.
    pub reactions: Vec<ReactionSummary>,
    /// True if the message was edited.
    pub is_edited: bool,
    /// True if the message was deleted; it stays in lists as a tombstone without content.
    pub is_deleted: bool,
    /// True while the message is held for review: only its author sees it, and its `seq` is 0. Otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_held: Option<bool>,
    /// Time at which the message was sent.
    pub created_at: Timestamp,
    /// Time at which the message was last changed.
    pub updated_at: Timestamp,
}

impl Message {
    /// Removes all fields that a deleted message does not show.
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

/// Settings of a conversation that its members and the host can change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ConversationSettings {
    /// Name of the conversation, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of the picture of the conversation, at most 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Metadata of the conversation, set by the host; at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Part of the history that a new member sees; default `full`.
    #[serde(default)]
    pub history_visibility: HistoryVisibility,
    /// Features of the conversation that are on or off.
    #[serde(default)]
    pub features: Features,
    /// Time after which messages expire, in seconds, 60 to 315,360,000 (ten years); absent if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_seconds: Option<u32>,
}

impl ConversationSettings {
    /// Returns the names of all settings, as JSON has them.
    pub fn names() -> Vec<&'static str> {
        let schema = Registry::new().create_fake_schema::<Self>();
        schema
            .properties
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }
}

/// A message that a hook holds for review. Only its author and the host see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct HeldMessage {
    /// The message; `isHeld` is true and `seq` is 0. It keeps its id when it is released.
    pub message: Message,
    /// Time from which it is held.
    pub held_at: Timestamp,
    /// Name of the hook that holds it; returned to the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Reason that the hook gave; returned to the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Id of the receiver, if the direct conversation will be created with the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_id: Option<UserId>,
}

/// A conversation and, in answers to a member, the caller's own state in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Conversation {
    /// Id of the conversation.
    pub id: ConversationId,
    /// Type of the conversation.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: ConversationType,
    /// Settings of the conversation.
    #[serde(flatten)]
    #[oai(flatten)]
    pub settings: ConversationSettings,
    /// Id of the user who created the conversation.
    pub created_by: UserId,
    /// Time at which the conversation was created.
    pub created_at: Timestamp,
    /// Time at which settings or members last changed.
    pub updated_at: Timestamp,
    /// Time of the newest activity in the conversation.
    pub last_activity_at: Timestamp,
    /// Number of members of the conversation.
    pub participant_count: u32,
    /// Ids of the first 20 members, in the order of user ids.
    pub participant_ids: Vec<UserId>,
    /// Seq of the newest entry of the conversation log that this answer includes.
    pub seq: u64,
    /// Newest message of the conversation; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Box<Message>>,
    /// Role of the caller; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub my_role: Option<Role>,
    /// The caller's own settings of the conversation; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
    /// Seq up to which the caller has read, 0 if nothing is read; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
    /// Number of messages that the caller has not read, counted within the newest 100,000 entries; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_count: Option<u64>,
    /// Number of these unread messages that mention the caller; only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mention_count: Option<u64>,
    /// Unsent text of the caller; absent if there is none. Only in answers to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// Membership of a user in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Participant {
    /// Id of the user.
    pub user_id: UserId,
    /// Role of the user in the conversation.
    pub role: Role,
    /// Time at which the user joined.
    pub joined_at: Timestamp,
    /// Name of the user; absent if none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of the user's picture; absent if none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A user of the host, with the profile that the host or the user set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct User {
    /// Id that the host gave the user.
    pub external_user_id: UserId,
    /// Display name of the user, 1 to 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of the user's picture, at most 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// E-mail address, at most 320 characters; returned to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Roles of the user in the host's product, at most 50; returned to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Metadata of the user, set by the host, at most 16 KiB; returned to the user and the host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Time at which the service first learned of the user.
    pub created_at: Timestamp,
    /// Time at which the profile last changed.
    pub updated_at: Timestamp,
}
