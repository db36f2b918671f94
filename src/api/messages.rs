//! Messages over HTTP.

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

/// A message to send.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SendMessage {
    /// Its text, at most 16,384 bytes unless configured otherwise; may be left out with attachments or for a custom message.
    pub content: Option<String>,
    /// What it is: `text` where it is left out, or `custom`; from the host in nobody's name also `system`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: Option<MessageType>,
    /// The files it carries.
    #[oai(validator(max_items = 20))]
    pub attachments: Option<Vec<Attachment>>,
    /// The message that it quotes.
    pub reply_to: Option<MessageId>,
    /// The root of the thread that it goes to.
    pub thread_id: Option<MessageId>,
    /// Who is mentioned in it: user ids, `@all` for every member, `@here` for everybody who is online.
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Option<Vec<UserId>>,
    /// The host's own data.
    pub metadata: Option<Metadata>,
    /// Makes the send repeatable: the same id in the same conversation is the same message.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
    /// Whether it notifies nobody and counts as unread for nobody.
    pub silent: Option<bool>,
    /// After how many seconds it is gone, at most a year.
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

/// A message to send to another user.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SendDirectMessage {
    /// To whom.
    pub receiver_id: UserId,
    /// The message.
    #[serde(flatten)]
    #[oai(flatten)]
    pub message: SendMessage,
}

/// A change of a message. What is left out stays; `null` clears. One of the two must be given.
#[derive(Debug, Deserialize, Object)]
pub struct EditMessage {
    /// The text from now on. It may be cleared if the message has attachments or is a custom one.
    #[serde(default)]
    pub content: Patch<String>,
    /// The host's own data from now on.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
}

/// Where to send a message on to.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ForwardMessage {
    /// The conversations.
    #[oai(validator(min_items = 1, max_items = 20, unique_items))]
    pub conversation_ids: Vec<ConversationId>,
    /// Makes it repeatable: the same id in the same conversation is the same message.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
}

/// The messages that a forwarded one became, in the order of the conversations asked for.
#[derive(Debug, Serialize, Object)]
pub struct ForwardedMessages {
    /// The messages.
    pub messages: Vec<Message>,
}

/// One version of a message's text.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct MessageVersion {
    /// The text.
    pub content: String,
    /// Since when.
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

/// The operations on messages.
pub struct MessagesApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl MessagesApi {
    /// Send a message
    ///
    /// With a `clientMessageId` it can be repeated safely: the repetition answers 200 with the message that is there, or 409 when its content
    /// differs. An answer 503 means that the outcome is unknown: repeat it. The host in nobody's name sends as `system`.
    #[oai(
        path = "/conversations/:id/messages",
        method = "post",
        operation_id = "sendMessage"
    )]
    async fn send(
        &self,
        caller: SenderOrHost,
        /// The conversation's id.
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
    /// Sends to the direct conversation of the two users. If there is none, the operation creates it.
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

    /// Read the history
    ///
    /// Newest first; with `after` oldest first. Who left reads up to there, as it was then.
    #[oai(
        path = "/conversations/:id/messages",
        method = "get",
        operation_id = "listMessages"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = messages::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a message
    #[oai(path = "/messages/:id", method = "get", operation_id = "getMessage")]
    async fn get(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, ApiError> {
        Ok(Json(messages::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Edit a message
    ///
    /// Changes the text, the metadata or both; only the sender may. What can be sent can be edited to. An edit that changes nothing answers the message
    /// as it is, does not mark it as edited and sends no event.
    #[oai(path = "/messages/:id", method = "patch", operation_id = "editMessage")]
    async fn edit(
        &self,
        caller: AsUser,
        /// The message's id.
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
    /// A tombstone keeps its place. Its sender may, and owners and admins of the conversation.
    #[oai(
        path = "/messages/:id",
        method = "delete",
        operation_id = "deleteMessage"
    )]
    async fn delete(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<NoContent, ApiError> {
        messages::delete(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// Restore a deleted message
    ///
    /// As it was, with its reactions. For owners and admins of the conversation.
    #[oai(
        path = "/messages/:id/restore",
        method = "post",
        operation_id = "restoreMessage"
    )]
    async fn restore(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, ApiError> {
        Ok(Json(messages::restore(&self.0, &caller.0, &id.0).await?))
    }

    /// Forward a message
    ///
    /// Text, files and metadata go to other conversations of the caller. When one of them is none, nothing is sent.
    #[oai(
        path = "/messages/:id/forward",
        method = "post",
        operation_id = "forwardMessage"
    )]
    async fn forward(
        &self,
        caller: AsSender,
        /// The message's id.
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

    /// Read a thread
    ///
    /// The replies to a message, newest first; with `after` oldest first.
    #[oai(
        path = "/messages/:id/replies",
        method = "get",
        operation_id = "listReplies"
    )]
    async fn replies(
        &self,
        caller: AsUser,
        /// The id of the message that the thread began with.
        id: Path<MessageId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = messages::replies(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// List a message's versions
    ///
    /// Oldest first. A cursor goes on in that order, whichever of `before` and `after` carries it.
    #[oai(
        path = "/messages/:id/history",
        method = "get",
        operation_id = "getMessageHistory"
    )]
    async fn history(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        page: PageQuery,
    ) -> Result<Json<MessageHistory>, ApiError> {
        let page = messages::history(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.map(MessageVersion::from).into()))
    }
}
