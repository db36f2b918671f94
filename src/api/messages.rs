//! HTTP operations on messages.

use chat_sdk::{
    Attachment, ConversationId, Message, MessageId, MessageType, Metadata, Timestamp, UserId,
};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    Tag,
    auth::{AsSender, AsUser, Caller, SenderOrHost},
    error::ApiError,
    json::ValidJson,
    page::{MessageHistory, MessagePage, PageQuery},
    path::Path,
    reply::{Created, Json, NoContent, Upserted},
};
use crate::domain::{
    Context,
    messages::{self, Draft, Sent, Version},
    patch::Patch,
};

/// Body of a message to send.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
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
    pub mentions: Option<Vec<UserId>>,
    /// JSON object of the host, at most 16 KiB. The service does not interpret it.
    pub metadata: Option<Metadata>,
    /// Client's id of the message, 1 to 128 characters, which makes the request
    /// safe to repeat: the same id in the same conversation is the same message.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
    /// True if the message notifies no user and does not count as unread. Default: false.
    pub silent: Option<bool>,
    /// Time in seconds after which the message expires, 1 to 31,622,400 (366 days). Default: it does not expire.
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Option<u32>,
}

impl From<SendMessage> for Draft {
    fn from(body: SendMessage) -> Self {
        Self {
            content: body.content.unwrap_or_default(),
            kind: body.kind,
            attachments: body.attachments.unwrap_or_default(),
            reply_to: body.reply_to,
            thread_id: body.thread_id,
            mentions: body.mentions.unwrap_or_default(),
            metadata: body.metadata,
            client_message_id: body.client_message_id,
            silent: body.silent.unwrap_or_default(),
            ttl_seconds: body.ttl_seconds,
            forwarded_from: None,
            expires_at: None,
        }
    }
}

/// Body of a message to send to a user.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SendDirectMessage {
    /// Id of the user to whom the message goes.
    pub receiver_id: UserId,
    /// Content of the message.
    #[serde(flatten)]
    #[oai(flatten)]
    pub message: SendMessage,
}

/// Change of a message. An omitted field keeps its value, `null` clears it. At least one field is required.
#[derive(Debug, Deserialize, Object)]
pub struct EditMessage {
    /// New text, at most `MAX_MESSAGE_BYTES`. It can be cleared if the message has attachments or has the type `custom`.
    #[serde(default)]
    pub content: Patch<String>,
    /// New JSON object of the host, at most 16 KiB.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
}

/// Target conversations of a forwarded message.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ForwardMessage {
    /// Ids of the target conversations, 1 to 20 distinct values. The caller must be able to write to each of them.
    #[oai(validator(min_items = 1, max_items = 20, unique_items))]
    pub conversation_ids: Vec<ConversationId>,
    /// Client's id of the request, 1 to 128 characters, which makes it safe to repeat: the same id in the same conversation is the same message.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
}

/// The new messages, one per target conversation, in the order of the request.
#[derive(Debug, Serialize, Object)]
pub struct ForwardedMessages {
    /// New messages, one per target conversation, in the order of `conversationIds`.
    pub messages: Vec<Message>,
}

/// A version of the text of a message.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct MessageVersion {
    /// Text of this version.
    pub content: String,
    /// Time at which the message got this text.
    pub created_at: Timestamp,
}

impl From<Version> for MessageVersion {
    fn from(version: Version) -> Self {
        Self {
            content: version.content,
            created_at: version.at,
        }
    }
}

impl From<Sent> for Upserted<Message> {
    fn from(sent: Sent) -> Self {
        Self {
            is_new: !sent.is_repeated,
            body: sent.message,
        }
    }
}

