//! Pinned messages over HTTP.

use chat_sdk::{ConversationId, Message, MessageId};
use poem_openapi::OpenApi;

use super::{
    Tag,
    auth::AsUser,
    error::ApiError,
    page::{MessagePage, PageQuery},
    path::Path,
    reply::{Json, NoContent},
};
use crate::domain::{Context, pins};

/// The operations on pins.
pub struct PinsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl PinsApi {
    /// Pin a message
    ///
    /// For owners and admins; in a direct conversation for both users.
    #[oai(
        path = "/messages/:id/pin",
        method = "put",
        operation_id = "pinMessage"
    )]
    async fn pin(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, ApiError> {
        Ok(Json(pins::pin(&self.0, &caller.0, &id.0).await?))
    }

    /// Pin a message no more
    ///
    /// For who may pin it.
    #[oai(
        path = "/messages/:id/pin",
        method = "delete",
        operation_id = "unpinMessage"
    )]
    async fn unpin(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<NoContent, ApiError> {
        pins::unpin(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// List pinned messages
    ///
    /// Newest pin first.
    #[oai(
        path = "/conversations/:id/pins",
        method = "get",
        operation_id = "listPinnedMessages"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = pins::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }
}
