//! Commands on messages.

use poem_openapi::Object;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Command, Declaration, Empty, OfConversation, OfMessage, PathFields, RateLimit, payload::split,
};
use crate::{
    Attachment, ConversationId, GivenUserId, Message, MessageId, MessageType, Metadata, Patch,
    metadata, whole_number,
};

/// Body of a message to send.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct SendMessage {
    /// Text, at most 16,384 bytes of UTF-8 unless `MAX_MESSAGE_BYTES` sets another limit. Optional with attachments and for the type `custom`.
    pub content: Option<String>,
    /// Type of the message: `text` (default) or `custom`; from the host without `X-Acting-User` also `system`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: Option<MessageType>,
    /// Links to files, at most 20. The service stores the links, not the files.
    #[oai(validator(max_items = 20))]
    pub attachments: Option<Vec<Attachment>>,
    /// Id of the quoted message. It must be in the same conversation and visible to the sender.
    pub reply_to: Option<MessageId>,
    /// Id of the root message of the thread to reply in. It must be in the same conversation, visible to the sender and not a reply itself.
    pub thread_id: Option<MessageId>,
    /// Mentions, at most 100 distinct values: user ids, `@all` for every member, `@here` for every member who is online.
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Option<Vec<GivenUserId>>,
    /// JSON object of the host, at most 16 KiB. The service does not interpret it.
    #[serde(default, deserialize_with = "metadata::given")]
    pub metadata: Option<Metadata>,
    /// Client's id of the message, 1 to 128 characters, which makes the request
    /// safe to repeat: the same id in the same conversation is the same message.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
    /// True if the message notifies no user and does not count as unread. Default: false.
    pub silent: Option<bool>,
    /// Time in seconds after which the message expires, 1 to 31,622,400 (366 days). Default: it does not expire.
    #[serde(default, deserialize_with = "whole_number::optional")]
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Option<u32>,
}

impl Command for SendMessage {
    type Path = OfConversation;
    type Body = Self;
    type Answer = Message;

    const DECLARATION: Declaration =
        Declaration::new("Sends a message to a conversation.", &[403, 404, 409, 413])
            .rest(
                "sendMessage",
                "POST",
                "/api/conversations/{conversationId}/messages",
            )
            .host("messages.send")
            .limit(RateLimit::Messages);
}

/// Body of a message to send to a user.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct SendDirectMessage {
    /// Id of the user to whom the message goes.
    pub receiver_id: GivenUserId,
    /// Content of the message.
    #[oai(flatten)]
    pub message: SendMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receiver {
    receiver_id: GivenUserId,
}

impl<'de> Deserialize<'de> for SendDirectMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (receiver, message): (Receiver, _) = split(deserializer, &["receiverId"])?;
        Ok(Self {
            receiver_id: receiver.receiver_id,
            message,
        })
    }
}

impl Command for SendDirectMessage {
    type Path = Empty;
    type Body = Self;
    type Answer = Message;

    const DECLARATION: Declaration =
        Declaration::new("Sends a message to a user.", &[403, 409, 413])
            .rest("sendDirectMessage", "POST", "/api/messages")
            .host("messages.sendDirect")
            .limit(RateLimit::Messages);
}

/// Target of a message over a socket.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct Target {
    /// Id of the conversation; required without `receiverId`, and not allowed with it.
    pub conversation_id: Option<ConversationId>,
    /// Id of the user to whom the message goes.
    pub receiver_id: Option<GivenUserId>,
}

impl PathFields for Target {
    const NAMES: &'static [&'static str] = &["conversationId", "receiverId"];
}

/// The command of sockets that sends to a conversation or to a user.
pub struct SendOnSocket;

impl Command for SendOnSocket {
    type Path = Target;
    type Body = SendMessage;
    type Answer = Message;

    const DECLARATION: Declaration = Declaration::new(
        "Sends a message to the conversation `conversationId` or to the user `receiverId`.",
        &[403, 404, 409, 413],
    )
    .socket("message:send")
    .ack_field("message")
    .limit(RateLimit::Messages);
}

/// Change of a message. An omitted field keeps its value, `null` clears it. At least one field is required.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    /// New text, at most `MAX_MESSAGE_BYTES`. It can be cleared if the message has attachments or has the type `custom`.
    #[serde(default)]
    pub content: Patch<String>,
    /// New JSON object of the host, at most 16 KiB.
    #[serde(default, deserialize_with = "metadata::given_patch")]
    pub metadata: Patch<Metadata>,
}

impl Command for EditMessage {
    type Path = OfMessage;
    type Body = Self;
    type Answer = Message;

    const DECLARATION: Declaration = Declaration::new(
        "Changes the text of a message, its metadata or both; `null` clears a field.",
        &[403, 404, 409, 413],
    )
    .rest("editMessage", "PATCH", "/api/messages/{messageId}")
    .host("messages.edit")
    .socket("message:edit")
    .ack_field("message");
}

/// The command that deletes a message.
pub struct DeleteMessage;

impl Command for DeleteMessage {
    type Path = OfMessage;
    type Body = Empty;
    type Answer = Empty;

    const DECLARATION: Declaration = Declaration::new("Deletes a message.", &[403, 404])
        .rest("deleteMessage", "DELETE", "/api/messages/{messageId}")
        .host("messages.delete")
        .socket("message:delete");
}

/// Page of messages.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessagePage {
    /// Items of this page, in the order of the list.
    pub messages: Vec<Message>,
    /// Value of `before` for the next page (of `after` if this page was requested with `after`); absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more items in that direction.
    pub has_more: bool,
}

/// Messages after a message to list.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub struct SyncMessages {
    /// Id of the message after which the list begins, or a `nextCursor`. Default: the beginning of the conversation.
    pub last_message_id: Option<String>,
    /// Maximum number of messages, 1 to 100. Default: 50.
    #[serde(default, deserialize_with = "whole_number::optional")]
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    pub limit: Option<i64>,
}

impl Command for SyncMessages {
    type Path = OfConversation;
    type Body = Self;
    type Answer = MessagePage;

    const DECLARATION: Declaration =
        Declaration::new("Lists the messages after a message, oldest first.", &[404])
            .socket("messages:sync");
}

/// Page of messages to list. At most one of `before`, `after` and `around` is allowed.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct ListMessages {
    /// Returns messages earlier than this id or `nextCursor`.
    pub before: Option<String>,
    /// Returns messages later than this id or `nextCursor`, oldest first.
    pub after: Option<String>,
    /// Returns messages on both sides of this id.
    pub around: Option<String>,
    /// Maximum number of messages, 1 to 100. Default: 50.
    #[serde(default, deserialize_with = "whole_number::optional")]
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    pub limit: Option<i64>,
}

impl Command for ListMessages {
    type Path = OfConversation;
    type Body = Self;
    type Answer = MessagePage;

    const DECLARATION: Declaration =
        Declaration::new("Lists messages of a conversation in pages.", &[404])
            .socket("messages:list");
}
