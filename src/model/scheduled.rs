//! Scheduled messages, as they are stored.

use chat_sdk::{
    ConversationId, ScheduledFailure, ScheduledId, ScheduledMessage, ScheduledStatus, Timestamp,
    UserId,
};
use serde::{Deserialize, Serialize};

use super::messages::Draft;

/// State of a scheduled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for its time.
    Pending,
    /// Claimed by a process that is sending it; it counts as sent for its author.
    Sending,
    /// Rejected.
    Failed,
    /// Cancelled. It is kept without its content, for repetitions of the first request.
    Cancelled,
}

/// A scheduled message.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// Id of the scheduled message.
    pub id: ScheduledId,
    /// Conversation that it is sent to.
    pub conversation: ConversationId,
    /// User who scheduled it.
    pub sender: UserId,
    /// Other user of the direct conversation, which is created when the message is sent.
    pub receiver: Option<UserId>,
    /// The message to send.
    pub draft: Draft,
    /// Hash of the first request: tells a repetition from another message under the same `clientMessageId`.
    pub request_hash: Option<String>,
    /// Send time of the first request.
    pub first_send_at: Timestamp,
    /// Time at which the message is sent.
    pub send_at: Timestamp,
    /// State of the scheduled message.
    pub stage: Stage,
    /// Reason for the rejection.
    pub failure: Option<ScheduledFailure>,
    /// Number of attempts to send it.
    pub attempts: u32,
    /// Number of changes.
    pub version: u64,
    /// Time of scheduling.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl Scheduled {
    /// Returns the scheduled message as its author sees it.
    pub fn into_view(self) -> ScheduledMessage {
        ScheduledMessage {
            id: self.id,
            conversation_id: self.conversation,
            sender_id: self.sender,
            content: self.draft.content,
            kind: self.draft.kind.unwrap_or_default(),
            attachments: self.draft.attachments,
            reply_to: self.draft.reply_to,
            thread_id: self.draft.thread_id,
            mentions: self.draft.mentions,
            metadata: self.draft.metadata,
            client_message_id: self.draft.client_message_id,
            silent: self.draft.silent.then_some(true),
            ttl_seconds: self.draft.ttl_seconds,
            send_at: self.send_at,
            status: match self.stage {
                Stage::Pending | Stage::Sending => ScheduledStatus::Pending,
                Stage::Failed => ScheduledStatus::Failed,
                Stage::Cancelled => ScheduledStatus::Cancelled,
            },
            message_id: None,
            failure: self.failure,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
