//! HTTP operations on pinned messages.

use chat_sdk::{ConversationId, Message, MessageId};
use poem_openapi::OpenApi;

use super::{
    auth::AsUser,
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        page::{MessagePage, PageQuery},
        path::Path,
        reply::{Json, NoContent},
    },
    state::Tag,
};
use crate::domain::{Context, pins};

/// Operations on pins.
pub struct PinsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl PinsApi {
    /// Pin a message
    ///
    /// Pins the message and returns it; a pinned message stays as it is. For owners and admins; in a direct conversation for both users.
    ///
    /// Fails with 403 if the caller lacks the right, with 404 if the message is not visible to the caller and with 409 if it is deleted.
    #[oai(
        path = "/messages/:id/pin",
        method = "put",
        operation_id = "pinMessage"
    )]
    async fn pin(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, Failure<Status<403, 409>>> {
        Ok(Json(pins::pin(&self.0, &caller.0, &id.0).await?))
    }

    /// Unpin a message
    ///
    /// Unpins the message; changes nothing if it is not pinned. For owners and admins; in a direct conversation for both users.
    ///
    /// Fails with 403 if the caller lacks the right and with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/pin",
        method = "delete",
        operation_id = "unpinMessage"
    )]
    async fn unpin(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<NoContent, Failure<Status<403>>> {
        pins::unpin(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// List pinned messages
    ///
    /// Returns the pinned messages that are visible to the caller, newest pin first.
    ///
    /// Fails with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/pins",
        method = "get",
        operation_id = "listPinnedMessages"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<MessagePage>, ApiError> {
        let page = pins::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }
}
