//! HTTP operations on messages.

use chat_sdk::{
    ConversationId, Message, MessageId, Timestamp,
    commands::messages::{DeleteMessage, EditMessage, SendDirectMessage, SendMessage},
};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    auth::{AsSender, AsUser, Caller, SenderOrHost},
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        body::ValidJson,
        page::{MessagePage, PageQuery, pages},
        path::Path,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::{
        Context,
        messages::{self, Forwarded, Sent},
    },
    model::messages::Version,
};

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

/// Copies of a message, one per target conversation, in the order of the request.
#[derive(Debug, Serialize, Object)]
pub struct ForwardedMessages {
    /// Copies, one per target conversation, in the order of `conversationIds`.
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

pages! {
    /// Page of the versions of a message's text, oldest first; empty for a deleted message.
    MessageHistory { versions: MessageVersion }
}

impl From<Version> for MessageVersion {
    fn from(version: Version) -> Self {
        Self {
            content: version.content,
            created_at: version.at,
        }
    }
}

impl From<Forwarded> for Upserted<ForwardedMessages> {
    fn from(forwarded: Forwarded) -> Self {
        Self {
            is_new: !forwarded.is_repeated,
            body: ForwardedMessages {
                messages: forwarded.messages,
            },
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
    ) -> Result<Upserted<Message>, Failure<SendMessage>> {
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
    ) -> Result<Upserted<Message>, Failure<SendDirectMessage>> {
        let SendDirectMessage {
            receiver_id: receiver,
            message,
        } = body.0;
        let sent = messages::send_direct(&self.0, &caller.0, &receiver.0, message.into()).await?;
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
    ) -> Result<Json<Message>, Failure<EditMessage>> {
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
    ) -> Result<NoContent, Failure<DeleteMessage>> {
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
    ) -> Result<Json<Message>, Failure<Status<403, 409, 413>>> {
        Ok(Json(messages::restore(&self.0, &caller.0, &id.0).await?))
    }

    /// Forward a message
    ///
    /// Sends the text, the attachments and the metadata of the message to 1 to 20 other
    /// conversations of the caller. If one of them does not accept the message, nothing is sent.
    /// A repetition with the same `clientMessageId` returns 200 with the messages that exist already.
    ///
    /// Fails with 400 if the caller cannot write to one of the conversations, and with 409 if one of them has another message under the
    /// `clientMessageId`; the response names the conversation. Fails with 400 if the copies together have more than 1 MiB.
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
    ) -> Result<Upserted<ForwardedMessages>, Failure<Status<403, 409>>> {
        let ForwardMessage {
            conversation_ids,
            client_message_id,
        } = body.0;
        let forwarded = messages::forward(
            &self.0,
            &caller.0,
            &id.0,
            &conversation_ids,
            client_message_id,
        )
        .await?;
        Ok(forwarded.into())
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
