//! Scheduled messages.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    Attachment, ConversationId, MessageId, MessageType, Metadata, Timestamp, UserId,
    ids::ScheduledId,
};

/// State of a scheduled message. `sent` and `cancelled` occur only in the answer to a repeated request: such a message is no longer listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ScheduledStatus {
    /// Waits for the time at which it is sent.
    Pending,
    /// Was rejected at its time; it stays until it is changed or deleted.
    Failed,
    /// Was sent; `messageId` is the id of the message.
    Sent,
    /// Was cancelled before it was sent.
    Cancelled,
}

/// Reason why a scheduled message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ScheduledFailure {
    /// Error code that a direct send would have returned at that time, for example `NOT_FOUND`.
    pub code: String,
    /// Reason of the failure, for people.
    pub message: String,
}

/// A message that is sent at a later time. Only its author sees it until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ScheduledMessage {
    /// Id of the scheduled message; the message that is sent has another id.
    pub id: ScheduledId,
    /// Id of the conversation that it will be sent to; a direct conversation may not exist before.
    pub conversation_id: ConversationId,
    /// Id of the author, who becomes the sender.
    pub sender_id: UserId,
    /// Text of the message, at most `MAX_MESSAGE_BYTES` (16,384 bytes by default).
    pub content: String,
    /// Type of the message.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: MessageType,
    /// Files of the message, at most 20.
    pub attachments: Vec<Attachment>,
    /// Id of the message that it quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Id of the root message of the thread that it will be a reply in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Ids of the mentioned users, at most 100; also `@all` and `@here`.
    pub mentions: Vec<UserId>,
    /// Metadata of the message, set by the host; at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Id that the sender gave the message, 1 to 128 characters; a request that is repeated with the same id schedules nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// True if the message will notify no one and not count as unread; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Time between sending and expiry of the message, in seconds, 1 to 31,622,400 (a year); absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// Time at which the message is sent.
    pub send_at: Timestamp,
    /// State of the scheduled message.
    pub status: ScheduledStatus,
    /// Id of the message that was sent; only with the status `sent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// Reason why it was not sent; only with the status `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ScheduledFailure>,
    /// Time at which it was scheduled.
    pub created_at: Timestamp,
    /// Time at which it was last changed.
    pub updated_at: Timestamp,
}
