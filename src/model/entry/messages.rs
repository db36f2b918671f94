//! Data of the entries that concern messages.

use chat_sdk::{
    Attachment, ForwardedFrom, MessageId, MessageType, Metadata, Patch, ScheduledId, UserId,
};
use serde::{Deserialize, Serialize};

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageCreated {
    /// Text of the message.
    pub content: String,
    /// Type of the message.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// Files attached to the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Id of the message that it quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Id of the root message of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Users who are mentioned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// Data that the host attaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Id that the sender's client assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// Tells a repetition from another message under the same `client_message_id`; only set with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
    /// Number of replies in its thread, this one included; only set in a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_reply_count: Option<u32>,
    /// True if its thread has replies that expire, itself included.
    ///
    /// The remaining replies then have to be counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_thread_expiring: bool,
    /// Users who were online when the message mentioned `@here`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub here: Vec<UserId>,
    /// True if the message notifies nobody and does not count as unread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Origin of a forwarded message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
    /// Time at which the message expires (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Schedule that sent the message; only set with a `client_message_id`.
    ///
    /// With it a repeated request gets the first response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SentSchedule>,
}

/// Schedule that a message was sent by. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentSchedule {
    /// Id of the scheduled message.
    pub id: ScheduledId,
    /// Send time of the first request.
    pub first_send_at: i64,
    /// Send time that the message was last scheduled for.
    pub send_at: i64,
    /// Time of scheduling.
    pub created_at: i64,
    /// Time of the schedule's last change.
    pub updated_at: i64,
}

/// Deletion or expiry of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRemoval {
    /// Id of the message.
    pub message_id: MessageId,
    /// True if the message expired: it then leaves no tombstone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_expired: bool,
    /// Seq of the target message, if only members at that time may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// A restored message, as it was before its deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRestored {
    /// Id of the message.
    pub message_id: MessageId,
    /// Seq of the last edit before the deletion; 0 if there was none.
    ///
    /// If it differs from the present one, this content is outdated.
    pub edit_seq: u64,
    /// Text of the message.
    pub content: String,
    /// Files attached to the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Users who are mentioned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// Data that the host attaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Seq of the target message, if only members at that time may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// A reaction that was added or removed, with the message's resulting reactions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// Id of the message.
    pub message_id: MessageId,
    /// One emoji, or a `:shortcode:`.
    pub emoji: String,
    /// User who reacted.
    pub user_id: UserId,
    /// Number of users who react with this emoji after the change.
    pub total_count: u32,
    /// First users who react with this emoji after the change.
    pub user_ids: Vec<UserId>,
    /// Seq of the target message, if only members at that time may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// Reference to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageTarget {
    /// Id of the message.
    pub message_id: MessageId,
    /// Seq of the target message, if only members at that time may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}

/// An edit of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdit {
    /// Id of the message.
    pub message_id: MessageId,
    /// The new text.
    pub content: String,
    /// Change of the data that the host attaches.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Metadata>,
    /// Seq of the target message, if only members at that time may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<u64>,
}
