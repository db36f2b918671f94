//! HTTP operations on scheduled messages.

use chat_sdk::{
    Attachment, ConversationId, Metadata, ScheduledId, ScheduledMessage, Timestamp, UserId,
};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use super::{
    Tag,
    auth::{AsSender, AsUser},
    conversations::set_or_kept,
    error::ApiError,
    json::ValidJson,
    messages::SendMessage,
    page::{PageQuery, ScheduledPage},
    path::Path,
    reply::{Json, NoContent, Upserted},
};
use crate::domain::{
    Context, DomainError,
    error::Faults,
    patch::Patch,
    scheduled::{self, Change, Placed, Target},
};

/// Body of a message to schedule, for a conversation or a user.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ScheduleMessage {
    /// Id of the conversation; required without `receiverId`, and not allowed with it.
    pub conversation_id: Option<ConversationId>,
    /// Id of the user to whom the message goes. Their direct conversation is created when the message is sent.
    pub receiver_id: Option<UserId>,
    /// Time at which the message is sent, within the next 366 days.
    pub send_at: Timestamp,
    /// Content of the message.
    #[serde(flatten)]
    #[oai(flatten)]
    pub message: SendMessage,
}

impl From<Placed> for Upserted<ScheduledMessage> {
    fn from(placed: Placed) -> Self {
        Self {
            is_new: !placed.is_repeated,
            body: placed.scheduled,
        }
    }
}

/// Change of a scheduled message. An omitted field keeps its value, `null` clears it.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateScheduledMessage {
    /// Text, at most `MAX_MESSAGE_BYTES`.
    #[serde(default)]
    pub content: Patch<String>,
    /// Links to files, at most 20.
    #[serde(default)]
    #[oai(validator(max_items = 20))]
    pub attachments: Patch<Vec<Attachment>>,
    /// Mentions, at most 100 distinct values: user ids, `@all`, `@here`.
    #[serde(default)]
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Patch<Vec<UserId>>,
    /// JSON object of the host, at most 16 KiB.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// True if the message will notify no user and not count as unread.
    #[serde(default)]
    pub silent: Patch<bool>,
    /// Time in seconds after the sending at which the message expires, 1 to 31,622,400 (366 days).
    #[serde(default)]
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Patch<u32>,
    /// Time at which the message is sent, within the next 366 days. Another time makes a failed message pending again. `null` is rejected.
    #[serde(default)]
    pub send_at: Patch<Timestamp>,
}

impl TryFrom<UpdateScheduledMessage> for Change {
    type Error = DomainError;

    fn try_from(body: UpdateScheduledMessage) -> Result<Self, DomainError> {
        let mut faults = Faults::default();
        let send_at = set_or_kept("sendAt", body.send_at, &mut faults);
        faults.into_result()?;
        Ok(Self {
            content: body.content,
            attachments: body.attachments,
            mentions: body.mentions,
            metadata: body.metadata,
            silent: body.silent,
            ttl_seconds: body.ttl_seconds,
            send_at,
        })
    }
}

/// Operations on scheduled messages.
pub struct ScheduledApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl ScheduledApi {
    /// Schedule a message
    ///
    /// Stores the message and sends it once, within a second of `sendAt`. The service checks the message now and again when it sends it. The request
    /// can be repeated safely with the same `clientMessageId` and `sendAt`: the repetition returns 200 with the scheduled message, which has the
    /// status `sent` and the `messageId` once it was sent.
    ///
    /// Fails with 400 for an invalid message, with 403 or 404 if the caller could
    /// not send it now, and with 409 if the caller has 1,000 scheduled messages.
    #[oai(path = "/scheduled", method = "post", operation_id = "scheduleMessage")]
    async fn schedule(
        &self,
        caller: AsSender,
        body: ValidJson<ScheduleMessage>,
    ) -> Result<Upserted<ScheduledMessage>, ApiError> {
        let ScheduleMessage {
            conversation_id,
            receiver_id,
            send_at,
            message,
        } = body.0;
        let target = Target::new(conversation_id, receiver_id)?;
        let placed =
            scheduled::schedule(&self.0, &caller.0, &target, message.into(), send_at).await?;
        Ok(placed.into())
    }

    /// List the caller's scheduled messages
    ///
    /// Returns the messages soonest first. A sent message is no longer listed; a message
    /// that was rejected when it was due stays with the status `failed` and the reason.
    #[oai(
        path = "/scheduled",
        method = "get",
        operation_id = "listScheduledMessages"
    )]
    async fn list(&self, caller: AsUser, page: PageQuery) -> Result<Json<ScheduledPage>, ApiError> {
        let page = scheduled::list(&self.0, &caller.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a scheduled message
    ///
    /// Returns one scheduled message of the caller.
    ///
    /// Fails with 404 if the message does not exist, was sent, or has another author.
    #[oai(
        path = "/scheduled/:id",
        method = "get",
        operation_id = "getScheduledMessage"
    )]
    async fn get(
        &self,
        caller: AsUser,
        /// Id of the scheduled message.
        id: Path<ScheduledId>,
    ) -> Result<Json<ScheduledMessage>, ApiError> {
        Ok(Json(scheduled::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Change a scheduled message
    ///
    /// Changes the message until it is sent and returns it. A new `sendAt` makes a failed message pending again.
    ///
    /// Fails with 400 if the changed message would be invalid and with 404 once the message was sent.
    #[oai(
        path = "/scheduled/:id",
        method = "patch",
        operation_id = "updateScheduledMessage"
    )]
    async fn change(
        &self,
        caller: AsUser,
        /// Id of the scheduled message.
        id: Path<ScheduledId>,
        body: ValidJson<UpdateScheduledMessage>,
    ) -> Result<Json<ScheduledMessage>, ApiError> {
        let changed = scheduled::change(&self.0, &caller.0, &id.0, body.0.try_into()?).await?;
        Ok(Json(changed))
    }

    /// Cancel a scheduled message
    ///
    /// Deletes the scheduled message. After 204 it will not be sent; 404 means that it was sent or never existed.
    #[oai(
        path = "/scheduled/:id",
        method = "delete",
        operation_id = "cancelScheduledMessage"
    )]
    async fn cancel(
        &self,
        caller: AsUser,
        /// Id of the scheduled message.
        id: Path<ScheduledId>,
    ) -> Result<NoContent, ApiError> {
        scheduled::cancel(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }
}
