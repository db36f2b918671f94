//! Messages that wait for their time.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    Attachment, ConversationId, MessageId, MessageType, Metadata, Timestamp, UserId,
    ids::ScheduledId,
};

/// State of a scheduled message. `sent` is only in the answer to a repeated request: a sent message is no longer listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ScheduledStatus {
    /// It waits for its time.
    Pending,
    /// Its time came, and it was refused; it stays until it is changed or deleted.
    Failed,
    /// It was sent; `messageId` names the message.
    Sent,
}

/// Why a scheduled message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ScheduledFailure {
    /// The code that a send at that moment would have been answered with, for example `NOT_FOUND`.
    pub code: String,
    /// The reason, for people.
    pub message: String,
}

/// A message that waits for its time. Only its author sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ScheduledMessage {
    /// Its id while it waits; the message that is sent has another one.
    pub id: ScheduledId,
    /// The conversation it will go to; a direct one may not exist before.
    pub conversation_id: ConversationId,
    /// Who will have sent it.
    pub sender_id: UserId,
    /// Its text.
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
    /// The root of the thread that it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Who is mentioned in it.
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The id under which the sender made sending it repeatable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// True when it will notify nobody and count as unread for nobody; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// How many seconds after it was sent it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// When it is sent.
    pub send_at: Timestamp,
    /// State of the scheduled message.
    pub status: ScheduledStatus,
    /// Id of the message that was sent; only with the status `sent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// Why it was not sent; there only when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ScheduledFailure>,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
