//! HTTP operations on scheduled messages.

use chat_sdk::{
    ScheduledId, ScheduledMessage,
    commands::scheduled::{ScheduleMessage, UpdateScheduledMessage},
};
use poem_openapi::OpenApi;

use super::{
    auth::{AsSender, AsUser},
    conversations::set_or_kept,
    error::ApiError,
    failure::Failure,
    parts::{
        body::ValidJson,
        page::{PageQuery, ScheduledPage},
        path::Path,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::{
        Context,
        scheduled::{self, Change, Placed, Target},
    },
    model::{DomainError, error::Faults},
};

impl From<Placed> for Upserted<ScheduledMessage> {
    fn from(placed: Placed) -> Self {
        Self {
            is_new: !placed.is_repeated,
            body: placed.scheduled,
        }
    }
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
    /// status `sent` and the `messageId` once it was sent, and the status `cancelled` if it was cancelled.
    ///
    /// Fails with 400 for an invalid message, with 403 or 404 if the caller could
    /// not send it now, and with 409 if the caller has 1,000 scheduled messages.
    #[oai(path = "/scheduled", method = "post", operation_id = "scheduleMessage")]
    async fn schedule(
        &self,
        caller: AsSender,
        body: ValidJson<ScheduleMessage>,
    ) -> Result<Upserted<ScheduledMessage>, Failure<ScheduleMessage>> {
        let ScheduleMessage {
            conversation_id,
            receiver_id,
            send_at,
            message,
        } = body.0;
        let target = Target::new(conversation_id, receiver_id.map(|given| given.0))?;
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
