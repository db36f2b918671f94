//! Messages that are sent later, over HTTP.

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

/// A message to send later, either to a conversation or to a user.
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
    /// The message.
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

/// A change of a scheduled message. What is left out stays; `null` clears.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateScheduledMessage {
    /// Its text.
    #[serde(default)]
    pub content: Patch<String>,
    /// The files it carries.
    #[serde(default)]
    #[oai(validator(max_items = 20))]
    pub attachments: Patch<Vec<Attachment>>,
    /// Who is mentioned in it.
    #[serde(default)]
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Patch<Vec<UserId>>,
    /// The host's own data.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// Whether it will notify nobody and count as unread for nobody.
    #[serde(default)]
    pub silent: Patch<bool>,
    /// How many seconds after it was sent it is gone, at most a year.
    #[serde(default)]
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Patch<u32>,
    /// When it is sent, within the next 366 days; one that failed waits again if this is another time. `null` is refused.
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

/// The operations on scheduled messages.
pub struct ScheduledApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl ScheduledApi {
    /// Schedule a message
    ///
    /// The service checks the message now and again when it sends it. The request can be repeated safely with the same `clientMessageId` and
    /// `sendAt`: the repetition returns 200 with the scheduled message, which has the status `sent` and the `messageId` once it was sent.
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

    /// List one's scheduled messages
    ///
    /// Soonest first. What is sent is no scheduled message any more; what was refused at its time stays with the reason.
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
    #[oai(
        path = "/scheduled/:id",
        method = "get",
        operation_id = "getScheduledMessage"
    )]
    async fn get(
        &self,
        caller: AsUser,
        /// The scheduled message's id.
        id: Path<ScheduledId>,
    ) -> Result<Json<ScheduledMessage>, ApiError> {
        Ok(Json(scheduled::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Change a scheduled message
    ///
    /// Until it is sent. One that failed waits again when it gets a new time.
    #[oai(
        path = "/scheduled/:id",
        method = "patch",
        operation_id = "updateScheduledMessage"
    )]
    async fn change(
        &self,
        caller: AsUser,
        /// The scheduled message's id.
        id: Path<ScheduledId>,
        body: ValidJson<UpdateScheduledMessage>,
    ) -> Result<Json<ScheduledMessage>, ApiError> {
        let changed = scheduled::change(&self.0, &caller.0, &id.0, body.0.try_into()?).await?;
        Ok(Json(changed))
    }

    /// Cancel a scheduled message
    ///
    /// After 204 it is not sent; after 404 it is, or was not there.
    #[oai(
        path = "/scheduled/:id",
        method = "delete",
        operation_id = "cancelScheduledMessage"
    )]
    async fn cancel(
        &self,
        caller: AsUser,
        /// The scheduled message's id.
        id: Path<ScheduledId>,
    ) -> Result<NoContent, ApiError> {
        scheduled::cancel(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }
}
