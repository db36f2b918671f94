//! Commands on receipts.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Command, Declaration, Empty, OfConversation, OfMessage};
use crate::{MessageId, Timestamp};

/// Time at which the caller first read the message.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReadAt {
    /// Time at which the caller first read the message.
    pub read_at: Timestamp,
}

/// The command that marks a message and all before it as read.
pub struct MarkMessageRead;

impl Command for MarkMessageRead {
    type Path = OfMessage;
    type Body = Empty;
    type Answer = ReadAt;

    const DECLARATION: Declaration =
        Declaration::new("Marks a message and all before it as read.", &[404])
            .rest("markMessageRead", "PUT", "/api/messages/{messageId}/read")
            .socket("message:read");
}

/// Time at which the message first arrived at a device of the caller.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveredAt {
    /// Time at which the message first arrived at a device of the caller.
    pub delivered_at: Timestamp,
}

/// The command that marks a message and all before it as delivered.
pub struct MarkMessageDelivered;

impl Command for MarkMessageDelivered {
    type Path = OfMessage;
    type Body = Empty;
    type Answer = DeliveredAt;

    const DECLARATION: Declaration =
        Declaration::new("Marks a message and all before it as delivered.", &[404])
            .rest(
                "markMessageDelivered",
                "PUT",
                "/api/messages/{messageId}/delivered",
            )
            .socket("message:delivered");
}

/// Position up to which to mark a conversation as read.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct MarkConversationRead {
    /// Id of the last message to mark as read. Default: the newest message.
    pub up_to_message_id: Option<MessageId>,
}

/// Number of messages that the request marked as read.
#[derive(Debug, Serialize, Deserialize, Object)]
pub struct NewlyReadCount {
    /// Number of messages that counted as unread before and no longer do.
    pub count: u64,
}

impl Command for MarkConversationRead {
    type Path = OfConversation;
    type Body = Self;
    type Answer = NewlyReadCount;

    const DECLARATION: Declaration = Declaration::new(
        "Marks a conversation as read, up to a message or to the newest one.",
        &[404],
    )
    .rest(
        "markConversationRead",
        "PUT",
        "/api/conversations/{conversationId}/read",
    )
    .socket("conversation:read");
}
