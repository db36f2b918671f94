//! Data of the events: one type for each shape.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::{
    Attachment, Conversation, ConversationId, MessageId, Metadata, Preferences, PresenceStatus,
    Role, Timestamp, UserId,
};

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

/// Data of `message.held`: a message that waits for a review. `GET /api/held` returns its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageHeld {
    /// Id of the message, which it keeps when it is released.
    pub message_id: MessageId,
    /// Id of the conversation that it was sent to.
    pub conversation_id: ConversationId,
    /// Id that the sender gave the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// Time from which it is held.
    pub held_at: Timestamp,
}

/// Data of `message.dropped`: a held message that will not be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageDropped {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the conversation that it was sent to.
    pub conversation_id: ConversationId,
    /// Id that the sender gave the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// Time at which it was dropped.
    pub dropped_at: Timestamp,
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
    /// Id of the only session whose sockets were closed and whose tokens are rejected (claim `sid`); absent for all sessions of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
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
