//! Messages that are sent later, over HTTP.

use chat_sdk::{
    Attachment, Message, Metadata, ScheduledId, ScheduledMessage, Timestamp, UserId,
    http::{described, respond},
};
use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    registry::{MetaResponses, Registry},
    types::Type,
};
use serde::Deserialize;

use super::{
    Tag,
    auth::AsUser,
    error::ApiError,
    json::ValidJson,
    page::{PageQuery, ScheduledPage},
    path::Path,
    reply::{Json, NoContent, Upserted},
};
use crate::domain::{
    Context,
    messages::Sent,
    patch::Patch,
    scheduled::{self, Change, Placed},
};

/// The answer to a send: the message, or with `sendAt` what waits for its time.
pub enum SendAnswer {
    /// 201 with the message, or 200 with the one that is there already.
    Sent(Box<Upserted<Message>>),
    /// 202 with what waits for its time.
    Waiting(Box<ScheduledMessage>),
}

impl From<Sent> for SendAnswer {
    fn from(sent: Sent) -> Self {
        Self::Sent(Box::new(sent.into()))
    }
}

impl From<Placed> for SendAnswer {
    fn from(placed: Placed) -> Self {
        match placed {
            Placed::Waiting(scheduled) => Self::Waiting(scheduled),
            Placed::Sent(sent) => (*sent).into(),
        }
    }
}

impl IntoResponse for SendAnswer {
    fn into_response(self) -> Response {
        match self {
            Self::Sent(message) => message.into_response(),
            Self::Waiting(scheduled) => respond(StatusCode::ACCEPTED, &scheduled),
        }
    }
}

impl ApiResponse for SendAnswer {
    fn meta() -> MetaResponses {
        let mut meta = Upserted::<Message>::meta();
        meta.responses.push(described::<ScheduledMessage>(
            StatusCode::ACCEPTED,
            "With `sendAt`: what waits for its time.",
        ));
        meta
    }

    fn register(registry: &mut Registry) {
        Message::register(registry);
        ScheduledMessage::register(registry);
    }
}

/// A change of a scheduled message. What is left out stays; `null` clears where that is possible.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ScheduledChange {
    /// Its text.
    pub content: Option<String>,
    /// The files it carries.
    #[oai(validator(max_items = 20))]
    pub attachments: Option<Vec<Attachment>>,
    /// Who is mentioned in it.
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Option<Vec<UserId>>,
    /// The host's own data.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// Whether it will notify nobody and count as unread for nobody.
    pub silent: Option<bool>,
    /// How many seconds after it was sent it is gone, at most a year.
    #[serde(default)]
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Patch<u32>,
    /// When it is sent, within the next 366 days; one that failed waits again.
    pub send_at: Option<Timestamp>,
}

impl From<ScheduledChange> for Change {
    fn from(body: ScheduledChange) -> Self {
        Self {
            content: body.content,
            attachments: body.attachments,
            mentions: body.mentions,
            metadata: body.metadata,
            silent: body.silent,
            ttl_seconds: body.ttl_seconds,
            send_at: body.send_at,
        }
    }
}

/// The operations on scheduled messages.
pub struct ScheduledApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl ScheduledApi {
    /// List one's scheduled messages
    ///
    /// Soonest first. What is sent is no scheduled message any more; what was refused at its time stays with the reason.
    #[oai(path = "/scheduled", method = "get", operation_id = "listScheduled")]
    async fn list(&self, caller: AsUser, page: PageQuery) -> Result<Json<ScheduledPage>, ApiError> {
        let page = scheduled::list(&self.0, &caller.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a scheduled message
    #[oai(path = "/scheduled/:id", method = "get", operation_id = "getScheduled")]
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
        operation_id = "changeScheduled"
    )]
    async fn change(
        &self,
        caller: AsUser,
        /// The scheduled message's id.
        id: Path<ScheduledId>,
        body: ValidJson<ScheduledChange>,
    ) -> Result<Json<ScheduledMessage>, ApiError> {
        let changed = scheduled::change(&self.0, &caller.0, &id.0, body.0.into()).await?;
        Ok(Json(changed))
    }

    /// Cancel a scheduled message
    ///
    /// After 204 it is not sent; after 404 it is, or was not there.
    #[oai(
        path = "/scheduled/:id",
        method = "delete",
        operation_id = "cancelScheduled"
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