/// Operations on messages.
pub struct MessagesApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl MessagesApi {
    /// Send a message
    ///
    /// Stores a message in the conversation and returns it. With a `clientMessageId` the request is safe to
    /// repeat: the repetition returns 200 with the stored message, or 409 if its content differs. After a
    /// 503 the outcome is unknown: repeat the request. The host without `X-Acting-User` sends as `system`.
    ///
    /// Fails with 400 for an invalid body, 403 if the caller is blocked, blocks the other user or the conversation has threads switched off, 404 if
    /// the caller is not a member, and 413 if the whole message does not fit into an event of 128 KiB.
    #[oai(
        path = "/conversations/:id/messages",
        method = "post",
        operation_id = "sendMessage"
    )]
    async fn send(
        &self,
        caller: SenderOrHost,
        /// Id of the conversation.
        id: Path<ConversationId>,
        body: ValidJson<SendMessage>,
    ) -> Result<Upserted<Message>, ApiError> {
        let (ctx, draft) = (&self.0, body.0.into());
        let sent = match caller.0 {
            Caller::User(user) => messages::send(ctx, &user, &id.0, draft).await?,
            Caller::Host => messages::send_as_host(ctx, &id.0, draft).await?,
        };
        Ok(sent.into())
    }

    /// Send a message to a user
    ///
    /// Stores a message in the direct conversation of the caller and the receiver and returns it. Creates the conversation if it does not exist.
    /// Repetition works as in `sendMessage`.
    ///
    /// Fails with 400 for an unknown receiver and with 403 if the caller blocks the receiver.
    #[oai(
        path = "/messages",
        method = "post",
        operation_id = "sendDirectMessage"
    )]
    async fn send_direct(
        &self,
        caller: AsSender,
        body: ValidJson<SendDirectMessage>,
    ) -> Result<Upserted<Message>, ApiError> {
        let SendDirectMessage {
            receiver_id: receiver,
            message,
        } = body.0;
        let sent = messages::send_direct(&self.0, &caller.0, &receiver, message.into()).await?;
        Ok(sent.into())
    }

    /// List messages of a conversation
    ///
    /// Returns the messages newest first; with `after` oldest first; with `around` those on both sides of one message. A deleted message keeps its
    /// place without its content. A former member reads the messages up to the end of the membership, as they were then.
    ///
    /// Fails with 404 if the caller was never a member.
    #[oai(
        path = "/conversations/:id/messages",
        method = "get",
        operation_id = "listMessages"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = messages::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a message
    ///
    /// Returns one message. A deleted message is returned without its content.
    ///
    /// Fails with 404 if the message does not exist, has expired or is not visible to the caller.
    #[oai(path = "/messages/:id", method = "get", operation_id = "getMessage")]
    async fn get(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, ApiError> {
        Ok(Json(messages::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Edit a message
    ///
    /// Changes the text, the metadata or both. Every content that can be sent is valid in an edit. An edit that changes nothing returns the message
    /// as it is, without marking it as edited and without an event.
    ///
    /// Fails with 403 unless the caller is the sender, and with 409 if the message is deleted.
    #[oai(path = "/messages/:id", method = "patch", operation_id = "editMessage")]
    async fn edit(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        body: ValidJson<EditMessage>,
    ) -> Result<Json<Message>, ApiError> {
        let EditMessage { content, metadata } = body.0;
        let edit = messages::Edit { content, metadata };
        let edited = messages::edit(&self.0, &caller.0, &id.0, edit).await?;
        Ok(Json(edited))
    }

    /// Delete a message
    ///
    /// Removes the content of the message; a tombstone keeps its place. Deleting a deleted message changes nothing.
    ///
    /// Fails with 403 unless the caller is the sender or an owner or admin of the conversation.
    #[oai(
        path = "/messages/:id",
        method = "delete",
        operation_id = "deleteMessage"
    )]
    async fn delete(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<NoContent, ApiError> {
        messages::delete(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// Restore a deleted message
    ///
    /// Restores the message as it was, with its reactions and its pin, and returns it. A message that is not deleted is returned as it is.
    ///
    /// Fails with 403 unless the caller is an owner or admin of the conversation,
    /// with 404 if the message has expired and with 409 if its content was erased.
    #[oai(
        path = "/messages/:id/restore",
        method = "post",
        operation_id = "restoreMessage"
    )]
    async fn restore(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, ApiError> {
        Ok(Json(messages::restore(&self.0, &caller.0, &id.0).await?))
    }

    /// Forward a message
    ///
    /// Sends the text, the attachments and the metadata of the message to 1 to 20 other
    /// conversations of the caller. If one of them does not accept the message, nothing is sent.
    ///
    /// Fails with 400 if the caller cannot write to one of the conversations and with 409 if one of them has another message under the
    /// `clientMessageId`; the response names the conversation.
    #[oai(
        path = "/messages/:id/forward",
        method = "post",
        operation_id = "forwardMessage"
    )]
    async fn forward(
        &self,
        caller: AsSender,
        /// Id of the message.
        id: Path<MessageId>,
        body: ValidJson<ForwardMessage>,
    ) -> Result<Created<ForwardedMessages>, ApiError> {
        let ForwardMessage {
            conversation_ids,
            client_message_id,
        } = body.0;
        let messages = messages::forward(
            &self.0,
            &caller.0,
            &id.0,
            &conversation_ids,
            client_message_id,
        )
        .await?;
        Ok(Created(ForwardedMessages { messages }))
    }

    /// List replies to a message
    ///
    /// Returns the replies newest first; with `after` oldest first.
    ///
    /// Fails with 404 if the message does not exist or is not visible to the caller.
    #[oai(
        path = "/messages/:id/replies",
        method = "get",
        operation_id = "listReplies"
    )]
    async fn replies(
        &self,
        caller: AsUser,
        /// Id of the root message of the thread.
        id: Path<MessageId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = messages::replies(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// List a message's versions
    ///
    /// Returns every text that the message had, oldest first; none for a deleted message. A cursor continues in that order with `before` and with
    /// `after`. An edit of the metadata alone adds no version.
    #[oai(
        path = "/messages/:id/history",
        method = "get",
        operation_id = "getMessageHistory"
    )]
    async fn history(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        page: PageQuery,
    ) -> Result<Json<MessageHistory>, ApiError> {
        let page = messages::history(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.map(MessageVersion::from).into()))
    }
}
